#!/bin/sh
# `convert` from the command line: the converted directory answers as the original does, goes on after a kill, and nothing that
# does not pair is converted.
. "$(dirname "$0")/lib.sh"
golden=$(dirname "$0")/../golden
model=$models/landfall-tiny-qwen3-fp8
good=$golden/qwen3_fp8_block/checkpoint

# absent NAME FILE: the file is not there.
absent() {
    if [ -e "$2" ]; then fail "$1" "$2 is there"; else pass "$1"; fi
}

# same NAME FILE FILE
same() {
    if cmp -s "$2" "$3"; then pass "$1"; else fail "$1" "$2 and $3 differ"; fi
}

expect "dry run" 0 "$landfall" convert "$model" "$tmp/bf16" --dry-run
says "the plan is printed" "$tmp/out" "dequantized  35 tensors"
absent "a dry run writes nothing" "$tmp/bf16"
expect "convert and verify" 0 "$landfall" convert "$model" "$tmp/bf16" --shard-size 2m --verify
says "three shards" "$tmp/out" "wrote 3 shards"
says "all verified" "$tmp/out" "verified 3 shards"
expect "check the result" 0 "$landfall" check "$tmp/bf16" --all
says "no finding at all" "$tmp/out" "ok: 0 errors, 0 warnings"
says "nothing is quantized" "$tmp/out" "not quantized"
for prompt in "What is the capital of France?" "What is the capital of Japan?"; do
    expect "the original's answer" 0 "$landfall" run "$model" -p "$prompt"
    cp "$tmp/out" "$tmp/answer"
    expect "the result's answer" 0 "$landfall" run "$tmp/bf16" -p "$prompt"
    same "both are the same" "$tmp/answer" "$tmp/out"
done
same "tokenizer.json" "$model/tokenizer.json" "$tmp/bf16/tokenizer.json"
if grep -q quantization "$tmp/bf16/config.json"; then fail "config is clean" "quantization"; else pass "config is clean"; fi
expect "a second run" 0 "$landfall" convert "$model" "$tmp/bf16" --shard-size 2m
says "has nothing to do" "$tmp/out" "complete already"
expect "one file" 0 "$landfall" convert "$model" "$tmp/single" --copy --json
says "json: shards" "$tmp/out" '"shards": 1'
says "json: verdict" "$tmp/out" '"ok": true'
absent "no index beside one file" "$tmp/single/model.safetensors.index.json"
expect "check the one file" 0 "$landfall" check "$tmp/single"

expect "what is bf16 already" 1 "$landfall" convert "$tmp/single" "$tmp/none"
says "is named" "$tmp/err" "is not quantized"
absent "and nothing is made" "$tmp/none"
expect "another shard size" 2 "$landfall" convert "$model" "$tmp/bf16" --shard-size 3m
says "is named" "$tmp/err" "another --shard-size"
expect "another rounding" 2 "$landfall" convert "$model" "$tmp/bf16" --shard-size 2m --dequant-rounding bf16-scale
says "is named" "$tmp/err" "another --dequant-rounding"
expect "another source" 2 "$landfall" convert "$good" "$tmp/bf16" --shard-size 2m
says "is named" "$tmp/err" "of another checkpoint"
mkdir "$tmp/foreign"
echo x >"$tmp/foreign/notes"
expect "a foreign directory" 2 "$landfall" convert "$good" "$tmp/foreign"
says "is left alone" "$tmp/err" "holds no conversion"
cp -r "$good" "$tmp/model"
expect "into the model" 2 "$landfall" convert "$tmp/model" "$tmp/model"
expect "below the model" 2 "$landfall" convert "$tmp/model" "$tmp/model/bf16"
absent "and nothing is made" "$tmp/model/bf16"
ln -s model "$tmp/link"
expect "below the model, through a link" 2 "$landfall" convert "$tmp/model" "$tmp/link/bf16"
expect "no OUT" 2 "$landfall" convert "$good"
expect "no such model" 3 "$landfall" convert "$tmp/absent" "$tmp/none"
expect "no such parent" 3 "$landfall" convert "$good" "$tmp/absent/none"

# One scale under another name: refused from headers, as check says it.
sed -i 's/layers\.1\.mlp\.up_proj\.weight_scale_inv/layers.1.mlp.up_proj.weight_scale_inX/' "$tmp"/model/model*
expect "a missing scale" 1 "$landfall" convert "$tmp/model" "$tmp/none"
says "is a finding" "$tmp/out" "error scale-missing (1)"
says "the verdict" "$tmp/out" "not converted: "
expect "a missing scale as JSON" 1 "$landfall" convert "$tmp/model" "$tmp/none" --json
says "json: the finding" "$tmp/out" '"code": "scale-missing"'
absent "nothing is made" "$tmp/none"

# An index that names files outside.
cp -r "$model" "$tmp/escape"
sed -i 's|"model-00002-of-00002.safetensors"|"../escape/model-00002-of-00002.safetensors"|' "$tmp/escape/model.safetensors.index.json"
expect "an index that leaves the directory" 1 "$landfall" convert "$tmp/escape" "$tmp/none"
says "is a finding" "$tmp/out" "index-path"
absent "nothing is made" "$tmp/none"

# NaN codes: the tensor is named, nothing of its shard remains, and the directory does not load.
cp -r "$good" "$tmp/damaged"
shard=$(grep -l 'down_proj.weight"' "$tmp"/damaged/*.safetensors | head -n 1)
size=$(wc -c <"$shard")
head -c 64 /dev/zero | tr '\0' '\377' | dd of="$shard" bs=1 seek=$((size - 20000)) conv=notrunc 2>/dev/null
expect "damaged data" 1 "$landfall" convert "$tmp/damaged" "$tmp/none" --shard-size 200k
says "the tensor is named" "$tmp/err" "NaN code in 'model."
absent "no config" "$tmp/none/config.json"
if ls "$tmp/none" | grep -q partial; then fail "no partial file" "$(ls "$tmp/none")"; else pass "no partial file"; fi
finish
