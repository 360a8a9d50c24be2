#!/usr/bin/env python3
"""Writes a small checkpoint of each FP8 format family, and the bf16 tensors it must become.

Only NumPy is needed: the container is written here, and the arithmetic is that of the catalog, by
global coordinates: bf16(rne(float32(code) * float32(scale))). No library that loads such
checkpoints takes part. tests/quant/test_format_goldens.c compares whole tensors bit for bit.

usage: make_format_goldens.py [--out tests/golden/formats] [NAME ...]
"""
import argparse
import json
import os
import shutil
import struct

import numpy as np

BITS = {"U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F16": 16, "BF16": 16, "F32": 32, "I64": 64}


# ------------------------------------------------------------------------------- numbers

def decode_float(codes, bits, mantissa_bits, bias):
    """Sign, exponent and mantissa fields; no Inf, no NaN (the codes here avoid them)."""
    codes = codes.astype(np.int64)
    sign = np.where(codes >> (bits - 1), -1.0, 1.0)
    exponent = (codes & ((1 << (bits - 1)) - 1)) >> mantissa_bits
    fraction = (codes & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    value = np.where(exponent > 0, np.ldexp(1 + fraction, exponent - bias), np.ldexp(fraction, 1 - bias))
    return (sign * value).astype(np.float32)


def to_bf16(x):
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


class Tensor:
    """Stored bytes, and the float32 values they stand for (codes without their scale)."""

    def __init__(self, dtype, shape, raw, values):
        self.dtype, self.shape, self.raw, self.values = dtype, tuple(shape), raw, values


def e4m3(rng, *shape, dtype="F8_E4M3"):
    top = 0x7C if dtype == "F8_E5M2" else 0x7F
    magnitude = rng.integers(0, top, shape)
    codes = (magnitude | rng.integers(0, 2, shape) << 7).astype(np.uint8)
    fields = (2, 15) if dtype == "F8_E5M2" else (3, 7)
    return Tensor(dtype, shape, codes.tobytes(), decode_float(codes, 8, *fields))


def fp4(rng, rows, cols):
    """Packed E2M1: [rows, cols / 2] bytes, the even column in the low half."""
    codes = rng.integers(0, 16, (rows, cols))
    packed = (codes[:, 0::2] | codes[:, 1::2] << 4).astype(np.uint8)
    return Tensor("I8", (rows, cols // 2), packed.tobytes(), decode_float(codes, 4, 1, 1))


def scales(rng, dtype, *shape):
    if dtype in ("U8", "F8_E8M0"):
        codes = rng.integers(105, 135, shape).astype(np.uint8)
        return Tensor(dtype, shape, codes.tobytes(), np.ldexp(1.0, codes.astype(int) - 127).astype(np.float32))
    x = np.exp(rng.normal(-7, 1.5, shape)).astype(np.float32)
    if dtype == "F32":
        return Tensor(dtype, shape, x.tobytes(), x)
    if dtype == "F16":
        half = x.astype(np.float16)
        return Tensor(dtype, shape, half.tobytes(), half.astype(np.float32))
    bits = to_bf16(x)
    return Tensor(dtype, shape, bits.tobytes(), from_bf16(bits).reshape(shape))


def bf16(rng, *shape):
    bits = to_bf16(rng.normal(0, 1, shape))
    return Tensor("BF16", shape, bits.tobytes(), from_bf16(bits))


def f32(rng, *shape):
    x = rng.normal(0, 1, shape).astype(np.float32)
    return Tensor("F32", shape, x.tobytes(), x)


def product(weight, index):
    """bf16 bits; `index` gives the scale of every element."""
    return to_bf16(weight.values * index)


def by_block(weight, scale, block, rows=None):
    """A scale for each block of a matrix; `rows` > 0: blocks begin anew every `rows` rows (MiMo-V2)."""
    n, k = weight.values.shape
    s = scale.values.reshape(-1, -(-k // block[1]))
    r = np.arange(n)
    if rows:
        row = r // rows * -(-rows // block[0]) + r % rows // block[0]
    else:
        row = r // block[0]
    return s[row][:, np.arange(k) // block[1]]


def by_expert_block(weight, scale, block):
    e, r, c = weight.values.shape
    return scale.values[np.arange(e)[:, None, None], (np.arange(r) // block[0])[None, :, None],
                        (np.arange(c) // block[1])[None, None, :]]


# ------------------------------------------------------------------------------- files

def write_safetensors(path, tensors):
    header, data = {}, b""
    for name in sorted(tensors, key=lambda n: (-BITS[tensors[n].dtype], n)):
        t = tensors[name]
        header[name] = {"dtype": t.dtype, "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(t.raw)]}
        assert len(t.raw) * 8 == int(np.prod(t.shape, dtype=np.int64)) * BITS[t.dtype], name
        data += t.raw
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


class Checkpoint:
    """What one family stores, and what it becomes."""

    def __init__(self, name, config, file="model.safetensors"):
        self.rng = np.random.default_rng(list(name.encode()))
        self.config, self.file = {"model_type": "toy", **config}, file
        self.stored, self.expected, self.files, self.second = {}, {}, {}, set()

    def add(self, name, tensor):
        self.stored[name] = tensor
        return tensor

    def keep(self, name, tensor):
        """A tensor that is not quantized."""
        self.add(name, tensor)
        if tensor.dtype == "BF16":
            self.expected[name] = tensor

    def expect(self, name, bits):
        self.expected[name] = Tensor("BF16", bits.shape, bits.tobytes(), None)

    def block(self, name, rows, cols, block, scale_dtype, suffix="weight_scale_inv", chunk=None):
        w = self.add(name + ".weight", e4m3(self.rng, rows, cols))
        n_row = rows // chunk * -(-chunk // block[0]) if chunk else -(-rows // block[0])
        s = self.add(f"{name}.{suffix}", scales(self.rng, scale_dtype, n_row, -(-cols // block[1])))
        self.expect(name + ".weight", product(w, by_block(w, s, block, chunk)))

    def scalar(self, name, rows, cols, scale_dtype, suffix, shape=(), extra=()):
        w = self.add(name + ".weight", e4m3(self.rng, rows, cols))
        s = self.add(f"{name}.{suffix}", scales(self.rng, scale_dtype, *shape))
        for component in extra:
            self.add(f"{name}.{component}", scales(self.rng, scale_dtype, *shape))
        self.expect(name + ".weight", product(w, s.values.reshape(())))

    def channel(self, name, rows, cols, scale_dtype, shape=None):
        w = self.add(name + ".weight", e4m3(self.rng, rows, cols))
        s = self.add(name + ".weight_scale", scales(self.rng, scale_dtype, *(shape or (rows, 1))))
        self.expect(name + ".weight", product(w, s.values.reshape(rows, 1)))

    def write(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder + "/checkpoint")
        os.makedirs(folder + "/expected")
        for name, content in {"config.json": self.config, **self.files}.items():
            with open(f"{folder}/checkpoint/{name}", "w") as file:
                json.dump(content, file, indent=2)
                file.write("\n")
        if self.second:
            names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
            where = {n: names[n in self.second] for n in sorted(self.stored)}
            for file in names:
                write_safetensors(f"{folder}/checkpoint/{file}",
                                  {n: t for n, t in self.stored.items() if where[n] == file})
            with open(folder + "/checkpoint/model.safetensors.index.json", "w") as file:
                json.dump({"metadata": {}, "weight_map": where}, file, indent=1)
                file.write("\n")
        else:
            write_safetensors(f"{folder}/checkpoint/{self.file}", self.stored)
        write_safetensors(folder + "/expected/model.safetensors", self.expected)


# ------------------------------------------------------------------------------- families

FAMILIES = {}


def family(make):
    FAMILIES[make.__name__] = make
    return make


def quant(**fields):
    return {"quantization_config": fields}


@family
def deepseek_v3(name):
    """L3; the weight's scale in another shard; a partial block in both directions."""
    c = Checkpoint(name, {"model_type": "deepseek_v3", **quant(quant_method="fp8", fmt="e4m3",
                                                              activation_scheme="dynamic",
                                                              weight_block_size=[32, 16])})
    c.block("model.layers.0.self_attn.kv_a_proj_with_mqa", 72, 40, (32, 16), "F32")
    c.block("model.layers.0.self_attn.o_proj", 33, 17, (32, 16), "F32")
    c.keep("model.norm.weight", bf16(c.rng, 40))
    c.keep("model.layers.0.mlp.gate.e_score_correction_bias", f32(c.rng, 8))
    c.second = {"model.layers.0.self_attn.kv_a_proj_with_mqa.weight_scale_inv", "model.norm.weight"}
    return c


@family
def qwen3(name):
    c = Checkpoint(name, quant(quant_method="fp8", fmt="e4m3", weight_block_size=[128, 128],
                               modules_to_not_convert=["lm_head"]))
    c.block("model.layers.0.mlp.up_proj", 130, 9, (128, 128), "BF16")
    c.block("model.layers.0.mlp.down_proj", 9, 130, (128, 128), "BF16")
    c.keep("lm_head.weight", bf16(c.rng, 5, 9))
    return c


@family
def deepseek_v4(name):
    """E8M0 blocks under the native names, and packed FP4 experts."""
    c = Checkpoint(name, {"model_type": "deepseek_v4", "expert_dtype": "fp4",
                          **quant(quant_method="fp8", fmt="e4m3", scale_fmt="ue8m0", weight_block_size=[16, 16])})
    c.block("layers.0.attn.wq_a", 37, 29, (16, 16), "F8_E8M0", "scale")
    for part in ("w1", "w2", "w3"):
        n = f"layers.0.ffn.experts.0.{part}"
        w = c.add(n + ".weight", fp4(c.rng, 7, 96))
        s = c.add(n + ".scale", scales(c.rng, "F8_E8M0", 7, 3))
        c.expect(n + ".weight", product(w, np.repeat(s.values, 32, axis=1)))
    c.keep("layers.0.attn.attn_sink", f32(c.rng, 4))
    ids = c.rng.integers(0, 9, (3, 2))
    c.keep("layers.0.ffn.gate.tid2eid", Tensor("I64", ids.shape, ids.astype("<i8").tobytes(), None))
    return c


@family
def deepseek_v41(name):
    """Blocks of 32x32, FP4 experts, and an Engram table in groups of 32; the config under text_config."""
    c = Checkpoint(name, {"model_type": "deepseek_v41",
                          "text_config": quant(quant_method="fp8", scale_fmt="ue8m0", weight_block_size=[32, 32])})
    c.block("layers.0.attn.wkv", 65, 40, (32, 32), "F8_E8M0", "scale")
    w = c.add("layers.1.engram.embed.weight", e4m3(c.rng, 19, 64))
    s = c.add("layers.1.engram.embed.scale", scales(c.rng, "F8_E8M0", 19, 2))
    c.expect("layers.1.engram.embed.weight", product(w, np.repeat(s.values, 32, axis=1)))
    w = c.add("layers.0.ffn.experts.0.w1.weight", fp4(c.rng, 32, 32))
    s = c.add("layers.0.ffn.experts.0.w1.scale", scales(c.rng, "F8_E8M0", 32, 1))
    c.expect("layers.0.ffn.experts.0.w1.weight", product(w, np.repeat(s.values, 32, axis=1)))
    return c


@family
def minimax_m3(name):
    """MXFP8 with bytes that are E8M0."""
    c = Checkpoint(name, quant(quant_method="mxfp8", weight_block_size=[1, 32], ignored_layers=["lm_head"]))
    w = c.add("language_model.model.layers.0.self_attn.q_proj.weight", e4m3(c.rng, 11, 96))
    s = c.add("language_model.model.layers.0.self_attn.q_proj.weight_scale_inv", scales(c.rng, "U8", 11, 3))
    c.expect("language_model.model.layers.0.self_attn.q_proj.weight", product(w, np.repeat(s.values, 32, axis=1)))
    return c


@family
def mimo_v2(name):
    """Fused QKV in 4 chunks, each padded to whole blocks."""
    c = Checkpoint(name, {"model_type": "mimo_v2_flash", "num_key_value_heads": 4,
                          **quant(quant_method="fp8", weight_block_size=[16, 16])})
    c.block("model.layers.0.self_attn.qkv_proj", 4 * 25, 20, (16, 16), "F32", chunk=25)
    c.block("model.layers.0.mlp.up_proj", 20, 20, (16, 16), "F32")
    return c


@family
def qwen38_ngram(name):
    """One scalar for all shards of an n-gram table."""
    c = Checkpoint(name, {"model_type": "qwen4_exp", **quant(quant_method="fp8", weight_block_size=[128, 128])})
    base = "model.language_model.layers.1.ple.ple_embedding.ngram_embedding."
    s = c.add(base + "weight_scale", scales(c.rng, "BF16", 1))
    for i in (0, 1, 127):
        w = c.add(f"{base}shard_{i}.weight", e4m3(c.rng, 13, 10))
        c.expect(f"{base}shard_{i}.weight", product(w, s.values[0]))
    return c


@family
def qwen3_vl_moe(name):
    """Fused experts in blocks."""
    c = Checkpoint(name, {"model_type": "qwen3_vl_moe", **quant(quant_method="fp8", weight_block_size=[16, 16])})
    for part, rows, cols in (("gate_up_proj", 20, 34), ("down_proj", 17, 20)):
        n = "model.language_model.layers.0.mlp.experts." + part
        w = c.add(n, e4m3(c.rng, 3, rows, cols))
        s = c.add(n + "_scale_inv", scales(c.rng, "BF16", 3, -(-rows // 16), -(-cols // 16)))
        c.expect(n, product(w, by_expert_block(w, s, (16, 16))))
    return c


@family
def mistral_small_4(name):
    """Scalars for matrices and for each fused expert, with activation scales."""
    c = Checkpoint(name, quant(quant_method="fp8", activation_scheme="static", weight_block_size=None))
    c.scalar("model.layers.0.self_attn.q_proj", 20, 21, "BF16", "weight_scale_inv", extra=("activation_scale",))
    for part in ("gate_up_proj", "down_proj"):
        n = "model.layers.0.mlp.experts." + part
        w = c.add(n, e4m3(c.rng, 3, 11, 13))
        s = c.add(n + "_scale_inv", scales(c.rng, "BF16", 3, 1, 1))
        c.add(n + "_activation_scale", scales(c.rng, "BF16", 3))
        c.expect(n, product(w, s.values))
    return c


@family
def mistral_consolidated(name):
    c = Checkpoint(name, {"model_type": "ministral3"}, "consolidated.safetensors")
    c.scalar("layers.0.attention.wq", 20, 21, "F32", "qscale_weight", extra=("qscale_act",))
    c.scalar("layers.0.attention.wk", 7, 21, "F32", "qscale_weight", extra=("qscale_act",))
    c.add("layers.0.attention.k_fake_quantizer.qscale_act", scales(c.rng, "F32"))
    c.keep("norm.weight", bf16(c.rng, 21))
    return c


@family
def autofp8(name):
    c = Checkpoint(name, quant(quant_method="fp8", activation_scheme="static", ignored_layers=["lm_head"]))
    c.scalar("model.layers.0.mlp.up_proj", 20, 21, "F32", "weight_scale", (1,), extra=("input_scale",))
    c.scalar("model.layers.0.self_attn.k_proj", 7, 21, "F16", "weight_scale", (1,), extra=("act_scale", "kv_scale"))
    return c


def compressed(**weights):
    return quant(quant_method="compressed-tensors", format=weights.pop("format", "float-quantized"),
                 quantization_status="compressed", ignore=["lm_head"],
                 config_groups={"group_0": {"targets": ["Linear"],
                                            "weights": {"num_bits": 8, "type": "float", **weights}}})


@family
def compressed_tensors(name):
    """Channel; and under compression_config, as older files have it."""
    c = Checkpoint(name, {"compression_config": compressed(strategy="channel")["quantization_config"]})
    c.channel("model.layers.0.mlp.up_proj", 20, 21, "BF16")
    c.channel("model.layers.0.mlp.down_proj", 21, 20, "F32")
    c.add("model.layers.0.self_attn.k_proj.k_scale", scales(c.rng, "BF16", 1))
    return c


@family
def compressed_tensors_tensor(name):
    c = Checkpoint(name, compressed(strategy="tensor"))
    c.scalar("model.layers.0.mlp.up_proj", 20, 21, "F32", "weight_scale", (1,), extra=("input_scale",))
    return c


@family
def compressed_tensors_block(name):
    c = Checkpoint(name, compressed(strategy="block", block_structure="32x16"))
    c.block("model.layers.0.mlp.up_proj", 40, 21, (32, 16), "BF16", "weight_scale")
    return c


@family
def compressed_tensors_mxfp8(name):
    c = Checkpoint(name, compressed(strategy="group", group_size=32, format="mxfp8-quantized"))
    w = c.add("model.layers.0.mlp.up_proj.weight", e4m3(c.rng, 11, 64))
    s = c.add("model.layers.0.mlp.up_proj.weight_scale", scales(c.rng, "U8", 11, 2))
    c.expect("model.layers.0.mlp.up_proj.weight", product(w, np.repeat(s.values, 32, axis=1)))
    return c


@family
def fbgemm(name):
    """Channels of matrices, and of fused experts stored [in, out]: [E, 1, C] and [E, C, 1]."""
    c = Checkpoint(name, quant(quant_method="fbgemm_fp8", activation_scale_ub=1200.0))
    c.channel("model.layers.0.mlp.up_proj", 20, 21, "F32")
    c.add("model.layers.0.mlp.up_proj.input_scale_ub", scales(c.rng, "F32", 1))
    for part, rows, cols in (("gate_up_proj", 11, 26), ("down_proj", 13, 11)):
        n = "model.layers.0.feed_forward.experts." + part
        w = c.add(n, e4m3(c.rng, 3, rows, cols))
        s = c.add(n + "_scale", scales(c.rng, "F32", *((3, 1, cols) if part == "gate_up_proj" else (3, cols, 1))))
        c.expect(n, product(w, s.values.reshape(3, 1, cols)))
    return c


@family
def modelopt(name):
    """Blocks as [rows, 1, columns, 1]; the config in a file of its own."""
    c = Checkpoint(name, {})
    c.files["hf_quant_config.json"] = {"producer": {"name": "modelopt"},
                                       "quantization": {"quant_algo": "FP8_PB_WO", "exclude_modules": ["lm_head"]}}
    w = c.add("model.layers.0.mlp.up_proj.weight", e4m3(c.rng, 130, 9))
    s = c.add("model.layers.0.mlp.up_proj.weight_scale", scales(c.rng, "F32", 2, 1, 1, 1))
    c.expect("model.layers.0.mlp.up_proj.weight", product(w, by_block(w, s, (128, 128))))
    c.add("model.layers.0.self_attn.k_proj.k_scale", scales(c.rng, "F32"))
    c.add("model.layers.0.self_attn.v_proj.v_scale", scales(c.rng, "F32"))
    return c


@family
def modelopt_channel(name):
    c = Checkpoint(name, quant(quant_method="modelopt", quant_algo="FP8_PER_CHANNEL_PER_TOKEN", ignore=["lm_head"]))
    c.channel("model.layers.0.mlp.up_proj", 20, 21, "F32", (20,))
    return c


@family
def quark(name):
    c = Checkpoint(name, quant(quant_method="quark", exclude=["lm_head"], global_quant_config={
        "weight": {"dtype": "fp8_e4m3", "qscheme": "per_channel", "ch_axis": 0}}))
    c.channel("model.layers.0.mlp.up_proj", 20, 21, "F32", (20,))
    return c


@family
def torchao(name):
    c = Checkpoint(name, quant(quant_method="torchao"))
    for part, shape in (("q_proj", (20, 1)), ("k_proj", ())):
        n = "model.layers.0.self_attn." + part
        w = c.add(n + "._weight_qdata", e4m3(c.rng, 20, 21))
        s = c.add(n + "._weight_scale", scales(c.rng, "F32", *shape))
        c.expect(n + ".weight", product(w, s.values))
    return c


@family
def modelslim(name):
    """One scale and one offset for each row; the offsets are zero."""
    c = Checkpoint(name, {})
    c.channel("model.layers.0.mlp.up_proj", 20, 21, "F32")
    zero = np.zeros((20, 1), np.uint16)
    c.add("model.layers.0.mlp.up_proj.weight_offset", Tensor("BF16", (20, 1), zero.tobytes(), None))
    c.files["quant_model_description.json"] = {"model.layers.0.mlp.up_proj.weight": "W8A8FP8_DYNAMIC"}
    return c


@family
def e5m2(name):
    c = Checkpoint(name, quant(quant_method="fp8", weight_block_size=[8, 8]))
    w = c.add("m.weight", e4m3(c.rng, 11, 13, dtype="F8_E5M2"))
    s = c.add("m.weight_scale_inv", scales(c.rng, "F16", 2, 2))
    c.expect("m.weight", product(w, by_block(w, s, (8, 8))))
    return c


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", default="tests/golden/formats")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    for name in args.names or FAMILIES:
        FAMILIES[name](name).write(f"{args.out}/{name}")


if __name__ == "__main__":
    main()
