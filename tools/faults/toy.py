# SPDX-License-Identifier: Apache-2.0
"""Toy checkpoints for the corpus of faults: tensors from names, files from tensors.

A Toy is a directory before it is written: a config, tensors in order, and the shard of each. `files()` gives the bytes,
so that a case can damage either the model (drop a scale) or a file (cut its end). All data come from a hash of the
tensor's name: the corpus is the same on every machine, and equal tensors of different cases pack well.
"""
import hashlib
import json
import math
import struct

BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
        "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64}
BLOCK = 8


class Link(str):
    """A symbolic link, as the content of a file."""


def noise(name, n):
    return hashlib.shake_128(name.encode()).digest(n)


def size_of(dtype, shape):
    return math.prod(shape) * BITS[dtype] // 8


def bf16(value):
    return struct.pack("<f", value)[2:]


def fp8_codes(name, n):
    """Codes as absmax scaling leaves them: the largest is 448, and a few are zeros of either sign."""
    codes = bytearray((b & 0x80) | (0x28 + (b & 0x7F) % 0x54) for b in noise(name, n))
    codes[0::37] = b"\x7e" * len(codes[0::37])
    codes[5::41] = b"\x80" * len(codes[5::41])
    codes[7::43] = b"\x00" * len(codes[7::43])
    return bytes(codes)


def fnuz_codes(name, n):
    """E4M3FNUZ: the largest code is 0x7f, zero has no sign."""
    codes = bytearray(b or 1 for b in fp8_codes(name, n).replace(b"\x80", b"\x00"))
    codes[0::37] = b"\x7f" * len(codes[0::37])
    return bytes(codes)


def values(name, dtype, n):
    """Small values around zero (matrices) in a float dtype; counting numbers in an integer dtype."""
    raw = noise(name, 2 * n)
    numbers = [(int.from_bytes(raw[2 * i:2 * i + 2], "little") - 32767.5) / 1048576 for i in range(n)]
    if dtype == "BF16":
        return b"".join(bf16(v) for v in numbers)
    if dtype in ("F16", "F32", "F64"):
        return struct.pack("<%d%s" % (n, {"F16": "e", "F32": "f", "F64": "d"}[dtype]), *numbers)
    return noise(name, size_of(dtype, [n]))


def scales(name, dtype, n, center=2.0 ** -12):
    """Positive scales within a factor of three; those of E8M0 and U8 are powers of two."""
    raw = noise("scale of " + name, n)
    if dtype in ("F8_E8M0", "U8"):
        return bytes(127 + int(math.log2(center)) + b % 3 for b in raw)
    numbers = [center * (1 + b / 128) for b in raw]
    if dtype == "BF16":
        return b"".join(bf16(v) for v in numbers)
    if dtype in ("I32", "I64"):
        return struct.pack("<%d%s" % (n, "i" if dtype == "I32" else "q"), *[1 + b % 3 for b in raw])
    if dtype in ("F16", "F32", "F64"):
        return struct.pack("<%d%s" % (n, {"F16": "e", "F32": "f", "F64": "d"}[dtype]), *numbers)
    return bytes(raw)


class Tensor:
    def __init__(self, dtype, shape, data):
        self.dtype, self.shape, self.data = dtype, list(shape), bytes(data)
        assert len(self.data) == size_of(dtype, shape), (dtype, shape, len(self.data))


def safetensors(tensors, metadata=True):
    """The file of a dict of tensors, as the usual writer lays it out but in the dict's order."""
    header, at = {"__metadata__": {"format": "pt"}} if metadata else {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [at, at + len(tensor.data)]}
        at += len(tensor.data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return raw_file(text, b"".join(t.data for t in tensors.values()))


def raw_file(header, data=b""):
    """A file of any header text, right or wrong."""
    header = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(header)) + header + data


