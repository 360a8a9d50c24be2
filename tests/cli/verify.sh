#!/bin/sh
# The bring-up from the command line: signed off with real weights, never with dummy weights, never on a broken or edited thing.
. "$(dirname "$0")/lib.sh"
model=$models/landfall-tiny-qwen3-fp8

expect "bring-up of the bundled checkpoint" 0 "$landfall" verify "$model" --output-dir "$tmp/real" --hash-data
[ "$(tail -n 1 "$tmp/out")" = "signed off" ] && pass "ends with 'signed off'" || fail "ends with 'signed off'" "$(tail -n 1 "$tmp/out")"
says "report for people" "$tmp/real/report.md" "signed off"
says "dummy column says what it cannot prove" "$tmp/real/report.md" "| answers are right | cannot | proved |"
expect "report is believed" 0 "$landfall" verify --recheck "$tmp/real/report.json"
expect "report belongs to this checkpoint" 0 "$landfall" verify --recheck "$tmp/real/report.json" "$model"

cp -r "$tmp/real" "$tmp/edited"
sed -i 's/"signed_off": true/"signed_off":  true/; s/landfall-tiny/landfall-tinY/' "$tmp/edited/report.json"
expect "edited report is refused" 1 "$landfall" verify --recheck "$tmp/edited/report.json"
says "the digest is named" "$tmp/err" "digest"

expect "dummy weights alone" 1 "$landfall" verify --load-format dummy "$model" --output-dir "$tmp/dummy"
says "the reason is said" "$tmp/out" "dummy weights alone never sign off"
[ "$(tail -n 1 "$tmp/out")" = "not signed off" ] && pass "ends with 'not signed off'" || fail "ends with 'not signed off'" "$(tail -n 1 "$tmp/out")"
expect "dummy report is refused" 1 "$landfall" verify --recheck "$tmp/dummy/report.json"

# The same checkpoint with one block of one weight changed: the headers agree, the data digest does not.
cp -r "$model" "$tmp/other"
shard=$(ls "$tmp/other"/*.safetensors | head -n 1)
size=$(wc -c <"$shard")
printf '\001\002\003\004' | dd of="$shard" bs=1 seek=$((size - 64)) conv=notrunc 2>/dev/null
expect "report of another checkpoint's data" 1 "$landfall" verify --recheck "$tmp/real/report.json" "$tmp/other"
says "the other data is named" "$tmp/err" "is not the one of the report"

# A wrong expectation: everything runs, the answer is not what it must be.
sed 's/"expect": *"[^"]*"/"expect": "Atlantis"/' "$model/landfall-probes.json" >"$tmp/probes.json"
expect "wrong answers are not signed off" 1 "$landfall" verify "$model" --probes "$tmp/probes.json" --output-dir "$tmp/wrong"
says "the failed step is named" "$tmp/out" "real.answer failed"

expect "no such model" 3 "$landfall" verify "$tmp/absent" --output-dir "$tmp/none"
expect "no such probes" 1 "$landfall" verify "$model" --probes "$tmp/absent.json" --output-dir "$tmp/none"
expect "output folder that cannot be made" 3 "$landfall" verify "$model" --output-dir "$tmp/a/b/c"
finish
