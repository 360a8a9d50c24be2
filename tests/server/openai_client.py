#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real `openai` client against a running server: what its users do must work unchanged.

Usage: openai_client.py BASE_URL [MODEL]     (for example http://127.0.0.1:8000/v1)
Exit status: 0 all is well, 1 something failed, 77 the client library is not installed.
"""
import sys

try:
    import openai
except ImportError:
    print("skipped: the Python package `openai` is not installed")
    sys.exit(77)

n_failed = 0


def check(name, is_true, detail=""):
    global n_failed
    n_failed += not is_true
    print(f"[{'       OK' if is_true else '  FAILED '} ] {name} {detail if not is_true else ''}")


def expect_error(name, kind, call):
    try:
        call()
        check(name, False, "no error was raised")
    except kind as error:
        check(name, bool(error.message) and error.body is not None, repr(error))


def main():
    client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0, timeout=120)
    models = client.models.list().data
    model = sys.argv[2] if len(sys.argv) > 2 else models[0].id
    check("models.list", any(m.id == model for m in models))
    check("models.retrieve", client.models.retrieve(model).id == model)

    question = [{"role": "user", "content": "What is the capital of France?"}]
    whole = client.chat.completions.create(model=model, messages=question, temperature=0, max_tokens=24)
    text = whole.choices[0].message.content
    check("chat", whole.choices[0].message.role == "assistant" and whole.usage.completion_tokens > 0)
    print("           ", repr(text))
    stream = client.chat.completions.create(model=model, messages=question, temperature=0, max_tokens=24, stream=True,
                                            stream_options={"include_usage": True})
    chunks = list(stream)
    joined = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    check("chat stream says the same", joined == text, repr(joined))
    check("chat stream usage", chunks[-1].usage is not None and chunks[-1].usage == whole.usage.model_copy(
        update={"prompt_tokens_details": None, "completion_tokens_details": None}), repr(chunks[-1].usage))
    scored = client.chat.completions.create(model=model, messages=question, temperature=0, max_tokens=3, logprobs=True,
                                            top_logprobs=2)
    content = scored.choices[0].logprobs.content
    check("chat logprobs", 1 <= len(content) <= 3 and len(content[0].top_logprobs) == 2 and content[0].logprob <= 0)
    parts = [{"role": "user", "content": [{"type": "text", "text": "What is the capital of France?"}]}]
    check("chat content parts", client.chat.completions.create(
        model=model, messages=parts, temperature=0, max_tokens=24).choices[0].message.content == text)
    many = client.chat.completions.create(model=model, messages=question, n=3, seed=1, temperature=1, max_tokens=4)
    check("chat n", [c.index for c in many.choices] == [0, 1, 2])

    done = client.completions.create(model=model, prompt=["a", "b"], max_tokens=4, temperature=0, echo=True, logprobs=1)
    check("completions", [c.index for c in done.choices] == [0, 1] and done.choices[1].text.startswith("b"))
    check("completions logprobs", done.choices[0].logprobs.token_logprobs[0] is None)
    pieces = list(client.completions.create(model=model, prompt="a", max_tokens=4, temperature=0, stream=True))
    check("completions stream says the same", "a" + "".join(p.choices[0].text for p in pieces) == done.choices[0].text)
    raw = client.chat.completions.with_raw_response.create(model=model, messages=question, max_tokens=1)
    check("request id", bool(raw.headers.get("x-request-id")))
    with client.chat.completions.create(model=model, messages=question, stream=True, max_tokens=64,
                                        extra_body={"ignore_eos": True}) as left:
        next(iter(left))
    check("a stream may be left early", client.models.list().data[0].id == models[0].id)

    expect_error("unknown model", openai.NotFoundError,
                 lambda: client.chat.completions.create(model="nope", messages=question))
    expect_error("bad temperature", openai.BadRequestError,
                 lambda: client.chat.completions.create(model=model, messages=question, temperature=9))
    expect_error("tools", openai.BadRequestError, lambda: client.chat.completions.create(
        model=model, messages=question, tools=[{"type": "function", "function": {"name": "f"}}]))
    expect_error("image", openai.BadRequestError, lambda: client.chat.completions.create(model=model, messages=[
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]}]))
    expect_error("embeddings", openai.NotFoundError, lambda: client.embeddings.create(model=model, input="x"))
    print(f"{n_failed} failed")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