class Toy:
    def __init__(self, config, n_shard=1, index=True):
        self.config, self.n_shard, self.index = config, n_shard, index
        self.tensors, self.shard, self.extra, self.config_text = {}, {}, {}, None
        self.weight_map = {}  # what the index says instead of the truth; None: no entry

    def __getitem__(self, name):
        return self.tensors[name]

    def add(self, name, dtype, shape, data=None, shard=0):
        self.tensors[name] = Tensor(dtype, shape, values(name, dtype, math.prod(shape)) if data is None else data)
        self.shard[name] = shard

    def norm(self, name, n, shard=0, dtype="BF16"):
        self.add(name, dtype, [n], bf16(1.0) * n if dtype == "BF16" else struct.pack("<f", 1.0) * n, shard)

    def linear(self, name, rows, cols, suffix="_scale_inv", dtype="F8_E4M3", scale="F32", shape=None, block=BLOCK,
               shard=0):
        """An FP8 weight and its scale, by default one for each block; `shape` is another shape of the scale."""
        lead = list(rows[:-1]) if isinstance(rows, (list, tuple)) else []
        rows = rows[-1] if lead else rows
        full = lead + [rows, cols]
        codes = fp8_codes(name, math.prod(full))
        if dtype == "F8_E5M2":  # whose largest code is 0x7b
            codes = bytes(c & 0x80 | min(c & 0x7F, 0x7B) for c in codes)
        self.add(name, dtype, full, codes, shard)
        if shape is None:
            shape = lead + [-(-rows // block), -(-cols // block)]
        self.scale(name + suffix if suffix[0] == "_" else name[:-len("weight")] + suffix, shape, scale, shard=shard)

    def scale(self, name, shape, dtype="F32", center=2.0 ** -12, shard=0):
        self.add(name, dtype, shape, scales(name, dtype, math.prod(shape), center), shard)

    def drop(self, *names):
        for name in names:
            del self.tensors[name], self.shard[name]

    def rename(self, old, new):
        self.tensors = {new if k == old else k: v for k, v in self.tensors.items()}
        self.shard[new] = self.shard.pop(old)

    def names(self, end):
        return [name for name in self.tensors if name.endswith(end)]

    def file_name(self, shard):
        return "model-%05d-of-%05d.safetensors" % (shard + 1, self.n_shard) if self.index else "model.safetensors"

    def files(self):
        out = {}
        for shard in range(self.n_shard):
            part = {k: v for k, v in self.tensors.items() if self.shard[k] == shard}
            out[self.file_name(shard)] = safetensors(part)
        if self.index:
            where = {name: self.file_name(shard) for name, shard in self.shard.items()}
            where.update(self.weight_map)
            total = sum(len(t.data) for t in self.tensors.values())
            out["model.safetensors.index.json"] = json.dumps(
                {"metadata": {"total_size": total},
                 "weight_map": {k: v for k, v in sorted(where.items()) if v is not None}}, indent=0).encode()
        if self.config_text is not None:
            out["config.json"] = self.config_text
        elif self.config is not None:
            out["config.json"] = json.dumps(self.config, indent=1).encode()
        out.update(self.extra)
        return out


FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK]}


def qwen3(n_layer=2, n_shard=2, scale="F32", quantization=FP8, **more):
    """A complete model of an architecture with a parameter table, its last block in both directions partial."""
    config = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 16, "head_dim": 8,
              "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 20, "vocab_size": 24,
              "num_hidden_layers": n_layer, "max_position_embeddings": 64, "rope_theta": 10000.0, "hidden_act": "silu",
              "rms_norm_eps": 1e-6, "tie_word_embeddings": False, "torch_dtype": "bfloat16"}
    config.update(more)
    if quantization:
        config["quantization_config"] = dict(quantization)
    m = Toy(config, n_shard)
    m.add("model.embed_tokens.weight", "BF16", [24, 16])
    linears = {"self_attn.q_proj": (16, 16), "self_attn.k_proj": (8, 16), "self_attn.v_proj": (8, 16),
               "self_attn.o_proj": (16, 16), "mlp.gate_proj": (20, 16), "mlp.up_proj": (20, 16),
               "mlp.down_proj": (16, 20)}
    for layer in range(n_layer):
        root, shard = "model.layers.%d." % layer, layer * n_shard // n_layer
        for name, (rows, cols) in linears.items():
            if quantization:
                m.linear(root + name + ".weight", rows, cols, scale=scale, shard=shard)
            else:
                m.add(root + name + ".weight", "BF16", [rows, cols], shard=shard)
        for name, n in (("input_layernorm", 16), ("post_attention_layernorm", 16), ("self_attn.q_norm", 8),
                        ("self_attn.k_norm", 8)):
            m.norm(root + name + ".weight", n, shard)
    m.norm("model.norm.weight", 16, n_shard - 1)
    if not config["tie_word_embeddings"]:
        m.add("lm_head.weight", "BF16", [24, 16], shard=n_shard - 1)
    return m


def unknown(quantization=FP8, **config):
    """A model without a parameter table: one file, no index, a norm."""
    config = {"architectures": ["UnheardOfForCausalLM"], "model_type": "unheard", **config}
    if quantization:
        config["quantization_config"] = dict(quantization)
    m = Toy(config, index=False)
    m.norm("model.norm.weight", 16)
    return m
