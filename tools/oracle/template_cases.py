"""Chat templates with many contexts, rendered as transformers renders them."""
import json
import os

from jinja2.exceptions import TemplateError
from transformers.utils.chat_template_utils import _compile_jinja_template

HERE = os.path.dirname(os.path.abspath(__file__))

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Get the weather of a city.",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "The city, e.g. \"Zürich\""},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
        "days": {"type": "integer", "minimum": 1, "maximum": 14, "default": 3},
        "exact": {"type": "boolean"}}, "required": ["city"]}}}
NESTED = {"type": "function", "function": {
    "name": "make_order", "description": "Place an order <b>now</b> & pay.",
    "parameters": {"type": "object", "properties": {
        "items": {"type": "array", "description": "what to buy", "items": {"type": "object", "properties": {
            "sku": {"type": "string"}, "count": {"type": "integer"}, "price": {"type": "number", "default": 1.5},
            "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["sku", "count"]}},
        "matrix": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        "address": {"type": "object", "properties": {"street": {"type": "string"}, "zip": {"type": ["string", "null"]}}},
        "note": {"type": "string", "nullable": True},
        "when": {"oneOf": [{"type": "string", "description": "a date"}, {"type": "integer", "description": "a stamp"}], "default": "now"},
        "free": {"type": "object"}, "any": {}}, "required": ["items"]},
    "return": {"type": "string"}}}
EMPTY_TOOL = {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}}

U = {"role": "user", "content": "What is the capital of France?"}
A = {"role": "assistant", "content": "The capital of France is Paris."}
S = {"role": "system", "content": "You are a helpful assistant."}
U2 = {"role": "user", "content": "And of Italy?"}


def call(name, arguments, id="abcdef123", **more):
    return {"role": "assistant", "tool_calls": [{"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}], **more}


ARGS = {"city": "Zürich", "unit": "celsius", "days": 3}
RESULT = {"role": "tool", "tool_call_id": "abcdef123", "name": "get_weather", "content": "{\"temp\": 21.5, \"sky\": \"clear\"}"}

CONTEXTS = {
    "one": {"messages": [U], "add_generation_prompt": True},
    "no_prompt": {"messages": [U, A], "add_generation_prompt": False},
    "prompt_undefined": {"messages": [U, A, U2]},
    "system": {"messages": [S, U], "add_generation_prompt": True},
    "turns": {"messages": [S, U, A, U2, {"role": "assistant", "content": "Rome."}, {"role": "user", "content": "Thanks"}],
              "add_generation_prompt": True},
    "unicode": {"messages": [{"role": "user", "content": "你好 👩‍💻 \"quoted\" 'single' <b>&amp;</b> \\n \t e\u0301"},
                             {"role": "assistant", "content": "  spaces around \n\n"}, {"role": "user", "content": "\n leading newline"}],
                "add_generation_prompt": True},
    "empty": {"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}, {"role": "user", "content": " "}],
              "add_generation_prompt": True},
    "template_in_content": {"messages": [{"role": "user", "content": "{{ 1 + 1 }} {% if x %} {# no #} <|im_end|>"}], "add_generation_prompt": True},
    "thinking_off": {"messages": [U], "add_generation_prompt": True, "enable_thinking": False},
    "thinking_on": {"messages": [S, U], "add_generation_prompt": True, "enable_thinking": True, "reasoning_effort": "high"},
    "reasoning": {"messages": [U, {"role": "assistant", "content": "Paris.", "reasoning_content": "France, so Paris."}, U2,
                               {"role": "assistant", "content": "Rome.", "reasoning_content": "\nItaly.\n"}], "add_generation_prompt": False},
    "reasoning_inline": {"messages": [U, {"role": "assistant", "content": "<think>\nhm, France\n</think>\n\nParis."}, U2,
                                      {"role": "assistant", "content": "<think>\nItaly\n</think>\n\nRome."}]},
    "reasoning_null": {"messages": [U, {"role": "assistant", "content": "Paris.", "reasoning_content": None}, U2], "add_generation_prompt": True},
    "tools": {"messages": [U], "tools": [WEATHER], "add_generation_prompt": True},
    "tools_system": {"messages": [S, U], "tools": [WEATHER, NESTED, EMPTY_TOOL], "add_generation_prompt": True},
    "tools_none": {"messages": [U], "tools": None, "add_generation_prompt": True},
    "tool_call": {"messages": [{"role": "user", "content": "Weather in Zürich?"}, call("get_weather", ARGS), RESULT], "tools": [WEATHER],
                  "add_generation_prompt": True},
    "tool_call_content": {"messages": [{"role": "user", "content": "Weather?"}, call("get_weather", ARGS, content="Let me see."), RESULT,
                                       {"role": "assistant", "content": "21.5 degrees."}, {"role": "user", "content": "Thanks"}],
                          "tools": [WEATHER, NESTED], "add_generation_prompt": True},
    "tool_call_null": {"messages": [{"role": "user", "content": "Weather?"}, call("get_weather", json.dumps(ARGS, ensure_ascii=False), content=None), RESULT],
                       "add_generation_prompt": True},
    "tool_call_two": {"messages": [{"role": "user", "content": "Both?"},
                                   {"role": "assistant", "content": "", "tool_calls": [
                                       {"id": "abcdef123", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Bern"}}},
                                       {"id": "abcdef124", "type": "function", "function": {"name": "make_order", "arguments": {
                                           "items": [{"sku": "é-1", "count": 2, "price": 1.0}], "deep": {"a": [None, True, False, 1e100, -0.0, 1234567890123456789]}}}}]},
                                   RESULT, {"role": "tool", "tool_call_id": "abcdef124", "content": "done"}],
                      "tools": [WEATHER, NESTED], "add_generation_prompt": True},
    "tool_call_bad_id": {"messages": [U, call("get_weather", ARGS, id="x"), dict(RESULT, tool_call_id="x")], "add_generation_prompt": True},
    "tool_call_bare": {"messages": [U, {"role": "assistant", "content": "", "tool_calls": [{"name": "now", "arguments": {}}]}]},
    "tool_orphan": {"messages": [U, RESULT], "add_generation_prompt": True},
    "builtin_tools": {"messages": [S, U, call("brave_search", {"query": "Paris", "n": "3"}), dict(RESULT, role="ipython")],
                      "builtin_tools": ["brave_search", "code_interpreter", "wolfram_alpha"], "date_string": "01 Jan 2026", "add_generation_prompt": True},
    "tools_in_system": {"messages": [S, U], "tools": [WEATHER], "tools_in_user_message": False, "date_string": "01 Jan 2026", "add_generation_prompt": True},
    "tool_result_object": {"messages": [U, call("now", {}), {"role": "tool", "tool_call_id": "abcdef123", "content": {"content": "12:00", "zone": [1, 2.0, "é"]}}],
                           "add_generation_prompt": True},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, U], "add_generation_prompt": True, "date_string": "2026-01-01", "model_identity": "You are X."},
    "system_late": {"messages": [U, A, S, U2], "add_generation_prompt": True},
    "two_users": {"messages": [U, U2], "add_generation_prompt": True},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "image", "image": "x"}, {"type": "text", "text": " what? "}]}],
              "add_generation_prompt": True},
    "parts_ids": {"messages": [{"role": "system", "content": [{"type": "text", "text": "See."}]},
                               {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}, {"video": "v"}, {"type": "text", "text": "Compare."},
                                                            {"type": "image"}]}, A, U2], "add_generation_prompt": True, "add_vision_id": True},
    "no_messages": {"messages": [], "add_generation_prompt": True},
    "long": {"messages": [S] + [dict(m, content=f"{m['content']} ({i})") for i in range(12) for m in (U, A)] + [U2], "add_generation_prompt": True},
}

