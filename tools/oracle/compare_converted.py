#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares a directory that `landfall convert` wrote with its FP8 source, bit for bit, by arithmetic of its own (NumPy only).

    tools/oracle/compare_converted.py SOURCE CONVERTED [--bf16-scale]

Formats are decoded from their definitions (sign, exponent, mantissa, bias) in float64 and the product is rounded once to
float32 and once to bfloat16. Block sizes come from config.json, else a scale's shape must say it alone (one, one per row).
Every tensor of the source must be there: dequantized, or with its own bytes; nothing else may be. Ends with 1 on a
difference.
"""
import argparse
import json
import pathlib
import struct
import sys

import numpy

WIDTHS = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "I16": 2,
          "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8}
SCALE_NAMES = ("_scale_inv", "_scale", ".scale", ".qscale_weight", ".scale_weight")


def decode_table(exponent_bits, mantissa_bits, bias, is_nan):
    values = numpy.empty(256)
    for code in range(256):
        exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
        mantissa = code & (1 << mantissa_bits) - 1
        if exponent == 0:
            value = mantissa * 2.0 ** (1 - bias - mantissa_bits)
        else:
            value = (1 + mantissa / 2.0 ** mantissa_bits) * 2.0 ** (exponent - bias)
        values[code] = numpy.nan if is_nan(code) else -value if code & 128 else value
    return values


TABLES = {
    "F8_E4M3": decode_table(4, 3, 7, lambda code: code & 0x7F == 0x7F),
    "F8_E5M2": decode_table(5, 2, 15, lambda code: code & 0x7F >= 0x7C),
    "F8_E4M3FNUZ": decode_table(4, 3, 8, lambda code: code == 0x80),
    "F8_E5M2FNUZ": decode_table(5, 2, 16, lambda code: code == 0x80),
}


def read_folder(folder):
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        data = numpy.memmap(path, numpy.uint8, "r")
        length = struct.unpack("<Q", data[:8].tobytes())[0]
        for name, entry in json.loads(data[8:8 + length].tobytes()).items():
            if name == "__metadata__":
                continue
            assert name not in tensors, f"{name} twice"
            begin, end = entry["data_offsets"]
            tensors[name] = (entry["dtype"], tuple(entry["shape"]), data[8 + length + begin:8 + length + end])
    return tensors


def as_float64(dtype, raw):
    if dtype == "F32":
        return raw.view("<f4").astype(numpy.float64)
    if dtype == "F16":
        return raw.view("<f2").astype(numpy.float64)
    if dtype == "BF16":
        return (raw.view("<u2").astype(numpy.uint32) << 16).view(numpy.float32).astype(numpy.float64)
    if dtype in ("F8_E8M0", "U8"):
        return 2.0 ** (raw.astype(numpy.float64) - 127)
    raise ValueError(f"a scale in {dtype}")


def to_bf16_bits(values):
    """float64 -> float32 -> bfloat16, each to nearest even."""
    with numpy.errstate(over="ignore"):
        bits = values.astype(numpy.float32).view(numpy.uint32)
    return (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype(numpy.uint16)


def expand(scales, shape, block):
    """One scale per element of a matrix [rows, cols]."""
    rows, cols = shape
    if scales.size == 1:
        return numpy.broadcast_to(scales.reshape(1, 1), shape)
    if block and scales.ndim >= 2 and scales.reshape(-1).size == -(-rows // block[0]) * -(-cols // block[1]):
        grid = scales.reshape(-(-rows // block[0]), -(-cols // block[1]))
        return grid.repeat(block[0], 0)[:rows].repeat(block[1], 1)[:, :cols]
    if scales.size == rows:
        return numpy.broadcast_to(scales.reshape(rows, 1), shape)
    raise ValueError(f"scales {scales.shape} for {shape}")


def find_scale(tensors, name):
    stem = name.removesuffix(".weight")
    for candidate in [name + suffix for suffix in SCALE_NAMES] + [stem + suffix for suffix in SCALE_NAMES]:
        if candidate in tensors:
            return candidate
    raise ValueError(f"no scale for {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("converted", type=pathlib.Path)
    parser.add_argument("--bf16-scale", action="store_true")
    args = parser.parse_args()
    source, converted = read_folder(args.source), read_folder(args.converted)
    config = json.loads((args.source / "config.json").read_text()).get("quantization_config", {})
    block = config.get("weight_block_size")
    for group in config.get("config_groups", {}).values():
        block = block or group.get("weights", {}).get("block_structure")
    expected, used = 0, set()
    n_element = n_wrong = 0
    for name, (dtype, shape, raw) in source.items():
        if dtype not in TABLES:
            continue
        scale_name = find_scale(source, name)
        used.update((name, scale_name))
        scale_dtype, scale_shape, scale_raw = source[scale_name]
        scales = as_float64(scale_dtype, numpy.array(scale_raw)).reshape(scale_shape)
        if args.bf16_scale:
            scales = (to_bf16_bits(scales).astype(numpy.uint32) << 16).view(numpy.float32).astype(numpy.float64)
        matrix = (int(numpy.prod(shape[:-1])), shape[-1])
        products = TABLES[dtype][raw].reshape(matrix) * expand(scales, matrix, block)
        found_dtype, found_shape, found = converted.pop(name)
        assert found_dtype == "BF16" and found_shape == shape, f"{name}: {found_dtype} {found_shape}"
        n_wrong += int(numpy.count_nonzero(to_bf16_bits(products).reshape(-1) != numpy.array(found).view("<u2")))
        n_element += products.size
        expected += 1
    n_same = n_dropped = 0
    for name, (dtype, shape, raw) in source.items():
        if name in used:
            continue
        if name not in converted:
            assert name.endswith(("_scale", "_scale_inv", ".qscale_act")), f"{name} is missing"
            n_dropped += 1
            continue
        assert converted[name][:2] == (dtype, shape) and numpy.array_equal(converted.pop(name)[2], raw), f"{name} differs"
        n_same += 1
    assert not converted, f"more than the source has: {list(converted)[:3]}"
    print(f"{expected} tensors dequantized, {n_element} elements, {n_wrong} differ; {n_same} taken over bit for bit; "
          f"{n_dropped} dropped")
    return n_wrong > 0


if __name__ == "__main__":
    sys.exit(main())
