#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`landfall check` beside a plain Python script that reads the same headers and index and pairs weights with scales.

    bench/compare_check.py build/src/cli/landfall [--runs 15]

Makes sparse DeepSeek-V3 directories of growing size (tools/make_deepseek_v3.py), runs both programs in turn with the
headers in page cache, and prints medians and minima of wall time, processor time and peak memory."""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

PAIRING = """
import glob, json, struct, sys
tensors = {}
for path in glob.glob(sys.argv[1] + "/*.safetensors"):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        header.pop("__metadata__", None)
        tensors.update(header)
with open(sys.argv[1] + "/model.safetensors.index.json") as file:
    names = json.load(file)["weight_map"]
unpaired = [n for n, t in tensors.items() if t["dtype"] == "F8_E4M3" and n + "_scale_inv" not in tensors]
orphans = [n for n in tensors if n.endswith("_scale_inv") and n[:-len("_scale_inv")] not in tensors]
assert len(tensors) == len(names) and not unpaired and not orphans
"""


def measure(command):
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"exit status {process.returncode}: {command[0]}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description="landfall check beside plain Python, headers in page cache")
    parser.add_argument("landfall")
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    maker = os.path.join(os.path.dirname(__file__), "..", "tools", "make_deepseek_v3.py")
    print(f"{'layers':>6} {'tensors':>8}  {'program':<9} {'wall s':>7} {'(min)':>7} {'cpu s':>7} {'(min)':>7} {'MiB':>5}")
    for layers in (7, 15, 30, 61):
        with tempfile.TemporaryDirectory() as folder:
            made = subprocess.run([sys.executable, maker, folder, "--layers", str(layers)], check=True,
                                  capture_output=True, text=True).stdout
            programs = {"landfall": [args.landfall, "check", folder], "python": [sys.executable, "-c", PAIRING, folder]}
            runs = {name: [] for name in programs}
            for _ in range(args.runs + 1):
                for name, command in programs.items():
                    runs[name].append(measure(command))
            for name, values in runs.items():
                wall, cpu, memory = zip(*values[1:])  # the first one warmed the caches
                print(f"{layers:>6} {made.split()[1]:>8}  {name:<9} {statistics.median(wall):>7.3f} {min(wall):>7.3f} "
                      f"{statistics.median(cpu):>7.3f} {min(cpu):>7.3f} {max(memory):>5.0f}", flush=True)


if __name__ == "__main__":
    main()
