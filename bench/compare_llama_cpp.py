#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Landfall beside llama.cpp on the same random bf16 weights, in alternating runs on the same machine.

    python3 -m venv venv && CMAKE_ARGS=-DGGML_NATIVE=ON venv/bin/pip install llama-cpp-python gguf numpy
    venv/bin/python bench/compare_llama_cpp.py --landfall build/src/cli/landfall --work-dir /tmp/shapes

Each round runs `landfall bench latency` in one process and llama.cpp in another; neither runs while the other does. Printed as
JSON: all runs, medians, and Landfall's rates over llama.cpp's.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import make_shapes

RATES = ("prefill_tokens_per_second", "decode_tokens_per_second")


def run_llama(args):
    """One process: loads, warms up, then times prompt and decode separately. Decoding takes the largest logit, as Landfall does."""
    import ctypes
    import time

    import llama_cpp
    import numpy

    llama_cpp.llama_backend_init()
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    model_params = llama_cpp.llama_model_default_params()
    model = llama_cpp.llama_model_load_from_file(str(args.gguf).encode(), model_params)
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = args.input_len + args.output_len + 8
    params.n_batch = params.n_ubatch = max(args.input_len, 32)
    params.n_threads = params.n_threads_batch = args.threads
    context = llama_cpp.llama_init_from_model(model, params)
    n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    random = numpy.random.default_rng(1)

    def decode(tokens):
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(tokens))) != 0:
            sys.exit("llama_decode failed")
        logits = numpy.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, -1), shape=(n_vocab,))
        return int(logits.argmax())

    runs = []
    for i in range(args.num_iters + 1):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        prompt = [int(t) for t in random.integers(0, n_vocab, args.input_len)]
        start = time.perf_counter()
        token = decode(prompt)
        first = time.perf_counter()
        for _ in range(args.output_len - 1):
            token = decode([token])
        end = time.perf_counter()
        if i > 0:  # the first one warms up
            runs.append({RATES[0]: args.input_len / (first - start), RATES[1]: (args.output_len - 1) / (end - first)})
    print(json.dumps(runs))


def run_landfall(args, folder):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [args.landfall, "bench", "latency", folder, "--input-len", str(args.input_len), "--output-len",
                   str(args.output_len), "--batch-size", "1", "--num-iters", str(args.num_iters), "--num-iters-warmup",
                   "1", "--threads", str(args.threads), "--output-json", out.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.load(open(out.name))


def run_llama_process(args, gguf):
    command = [sys.executable, __file__, "--llama-only", "--gguf", gguf, "--input-len", str(args.input_len),
               "--output-len", str(args.output_len), "--num-iters", str(args.num_iters), "--threads", str(args.threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def compare(args, shape):
    folder, gguf = make_shapes.make(args.work_dir, shape, with_gguf=True)
    ours, theirs, reports = [], [], []
    for _ in range(args.rounds):
        report = run_landfall(args, folder)
        reports.append(report)
        ours += [{rate: run[rate] for rate in RATES} for run in report["iterations"]]
        theirs += run_llama_process(args, gguf)
    result = {"shape": f"qwen3-{shape}", "input_len": args.input_len, "output_len": args.output_len,
              "threads": args.threads, "landfall": {}, "llama_cpp": {}, "ratio": {}}
    for rate in RATES:
        mine, other = (statistics.median(run[rate] for run in runs) for runs in (ours, theirs))
        result["landfall"][rate], result["llama_cpp"][rate], result["ratio"][rate] = mine, other, mine / other
    for share in ("decode_bandwidth_share", "prefill_peak_share", "linear_peak_share", "load_bandwidth_share",
                  "read_bandwidth_bytes_per_second", "matmul_peak_flop_per_second"):
        result["landfall"][share] = statistics.median(report[share] for report in reports)
    result["landfall_runs"], result["llama_cpp_runs"] = ours, theirs
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landfall", default="build/src/cli/landfall")
    parser.add_argument("--work-dir", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "landfall-shapes")
    parser.add_argument("--shape", action="append", choices=sorted(make_shapes.SHAPES))
    parser.add_argument("--input-len", type=int, default=512)
    parser.add_argument("--output-len", type=int, default=64)
    parser.add_argument("--num-iters", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--llama-only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--gguf", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.llama_only:
        run_llama(args)
        return
    json.dump([compare(args, shape) for shape in args.shape or ["0.6B", "1.7B"]], sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
