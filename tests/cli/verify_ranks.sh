#!/bin/sh
# The bring-up on several ranks: the report says who holds and has read what, and the ranks' logits are those of one rank.
. "$(dirname "$0")/../comm/lib.sh"
model=$models/landfall-tiny-qwen3-fp8

expect "three ranks for two KV heads" 0 "$landfall" verify "$model" -tp 3 --compare-single-rank --enable-expert-parallel \
    --output-dir "$tmp/three"
says "the ranks agree with one" "$tmp/out" "real.single_rank passed"
says "with dummy weights too" "$tmp/out" "dummy.single_rank passed"
says "topology" "$tmp/three/report.md" "Tensor-parallel size 3, no expert parallelism; 1 host."
says "replicated KV heads" "$tmp/three/report.md" "KV head 0 on ranks 0-1, KV head 1 on ranks 1-2."
says "dense models have no experts" "$tmp/three/report.md" "not applicable to a dense model: architectures is Qwen3ForCausalLM"
says "bytes" "$tmp/three/report.md" "All ranks together have read"
says "the claim is proved" "$tmp/three/report.md" "| several ranks compute what one does | proved | proved |"
says "the tolerance and its rule" "$tmp/three/report.json" '"tolerance_rule"'
expect "checked again" 0 "$landfall" verify --recheck "$tmp/three/report.json" "$model"
sed -i 's/"max":1/"max":2/' "$tmp/three/real.ranks.trace"
expect "a trace that was edited" 1 "$landfall" verify --recheck "$tmp/three/report.json"
says "the trace is named" "$tmp/err" "real.ranks.trace was changed"

expect "not asked for, not needed" 0 "$landfall" verify "$model" -tp 2 --output-dir "$tmp/two"
says "and not claimed" "$tmp/two/report.md" "| several ranks compute what one does | not applicable | not applicable |"
expect "fewer layers on two ranks" 1 "$landfall" verify "$model" -tp 2 --compare-single-rank --hf-overrides '{"num_hidden_layers": 2}' \
    --output-dir "$tmp/reduced"
says "compare with fewer layers" "$tmp/out" "real.single_rank passed"
says "no sign-off all the same" "$tmp/out" "2 of 5 layers were run"
if $is_open_mpi; then # two programs at once, as two hosts with different scripts would be
    expect "a rank with other overrides" 3 "$mpirun" --allow-run-as-root --oversubscribe -n 1 "$landfall" run "$model" -p hi -n 1 : \
        -n 1 "$landfall" run "$model" -p hi -n 1 --hf-overrides '{"num_hidden_layers": 2}'
    says "the rank is named" "$tmp/err" "rank 1 has another"
fi
expect "no ranks" 2 "$landfall" verify "$model" -tp 0 --output-dir "$tmp/none"
expect "more than there may be" 2 "$landfall" verify "$model" -tp 100 --output-dir "$tmp/none"
says "why" "$tmp/err" "at most 64 ranks are started on this machine"
if [ -e "$tmp/none" ]; then fail "no report of that" "$tmp/none"; else pass "no report of that"; fi
expect "ranks that are none" 2 "$landfall" verify "$model" -tp two --output-dir "$tmp/none"
for verb in check plan; do
    expect "$verb: experts of a dense model" 0 "$landfall" $verb "$model" --tp 2 --enable-expert-parallel
    says "$verb: not applicable" "$tmp/out" "not applicable to a dense model"
done
expect "run: experts of a dense model" 0 "$landfall" run "$model" -p hi -n 1 -tp 2 --enable-expert-parallel
says "run: not applicable" "$tmp/err" "not applicable to a dense model"
finish
