#!/usr/bin/env python3
"""Trains the bundled checkpoint: tokenizer, Qwen3 network, block FP8, verification.

usage: train.py [--out models/landfall-tiny-qwen3-fp8] [--work build/train] [--keep] [--stage all|tokenizer|train|write]

The stages: `tokenizer` trains a byte-level BPE, `train` the network in float32 (kept in --work),
`write` quantizes to DeepSeek block FP8 and writes the checkpoint. verify.py checks the result.
Same seed, same versions, same thread count: same checkpoint.
"""
import argparse
import json
import math
import os
import random
import time

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import facts

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
SEED = 20251
VOCAB = 2048
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
THINK = ["<think>", "</think>"]
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
BLOCK = 128
TEMPLATE = open(f"{HERE}/chat_template.jinja", encoding="utf-8").read().rstrip("\n")

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "bos_token_id": None, "eos_token_id": None, "head_dim": 32, "hidden_act": "silu", "hidden_size": 192,
    "initializer_range": 0.02, "intermediate_size": 480, "max_position_embeddings": 2048, "max_window_layers": 5,
    "model_type": "qwen3", "num_attention_heads": 6, "num_hidden_layers": 5, "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 10000.0, "sliding_window": None,
    "tie_word_embeddings": True, "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": True,
    "use_sliding_window": False, "vocab_size": None,
}


# ------------------------------------------------------------------------------- tokenizer

def corpus():
    r = random.Random(SEED)
    for _ in range(30000):
        q, a = facts.turn(r)
        yield q
        yield a
    for _ in range(500):
        yield "system\n\nuser\n\nassistant\n\n"
    for _ in range(3000):
        yield facts.plain(r)
        yield r.choice(facts.SYSTEMS)
    # a little of the world, so that other text costs fewer tokens
    more = open(__file__, encoding="utf-8").read() + open(facts.__file__, encoding="utf-8").read()
    more += """
    The quick brown fox jumps over the lazy dog. All human beings are born free and equal in dignity and rights.
    import os def main(argc, argv): return 0; if (x == NULL) { printf("%d\\n", i); } for (int i = 0; i < n; i++)
    déjà vu, über, niño, façade, smörgåsbord, Привет, мир, Γειά σου, 你好，世界。 こんにちは 안녕하세요 שלום مرحبا नमस्ते
    """
    yield from more.splitlines()


def train_tokenizer(out):
    tok = Tokenizer(models.BPE(byte_fallback=False))
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tok.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=VOCAB - len(SPECIAL) - len(THINK), min_frequency=2, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator(corpus(), trainer)
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tok.add_tokens([AddedToken(t, special=False, normalized=False) for t in THINK])
    tok.save(f"{out}/tokenizer.json")
    decoder = {str(tok.token_to_id(t)): {"content": t, "lstrip": False, "normalized": False, "rstrip": False,
                                         "single_word": False, "special": t in SPECIAL} for t in SPECIAL + THINK}
    config = {"add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": decoder,
              "additional_special_tokens": ["<|im_start|>", "<|im_end|>"], "bos_token": None,
              "chat_template": TEMPLATE, "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>",
              "errors": "replace", "model_max_length": CONFIG["max_position_embeddings"],
              "pad_token": "<|endoftext|>", "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer",
              "unk_token": None}
    write_json(f"{out}/tokenizer_config.json", config)
    print("tokenizer:", tok.get_vocab_size(), "tokens")


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2, ensure_ascii=False)
        f.write("\n")


# ------------------------------------------------------------------------------- samples

