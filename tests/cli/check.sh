#!/bin/sh
# `check` and `inspect` from the command line: what they print, and the exit status.
. "$(dirname "$0")/lib.sh"
golden=$(dirname "$0")/../golden
good=$golden/qwen3_fp8_block/checkpoint

for model in "$golden"/*/checkpoint; do
    expect "check $(basename "$(dirname "$model")")" 0 "$landfall" check "$model"
done
expect "check for several ranks" 0 "$landfall" check "$good" --tensor-parallel-size 3
says "replicated KV heads are noted" "$tmp/out" "kv-replicated"
says "cut blocks are noted" "$tmp/out" "blocks-cut"
says "the shape that an even split gets wrong" "$tmp/out" "k_proj: 24 expected, an even split gives 8"
expect "expert parallelism of a dense model" 0 "$landfall" check "$good" --tp 3 --enable-expert-parallel
expect "expert-parallel size" 0 "$landfall" check "$good" --ep 2
says "a missing tokenizer is a warning" "$tmp/out" "warning tokenizer-missing"
expect "more ranks than heads" 0 "$landfall" check "$good" -tp 64
says "idle ranks are a warning" "$tmp/out" "warning ranks-idle"
expect "check --json" 0 "$landfall" check "$good" --json --tp 2
says "json: verdict" "$tmp/out" '"ok": true'
says "json: scheme" "$tmp/out" '"scheme": "fp8 e4m3, block 128x128, BF16 scales"'

# One scale under another name in index and shard: its weight is unpaired, the other name is a stranger.
cp -r "$good" "$tmp/renamed"
sed -i 's/layers\.1\.mlp\.up_proj\.weight_scale_inv/layers.1.mlp.up_proj.weight_scale_inX/' "$tmp"/renamed/model*
expect "renamed scale" 1 "$landfall" check "$tmp/renamed"
says "the missing scale is named" "$tmp/out" "model.layers.1.mlp.up_proj.weight_scale_inv, [3, 2]"
says "the count is in the last line" "$tmp/out" "failed: "
expect "renamed scale as JSON" 1 "$landfall" check "$tmp/renamed" --json
says "json: the finding" "$tmp/out" '"code": "scale-missing"'
expect "findings as SARIF" 1 "$landfall" check "$tmp/renamed" --sarif "$tmp/log.sarif"
says "sarif: the rule" "$tmp/log.sarif" '"ruleId": "scale-missing"'
says "sarif: the shard of the tensor" "$tmp/log.sarif" '.safetensors"'
says "sarif: the tensor" "$tmp/log.sarif" '"fullyQualifiedName": "model.layers.1.mlp.up_proj.weight"'
expect "SARIF to a folder that is not there" 3 "$landfall" check "$good" --sarif "$tmp/absent/log.sarif"

# Headers do not show what is in the data: the last bytes of a shard as NaN codes.
cp -r "$good" "$tmp/damaged"
shard=$(grep -l 'down_proj.weight"' "$tmp"/damaged/*.safetensors | head -n 1)
size=$(wc -c <"$shard")
head -c 64 /dev/zero | tr '\0' '\377' | dd of="$shard" bs=1 seek=$((size - 20000)) conv=notrunc 2>/dev/null
expect "damaged data, headers only" 0 "$landfall" check "$tmp/damaged"
expect "damaged data, --deep" 1 "$landfall" check --deep "$tmp/damaged"
says "the data's fault is named" "$tmp/out" "nan-code"
expect "good data, --deep" 0 "$landfall" check --deep "$good"
says "deep: the rate" "$tmp/out" "of data read in"
expect "good data, --deep --json" 0 "$landfall" check --deep --json "$good"
says "deep: digests" "$tmp/out" '"digests": {'

cp -r "$good" "$tmp/short"
shard=$tmp/short/model-00002-of-00003.safetensors
truncate -s -1 "$shard"
expect "truncated shard" 1 "$landfall" check "$tmp/short"
says "the shard is named" "$tmp/out" "model-00002-of-00003.safetensors"
says "the cause is named" "$tmp/out" "data-truncated"
rm "$shard"
expect "missing shard" 1 "$landfall" check "$tmp/short"
says "the missing shard is named" "$tmp/out" "error shard-missing (1)"
if grep -q "parameter-missing" "$tmp/out"; then fail "its parameters are told once" "parameter-missing"; else pass "its parameters are told once"; fi

cp -r "$good" "$tmp/config"
echo '{' >"$tmp/config/config.json"
expect "broken config.json" 1 "$landfall" check "$tmp/config"
says "config is named" "$tmp/out" "config-invalid"
rm "$tmp/config/config.json"
expect "missing config.json" 1 "$landfall" check "$tmp/config"
says "missing config is named" "$tmp/out" "config-missing"
sed 's/Qwen3ForCausalLM/UnheardOfForCausalLM/; s/"qwen3"/"unheard"/' "$good/config.json" >"$tmp/config/config.json"
expect "unknown architecture" 0 "$landfall" check "$tmp/config"
says "only table-free checks ran" "$tmp/out" "the parameter table was not compared"

expect "no such directory" 3 "$landfall" check "$tmp/absent"
mkdir "$tmp/empty"
expect "empty directory" 3 "$landfall" check "$tmp/empty"
expect "a file instead of a directory" 3 "$landfall" check "$good/config.json"
expect "bad rank count" 2 "$landfall" check "$good" --tp 0

expect "inspect" 0 "$landfall" inspect "$good"
says "inspect: architecture" "$tmp/out" "Qwen3ForCausalLM"
says "inspect: parameters" "$tmp/out" "(497536)"
says "inspect: parts" "$tmp/out" "attention"
says "inspect: needs per rank" "$tmp/out" "ranks (tensor parallel)"
expect "inspect a broken checkpoint" 0 "$landfall" inspect "$tmp/renamed"
says "inspect points at check" "$tmp/out" "landfall check"
expect "inspect --tensors" 0 "$landfall" inspect "$good" --tensors '*.1.mlp.*_scale_inv'
says "the pattern selects" "$tmp/out" "3 tensors"
expect "inspect --json" 0 "$landfall" inspect "$good" --json --tensors '*norm*'
says "json: tensor list" "$tmp/out" '"name": "model.norm.weight"'
says "json: parts" "$tmp/out" '"part": "norms"'
says "json: needs" "$tmp/out" '"per_rank"'
expect "pattern without --tensors" 2 "$landfall" inspect "$good" '*'
expect "inspect nothing" 3 "$landfall" inspect "$tmp/empty"
finish
