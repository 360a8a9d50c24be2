# SPDX-License-Identifier: Apache-2.0
"""What only the data show: check --deep. The headers of every case here are sound."""
import struct

from toy import FP8, Tensor, bf16, fnuz_codes, noise, qwen3, scales, unknown

DEEP = "--deep"
UP = "model.layers.1.mlp.up_proj.weight"
INV = "_scale_inv"
MXFP8 = {"quant_method": "mxfp8", "weight_block_size": [1, 32]}


def poked(name, at, data, n_layer=2, **more):
    """A sound model with `data` written at byte `at` of a tensor."""
    m = qwen3(n_layer=n_layer, **more)
    t = m[name]
    t.data = t.data[:at] + data + t.data[at + len(data):]
    return m.files()


def scale_value(value):
    return poked(UP + INV, 8, struct.pack("<f", value))


def replaced(name, make, n_layer=2, **more):
    m = qwen3(n_layer=n_layer, **more)
    t = m[name]
    data = make(t)
    m.tensors[name] = Tensor(t.dtype, t.shape, data)
    return m.files()


def relabelled(make, dtype="F8_E4M3"):
    """All codes of one weight written by `make`, under the dtype of another format."""
    m = qwen3()
    t = m[UP]
    m.tensors[UP] = Tensor(dtype, t.shape, make(t.data))
    return m.files()