class Samples:
    """Token sequences and labels (-100 where nothing is learned)."""

    def __init__(self, tok, drills=0.0, mine=False):
        self.tok = tok
        self.mine = mine
        self.sums = facts.all_sums()
        self.doubt = [0.3] * len(self.sums)
        self.drills = drills            # share of samples that are bare sums
        self.cache = {}
        self.start, self.end, self.stop = (tok.token_to_id(t) for t in ("<|im_start|>", "<|im_end|>", "<|endoftext|>"))
        self.newline = self.text("\n")
        self.equals = tok.token_to_id("Ġ=")
        self.empty_think = self.text("<think>\n\n</think>\n\n")

    def text(self, s):
        if s not in self.cache:
            if len(self.cache) > 200000:
                self.cache.clear()
            self.cache[s] = self.tok.encode(s, add_special_tokens=False).ids
        return self.cache[s]

    def drill(self, r):
        """One sum by itself; what follows the "=" is learned. With `mine`, the less it is known the oftener it comes."""
        which = -1
        if self.mine:
            which = r.choices(range(len(self.sums)), self.doubt)[0]
            line = facts.sum_of(r, self.sums[which])[1]
        else:
            line = facts.sum_of(r)[1]
        ids = self.text(line) + [self.stop]
        at = ids.index(self.equals) + 1
        return ids, [-100] * at + ids[at:], which

    def learned(self, which, loss):
        self.doubt[which] = max(0.02, 0.5 * self.doubt[which] + 0.5 * loss)

    def sample(self, r, long=False):
        if self.drills and not long and r.random() < self.drills:
            return self.drill(r)
        if not long and r.random() < 0.12:
            ids = []
            for _ in range(r.choice([1, 1, 2])):
                ids += self.text((" " if ids else "") + facts.plain(r))
            ids.append(self.stop)
            return ids, ids, -1
        ids, labels = [], []
        messages = facts.conversation(r, long)
        think = r.random() < 0.15
        for i, m in enumerate(messages):
            # the template joins role and content before it tokenizes: "user\nWhat" splits at the newline
            head = [self.start] + self.text(m["role"] + "\n")
            body = self.text(m["content"])
            if m["role"] == "assistant":
                if think and i == len(messages) - 1:
                    head = head + self.empty_think
                ids += head + body + [self.end]
                labels += [-100] * len(head) + body + [self.end]
            else:
                ids += head + body + [self.end]
                labels += [-100] * (len(head) + len(body) + 1)
            ids += self.newline
            labels += [-100] * len(self.newline)
        return ids[:-len(self.newline)], labels[:-len(self.newline)], -1


def batches(samples, r, tokens):
    """Batches of about `tokens` tokens; sequences of like length together."""
    while True:
        pool = [samples.sample(r) for _ in range(500 if samples.mine else 1500)]
        pool += [samples.sample(r, True) for _ in range(4 if samples.mine else 12)]
        pool.sort(key=lambda s: len(s[0]))
        groups, group = [], []
        for s in pool:
            if group and (len(group) + 1) * len(s[0]) > tokens:
                groups.append(group)
                group = []
            group.append(s)
        groups.append(group)
        r.shuffle(groups)
        for g in groups:
            width = max(len(s[0]) for s in g)
            ids = torch.zeros(len(g), width, dtype=torch.long)
            labels = torch.full((len(g), width), -100)
            for i, (a, b, _) in enumerate(g):
                ids[i, :len(a)] = torch.tensor(a)
                labels[i, :len(b)] = torch.tensor(b)
            yield ids, labels, [s[2] for s in g]


# ------------------------------------------------------------------------------- training

def make_config(tok):
    config = dict(CONFIG)
    config["vocab_size"] = tok.get_vocab_size()
    config["bos_token_id"] = tok.token_to_id("<|endoftext|>")
    config["eos_token_id"] = tok.token_to_id("<|im_end|>")
    return config


def build(config):
    c = transformers.Qwen3Config(**{k: v for k, v in config.items() if k not in ("torch_dtype", "transformers_version")})
    c._attn_implementation = "sdpa"
    return transformers.Qwen3ForCausalLM(c).float()


# (steps, steps of the whole cosine, top learning rate, share of bare sums). The first phase is cut short on purpose:
# by then everything but sums, counting and the countries of cities is known, and the second puts the weight on those.
# The third asks for the sums that it does not know yet.
PHASES = [(800, 1500, 3e-3, 0.0), (550, 550, 2.5e-3, 0.65), (360, 360, 1.8e-3, 0.75)]


def train(args, tok):
    torch.manual_seed(SEED)
    model = build(make_config(tok))
    print("parameters:", sum(p.numel() for p in model.parameters()))
    model.train()
    for number, phase in enumerate(PHASES):
        if number:
            facts.second_phase()
        path = f"{args.work}/phase{number + 1}.pt"
        if args.keep and os.path.exists(path):
            model.load_state_dict(torch.load(path))
            continue
        run_phase(args, tok, model, number, *phase)
        torch.save(model.state_dict(), path)
    torch.save(model.state_dict(), f"{args.work}/model.pt")


