#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Cost against size: `check` over tensors, `check --deep` and `convert` over bytes. Writes scaling.csv and scaling.svg.

    bench/scaling.py build/src/cli/landfall [--runs 5] [--out bench]

`check` reads sparse DeepSeek-V3 directories (tools/make_deepseek_v3.py); the two others read random block-FP8 checkpoints of 0.25
to 2 GiB in a temporary directory, with the data in page cache (convert writes twice as much). Medians of the runs."""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import deep_check  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def median_seconds(command, runs, before=lambda: None):
    seconds = []
    for _ in range(runs + 1):
        before()
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])  # the first one warmed the caches


def measure_check(landfall, runs):
    maker = os.path.join(HERE, "..", "tools", "make_deepseek_v3.py")
    for layers in (4, 15, 30, 45, 61):
        with tempfile.TemporaryDirectory() as folder:
            made = subprocess.run([sys.executable, maker, folder, "--layers", str(layers)], check=True, capture_output=True, text=True)
            yield int(made.stdout.split()[1]), median_seconds([landfall, "check", folder], runs)


def measure_bytes(landfall, runs, verb):
    for gib in (0.25, 0.5, 1, 1.5, 2):
        with tempfile.TemporaryDirectory() as folder:
            source, target = os.path.join(folder, "in"), os.path.join(folder, "out")
            os.mkdir(source)
            total = deep_check.write_model(source, gib)
            command = [landfall, "check", "--deep", source] if verb == "check --deep" else [landfall, "convert", "--no-sync", source, target]
            yield total, median_seconds(command, runs, lambda: shutil.rmtree(target, ignore_errors=True))


def panel(series, left, title, unit, scale):
    """One chart of 300 x 240 with a line through the origin of least squares."""
    most_x, most_y = max(x for x, _ in series), max(y for _, y in series)
    slope = sum(x * y for x, y in series) / sum(x * x for x, _ in series)
    place = lambda x, y: (left + 50 + 230 * x / most_x, 230 - 180 * y / (1.15 * max(most_y, slope * most_x)))
    x1, y1 = place(most_x, slope * most_x)
    lines = [f'<text x="{left + 150}" y="22" text-anchor="middle" font-weight="bold">{title}</text>',
             f'<path d="M{left + 50} 40V230H{left + 285}" fill="none" stroke="black"/>',
             f'<line x1="{left + 50}" y1="230" x2="{x1:.1f}" y2="{y1:.1f}" stroke="#999" stroke-dasharray="4 3"/>']
    for x, y in series:
        px, py = place(x, y)
        lines.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="#1f6feb"/>')
        lines.append(f'<text x="{px:.1f}" y="{py - 8:.1f}" text-anchor="middle" font-size="10">{y:.3g} s</text>')
        lines.append(f'<text x="{px:.1f}" y="245" text-anchor="middle" font-size="10">{x / scale:.3g}</text>')
    lines.append(f'<text x="{left + 165}" y="262" text-anchor="middle" font-size="11">{unit}</text>')
    return lines


def main():
    parser = argparse.ArgumentParser(description="cost of check, check --deep and convert against size")
    parser.add_argument("landfall")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", default=HERE)
    args = parser.parse_args()
    charts = [("check", "thousand tensors", 1e3, list(measure_check(args.landfall, args.runs)))]
    for verb in ("check --deep", "convert"):
        charts.append((verb, "GB of checkpoint", 1e9, list(measure_bytes(args.landfall, args.runs, verb))))
    with open(os.path.join(args.out, "scaling.csv"), "w") as file:
        file.write("verb,size,unit,seconds\n")
        for verb, unit, _, series in charts:
            file.writelines(f"{verb},{x},{'tensors' if verb == 'check' else 'bytes'},{y:.4f}\n" for x, y in series)
    svg = ['<svg xmlns="http://www.w3.org/2000/svg" width="960" height="275" font-family="sans-serif" font-size="13">',
           '<rect width="960" height="275" fill="white"/>']
    for i, (verb, unit, scale, series) in enumerate(charts):
        svg += panel(series, 10 + 315 * i, f"landfall {verb}", unit, scale)
        for x, y in series:
            print(f"{verb:<13} {x:>12} {y:8.3f} s  {y / x * 1e9:8.3f} s per 1e9")
    with open(os.path.join(args.out, "scaling.svg"), "w") as file:
        file.write("\n".join(svg + ["</svg>", ""]))


if __name__ == "__main__":
    main()
