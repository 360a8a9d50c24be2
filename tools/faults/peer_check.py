#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A peer for the corpus: the script that a careful engineer writes before a conversion, for comparison only.

    tools/faults/peer_check.py MODEL           # problems, one a line; exit status 1 when there are any
    tools/faults/peer_check.py --corpus DIR    # DIR from make_faults.py: how many faults are caught, controls refused

It reads headers and index with the standard library, checks sizes and offsets, pairs weights with weight_scale_inv,
weight_scale or scale over all shards and compares block shapes with config.json. It does not know data, parameter
tables, other layouts' companion names or tokenizers. Any problem counts as caught, whatever it is called.
"""
import glob
import json
import math
import os
import struct
import sys

SIZES = {"F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
         "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1, "F8_E8M0": 1, "U8": 1, "I8": 1, "BOOL": 1}
SUFFIXES = ("_scale_inv", "_scale")


def read_header(path):
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        if length > 100_000_000:
            raise ValueError("header too large")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    left = os.path.getsize(path) - 8 - length
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        if entry["dtype"] not in SIZES:
            raise ValueError("%s: dtype %s" % (name, entry["dtype"]))
        if begin != end or stop - begin != math.prod(entry["shape"]) * SIZES[entry["dtype"]]:
            raise ValueError("%s: offsets" % name)
        end = stop
    if end != left:
        raise ValueError("%d bytes of data, %d promised" % (left, end))
    return header


def check(model):
    problems, tensors = [], {}
    index_path = os.path.join(model, "model.safetensors.index.json")
    weight_map = json.load(open(index_path))["weight_map"] if os.path.exists(index_path) else None
    files = sorted(set(weight_map.values())) if weight_map else [
        os.path.basename(path) for path in sorted(glob.glob(os.path.join(model, "*.safetensors")))]
    for name in files:
        try:
            for key, entry in read_header(os.path.join(model, name)).items():
                if key in tensors:
                    problems.append("%s: in two shards" % key)
                if weight_map and weight_map.get(key) != name:
                    problems.append("%s: not where the index says" % key)
                tensors[key] = entry
        except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
            problems.append("%s: %s" % (name, error))
    problems += ["%s: in no shard" % key for key in weight_map or () if key not in tensors]
    config = json.load(open(os.path.join(model, "config.json")))
    quantization = config.get("quantization_config") or config.get("text_config", {}).get("quantization_config") or {}
    block = quantization.get("weight_block_size")
    used = set()
    for key, entry in tensors.items():
        if not entry["dtype"].startswith("F8_E") or entry["dtype"] == "F8_E8M0":
            continue
        names = [key + suffix for suffix in SUFFIXES] + [key.removesuffix("weight") + "scale"]
        found = [name for name in names if name in tensors]
        used.update(found)
        if len(found) != 1:
            problems.append("%s: %d scales" % (key, len(found)))
        elif block and len(entry["shape"]) == 2 and math.prod(tensors[found[0]]["shape"]) != 1:
            expected = [-(-n // b) for n, b in zip(entry["shape"], block)]
            if tensors[found[0]]["shape"] != expected:
                problems.append("%s: scale %s, expected %s" % (key, tensors[found[0]]["shape"], expected))
    problems += ["%s: no weight" % key for key in tensors
                 if key.endswith(("weight_scale_inv", "weight_scale")) and key not in used]
    return problems


def problems_of(model):
    try:
        return check(model)
    except Exception as error:  # a crash is how such a script says no
        return [repr(error)]


def corpus(root):
    counts = {}
    for line in open(os.path.join(root, "cases.txt"), encoding="utf-8"):
        name, kind, args = line.split("\t")[:3]
        model = os.path.join(root, name, "snapshots", "main")
        model = model if os.path.isdir(model) else os.path.join(root, name)
        key = (kind, "--deep" if args == "--deep" else "headers")
        said, total = counts.get(key, (0, 0))
        counts[key] = (said + bool(problems_of(model)), total + 1)
    for (kind, what), (said, total) in sorted(counts.items()):
        print("%-8s %-8s problems in %d of %d" % (kind, what, said, total))


if len(sys.argv) == 3 and sys.argv[1] == "--corpus":
    corpus(sys.argv[2])
elif len(sys.argv) == 2:
    found = problems_of(sys.argv[1])
    print("\n".join(found))
    sys.exit(bool(found))
else:
    sys.exit(__doc__)
