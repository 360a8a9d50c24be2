#!/bin/sh
# run --trace-layers: a line for every point of every step, the same answer as without, and no file behind a failure.
. "$(dirname "$0")/lib.sh"
model=$models/landfall-tiny-qwen3-fp8
question="What is the capital of France?"

expect "without a trace" 0 "$landfall" run "$model" -p "$question" -n 3 --ignore-eos --temperature 0
cp "$tmp/out" "$tmp/plain"
expect "with a trace" 0 "$landfall" run "$model" -p "$question" -n 3 --ignore-eos --temperature 0 --trace-layers "$tmp/trace"
cmp -s "$tmp/out" "$tmp/plain" && pass "the same answer" || fail "the same answer" "$(cat "$tmp/out")"
# A head; three steps of embedding, five layers of two points, norm and logits.
[ "$(wc -l <"$tmp/trace")" -eq 40 ] && pass "every point of every step" || fail "every point of every step" "$(wc -l <"$tmp/trace")"
says "the head" "$tmp/trace" '"format":"landfall-trace-1"'
[ "$(grep -c '"point":"logits"' "$tmp/trace")" -eq 3 ] && pass "logits of each step" || fail "logits of each step" "another number"
says "statistics" "$tmp/trace" '"n_not_finite":0'

expect "a folder that is not there" 3 "$landfall" run "$model" -p "$question" -n 1 --trace-layers "$tmp/none/trace"
says "the file is named" "$tmp/err" "$tmp/none/trace"
expect "a model that is not there" 3 "$landfall" run "$tmp/none" -p "$question" -n 1 --trace-layers "$tmp/left"
[ -e "$tmp/left" ] && fail "no file behind a failure" "there is one" || pass "no file behind a failure"
finish
