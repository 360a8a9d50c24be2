#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times `landfall convert` beside two parallel `cp` of the same output bytes and beside the converters people use.

    bench/compare_convert.py --landfall build/src/cli/landfall --work-dir /dev/shm/convert [--gigabytes 2.2] [--rounds 5]

Makes an FP8 checkpoint (128x128 blocks, DeepSeek's expert shapes, some scales in other shards), then runs in turn, each into
an empty folder, files in the page cache: cp, convert --no-sync, convert, convert --verify. Medians, ratios to cp, peak
resident memory. Then once each: a block loop in torch on the CPU as the DeepSeek script does it, compressed-tensors and
transformers, as far as they are installed; their output is compared bit for bit with ours. (The checkpoint has no attention
weights; transformers makes some, which are counted as more.) On a tmpfs the disk plays no part; elsewhere the kernel's
write-back does.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import struct
import subprocess
import sys
import threading
import time

import numpy

HERE = pathlib.Path(__file__).resolve()
ROWS, COLS, BLOCK = 2048, 7168, 128


def write_shard(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, data in tensors:
        header[name] = {"dtype": dtype, "shape": list(data.shape), "data_offsets": [offset, offset + data.nbytes]}
        offset += data.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors:
            data.tofile(file)


def make_checkpoint(folder, n_bytes, n_shard=4):
    if (folder / "config.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    random = numpy.random.default_rng(0)
    n_layer = max(n_shard, round(n_bytes / (3 * ROWS * COLS)))
    # Codes of normal deviates would be mostly alike; any code but the two NaNs is as good for timing and better for testing.
    pool = random.integers(0, 254, ROWS * COLS * 2, dtype=numpy.uint8)
    pool += (pool >= 127).astype(numpy.uint8)
    shards = [[] for _ in range(n_shard)]
    index, total = {}, 0
    for layer in range(n_layer):
        shard = layer * n_shard // n_layer
        parts = [(f"model.layers.{layer}.input_layernorm.weight", "BF16", numpy.full(COLS, 0x3F80, numpy.uint16), shard)]
        for name, rows, cols in [("gate_proj", ROWS, COLS), ("up_proj", ROWS, COLS), ("down_proj", COLS, ROWS)]:
            start = int(random.integers(0, ROWS * COLS))
            codes = pool[start:start + rows * cols].reshape(rows, cols)
            scales = random.uniform(1e-4, 1e-3, (rows // BLOCK, cols // BLOCK)).astype(numpy.float32)
            weight = f"model.layers.{layer}.mlp.{name}.weight"
            other = (shard + 1) % n_shard if name == "down_proj" else shard
            parts += [(weight, "F8_E4M3", codes, shard), (weight + "_scale_inv", "F32", scales, other)]
        for name, dtype, data, place in parts:
            shards[place].append((name, dtype, data))
            index[name] = f"model-{place + 1:05}-of-{n_shard:05}.safetensors"
            total += data.nbytes
    for i, tensors in enumerate(shards):
        write_shard(folder / f"model-{i + 1:05}-of-{n_shard:05}.safetensors", tensors)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2))
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": COLS, "intermediate_size": ROWS,
        "num_hidden_layers": n_layer, "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 8,
        "vocab_size": 1024, "torch_dtype": "bfloat16", "tie_word_embeddings": True, "rms_norm_eps": 1e-6,
        "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                                "weight_block_size": [BLOCK, BLOCK]}}, indent=2))


def watch_peak(pid, peak):
    """Follows the high-water mark of a process's resident memory. (wait4's figure starts with that of this process.)"""
    while True:
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        line = next((line for line in status.splitlines() if line.startswith("VmHWM")), None)
        if not line:
            return
        peak[0] = int(line.split()[1]) / 1024
        time.sleep(0.01)


def run(command):
    """(seconds, peak resident MiB) of a process; its output is shown when it fails."""
    peak = [0]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    watcher = threading.Thread(target=watch_peak, args=(process.pid, peak))
    watcher.start()
    output = process.stdout.read()
    process.wait()
    seconds = time.monotonic() - start
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"{command}: exit {process.returncode}\n{output.decode(errors='replace')[-2000:]}")
    return seconds, peak[0]


def run_copies(source, target):
    """Two cp at once, the files dealt out by size."""
    files = sorted(source.glob("*.safetensors"), key=lambda path: -path.stat().st_size)
    target.mkdir()
    hands, sizes = [[], []], [0, 0]
    for path in files:
        hand = sizes.index(min(sizes))
        hands[hand].append(str(path))
        sizes[hand] += path.stat().st_size
    start = time.monotonic()
    processes = [subprocess.Popen(["cp", *hand, str(target)]) for hand in hands if hand]
    for process in processes:
        if process.wait():
            raise RuntimeError("cp failed")
    return time.monotonic() - start, 0


def fresh(path):
    shutil.rmtree(path, ignore_errors=True)
    os.sync()
    return path


def load_shards(folder):
    from safetensors import safe_open
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():
                yield name, file.get_tensor(name)


def same_tensors(ours, theirs):
    import torch
    found = {name: tensor for name, tensor in load_shards(theirs)}
    n_different = n_missing = 0
    for name, tensor in load_shards(ours):
        other = found.pop(name, None)
        n_missing += other is None
        n_different += other is not None and not (other.dtype == tensor.dtype and other.shape == tensor.shape and
                                                  torch.equal(tensor.view(torch.int16), other.view(torch.int16)))
    return f"{n_different} differ, {n_missing} missing, {len(found)} more"


def convert_with_torch(source, target):
    """Shard by shard, block by block: what fp8_cast_bf16.py does, on the CPU."""
    import torch
    from safetensors.torch import load_file, save_file
    index = json.loads((source / "model.safetensors.index.json").read_text())["weight_map"]
    target.mkdir(parents=True)
    loaded = {}

    def shard(name):
        if name not in loaded:
            while len(loaded) >= 2:
                loaded.pop(next(iter(loaded)))
            loaded[name] = load_file(source / name)
        return loaded[name]

    for file_name in sorted(set(index.values())):
        out = {}
        for name, tensor in shard(file_name).items():
            if name.endswith("_scale_inv"):
                continue
            if tensor.element_size() > 1:
                out[name] = tensor
                continue
            scale = shard(index[name + "_scale_inv"])[name + "_scale_inv"]
            rows, cols = tensor.shape
            wide = torch.empty(rows, cols, dtype=torch.bfloat16)
            for i in range(0, rows, BLOCK):
                for k in range(0, cols, BLOCK):
                    part = tensor[i:i + BLOCK, k:k + BLOCK].to(torch.float32) * scale[i // BLOCK, k // BLOCK]
                    wide[i:i + BLOCK, k:k + BLOCK] = part.to(torch.bfloat16)
            out[name] = wide
        save_file(out, target / file_name, metadata={"format": "pt"})


def convert_with_compressed_tensors(source, target):
    from compressed_tensors.entrypoints.convert import FP8BlockDequantizer, convert_checkpoint
    convert_checkpoint(str(source), str(target), FP8BlockDequantizer(targets=[r"re:.*_proj$"],
                                                                     weight_block_size=[BLOCK, BLOCK]), max_workers=2)


def convert_with_transformers(source, target):
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, FineGrainedFP8Config
    model = AutoModelForCausalLM.from_pretrained(source, dtype="bfloat16", device_map="cpu",
                                                 quantization_config=FineGrainedFP8Config(dequantize=True))
    target.mkdir(parents=True)
    # Not save_pretrained(): it makes FP8 of them again.
    weights = {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})


PEERS = {"torch": convert_with_torch, "compressed-tensors": convert_with_compressed_tensors,
         "transformers": convert_with_transformers}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landfall", type=pathlib.Path, default=HERE.parent.parent / "build/src/cli/landfall")
    parser.add_argument("--work-dir", type=pathlib.Path, required=True)
    parser.add_argument("--gigabytes", type=float, default=2.2, help="of the FP8 checkpoint")
    parser.add_argument("--shard-size", default="1100m")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="torch,compressed-tensors,transformers", help="'' for none")
    parser.add_argument("--as-peer", nargs=3, metavar=("NAME", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.as_peer:
        PEERS[args.as_peer[0]](pathlib.Path(args.as_peer[1]), pathlib.Path(args.as_peer[2]))
        return
    source, reference, target = (args.work_dir / name for name in ("fp8", "reference", "target"))
    make_checkpoint(source, args.gigabytes * 1e9)
    convert = [str(args.landfall), "convert", str(source), str(target), "--shard-size", args.shard_size]
    fresh(reference)
    run([*convert[:3], str(reference), *convert[4:]])
    n_bytes = sum(path.stat().st_size for path in reference.glob("*.safetensors"))
    print(f"{sum(path.stat().st_size for path in source.glob('*.safetensors')) / 1e9:.2f} GB in, {n_bytes / 1e9:.2f} GB out, "
          f"{len(list(reference.glob('*.safetensors')))} shards, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    contestants = {
        "two cp": lambda: run_copies(reference, target),
        "convert --no-sync": lambda: run([*convert, "--no-sync"]),
        "convert": lambda: run(convert),
        "convert --verify": lambda: run([*convert, "--verify"]),
    }
    seconds, peaks = {name: [] for name in contestants}, dict.fromkeys(contestants, 0)
    ratios = {name: [] for name in contestants}
    for _ in range(args.rounds):
        for name, contestant in contestants.items():
            fresh(target)
            elapsed, peak = contestant()
            seconds[name].append(elapsed)
            peaks[name] = max(peaks[name], peak)
            ratios[name].append(elapsed / seconds["two cp"][-1])
    print(f"\n{'':20} {'median s':>9} {'GB/s out':>9} {'of cp':>7} {'peak MiB':>9}   all runs")
    for name in contestants:
        median = statistics.median(seconds[name])
        print(f"{name:20} {median:9.2f} {n_bytes / median / 1e9:9.2f} {statistics.median(ratios[name]):6.2f}x {peaks[name]:9.0f}   "
              f"{' '.join(f'{s:.2f}' for s in seconds[name])}", flush=True)
    ours = statistics.median(seconds["convert --no-sync"])  # like cp, none of them syncs
    for name in filter(None, args.peers.split(",")):
        fresh(target)
        try:
            elapsed, peak = run([sys.executable, str(HERE), "--work-dir", str(args.work_dir), "--as-peer", name, str(source),
                                 str(target)])
        except RuntimeError as problem:
            print(f"{name:20} failed: {str(problem).strip().splitlines()[-1]}")
            continue
        print(f"{name:20} {elapsed:9.2f} {n_bytes / elapsed / 1e9:9.2f} {'':7} {peak:9.0f}   {elapsed / ours:.1f}x convert --no-sync; tensors: "
              f"{same_tensors(reference, target)}", flush=True)
    fresh(target)


if __name__ == "__main__":
    main()