def all_scales(change, n_layer=4):
    """Every scale of the model through `change(name, values)`."""
    m = qwen3(n_layer=n_layer)
    for name in m.names(INV):
        t = m[name]
        numbers = struct.unpack("<%df" % (len(t.data) // 4), t.data)
        t.data = struct.pack("<%df" % len(numbers), *change(name, numbers))
    return m.files()


def e8m0_as_numbers():
    """Bytes of E8M0 scales converted like integers: 115.0 where 2^-12 is meant."""
    def change(name, numbers):
        return [float(b) for b in scales(name, "F8_E8M0", len(numbers))]
    return all_scales(change)


def swapped_layers():
    """The scales of two layers exchanged, one of which has much larger weights."""
    up = ["model.layers.%d.mlp.up_proj.weight%s" % (i, INV) for i in range(5)]
    m = qwen3(n_layer=5)
    big = m[up[0]]
    numbers = struct.unpack("<6f", big.data)
    big.data = struct.pack("<6f", *[64 * v for v in numbers])
    m[up[0]].data, m[up[3]].data = m[up[3]].data, m[up[0]].data
    return m.files()


def raw_codes(scale):
    """A BF16 weight that holds the values of FP8 codes, its scale never applied."""
    m = qwen3()
    t = m[UP]
    values = []
    for code in t.data:
        exponent, mantissa = (code >> 3) & 15, code & 7
        value = (mantissa / 8) * 2.0 ** -6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
        values.append(-value if code & 0x80 else value)
    m.tensors[UP] = Tensor("BF16", t.shape, b"".join(bf16(v * scale) for v in values))
    m.drop(UP + INV)
    return m.files()


def mx(byte):
    m = unknown(MXFP8)
    m.linear("wq.weight", 6, 64, scale="U8", shape=[6, 2])
    t = m["wq.weight_scale_inv"]
    t.data = t.data[:5] + bytes([byte]) + t.data[6:]
    return m.files()


def mx_zeros():
    m = unknown(MXFP8)
    m.linear("wq.weight", 6, 64, scale="U8", shape=[6, 2])
    m["wq.weight_scale_inv"].data = bytes(12)
    return m.files()


def fp4(byte):
    m = unknown(dict(FP8, scale_fmt="ue8m0"))
    m.add("w1.weight", "I8", [6, 32])
    m.scale("w1.scale", [6, 2], "F8_E8M0")
    m["w1.scale"].data = m["w1.scale"].data[:-1] + bytes([byte])
    return m.files()


def e5m2(code):
    m = unknown(FP8)
    m.linear("wq.weight", 20, 16, dtype="F8_E5M2")
    m["wq.weight"].data = m["wq.weight"].data[:-9] + bytes([code]) * 9
    return m.files()


def large_copies():
    """Two layers with the same 256 bytes of up_proj."""
    m = qwen3()
    m["model.layers.1.mlp.up_proj.weight"].data = m["model.layers.0.mlp.up_proj.weight"].data
    return m.files()


def kv_scale(value):
    m = unknown(FP8)
    m.linear("self_attn.k_proj.weight", 8, 16)
    m.add("self_attn.k_proj.k_scale", "F32", [1], struct.pack("<f", value))
    return m.files()


def register(fault, warning, note, control):
    nan, inf = float("nan"), float("inf")
    fault("deep-nan-code", "nan-code", lambda: poked(UP, 100, b"\x7f"), "one NaN code", DEEP)
    fault("deep-nan-code-negative", "nan-code", lambda: poked(UP, 319, b"\xff"), "the last code of a weight", DEEP)
    fault("deep-ones", "nan-code", lambda: poked(UP, 0, b"\xff" * 320), "a page of erased flash", DEEP)
    fault("deep-fnuz-as-fn", "nan-code", lambda: relabelled(lambda d: fnuz_codes(UP, len(d))), "E4M3FNUZ codes labelled E4M3: their largest value is a NaN", DEEP)
    fault("deep-fn-as-fnuz", "nan-code", lambda: relabelled(lambda d: d, "F8_E4M3FNUZ"), "E4M3 codes labelled E4M3FNUZ: minus zero is a NaN", DEEP)
    fault("deep-e4m3-as-e5m2", "nan-code", lambda: relabelled(lambda d: d, "F8_E5M2"), "E4M3 codes labelled E5M2: the largest are NaN", DEEP)
    fault("deep-e5m2-infinite", "overflow", lambda: e5m2(0x7C), "an infinite code of E5M2", DEEP)
    fault("deep-e5m2-nan", "nan-code", lambda: e5m2(0xFE), "NaN codes of E5M2", DEEP)
    fault("deep-int8-as-fp8", "nan-code", lambda: relabelled(lambda d: noise("int8", len(d) - 2) + b"\x7f\xff"), "bytes of INT8 labelled E4M3: -1 and 127 are NaN", DEEP)
    fault("deep-scale-nan", "bad-scale", lambda: scale_value(nan), "a NaN scale", DEEP)
    fault("deep-scale-infinite", "bad-scale", lambda: scale_value(inf), "an infinite scale", DEEP)
    fault("deep-scale-negative", "bad-scale", lambda: scale_value(-1e-3), "a negative scale", DEEP)
    fault("deep-scale-zero", "bad-scale", lambda: scale_value(0.0), "a zero scale over values", DEEP)
    fault("deep-scale-zeros", "bad-scale", lambda: replaced(UP + INV, lambda t: bytes(len(t.data))), "scales that were never written", DEEP)
    fault("deep-scale-bf16-nan", "bad-scale", lambda: poked(UP + INV, 4, b"\xc0\x7f", scale="BF16"), "a NaN among BF16 scales", DEEP)
    fault("deep-scale-f16-infinite", "bad-scale", lambda: poked(UP + INV, 4, b"\x00\x7c", scale="F16"), "a scale beyond F16", DEEP)
    fault("deep-e8m0-255", "bad-scale", lambda: poked(UP + INV, 2, b"\xff", scale="F8_E8M0"), "255 is the NaN of E8M0", DEEP)
    fault("deep-mx-255", "bad-scale", lambda: mx(255), "255 among the scales of MXFP8", DEEP)
    fault("deep-fp4-255", "bad-scale", lambda: fp4(255), "255 among the scales of packed FP4", DEEP)
    fault("deep-e8m0-zeros", "bad-scale", lambda: replaced(UP + INV, lambda t: bytes(len(t.data)), scale="F8_E8M0"), "E8M0 scales that were never written: 2^-127 over values", DEEP)
    fault("deep-mx-zeros", "bad-scale", mx_zeros, "the same under MXFP8", DEEP)
    fault("deep-overflow", "overflow", lambda: scale_value(1e37), "448 times the scale is no bf16", DEEP)
    fault("deep-overflow-mx", "overflow", lambda: mx(254), "2^127 times a code", DEEP)
    fault("deep-value-nan", "nan-value", lambda: poked("model.norm.weight", 6, b"\xc0\x7f"), "a NaN in a norm", DEEP)
    fault("deep-value-nan-embed", "nan-value", lambda: poked("model.embed_tokens.weight", 30, b"\xff\xff"), "a NaN in the embedding", DEEP)
    fault("deep-kv-scale-nan", "nan-value", lambda: kv_scale(nan), "a NaN in a KV-cache scale", DEEP)
    fault("deep-e8m0-as-numbers", "scale-exponents", e8m0_as_numbers, "E8M0 bytes converted like integers: 115.0 instead of 2^-12", DEEP)
    fault("deep-raw-codes", "raw-codes", lambda: raw_codes(1.0), "converted to BF16 without its scale", DEEP)
    warning("deep-value-infinite", "nan-value", lambda: poked("model.norm.weight", 6, b"\x80\x7f"), "an infinite norm", DEEP)
    warning("deep-swapped-layers", "scale-outlier", swapped_layers, "the scales of two layers exchanged", DEEP)
    warning("deep-scale-outlier", "scale-outlier", lambda: all_scales(lambda name, v: [100 * x for x in v] if ".2.mlp.down" in name else v), "one layer's scales are 100 times its siblings'", DEEP)
    warning("deep-scale-spike", "scale-spike", lambda: poked(UP + INV, 8, struct.pack("<f", 100.0)), "one scale 400000 times the others", DEEP)
    warning("deep-reciprocal", "scale-reciprocal", lambda: all_scales(lambda name, v: [1 / x for x in v]), "1 / scale was stored", DEEP)
    warning("deep-byte-order", "scale-outlier", lambda: replaced("model.layers.2.mlp.up_proj.weight" + INV, lambda t: b"".join(struct.pack(">f", v) for v in struct.unpack("<6f", t.data)), n_layer=4), "one tensor of scales in big-endian order", DEEP)
    warning("deep-all-zero", "all-zero", lambda: replaced(UP, lambda t: bytes(len(t.data))), "a weight that was never written", DEEP)
    warning("deep-hole", "all-zero", lambda: replaced("lm_head.weight", lambda t: bytes(len(t.data))), "a hole in the file", DEEP)
    warning("deep-copied-layer", "duplicate-data", large_copies, "one layer's weight stands for another's", DEEP)
    control("deep-sound", lambda: qwen3().files(), "nothing to find", DEEP)
    control("deep-bf16", lambda: qwen3(quantization=None).files(), "nothing to find in BF16", DEEP)
    control("deep-e8m0", lambda: qwen3(scale="F8_E8M0").files(), "E8M0 scales", DEEP)
    control("deep-minus-zero", lambda: poked(UP, 10, b"\x80" * 40), "minus zero is no fault", DEEP)
    control("deep-applied-scale", lambda: raw_codes(2.0 ** -12), "a BF16 weight whose scale was applied", DEEP)
    control("deep-zero-block", lambda: zero_block(), "a scale of zero over a block of zeros", DEEP)
    control("deep-scale-one", lambda: all_scales(lambda name, v: [1.0] * len(v)), "all scales 1.0: an unscaled cast", DEEP)


def zero_block():
    m = unknown(FP8)
    m.linear("wq.weight", 8, 16)
    codes = bytearray(m["wq.weight"].data)
    for row in range(8):
        codes[16 * row:16 * row + 8] = bytes(8)
    m["wq.weight"].data = bytes(codes)
    m["wq.weight_scale_inv"].data = bytes(4) + m["wq.weight_scale_inv"].data[4:]
    return m.files()
