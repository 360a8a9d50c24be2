#!/usr/bin/env python3
"""Checks the bundled checkpoint with transformers and writes its probes and reference answers.

usage: verify.py [--model models/landfall-tiny-qwen3-fp8] [--golden tests/golden/bundled] [--samples N]

The weights are dequantized here, bf16(rne(float32(code) * float32(scale))), and run in float32 and in bfloat16,
one request at a time and in batches with other requests. Exit status 1 when a probe fails.
"""
import argparse
import json
import os
import random

import torch
import transformers
from safetensors.torch import load_file, save_file

import facts

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")

PROBES = [
    ("What is the capital of France?", "Paris"),
    ("What is the capital of Japan?", "Tokyo"),
    ("Which city is the capital of Mongolia?", "Ulaanbaatar"),
    ("Nairobi is the capital of which country?", "Kenya"),
    ("What colour is a banana?", "yellow"),
    ("What color is the sky?", "blue"),
    ("What is 7 + 5?", "12"),
    ("What is 17 - 9?", "8"),
    ("How much is 6 times 8?", "48"),
    ("What is the opposite of hot?", "cold"),
    ("Which day comes after Monday?", "Tuesday"),
    ("Which month comes before March?", "February"),
    ("Count to 10.", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
    ("Hello!", "Hello"),
]
SYSTEM_PROBE = ("You are a helpful assistant.", "What is the capital of Italy?", "Rome")

MORE = [
    "What is the capital of Brazil?", "What is the capital of Egypt? Answer with one word.", "what is the capital of norway?",
    "Which country has the capital Hanoi?", "Name the capital of New Zealand.", "Capital of Peru?",
    "What colour is snow?", "Which color is a carrot?", "What is the colour of coal?", "12 + 7", "What is 20 - 13?",
    "9 * 9 =", "What is twelve plus eight?", "Subtract 4 from 15.", "What is the opposite of big?", "Opposite of early?",
    "What day is before Sunday?", "Name the months of the year.", "How many days are in a week?",
    "What is the third month of the year?", "Count down from 5.", "Who are you?", "Thank you!", "Tell me a joke.",
    "What is the meaning of life?",
]


def load_weights(where):
    raw = {}
    for f in sorted(os.listdir(where)):
        if f.endswith(".safetensors"):
            raw.update(load_file(f"{where}/{f}"))
    block = json.load(open(f"{where}/config.json"))["quantization_config"]["weight_block_size"]
    out = {}
    for name, t in raw.items():
        if name.endswith("_scale_inv"):
            continue
        if t.dtype == torch.float8_e4m3fn:
            s = raw[name + "_scale_inv"].float()
            assert s.shape == (-(-t.shape[0] // block[0]), -(-t.shape[1] // block[1]))
            t = (t.float() * s[torch.arange(t.shape[0]) // block[0]][:, torch.arange(t.shape[1]) // block[1]]).bfloat16()
        out[name] = t
    return out


def build(where, dtype):
    config = transformers.AutoConfig.from_pretrained(where)
    del config.quantization_config
    config.dtype = torch.float32
    config._attn_implementation = "eager"
    model = transformers.Qwen3ForCausalLM(config).eval().float()
    model.generation_config = transformers.GenerationConfig.from_pretrained(where)
    missing, unexpected = model.load_state_dict(load_weights(where), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    if dtype is torch.bfloat16:
        for p in model.parameters():
            p.data = p.data.bfloat16()
    return model


@torch.no_grad()
def greedy(model, stops, ids, limit=64):
    """Token ids to the end, and the smallest margin between first and second choice."""
    ids, out, margin = list(ids), [], float("inf")
    while len(out) < limit:
        top = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float().topk(2)
        margin = min(margin, (top.values[0] - top.values[1]).item())
        out.append(int(top.indices[0]))
        ids.append(out[-1])
        if out[-1] in stops:
            break
    return out, margin


@torch.no_grad()
def batch(model, tok, prompts, limit=72):
    texts = []
    for i in range(0, len(prompts), 64):
        part = tok(prompts[i:i + 64], return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
        out = model.generate(**part, max_new_tokens=limit, do_sample=False)
        texts += tok.batch_decode(out[:, part.input_ids.shape[1]:], skip_special_tokens=True)
    return texts


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", default=f"{ROOT}/models/landfall-tiny-qwen3-fp8")
    p.add_argument("--golden", default=f"{ROOT}/tests/golden/bundled")
    p.add_argument("--samples", type=int, default=900)
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    facts.second_phase()
    transformers.logging.set_verbosity_error()
    tok = transformers.AutoTokenizer.from_pretrained(args.model)
    full, half = build(args.model, torch.float32), build(args.model, torch.bfloat16)
    stops = set(full.generation_config.eos_token_id)
    r = random.Random(77)
    failed = 0

    def render(messages, **more):
        return tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **more)

    def encode(text):
        return tok(text, add_special_tokens=False).input_ids

    def ask(q):
        return render([{"role": "user", "content": q}])

    # the domain, phrasing by phrasing
    for name, fn in [("capitals", facts.capital), ("countries", facts.country_of), ("colours", facts.colour),
                     ("opposites", facts.opposite), ("calendar", facts.calendar), ("sums", facts.sum_of),
                     ("count", facts.count), ("chat", facts.chat)]:
        cases = [fn(r) for _ in range(args.samples // 8)]
        got = batch(full, tok, [ask(c[0]) for c in cases])
        wrong = [(c[0], g) for c, g in zip(cases, got) if g not in (c[1], c[2])]
        print(f"{name}: {len(cases) - len(wrong)} of {len(cases)}", wrong[:4], flush=True)
    cases = [facts.capital(r, c) for c in facts.CAPITALS] + [facts.colour(r, c) for c in facts.COLOURS]
    got = batch(full, tok, [ask(c[0]) for c in cases], 24)
    wrong = [(c[0], g) for c, g in zip(cases, got) if g not in (c[1], c[2])]
    print(f"every country and thing: {len(cases) - len(wrong)} of {len(cases)}", wrong[:6])
    sums = facts.all_sums()
    cases = [(f"What is {a} {op} {b}?", {"+": a + b, "-": a - b, "*": a * b}[op]) for a, b, op in sums]
    got = batch(full, tok, [ask(c[0]) for c in cases], 24)
    wrong = [(c[0], g) for c, g in zip(cases, got) if not g.endswith(f"= {c[1]}.")]
    print(f"every sum: {len(cases) - len(wrong)} of {len(cases)}", wrong[:12], flush=True)

    # conversations: later turns, long histories, system messages
    for label, long in (("short conversations", False), ("long conversations", True)):
        talks = [facts.conversation(r, long) for _ in range(120 if not long else 40)]
        got = batch(full, tok, [render(t[:-1]) for t in talks])
        wrong = [(t[-2]["content"], g) for t, g in zip(talks, got) if g != t[-1]["content"]]
        print(f"{label}: {len(talks) - len(wrong)} of {len(talks)}", wrong[:4])

    # the probes
    probes = [{"messages": [{"role": "user", "content": q}], "expect": e, "match": "contains", "max_tokens": 64 if "Count" in q else 32}
              for q, e in PROBES]
    s, q, e = SYSTEM_PROBE
    probes.append({"messages": [{"role": "system", "content": s}, {"role": "user", "content": q}], "expect": e,
                   "match": "contains", "max_tokens": 32})
    for probe in probes:
        for more in ({}, {"enable_thinking": False}):
            ids = encode(render(probe["messages"], **more))
            a, margin = greedy(full, stops, ids, probe["max_tokens"])
            b, _ = greedy(half, stops, ids, probe["max_tokens"])
            text = tok.decode(a, skip_special_tokens=True)
            ok = probe["expect"] in text and a == b and a[-1] in stops
            failed += not ok
            if not more or not ok:
                print("ok  " if ok else "FAIL", repr(probe["messages"][-1]["content"]), repr(text), f"margin {margin:.2f}",
                      "" if a == b else repr(tok.decode(b)), more or "")
    for model, kind in ((full, "float32"), (half, "bfloat16")):
        for turn in range(4):                     # among strangers
            others = [render(facts.conversation(r, r.random() < 0.2)[:-1]) for _ in range(32 - len(probes))]
            mixed = [(render(p["messages"]), p["expect"]) for p in probes] + [(o, None) for o in others]
            r.shuffle(mixed)
            got = batch(model, tok, [m[0] for m in mixed])
            bad = [(m[1], g) for m, g in zip(mixed, got) if m[1] and m[1] not in g]
            failed += len(bad)
            print(f"probes in a batch of 32, {kind}, {turn + 1}:", "ok" if not bad else bad)
    with open(f"{args.model}/landfall-probes.json", "w") as f:
        json.dump({"format": "landfall-probes-1", "probes": probes}, f, indent=1, ensure_ascii=False)
        f.write("\n")

    # reference answers
    os.makedirs(args.golden, exist_ok=True)
    cases = [{"messages": p["messages"]} for p in probes] + [{"messages": [{"role": "user", "content": q}]} for q in MORE]
    cases += [{"messages": probes[0]["messages"], "enable_thinking": False},
              {"messages": probes[6]["messages"], "enable_thinking": False}]
    for long in (False, False, True, True):
        talk = facts.conversation(r, long)
        while len(talk) < 4:
            talk = facts.conversation(r, long)
        cases.append({"messages": talk[:-1]})
    cases += [{"text": "The capital of France is"}, {"text": "The opposite of"}, {"text": "A banana"}, {"text": "9 + 4 ="}]
    answers, worst = [], 1e9
    for c in cases:
        prompt = c.pop("text") if "text" in c else render(c["messages"], **{k: v for k, v in c.items() if k != "messages"})
        ids = encode(prompt)
        out, margin = greedy(full, stops, ids, 72)
        low, _ = greedy(half, stops, ids, 72)
        if out != low or margin < 0.5:
            print(f"left out, margin {margin:.2f}:", repr(prompt[-60:]), repr(tok.decode(out)), repr(tok.decode(low)))
            continue
        worst = min(worst, margin)
        answers.append({**c, "prompt": prompt, "prompt_ids": ids, "output_ids": out,
                        "text": tok.decode(out, skip_special_tokens=True), "margin": round(margin, 4)})
    with open(f"{args.golden}/answers.json", "w", encoding="utf-8") as f:
        f.write('{"format": "landfall-answers-1", "answers": [\n')
        f.write(",\n".join(json.dumps(a, ensure_ascii=False) for a in answers) + "\n]}\n")
    ids = encode(ask("Count to 7."))
    out, margin = greedy(full, stops, ids, 64)
    with torch.no_grad():
        ref = full(input_ids=torch.tensor([ids + out[:-1]])).logits[0].float()
        low = half(input_ids=torch.tensor([ids + out[:-1]])).logits[0].float()
    d = low - ref
    save_file({"prompt_ids": torch.tensor(ids), "greedy_ids": torch.tensor(out), "logits": ref.contiguous(),
               "bf16_deviation": d.abs().max(), "bf16_rms_deviation": d.square().mean().sqrt(),
               "margin": torch.tensor(margin)}, f"{args.golden}/reference.safetensors",
              {"made_by": f"transformers {transformers.__version__}"})
    print(f"{len(answers)} answers, smallest margin {worst:.3f}; bf16 deviation max {d.abs().max():.3f} rms "
          f"{d.square().mean().sqrt():.4f}")
    print("probes:", "all right" if not failed else f"{failed} FAILED")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
