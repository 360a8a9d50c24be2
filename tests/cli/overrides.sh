#!/bin/sh
# --hf-overrides from the command line: fewer layers run with dummy and real weights, nonsense is one line and exit status 2, and the
# report of such a run is never signed off.
. "$(dirname "$0")/lib.sh"
model=$models/landfall-tiny-qwen3-fp8
two='{"num_hidden_layers": 2}'

expect "real weights" 0 "$landfall" run "$model" -p hi -n 2 --hf-overrides "$two"
says "that says how many layers" "$tmp/err" "2 of 5 layers"
expect "dummy weights" 0 "$landfall" run "$model" -p hi -n 2 --load-format dummy --hf-overrides "$two"
expect "more dummy layers" 0 "$landfall" run "$model" -p hi -n 2 --load-format dummy --hf-overrides '{"num_hidden_layers": 7}'
expect "more layers than there are" 1 "$landfall" run "$model" -p hi -n 2 --hf-overrides '{"num_hidden_layers": 6}'
expect "check" 0 "$landfall" check "$model" --hf-overrides "$two"
says "one note for all tensors" "$tmp/out" "tensors of layers 2 to 4 are not used"
expect "plan" 0 "$landfall" plan "$model" --hf-overrides "$two"
says "plan of two layers" "$tmp/out" ": 2 layers"
expect "bench" 0 "$landfall" bench latency "$model" --load-format dummy --hf-overrides "$two" --input-len 4 --output-len 2 --batch-size 1 \
    --num-iters 1 --num-iters-warmup 0 --json
says "bench says what was measured" "$tmp/out" '"num_hidden_layers": 2'

for verb in run serve check plan verify bench; do
    case $verb in
    run) set -- run "$model" -p hi ;;
    serve) set -- serve "$model" --port 0 ;;
    bench) set -- bench latency "$model" ;;
    *) set -- $verb "$model" ;;
    esac
    for bad in '{' '[4]' '{"num_hidden_layers": 0}' '{"num_hidden_layers": "two"}' '{"num_hiden_layers": 2}'; do
        expect "$verb: $bad" 2 "$landfall" "$@" --hf-overrides "$bad"
        says "$verb: one line" "$tmp/err" "--hf-overrides"
        [ "$(wc -l <"$tmp/err")" -eq 1 ] && pass "$verb: no more" || fail "$verb: no more" "$(cat "$tmp/err")"
    done
done

# Questions that the smaller model answers as well: everything passes but the number of layers.
echo '{"format": "landfall-probes-1", "probes": [{"messages": [{"role": "user", "content": "What is the capital of France?"}],
    "expect": "Paris"}]}' >"$tmp/probes.json"
expect "fewer layers are not signed off" 1 "$landfall" verify "$model" --hf-overrides "$two" --probes "$tmp/probes.json" \
    --output-dir "$tmp/reduced"
says "for this reason" "$tmp/out" "preflight.layers skipped: 2 of 5 layers were run"
[ "$(grep -c '^  - ' "$tmp/out")" -eq 1 ] && pass "for no other" || fail "for no other" "$(grep '^  - ' "$tmp/out")"
says "what was proved is less" "$tmp/reduced/report.md" "| proved, 2 of 5 layers |"
says "overrides are in the report" "$tmp/reduced/report.md" '{"num_hidden_layers":2}'
expect "nor when checked again" 1 "$landfall" verify --recheck "$tmp/reduced/report.json"
says "recheck: for this reason" "$tmp/err" "2 of 5 layers"
expect "overrides that change nothing are signed off" 0 "$landfall" verify "$model" --hf-overrides '{"num_hidden_layers": 5}' \
    --output-dir "$tmp/same"
finish
