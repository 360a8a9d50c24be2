#!/bin/sh
# The server from the command line: starts, answers, stops; refuses broken checkpoints and taken ports.
. "$(dirname "$0")/lib.sh"
model=$models/landfall-tiny-qwen3-fp8

# start NAME ARGS...: serves on a free port in the background; sets $server, $port.
start() {
    name=$1
    shift
    rm -f "$tmp/ready.json"
    "$landfall" serve "$@" --port 0 --ready-file "$tmp/ready.json" >"$tmp/log" 2>&1 &
    server=$!
    i=0
    while [ ! -s "$tmp/ready.json" ] && kill -0 "$server" 2>/dev/null && [ "$i" -lt 600 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    if [ -s "$tmp/ready.json" ]; then
        pass "$name: ready"
        port=$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$tmp/ready.json" | head -n 1)
    else
        fail "$name: ready" "$(tail -n 3 "$tmp/log")"
        port=0
    fi
}

stop() {
    kill "$server" 2>/dev/null
    wait "$server"
    found=$?
    if [ "$found" -eq 0 ]; then pass "$1: stops with status 0"; else fail "$1: stops with status 0" "$found"; fi
}

ask() { # PATH BODY
    curl -sS --noproxy '*' --max-time 60 "http://127.0.0.1:$port$1" -H 'Content-Type: application/json' -d "$2"
}

start "real weights" "$model"
says "FP8 is dequantized by itself, and said" "$tmp/log" "bf16"
ask /v1/chat/completions '{"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}' >"$tmp/out"
says "chat is answered" "$tmp/out" "Paris"
ask /v1/chat/completions '{"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0, "stream": true}' >"$tmp/out"
says "chat is streamed" "$tmp/out" "data: [DONE]"
ask /v1/completions '{"prompt": "x", "max_tokens": 3}' >"$tmp/out"
says "completion is answered" "$tmp/out" '"text_completion"'
ask /v1/completions '{"prompt": 7}' >"$tmp/out"
says "bad request gets the envelope" "$tmp/out" '"error"'
expect "port in use" 3 "$landfall" serve "$model" --port "$port"
says "the port is named" "$tmp/err" "$port"
stop "real weights"

mkdir "$tmp/bare"
cp "$model"/*.json "$tmp/bare"
rm "$tmp/bare/model.safetensors.index.json"
start "dummy weights without weight files" "$tmp/bare" --load-format dummy
ask /v1/completions '{"prompt": "x", "max_tokens": 3}' >"$tmp/out"
says "dummy weights answer" "$tmp/out" '"text_completion"'
stop "dummy weights"

# One scale taken out of the index and of its shard's header: the name keeps its length, so that offsets stay.
cp -r "$model" "$tmp/broken"
sed -i 's/model\.layers\.0\.mlp\.down_proj\.weight_scale_inv/model.layers.0.mlp.down_proj.weight_scale_xyz/' "$tmp/broken"/*
expect "check names the missing scale" 1 "$landfall" check "$tmp/broken"
says "the weight is named" "$tmp/out" "model.layers.0.mlp.down_proj.weight"
expect "serve refuses a checkpoint without a scale" 1 "$landfall" serve "$tmp/broken" --port 0
says "serve names the weight" "$tmp/err" "model.layers.0.mlp.down_proj.weight"
expect "serve: no such model" 3 "$landfall" serve "$tmp/absent" --port 0
expect "serve: bad port" 2 "$landfall" serve "$model" --port 70000
finish
