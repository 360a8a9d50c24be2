#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`landfall check --deep` on a checkpoint in page cache, as a share of the machine's read bandwidth (as `landfall bench` measures
it), both in turn.

    bench/deep_check.py build/src/cli/landfall [--gib 2] [--runs 5]

Writes a block-FP8 checkpoint with random codes to a temporary directory (it needs that much disk and page cache)."""
import argparse
import json
import os
import random
import statistics
import struct
import subprocess
import tempfile

ROWS = COLS = 4096  # 16 MiB of codes to a tensor


def write_model(folder, gib):
    n = max(1, int(gib * 64))
    header, end, parts = {}, 0, []
    codes = bytes(random.Random(1).randbytes(ROWS * COLS)).translate(bytes((c & 0x80) | min(c & 0x7f, 0x7e) for c in range(256)))
    scales = struct.pack("<f", 2.0 ** -9) * (ROWS * COLS // 16384)
    for i in range(n):
        for suffix, dtype, shape, data in (("", "F8_E4M3", [ROWS, COLS], codes),
                                           ("_scale_inv", "F32", [ROWS // 128, COLS // 128], scales)):
            header[f"model.layers.{i}.mlp.up_proj.weight{suffix}"] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data)]}
            parts.append((i, data))
            end += len(data)
    text = json.dumps(header).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for i, data in parts:
            # No two alike, and no byte of the mark is a NaN code.
            mark = bytes((i >> 6 * byte) & 0x3f for byte in range(8))
            file.write(mark + data[8:] if len(data) == ROWS * COLS else data)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump({"architectures": ["Measured"], "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, file)
    return end


def bandwidth(landfall, tiny):
    command = [landfall, "bench", "latency", tiny, "--input-len", "8", "--output-len", "2", "--num-iters", "1", "--num-iters-warmup", "0", "--json"]
    figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return figures["read_bandwidth_bytes_per_second"]


def main():
    parser = argparse.ArgumentParser(description="check --deep as a share of read bandwidth")
    parser.add_argument("landfall")
    parser.add_argument("--gib", type=float, default=2)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    tiny = os.path.join(os.path.dirname(__file__), "..", "models", "landfall-tiny-qwen3-fp8")
    with tempfile.TemporaryDirectory() as folder:
        total = write_model(folder, args.gib)
        rates, peaks = [], []
        for run in range(args.runs + 1):
            output = subprocess.run([args.landfall, "check", "--deep", "--json", folder], check=True, capture_output=True, text=True)
            if run == 0:
                continue  # fills the page cache
            rates.append(total / json.loads(output.stdout)["data_seconds"])
            peaks.append(bandwidth(args.landfall, tiny))
            print(f"check --deep {rates[-1] / 1e9:6.2f} GB/s, read bandwidth {peaks[-1] / 1e9:6.2f} GB/s: {100 * rates[-1] / peaks[-1]:4.0f} %", flush=True)
        print(f"medians {statistics.median(rates) / 1e9:.2f} and {statistics.median(peaks) / 1e9:.2f} GB/s: "
              f"{100 * statistics.median(rates) / statistics.median(peaks):.0f} %; best {max(rates) / 1e9:.2f} and {max(peaks) / 1e9:.2f} GB/s: "
              f"{100 * max(rates) / max(peaks):.0f} %")


if __name__ == "__main__":
    main()