SPECIALS = {
    "qwen3": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    "bundled": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    "deepseek_v3": {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"},
    "llama31_like": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
    "gemma_like": {"bos_token": "<bos>", "eos_token": "<eos>"},
}


def render(template, context):
    """{"expected": text} or {"error": true, "message": ...}; floats and big integers as Python prints them."""
    context = json.loads(json.dumps(context))
    try:
        return {"expected": _compile_jinja_template(template).render(**context)}
    except TemplateError as e:
        return {"error": True, "message": str(e)}
    except Exception as e:                       # what Python itself raises: calling None, adding str and int ...
        return {"error": True, "message": f"{type(e).__name__}: {e}"}


def write(out, templates):
    for f in sorted(os.listdir(f"{HERE}/templates")):
        if f.endswith(".jinja"):
            # as a tokenizer's configuration holds it: no newline at the end
            templates[f[:-len(".jinja")]] = open(f"{HERE}/templates/{f}", encoding="utf-8").read().removesuffix("\n")
    n = 0
    for family, template in sorted(templates.items()):
        extra = SPECIALS.get(family, {"bos_token": "<s>", "eos_token": "</s>"})
        for name, context in CONTEXTS.items():
            context = {**context, **extra}
            with open(f"{out}/{family}-{name}.json", "w", encoding="utf-8") as f:
                json.dump({"template": template, "context": context, **render(template, context)}, f, ensure_ascii=False)
                f.write("\n")
            n += 1
    return n