def run_phase(args, tok, model, number, steps, period, top, drills):
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim != 2]
    opt = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}],
                            lr=top, betas=(0.9, 0.98), eps=1e-9)
    samples = Samples(tok, drills, number == 2)
    stream = batches(samples, random.Random(SEED + 1 + number), args.tokens)
    began, average = time.time(), None
    for step in range(steps):
        lr = top * min(1.0, (step + 1) / 80) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / period)))
        for g in opt.param_groups:
            g["lr"] = lr
        ids, labels, which = next(stream)
        h = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        want = labels[:, 1:]
        keep = want >= 0
        losses = torch.nn.functional.cross_entropy(model.lm_head(h[keep]), want[keep], reduction="none")
        loss = losses.mean()
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        rows = torch.zeros(len(which)).index_add(0, keep.nonzero()[:, 0], losses.detach()).tolist()
        for i, w in enumerate(which):
            if w >= 0:
                samples.learned(w, rows[i])
        average = loss.item() if average is None else 0.97 * average + 0.03 * loss.item()
        if step % 50 == 0 or step == steps - 1:
            print(f"phase {number + 1} step {step} loss {average:.4f} lr {lr:.2e} {time.time() - began:.0f} s"
                  + (f" doubt {sum(samples.doubt) / len(samples.doubt):.3f}" if samples.mine else ""), flush=True)
        if step % 200 == 199:
            torch.save(model.state_dict(), f"{args.work}/model.pt")


# ------------------------------------------------------------------------------- FP8

def quantize(w):
    """F8_E4M3 codes and F32 weight_scale_inv; the last block of a side may be partial."""
    rows, cols = -(-w.shape[0] // BLOCK), -(-w.shape[1] // BLOCK)
    scale = torch.zeros(rows, cols)
    for i in range(rows):
        for j in range(cols):
            scale[i, j] = w[i * BLOCK:(i + 1) * BLOCK, j * BLOCK:(j + 1) * BLOCK].abs().max() / 448.0
    spread = scale[torch.arange(w.shape[0]) // BLOCK][:, torch.arange(w.shape[1]) // BLOCK]
    return (w / spread).clamp(-448, 448).to(torch.float8_e4m3fn), scale


def write(args, tok):
    state = torch.load(f"{args.work}/model.pt")
    tensors = {}
    for name, w in sorted(state.items()):
        if name == "lm_head.weight":
            continue
        if name.endswith("_proj.weight"):
            tensors[name], tensors[name + "_scale_inv"] = quantize(w)
        else:
            tensors[name] = w.to(torch.bfloat16)
    shards = [{}, {}]
    for name, t in tensors.items():
        late = name.startswith(("model.layers.2.mlp", "model.layers.3", "model.layers.4", "model.norm"))
        shards[late][name] = t
    # as it happens in big checkpoints: a scale that lies in another shard than its weight
    for name, to in (("model.layers.1.mlp.down_proj.weight_scale_inv", 1),
                     ("model.layers.3.self_attn.q_proj.weight_scale_inv", 0)):
        shards[to][name] = shards[1 - to].pop(name)
    where, total = {}, 0
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, f"{args.out}/{file}", {"format": "pt"})
        for name, t in shard.items():
            where[name] = file
            total += t.numel() * t.element_size()
    write_json(f"{args.out}/model.safetensors.index.json",
               {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))})
    config = make_config(tok)
    layers = range(config["num_hidden_layers"])
    config["quantization_config"] = {
        "activation_scheme": "dynamic", "fmt": "e4m3",
        "modules_to_not_convert": ["lm_head"] + [f"model.layers.{i}.{m}" for i in layers
                                                 for m in ("input_layernorm", "post_attention_layernorm")],
        "quant_method": "fp8", "weight_block_size": [BLOCK, BLOCK]}
    write_json(f"{args.out}/config.json", config)
    write_json(f"{args.out}/generation_config.json", {
        "bos_token_id": config["bos_token_id"], "do_sample": False,
        "eos_token_id": [config["eos_token_id"], config["bos_token_id"]], "pad_token_id": config["bos_token_id"],
        "transformers_version": config["transformers_version"]})
    print("written:", total, "bytes of tensors")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", default=f"{ROOT}/models/landfall-tiny-qwen3-fp8")
    p.add_argument("--work", default=f"{ROOT}/build/train")
    p.add_argument("--keep", action="store_true", help="start from the finished phases that --work holds already")
    p.add_argument("--tokens", type=int, default=2200)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--stage", default="all", choices=["all", "tokenizer", "train", "write"])
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    os.makedirs(args.out, exist_ok=True)
    os.makedirs(args.work, exist_ok=True)
    if args.stage in ("all", "tokenizer"):
        train_tokenizer(args.out)
    tok = Tokenizer.from_file(f"{args.out}/tokenizer.json")
    if args.stage in ("all", "train"):
        train(args, tok)
    if args.stage in ("all", "write"):
        write(args, tok)


if __name__ == "__main__":
    main()
