#!/usr/bin/env python3
"""Writes the tiny golden checkpoints of tests/golden/ and their reference logits.

Each variant is a random network whose language-model head is shaped so that the greedy
continuation is a chosen sequence with a wide margin: the hidden state at every step is one that
only a right forward pass reaches, and any bf16 engine must agree on the top token.

The reference is transformers, eager attention, float32 arithmetic on bf16-valued weights. FP8
weights are dequantized here, not by transformers: bf16(rne(float32(code) * float32(scale))).

usage: make_goldens.py [--out tests/golden] [NAME ...]
"""
import argparse
import json
import math
import os
import shutil
import tempfile
from dataclasses import dataclass, field

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

import experts

torch.set_num_threads(1)
STEPS = 32

FP8 = {"e4m3": (torch.float8_e4m3fn, 448.0), "e5m2": (torch.float8_e5m2, 57344.0)}
SCALE = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16,
         "E8M0": torch.float8_e8m0fnu}


@dataclass
class Variant:
    name: str
    config: dict                      # config.json without quantization_config
    about: str
    prompt: int = 20                  # tokens in the prompt
    quant: dict | None = None         # quantization_config
    layout: str = ""                  # block, tensor, channel
    block: tuple = (128, 128)
    scale: str = "F32"
    scale_name: str = "weight_scale_inv"
    fmt: str = "e4m3"
    input_scale: bool = False
    shards: int = 1
    stray: tuple = ()                 # (tensor name, shard): put there whatever the order says
    bias_offset: float = 0.0          # added to every e_score_correction_bias
    extra: dict = field(default_factory=dict)


# ------------------------------------------------------------------------------- FP8

def cover(scale, shape, block):
    """The scale of every element of a [N,K] weight, by global coordinates."""
    n = torch.arange(shape[0]) // block[0]
    k = torch.arange(shape[1]) // block[1]
    return scale[n][:, k]


def dequantize(codes, scale, block):
    return (codes.float() * cover(scale.float(), codes.shape, block)).to(torch.bfloat16)


