#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ranks cost and bring on one machine: prefill, decode and loading on 1, 2 and 4 ranks, turn by turn.

    bench/compare_ranks.py build/src/cli/landfall MODEL [--ranks 1 2] [--rounds 3] [--input-len 512] [--output-len 64]

Every round runs each number of ranks once; figures are medians over the rounds, ratios are against one rank of the same round. One
rank uses all processors, n ranks share them. Loading is measured in runs of their own with one thread per rank (files in the page
cache): the time of a rank falls as long as there are processors for all.
"""
import argparse
import json
import statistics
import subprocess
import sys


def bench(program, model, *flags):
    command = [program, "bench", "latency", model, "--batch-size", "1", "--num-iters-warmup", "1", "--json", *map(str, flags)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {result.returncode}\n{result.stderr[-2000:]}")
    return json.loads(result.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--load-ranks", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--input-len", type=int, default=512)
    parser.add_argument("--output-len", type=int, default=64)
    args = parser.parse_args()

    rows = {n: [] for n in args.ranks}
    loads = {n: [] for n in args.load_ranks}
    for _ in range(args.rounds):
        for n in args.ranks:
            rows[n].append(bench(args.program, args.model, "-tp", n, "--num-iters", args.iterations, "--input-len",
                                 args.input_len, "--output-len", args.output_len))
        for n in args.load_ranks:
            figures = bench(args.program, args.model, "-tp", n, "--threads", 1, "--num-iters", 1, "--input-len", 1,
                            "--output-len", 2)
            loads[n].append(figures["load_seconds"])

    def median(n, key):
        return statistics.median(figures[key] for figures in rows[n])

    def ratio(n, key):
        return statistics.median(ours[key] / one[key] for ours, one in zip(rows[n], rows[args.ranks[0]]))

    print(rows[args.ranks[0]][0]["device"])
    print("| ranks | prefill, tokens/s | decode, tokens/s | prefill, ratio | decode, ratio | communication of prefill, decode | a step, ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for n in args.ranks:
        shares = "-", "-", "-"
        if n > 1:
            shares = (f"{100 * median(n, 'prefill_communication_share'):.0f} %",
                      f"{100 * median(n, 'decode_communication_share'):.0f} %",
                      f"{1e3 * median(n, 'decode_communication_seconds_per_step'):.2f}")
        print(f"| {n} | {median(n, 'prefill_tokens_per_second'):.1f} | {median(n, 'decode_tokens_per_second'):.2f} | "
              f"{ratio(n, 'prefill_tokens_per_second'):.2f} | {ratio(n, 'decode_tokens_per_second'):.2f} | "
              f"{shares[0]}, {shares[1]} | {shares[2]} |")
    if args.load_ranks:
        print("\n| ranks, one thread each | loading, s | of one rank |")
        print("| --- | --- | --- |")
        for n in args.load_ranks:
            share = statistics.median(a / b for a, b in zip(loads[n], loads[args.load_ranks[0]]))
            print(f"| {n} | {statistics.median(loads[n]):.2f} | {share:.2f} |")


if __name__ == "__main__":
    main()
