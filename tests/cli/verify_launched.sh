#!/bin/sh
# The bring-up on ranks that mpirun has started: the same report as on ranks of its own, and a report all the same when a rank
# dies or a tensor is damaged. Arguments: LANDFALL MODELS.
. "$(dirname "$0")/../comm/lib.sh"
model=$models/landfall-tiny-qwen3-fp8

verify() { # N ARGUMENTS...: on N ranks
    n=$1
    shift
    launch "$n" "$landfall" verify "$@"
}

# expect_verify NAME STATUS N ARGUMENTS... The hydra of MPICH kills the other ranks when rank 0 ends with a status that is not 0,
# and says so by its own.
expect_verify() {
    name=$1 status=$2
    shift 2
    verify "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    found=$?
    if ! $is_open_mpi && [ "$status" -eq 1 ] && [ "$found" -eq 9 ]; then found=1; fi
    if [ "$found" -eq "$status" ]; then pass "$name"; else fail "$name" "exit status $found, expected $status: $(tail -n 5 "$tmp/out" "$tmp/err")"; fi
}

nobody_is_left() { # NAME
    i=0
    while pgrep -f -- "verify $model --output-dir $tmp" >/dev/null && [ "$i" -lt 100 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    if [ "$i" -lt 100 ]; then pass "$1: nobody is left"; else fail "$1: nobody is left" "$(pgrep -af -- "$tmp")"; fi
}

# causes NAME PATTERN: what Landfall itself says on stderr, beside the launcher.
causes() {
    grep -E '^landfall ' "$tmp/err" >"$tmp/lines"
    if [ "$(wc -l <"$tmp/lines")" -eq 1 ] && grep -qE -- "$2" "$tmp/lines"; then pass "$1"; else fail "$1" "$(cat "$tmp/lines")"; fi
}

# ---- signed off ----
expect_verify "three ranks" 0 3 "$model" --compare-single-rank --output-dir "$tmp/three"
says "is signed off" "$tmp/out" "signed off"
says "with dummy weights the ranks agree with one" "$tmp/out" "dummy.single_rank passed"
says "with real weights too" "$tmp/out" "real.single_rank passed"
says "topology" "$tmp/three/report.md" "Tensor-parallel size 3, no expert parallelism; 1 host."
says "replicated KV heads" "$tmp/three/report.md" "KV head 0 on ranks 0-1, KV head 1 on ranks 1-2."
says "bytes" "$tmp/three/report.md" "All ranks together have read"
nobody_is_left "three ranks"
expect "checked again" 0 "$landfall" verify --recheck "$tmp/three/report.json" "$model"
timeout 120 "$landfall" verify "$model" -tp 3 --compare-single-rank --output-dir "$tmp/own" >/dev/null 2>&1
for trace in dummy.ranks real.ranks real.one_rank; do
    if cmp -s "$tmp/three/$trace.trace" "$tmp/own/$trace.trace"; then pass "same bits as on ranks of its own: $trace"; else fail "same bits: $trace" "differs"; fi
done
expect_verify "two ranks that are asked for" 0 2 "$model" -tp 2 --output-dir "$tmp/two"
expect_verify "one rank" 0 1 "$model" --output-dir "$tmp/one"
says "one rank: has none to compare" "$tmp/out" "there is one rank only"

# ---- not signed off ----
expect_verify "dummy weights" 1 2 "$model" --load-format dummy --output-dir "$tmp/dummy"
says "alone never sign off" "$tmp/out" "dummy weights alone never sign off"
cp -r "$model" "$tmp/damaged"
shard=$(grep -l 'down_proj.weight"' "$tmp"/damaged/*.safetensors | head -n 1)
size=$(wc -c <"$shard")
head -c 64 /dev/zero | tr '\0' '\377' | dd of="$shard" bs=1 seek=$((size - 20000)) conv=notrunc 2>/dev/null
expect_verify "a damaged tensor" 1 3 "$tmp/damaged" --output-dir "$tmp/report"
says "is named" "$tmp/report/report.md" "NaN code in 'model."
says "and only real weights show it" "$tmp/out" "dummy.stop      passed"

# ---- wrong use ----
expect_verify "another number of ranks" 2 2 "$model" -tp 3 --output-dir "$tmp/none"
causes "is one line" "not the number of ranks that the launcher started: expected 2, found 3"
expect_verify "two ranks where one is" 2 1 "$model" -tp 2 --output-dir "$tmp/none"
causes "is one line too" "not the number of ranks that the launcher started: expected 1, found 2"
expect_verify "no model" 2 2 --output-dir "$tmp/none"
expect_verify "no such model" 3 2 "$tmp/nowhere" --output-dir "$tmp/none"
says "no such model is named" "$tmp/err" "cannot open the model directory $tmp/nowhere"

# ---- a rank dies ----
# Longer texts than the bundled probes, so that there is time to die.
cat >"$tmp/probes.json" <<'END'
{"format": "landfall-probes-1", "probes": [
    {"messages": [{"role": "user", "content": "Tell me something."}], "expect": "nobody says this", "max_tokens": 1800},
    {"messages": [{"role": "user", "content": "And more."}], "expect": "nobody says this", "max_tokens": 1800}]}
END
# The process that is rank R: the last of two for rank 0, whose first one only asks.
rank() {
    for pid in $(pgrep -f -- "verify $model --output-dir $tmp"); do
        if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qxE "(OMPI_COMM_WORLD_RANK|PMI_RANK)=$1"; then echo "$pid"; fi
    done | tail -n 1
}
for who in 0 1 2; do
    rm -rf "$tmp/dies"
    verify 3 "$model" --output-dir "$tmp/dies" --probes "$tmp/probes.json" >"$tmp/out" 2>"$tmp/err" &
    verifying=$!
    i=0
    while ! grep -q '^  dummy.text' "$tmp/out" && [ "$i" -lt 300 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    begin=$(date +%s)
    kill -9 "$(rank "$who")"
    wait "$verifying"
    found=$? took=$(($(date +%s) - begin))
    if [ "$found" -ne 0 ] && [ "$took" -le 12 ]; then pass "rank $who dies: in time"; else fail "rank $who dies: in time" "exit status $found after $took s"; fi
    nobody_is_left "rank $who dies"
    $is_open_mpi || [ "$who" -eq 0 ] || continue # hydra kills rank 0 before it can write
    says "rank $who dies: the report tells" "$tmp/dies/report.md" "real.start failed"
    says "rank $who dies: its server has not ended well" "$tmp/out" "dummy.stop      failed"
    if [ "$who" -gt 0 ]; then says "rank $who dies: and names it" "$tmp/dies/report.md" "rank $who (pid"; fi
done
finish