def quantize(w, block, fmt, scale_type):
    """Codes and scales [cd(N,bn), cd(K,bk)] of a float32 weight."""
    dtype, top = FP8[fmt]
    rows, cols = -(-w.shape[0] // block[0]), -(-w.shape[1] // block[1])
    amax = torch.zeros(rows, cols)
    for r in range(rows):
        for c in range(cols):
            part = w[r * block[0]:(r + 1) * block[0], c * block[1]:(c + 1) * block[1]]
            amax[r, c] = part.abs().max()
    scale = amax / top
    if scale_type == "E8M0":
        scale = torch.exp2(torch.ceil(torch.log2(scale)))
    scale = scale.to(SCALE[scale_type])
    codes = (w / cover(scale.float(), w.shape, block)).clamp(-top, top).to(dtype)
    assert not torch.isnan(codes.float()).any()
    return codes, scale


def is_linear(name):
    """What FP8 checkpoints hold in FP8; of a multi-token prediction layer's own tensors none."""
    return name.endswith(("_proj.weight", "kv_a_proj_with_mqa.weight", ".w1.weight", ".w2.weight", ".w3.weight")) \
        and "eh_proj" not in name


# ------------------------------------------------------------------------------- weights

def init(model, variant, rng):
    """bf16-valued float32 weights: every part of the network carries weight in the logits."""
    out = {}
    for name, shape in experts.hub_shapes(model).items():
        x = rng.standard_normal(shape)
        if name.endswith("e_score_correction_bias"):
            x = 0.15 * x + variant.bias_offset
        elif name.endswith("norm.weight"):
            x = np.exp(0.25 * x) * (1.5 if ("q_norm" in name or "k_norm" in name) else 1.0)
        elif name.endswith(".bias"):
            x = 0.4 * x
        elif "embed_tokens" in name:
            x = (0.3 if model.config.tie_word_embeddings else 0.5) * x
        elif name == "lm_head.weight":
            x = x / math.sqrt(shape[1])
        else:
            gain = {"q_proj": 1.5, "k_proj": 1.5, "o_proj": 1.6, "down_proj": 2.5, "w2": 2.5, "kv_b_proj": 1.3}
            key = name.split(".")[-2]
            x = x * gain.get(key, 1.0) / math.sqrt(shape[1])
            if variant.layout:        # neighbouring scales differ widely: a wrong one is seen
                b = variant.block if variant.layout == "block" else (1, shape[1])
                f = np.exp(0.6 * rng.standard_normal((-(-shape[0] // b[0]), -(-shape[1] // b[1]))))
                x = x * f[np.arange(shape[0]) // b[0]][:, np.arange(shape[1]) // b[1]]
        out[name] = torch.from_numpy(x.astype(np.float32))
        if not experts.is_float32(model.config, name):
            out[name] = out[name].to(torch.bfloat16).float()
    return out


def store(variant, config, weights):
    """Stored tensors (with FP8 codes and scales) and the bf16 weights they stand for."""
    stored, effective = {}, {}
    for name, w in weights.items():
        if not (variant.layout and is_linear(name)):
            stored[name] = w if experts.is_float32(config, name) else w.to(torch.bfloat16)
            effective[name] = stored[name]
            continue
        block = {"block": variant.block, "tensor": tuple(w.shape), "channel": (1, w.shape[1])}[variant.layout]
        codes, scale = quantize(w, block, variant.fmt, variant.scale)
        effective[name] = dequantize(codes, scale, block)
        stored[name] = codes
        base = name[:-len("weight")]
        stored[base + variant.scale_name] = scale.reshape(()) if variant.layout == "tensor" else scale
        if variant.input_scale:
            stored[base + "input_scale"] = torch.tensor(0.0123, dtype=torch.float32)
    return stored, effective


def instantiate(config_dir, dtype):
    config = transformers.AutoConfig.from_pretrained(config_dir)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = torch.float32
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    cls = getattr(transformers, config.architectures[0])
    torch.manual_seed(0)
    model = cls(config).eval().float()
    if dtype is torch.bfloat16:       # parameters only: rotary frequencies and correction biases stay float32
        for name, p in model.named_parameters():
            if not experts.is_float32(config, name):
                p.data = p.data.to(torch.bfloat16)
    return model


def put(model, weights):
    missing, unexpected = model.load_state_dict(experts.library_weights(model, weights), strict=False)
    assert not unexpected, unexpected
    assert set(missing) <= {"lm_head.weight"}, missing
    if model.config.tie_word_embeddings:
        model.tie_weights()


@torch.no_grad()
def hidden(model, ids):
    return model.model(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0].float()


@torch.no_grad()
def logits_of(model, ids):
    return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()


# ------------------------------------------------------------------------------- the head

def shape_head(model, weights, prompt, goal):
    """Change the head (the embedding when tied) so that greedy decoding of prompt gives goal."""
    tied = model.config.tie_word_embeddings
    key = "model.embed_tokens.weight" if tied else "lm_head.weight"
    head = weights[key]
    peak = 14.0
    if not tied:
        h = hidden(model, prompt + goal[:-1])[len(prompt) - 1:]
        head[goal] += peak * torch.linalg.pinv(h, rtol=0.05).T
    else:
        seen = []
        for i, g in enumerate(goal):
            h = hidden(model, prompt + goal[:i])[-1]
            d = h.clone()
            if seen:                  # leave the earlier steps as they are
                q = torch.linalg.qr(torch.stack(seen).T)[0]
                d = d - q @ (q.T @ d)
            others = head @ h
            others[g] = -math.inf
            head[g] += (others.max() + peak - head[g] @ h) * d / (d @ h)
            seen.append(h)
            weights[key] = head = head.to(torch.bfloat16).float()
            put(model, weights)
    weights[key] = head.to(torch.bfloat16).float()


def attempt(variant, config_dir, seed):
    rng = np.random.default_rng([seed, *variant.name.encode()])
    model = instantiate(config_dir, torch.float32)
    weights = init(model, variant, rng)
    if model.config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    ids = 3 + rng.permutation(model.config.vocab_size - 3)   # no bos, eos, pad
    goal = [int(i) for i in ids[:STEPS]]
    prompt = [int(i) for i in rng.choice(ids[STEPS:], variant.prompt)]

    stored, effective = store(variant, model.config, weights)
    weights.update({k: v.float() for k, v in effective.items()})
    put(model, weights)
    ids = prompt + goal[:-1]
    if experts.is_sparse(model.config):
        experts.shape_routers(model, weights, ids, put)
    shape_head(model, weights, prompt, goal)
    for k, t in stored.items():       # what was shaped
        if k.endswith(("embed_tokens.weight", "lm_head.weight", ".gate.weight")):
            stored[k] = weights[k].to(t.dtype)
    experts.add_copies(model.config, stored)
    put(model, weights)

    ref = logits_of(model, ids)
    steps = ref[len(prompt) - 1:]
    if steps.argmax(-1).tolist() != goal:
        return None
    top = steps.topk(2, dim=-1).values
    margin = (top[:, 0] - top[:, 1]).min().item()
    half = instantiate(config_dir, torch.bfloat16)
    put(half, weights)
    low = logits_of(half, ids)
    deviation = (low - ref).abs().max().item()
    spread = (low - ref).square().mean().sqrt().item()
    routing = experts.compare_routing(model, half, ids) if experts.is_sparse(model.config) else {}
    return margin, deviation, spread, stored, prompt, goal, ref, routing


def is_clear(got):
    """Whether bf16 can only give the same tokens and experts."""
    margin, deviation, routing = got[0], got[1], got[-1]
    return margin > 10 * deviation and routing is not None and \
        (not routing or routing["margin"] > 5 * routing["deviation"])


# ------------------------------------------------------------------------------- files

def write_checkpoint(variant, where, stored):
    names = sorted(stored)
    if variant.shards == 1:
        save_file({n: stored[n].contiguous() for n in names}, f"{where}/model.safetensors", {"format": "pt"})
        return
    files = [{} for _ in range(variant.shards)]
    for i, n in enumerate(names):
        files[i * variant.shards // len(names)][n] = stored[n].contiguous()
    for n, shard in variant.stray:
        for f in files:
            f.pop(n, None)
        files[shard][n] = stored[n].contiguous()
    where_is, total = {}, 0
    for i, f in enumerate(files):
        file = f"model-{i + 1:05d}-of-{variant.shards:05d}.safetensors"
        save_file(f, f"{where}/{file}", {"format": "pt"})
        for n, t in f.items():
            where_is[n] = file
            total += t.numel() * t.element_size()
    with open(f"{where}/model.safetensors.index.json", "w") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": dict(sorted(where_is.items()))}, f, indent=2)
        f.write("\n")


def reload(variant, where):
    """The bf16 weights as a reader sees them: from the files alone."""
    files = sorted(f for f in os.listdir(where) if f.endswith(".safetensors"))
    raw = {}
    for f in files:
        raw.update(load_file(f"{where}/{f}"))
    out = {}
    for n, t in raw.items():
        if n.endswith((variant.scale_name, "input_scale")):
            continue
        if t.element_size() == 1:
            scale = raw[n[:-len("weight")] + variant.scale_name]
            block = {"block": variant.block, "tensor": tuple(t.shape), "channel": (1, t.shape[1])}[variant.layout]
            t = dequantize(t, scale.reshape(1, 1) if scale.ndim == 0 else scale, block)
        out[n] = t.float()
    return out


def check_names(variant, where, ids, ref):
    """The library itself, reading the files by their names on the hub (dequantized), must come to the same logits."""
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{where}/config.json") as f:
            config = without(json.load(f), "quantization_config")
        with open(f"{folder}/config.json", "w") as f:
            json.dump(config, f)
        save_file(reload(variant, where), f"{folder}/model.safetensors", {"format": "pt"})
        cls = getattr(transformers, config["architectures"][0])
        model = cls.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                    experts_implementation="eager").eval()
    assert (logits_of(model, ids) - ref).abs().max() < 1e-4, "the library reads other weights from these names"


def make(variant, root):
    home = f"{root}/{variant.name}"
    where = f"{home}/checkpoint"
    shutil.rmtree(home, ignore_errors=True)
    os.makedirs(where)
    config = dict(variant.config)
    if variant.quant:
        config["quantization_config"] = variant.quant
    with open(f"{where}/config.json", "w") as f:
        json.dump(config, f, indent=2)
        f.write("\n")
    for seed in range(60):
        got = attempt(variant, where, seed)
        if got and is_clear(got):
            break
        if got:
            print(f"  {variant.name} seed {seed}: margin {got[0]:.3f} deviation {got[1]:.3f} "
                  + ("routing is not clear" if got[-1] is None else
                     "".join(f"routing {k} {got[-1][k]:.4f} " for k in ("margin", "deviation") if got[-1])))
    else:
        raise SystemExit(f"{variant.name}: no seed with a wide enough margin")
    margin, deviation, spread, stored, prompt, goal, ref, routing = got
    write_checkpoint(variant, where, stored)

    again = instantiate(where, torch.float32)
    put(again, reload(variant, where))
    assert torch.equal(logits_of(again, prompt + goal[:-1]), ref), "files do not give the same logits"
    out = again.generate(torch.tensor([prompt]), max_new_tokens=STEPS, min_new_tokens=STEPS, do_sample=False,
                         pad_token_id=0, use_mtp=False)
    assert out[0, len(prompt):].tolist() == goal, "generate() disagrees"
    if experts.is_sparse(again.config):
        check_names(variant, where, prompt + goal[:-1], ref)

    sparse = {"expert_ids": routing["experts"], "expert_weights": routing["weights"]} if routing else {}
    save_file({"prompt_ids": torch.tensor(prompt), "greedy_ids": torch.tensor(goal), "logits": ref.contiguous(),
               "bf16_deviation": torch.tensor(deviation),
               "bf16_rms_deviation": torch.tensor(spread), "margin": torch.tensor(margin)} | sparse,
              f"{home}/reference.safetensors", {"made_by": f"transformers {transformers.__version__}"})
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(home) for f in fs)
    print(f"{variant.name}: seed {seed} margin {margin:.3f} bf16_deviation {deviation:.4f} "
          f"rms {spread:.4f} logit std {ref.std().item():.2f} {size / 1024:.0f} KiB"
          + "".join(f" routing {k} {routing[k]:.4f}" for k in ("margin", "deviation") if routing), flush=True)
    return {"name": variant.name, "architecture": variant.config["architectures"][0], "about": variant.about,
            "prompt_tokens": len(prompt), "seed": seed, "margin": round(margin, 4),
            "bf16_deviation": round(deviation, 4), "bf16_rms_deviation": round(spread, 5)} | {
            f"routing_{k}": round(routing[k], 5) for k in ("margin", "deviation") if routing}


# ------------------------------------------------------------------------------- variants

def block_fp8(block, **more):
    return {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
            "weight_block_size": list(block), **more}


def llama(**more):
    base = {"architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
            "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 64,
            "initializer_range": 0.02, "intermediate_size": 176, "max_position_embeddings": 512,
            "mlp_bias": False, "model_type": "llama", "num_attention_heads": 4, "num_hidden_layers": 2,
            "num_key_value_heads": 2, "rms_norm_eps": 1e-05, "tie_word_embeddings": False,
            "torch_dtype": "bfloat16", "use_cache": True, "vocab_size": 300}
    base.update(more)
    return dict(sorted(base.items()))


def qwen2(**more):
    base = {"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
            "hidden_act": "silu", "hidden_size": 72, "initializer_range": 0.02, "intermediate_size": 168,
            "max_position_embeddings": 512, "max_window_layers": 2, "model_type": "qwen2", "num_attention_heads": 6,
            "num_hidden_layers": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "sliding_window": 512,
            "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True, "use_sliding_window": False,
            "vocab_size": 320}
    base.update(more)
    return dict(sorted(base.items()))


def qwen3(**more):
    base = {"architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
            "bos_token_id": 1, "eos_token_id": 2, "head_dim": 24, "hidden_act": "silu", "hidden_size": 80,
            "initializer_range": 0.02, "intermediate_size": 136, "max_position_embeddings": 512,
            "max_window_layers": 2, "model_type": "qwen3", "num_attention_heads": 6, "num_hidden_layers": 2,
            "num_key_value_heads": 3, "rms_norm_eps": 1e-06, "sliding_window": None, "tie_word_embeddings": False,
            "use_cache": True, "use_sliding_window": False, "vocab_size": 300}
    base.update(more)
    return dict(sorted(base.items()))


def new_style(layers, **rope):
    """The form that transformers 5 writes."""
    return {"dtype": "bfloat16", "transformers_version": transformers.__version__,
            "layer_types": ["full_attention"] * layers, "rope_parameters": {"rope_type": "default", **rope}}


def old_style(theta, scaling=None):
    return {"torch_dtype": "bfloat16", "transformers_version": "4.51.0", "rope_theta": theta, "rope_scaling": scaling}


def without(config, *keys):
    return {k: v for k, v in config.items() if k not in keys}


VARIANTS = [
    Variant("llama_bf16_llama3rope",
            llama(**old_style(10000.0, {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                                        "original_max_position_embeddings": 64, "rope_type": "llama3"})),
            "bf16, untied, llama3 rope scaling (older config form)", prompt=100),
    Variant("llama_bf16_bias_tied",
            without(llama(**new_style(2, rope_theta=10000.0), attention_bias=True, mlp_bias=True,
                          tie_word_embeddings=True, hidden_size=80, num_attention_heads=5, num_key_value_heads=5,
                          head_dim=16), "torch_dtype"),
            "bf16, tied, attention_bias and mlp_bias, 5 heads without grouping (rope_parameters form)", prompt=24),
    Variant("llama_bf16_yarn",
            without(llama(**new_style(2, rope_theta=10000.0) | {"rope_parameters": {
                "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32,
                "attention_factor": 1.25, "beta_fast": 2.0, "beta_slow": 0.5}},
                max_position_embeddings=128, hidden_size=72, intermediate_size=136, num_attention_heads=3, num_key_value_heads=1,
                head_dim=32), "torch_dtype"),
            "bf16, untied, yarn with explicit attention_factor and betas, head_dim 32, one KV head", prompt=80),
    Variant("llama_fp8_tensor_static",
            llama(**old_style(500000.0), hidden_size=96, num_attention_heads=4, num_key_value_heads=1, head_dim=16,
                  intermediate_size=168),
            "AutoFP8 static: weight_scale F32 [] and input_scale", layout="tensor", scale_name="weight_scale",
            input_scale=True, quant={"activation_scheme": "static", "ignored_layers": ["lm_head"],
                                     "quant_method": "fp8"}),
    Variant("llama_fp8_block_f16",
            llama(**old_style(10000.0), hidden_size=136, num_attention_heads=8, num_key_value_heads=2,
                  intermediate_size=144, vocab_size=304, head_dim=20),
            "block 64x64 with partial blocks, F16 weight_scale_inv", layout="block", block=(64, 64), scale="F16",
            quant=block_fp8((64, 64))),
    Variant("llama_fp8_e5m2",
            llama(**old_style(10000.0), hidden_size=72, num_attention_heads=6, num_key_value_heads=2, head_dim=12,
                  intermediate_size=152, vocab_size=304),
            "F8_E5M2 codes, weight_scale F32 []", layout="tensor", scale_name="weight_scale", fmt="e5m2",
            quant={"activation_scheme": "dynamic", "fmt": "e5m2", "quant_method": "fp8"}),
    Variant("qwen2_bf16_tied", qwen2(**old_style(1000000.0)), "bf16, QKV bias, tied (older config form)", prompt=24),
    Variant("qwen2_fp8_block",
            without(qwen2(**new_style(2, rope_theta=1000000.0), hidden_size=144, num_attention_heads=9,
                          num_key_value_heads=3, intermediate_size=232, tie_word_embeddings=False), "torch_dtype"),
            "block 128x128 F32 scales, partial blocks, QKV bias, two shards", layout="block", shards=2,
            quant=block_fp8((128, 128))),
    Variant("qwen3_bf16",
            without(qwen3(**new_style(3, rope_theta=1000000.0), num_hidden_layers=3), "torch_dtype"),
            "bf16, untied, head_dim 24 apart from hidden/heads, 6 q and 3 kv heads, prompt of 100 tokens", prompt=100),
    Variant("qwen3_bf16_yarn_7to1",
            qwen3(**old_style(1000000.0, {"factor": 4.0, "original_max_position_embeddings": 32, "type": "yarn"}),
                  num_attention_heads=7, num_key_value_heads=1, head_dim=32, hidden_size=64,
                  max_position_embeddings=128),
            "bf16, yarn in the older form (key \"type\", attention factor derived), 7 q heads on 1 kv head", prompt=72),
    Variant("qwen3_fp8_block",
            qwen3(**old_style(1000000.0), hidden_size=160, num_attention_heads=7, num_key_value_heads=1, head_dim=24,
                  intermediate_size=288, vocab_size=304),
            "block 128x128 BF16 scales, partial blocks (168 rows), three shards, a scale in another shard than its weight",
            layout="block", scale="BF16", shards=3, prompt=28,
            stray=(("model.layers.0.self_attn.q_proj.weight_scale_inv", 2),
                   ("model.layers.1.mlp.down_proj.weight_scale_inv", 0)),
            quant=block_fp8((128, 128), modules_to_not_convert=["lm_head"] + [
                f"model.layers.{i}.{m}" for i in range(2)
                for m in ("input_layernorm", "post_attention_layernorm", "mlp.gate")])),
    Variant("qwen3_fp8_block_32x48",
            without(qwen3(**new_style(2, rope_theta=1000000.0), num_attention_heads=5, num_key_value_heads=5,
                          head_dim=20, hidden_size=112, intermediate_size=200, tie_word_embeddings=True), "torch_dtype"),
            "block 32x48 F32 scales, partial blocks, tied, 5 heads without grouping", layout="block", block=(32, 48),
            quant=block_fp8((32, 48))),
    Variant("qwen3_fp8_channel_ct",
            qwen3(**old_style(1000000.0)),
            "compressed-tensors float-quantized, strategy channel, weight_scale BF16 [N,1]", layout="channel",
            scale="BF16", scale_name="weight_scale",
            quant={"config_groups": {"group_0": {
                "input_activations": {"actorder": None, "block_structure": None, "dynamic": True, "group_size": None,
                                      "num_bits": 8, "observer": None, "observer_kwargs": {}, "strategy": "token",
                                      "symmetric": True, "type": "float"},
                "output_activations": None, "targets": ["Linear"],
                "weights": {"actorder": None, "block_structure": None, "dynamic": False, "group_size": None,
                            "num_bits": 8, "observer": "minmax", "observer_kwargs": {}, "strategy": "channel",
                            "symmetric": True, "type": "float"}}},
                "format": "float-quantized", "global_compression_ratio": None, "ignore": ["lm_head"],
                "kv_cache_scheme": None, "quant_method": "compressed-tensors", "quantization_status": "compressed"}),
    Variant("qwen3_fp8_block_e8m0",
            qwen3(**old_style(1000000.0), hidden_size=144, num_attention_heads=6, num_key_value_heads=2, head_dim=32,
                  intermediate_size=160, vocab_size=304),
            "block 128x128, F8_E8M0 weight_scale_inv, partial blocks", layout="block", scale="E8M0",
            quant=block_fp8((128, 128), scale_fmt="ue8m0")),
]


def main(about, variants, folder):
    args = argparse.ArgumentParser(description=about.split("\n")[0])
    args.add_argument("--out", default=os.path.join(os.path.dirname(__file__), "../..", folder))
    args.add_argument("names", nargs="*")
    args = args.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    rows = [make(v, args.out) for v in variants if not args.names or v.name in args.names]
    if not args.names:
        with open(f"{args.out}/manifest.json", "w") as f:
            json.dump(rows, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main(__doc__, VARIANTS, "tests/golden")
