#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes synthetic bf16 checkpoints with the shapes of Qwen3-0.6B and Qwen3-1.7B: random weights, real sizes.

    bench/make_shapes.py OUT [--shape 0.6B] [--gguf]

OUT/qwen3-0.6B/ gets config.json and model.safetensors; with --gguf also qwen3-0.6B.gguf, the same weights for llama.cpp
(needs the gguf package; the rest needs numpy only).
"""
import argparse
import json
import pathlib
import struct

import numpy

SHAPES = {
    # Small: for trying the scripts out.
    "tiny": dict(hidden_size=256, intermediate_size=768, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2, head_dim=64, vocab_size=1024),
    "0.6B": dict(hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
                 num_key_value_heads=8, head_dim=128, vocab_size=151936),
    "1.7B": dict(hidden_size=2048, intermediate_size=6144, num_hidden_layers=28, num_attention_heads=16,
                 num_key_value_heads=8, head_dim=128, vocab_size=151936),
}

# Weights are windows of this many normal deviates, each tensor from another offset: as good as fresh ones for timing.
POOL_SIZE = 1 << 23


def make_config(shape):
    return {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": False, "hidden_act": "silu",
        "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "rope_scaling": None,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_sliding_window": False, "sliding_window": None,
        "bos_token_id": shape["vocab_size"] - 2, "eos_token_id": shape["vocab_size"] - 1, **shape,
    }


def list_tensors(shape):
    """(name, name in GGUF, shape) of every parameter."""
    d, f, h = shape["hidden_size"], shape["intermediate_size"], shape["head_dim"]
    q, kv = shape["num_attention_heads"] * h, shape["num_key_value_heads"] * h
    yield "model.embed_tokens.weight", "token_embd.weight", (shape["vocab_size"], d)
    for i in range(shape["num_hidden_layers"]):
        for name, gguf_name, size in [
            ("input_layernorm", "attn_norm", (d,)),
            ("self_attn.q_proj", "attn_q", (q, d)),
            ("self_attn.k_proj", "attn_k", (kv, d)),
            ("self_attn.v_proj", "attn_v", (kv, d)),
            ("self_attn.q_norm", "attn_q_norm", (h,)),
            ("self_attn.k_norm", "attn_k_norm", (h,)),
            ("self_attn.o_proj", "attn_output", (d, q)),
            ("post_attention_layernorm", "ffn_norm", (d,)),
            ("mlp.gate_proj", "ffn_gate", (f, d)),
            ("mlp.up_proj", "ffn_up", (f, d)),
            ("mlp.down_proj", "ffn_down", (d, f)),
        ]:
            yield f"model.layers.{i}.{name}.weight", f"blk.{i}.{gguf_name}.weight", size
    yield "model.norm.weight", "output_norm.weight", (d,)


def to_bf16(values):
    bits = values.astype(numpy.float32).view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)


class Weights:
    def __init__(self, seed=0):
        random = numpy.random.default_rng(seed)
        self.offsets = numpy.random.default_rng(seed + 1)
        self.pool = to_bf16(random.standard_normal(POOL_SIZE, dtype=numpy.float32) * 0.02)

    def make(self, size):
        """A tensor as bf16 bits: ones for a norm, else a stretch of the pool."""
        n = int(numpy.prod(size))
        if len(size) == 1:
            return numpy.full(size, 0x3F80, numpy.uint16)
        start = int(self.offsets.integers(POOL_SIZE))
        first = self.pool[start:start + n]
        n_rest = n - len(first)
        parts = [first] + [self.pool] * (n_rest // POOL_SIZE) + [self.pool[:n_rest % POOL_SIZE]]
        return numpy.concatenate(parts).reshape(size)


def write_safetensors(path, shape):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, _, size in list_tensors(shape):
        n_bytes = 2 * int(numpy.prod(size))
        header[name] = {"dtype": "BF16", "shape": list(size), "data_offsets": [offset, offset + n_bytes]}
        offset += n_bytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    weights = Weights()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, size in list_tensors(shape):
            weights.make(size).tofile(file)


def write_gguf(path, shape):
    import gguf
    config = make_config(shape)
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(shape["hidden_size"])
    writer.add_block_count(shape["num_hidden_layers"])
    writer.add_feed_forward_length(shape["intermediate_size"])
    writer.add_head_count(shape["num_attention_heads"])
    writer.add_head_count_kv(shape["num_key_value_heads"])
    writer.add_key_length(shape["head_dim"])
    writer.add_value_length(shape["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(shape["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("no_vocab")
    weights = Weights()
    for _, name, size in list_tensors(shape):
        bits = weights.make(size)
        if len(size) == 1:
            writer.add_tensor(name, numpy.ones(size, numpy.float32))
        else:
            writer.add_tensor(name, bits.view(numpy.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(out, name, with_gguf):
    """Writes the files that are not there yet; returns (folder, GGUF path)."""
    folder, gguf_path = out / f"qwen3-{name}", out / f"qwen3-{name}.gguf"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "config.json").exists():
        write_safetensors(folder / "model.safetensors", SHAPES[name])
        (folder / "config.json").write_text(json.dumps(make_config(SHAPES[name]), indent=2) + "\n")
    if with_gguf and not gguf_path.exists():
        partial = gguf_path.with_suffix(".partial")
        write_gguf(partial, SHAPES[name])
        partial.rename(gguf_path)
    return folder, gguf_path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--shape", action="append", choices=sorted(SHAPES), help="default: 0.6B and 1.7B")
    parser.add_argument("--gguf", action="store_true")
    args = parser.parse_args()
    for name in args.shape or ["0.6B", "1.7B"]:
        for path in make(args.out, name, args.gguf)[:2 if args.gguf else 1]:
            print(path)


if __name__ == "__main__":
    main()
