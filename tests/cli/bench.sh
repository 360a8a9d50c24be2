#!/bin/sh
# landfall bench: every figure is there and is a number, dummy weights need config.json only, wrong usage is named.
. "$(dirname "$0")/lib.sh"

checkpoint=$models/../tests/golden/qwen3_bf16/checkpoint
run() { # NAME MODEL FLAGS...
    name=$1 model=$2
    shift 2
    expect "$name" 0 "$landfall" bench latency "$model" --input-len 20 --output-len 5 --batch-size 2 --num-iters 3 \
        --num-iters-warmup 1 "$@"
}

run "bench with real weights" "$checkpoint" --output-json "$tmp/bench.json" --json
for key in prefill_tokens_per_second decode_tokens_per_second read_bandwidth_bytes_per_second matmul_peak_flop_per_second \
    decode_bandwidth_share prefill_peak_share linear_peak_share load_seconds load_bandwidth_bytes_per_second avg_latency; do
    if grep -qE "\"$key\": [0-9]*\.?[0-9]*[1-9]" "$tmp/out"; then pass "$key is a number above 0"; else fail "$key" "absent or 0"; fi
done
if cmp -s "$tmp/out" "$tmp/bench.json"; then pass "--output-json holds the same"; else fail "--output-json" "differs from stdout"; fi
expect "no partial file is left" 1 sh -c "ls '$tmp' | grep partial"

mkdir "$tmp/config-only"
cp "$checkpoint/config.json" "$tmp/config-only"
run "bench with dummy weights" "$tmp/config-only" --load-format dummy
says "the figures are printed" "$tmp/out" "decode"

expect "context too long" 2 "$landfall" bench latency "$checkpoint" --input-len 5000 --num-iters 1
says "the limit is named" "$tmp/err" "limit of 512 tokens"
expect "another benchmark" 2 "$landfall" bench throughput "$checkpoint"
expect "output that cannot be written" 3 "$landfall" bench latency "$checkpoint" --input-len 4 --output-len 2 --num-iters 1 \
    --num-iters-warmup 0 --output-json /nonexistent/bench.json
says "the file is named" "$tmp/err" "/nonexistent/bench.json"
finish
