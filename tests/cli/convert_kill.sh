#!/bin/sh
# `convert` killed with SIGKILL by the clock: at many moments of a run, then again and again through one conversion. The next
# run must end in the same files as an undisturbed one. LF_TEST_FULL=1: ten times as many moments. (tests/convert kills before
# every system call; this script kills the real program.)
#
# --foreground: otherwise timeout kills itself too and does not wait for the program, which the next run then finds at work.
. "$(dirname "$0")/lib.sh"
model=$models/landfall-tiny-qwen3-fp8
moments=20
[ -z "${LF_TEST_FULL-}" ] || moments=200

convert() {
    "$landfall" convert "$model" "$tmp/bf16" --shard-size 100k --verify >"$tmp/out" 2>"$tmp/err"
}

# same NAME: the result is the undisturbed one.
same() {
    if diff -r "$tmp/reference" "$tmp/bf16" >"$tmp/diff" 2>&1; then pass "$1"; else
        fail "$1" "$(head -n 3 "$tmp/diff")"
    fi
}

begin=$(date +%s%N)
convert
milliseconds=$((($(date +%s%N) - begin) / 1000000 + 1))
mv "$tmp/bf16" "$tmp/reference"
n_shard=$(ls "$tmp/reference" | grep -c '\.safetensors$')

killed=0
wrong=0
for i in $(seq "$moments"); do
    rm -rf "$tmp/bf16"
    at=$((milliseconds * 1000 * i / moments))
    timeout --foreground -s KILL "$(printf '%d.%06d' $((at / 1000000)) $((at % 1000000)))" \
        "$landfall" convert "$model" "$tmp/bf16" --shard-size 100k --verify >/dev/null 2>&1 || killed=$((killed + 1))
    if [ -e "$tmp/bf16/config.json" ] && [ "$(ls "$tmp/bf16" | grep -c '\.safetensors$')" -ne "$n_shard" ]; then wrong=$((wrong + 1)); fi
    convert && diff -r "$tmp/reference" "$tmp/bf16" >"$tmp/diff" 2>&1 || wrong=$((wrong + 1))
done
if [ "$wrong" -eq 0 ]; then pass "killed at $killed of $moments moments of $milliseconds ms"; else fail "killed at $moments moments" "$wrong went wrong"; fi

rm -rf "$tmp/bf16"
at=5000
rounds=0
until timeout --foreground -s KILL "$(printf '%d.%06d' $((at / 1000000)) $((at % 1000000)))" \
    "$landfall" convert "$model" "$tmp/bf16" --shard-size 100k --verify >/dev/null 2>&1; do
    rounds=$((rounds + 1))
    at=$((at + at / 8))
done
same "done after $rounds kills"
if [ "$rounds" -gt 0 ]; then pass "it was killed at all"; else fail "it was killed at all" "the first run was too fast"; fi
finish
