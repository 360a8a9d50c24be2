#!/bin/sh
# `plan` from the command line: the table, the marks of replicated KV heads, JSON, and that config.json is enough.
. "$(dirname "$0")/lib.sh"
golden=$(dirname "$0")/../golden

mkdir "$tmp/model"
cp "$golden/qwen3_bf16/checkpoint/config.json" "$tmp/model/"
expect "one rank" 0 "$landfall" plan "$tmp/model"
says "all heads on one rank" "$tmp/out" "0-5"
if grep -q '\*' "$tmp/out"; then fail "one rank replicates nothing" "a mark"; else pass "one rank replicates nothing"; fi
expect "three ranks" 0 "$landfall" plan "$tmp/model" --tensor-parallel-size 3
if grep -q '\*' "$tmp/out"; then fail "even division replicates nothing" "a mark"; else pass "even division replicates nothing"; fi
expect "four ranks for 6 query and 3 KV heads" 0 "$landfall" plan "$tmp/model" -tp 4
says "replicated heads are marked" "$tmp/out" "* holds KV heads that other ranks hold too"
expect "more ranks than heads" 0 "$landfall" plan "$tmp/model" --tp 7
says "an idle rank is shown" "$tmp/out" "none"
expect "the cache column" 0 "$landfall" plan "$tmp/model" --max-model-len 1K
says "the context is named" "$tmp/out" "context: 1024 tokens"

expect "plan --json" 0 "$landfall" plan "$tmp/model" -tp 5 --json
says "json: ranks" "$tmp/out" '"tensor_parallel_size": 5'
says "json: replicated heads" "$tmp/out" '"kv_heads_replicated"'

sparse=$golden/moe/minimax_m2_bf16/checkpoint
expect "experts cut by width" 0 "$landfall" plan "$sparse" --tp 4 --json
says "a part of each" "$(tr -d ' \n' <"$tmp/out" >"$tmp/flat"; echo "$tmp/flat")" '"intermediate":[5,10],"experts":[0,8]'
expect "experts dealt out" 0 "$landfall" plan "$sparse" --tp 4 --enable-expert-parallel --json
says "some, whole" "$(tr -d ' \n' <"$tmp/out" >"$tmp/flat"; echo "$tmp/flat")" '"intermediate":[0,20],"experts":[2,4]'
expect "no model" 2 "$landfall" plan
expect "no such directory" 3 "$landfall" plan "$tmp/absent"
says "the file is named" "$tmp/err" "config.json"
expect "bad rank count" 2 "$landfall" plan "$tmp/model" -tp 0
sed 's/Qwen3ForCausalLM/UnheardOfForCausalLM/' "$tmp/model/config.json" >"$tmp/config.json"
expect "unknown architecture, no weights" 0 "$landfall" plan "$tmp" --tp 2
says "the weights are not known" "$tmp/out" "weights from nowhere"
cp "$golden"/qwen3_bf16/checkpoint/*.safetensors "$tmp/"
expect "unknown architecture with weights" 0 "$landfall" plan "$tmp" --json
says "json: no table" "$tmp/out" '"has_table": false'
total=$(sed -n 's/.*"weight_bytes": \([0-9]*\).*/\1/p' "$tmp/out")
stored=$("$landfall" inspect "$tmp" --json | sed -n 's/^  "bf16_bytes": \([0-9]*\).*/\1/p')
if [ -n "$total" ] && [ "$total" = "$stored" ]; then pass "one rank holds it all"; else fail "one rank holds it all" "$total, not $stored"; fi
expect "KV cache of several sequences" 0 "$landfall" plan "$tmp/model" --max-model-len 1K --max-num-seqs 3
says "their tokens" "$tmp/out" "context: 3072 tokens in 3 sequences"
expect "sizes of other engines" 0 "$landfall" plan "$tmp/model" --tp 4
says "what divides" "$tmp/out" "not this one: num_attention_heads 6 is not divisible by 4"
echo '{"architectures": ["UnheardOf"], "hidden_size": 8}' >"$tmp/config.json"
expect "no heads in config.json" 1 "$landfall" plan "$tmp"
says "that is said" "$tmp/err" "says nothing about attention heads"
finish
