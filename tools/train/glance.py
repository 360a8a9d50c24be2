#!/usr/bin/env python3
"""A cheap look at a training run: share of answers that are right token by token (teacher forcing), per family."""
import argparse
import random

import torch
from tokenizers import Tokenizer

import facts
import train


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", default=f"{train.ROOT}/models/landfall-tiny-qwen3-fp8")
    p.add_argument("--work", default=f"{train.ROOT}/build/train")
    p.add_argument("-n", type=int, default=60)
    args = p.parse_args()
    torch.set_num_threads(1)
    tok = Tokenizer.from_file(f"{args.out}/tokenizer.json")
    model = train.build(train.make_config(tok)).eval()
    model.load_state_dict(torch.load(f"{args.work}/model.pt"))
    s, r = train.Samples(tok), random.Random(5)
    facts.second_phase()
    for name, fn in [(f.__name__, f) for f, _ in facts.FAMILIES]:
        right, wrong = 0, []
        rows = []
        for _ in range(args.n):
            q, a, _ = fn(r)
            head = [s.start] + s.text("user\n") + s.text(q) + [s.end] + s.newline + [s.start] + s.text("assistant\n")
            rows.append((head, s.text(a) + [s.end], q))
        width = max(len(h) + len(b) for h, b, _ in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        for i, (h, b, _) in enumerate(rows):
            ids[i, :len(h) + len(b)] = torch.tensor(h + b)
        with torch.no_grad():
            top = model(input_ids=ids).logits.argmax(-1)
        for i, (h, b, q) in enumerate(rows):
            got = top[i, len(h) - 1:len(h) + len(b) - 1].tolist()
            right += got == b
            if got != b:
                wrong.append((q, tok.decode(got)))
        print(f"{name}: {right} of {len(rows)}", wrong[:3])


if __name__ == "__main__":
    main()
