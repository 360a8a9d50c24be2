#!/bin/sh
# A server on several ranks: answers as one rank does, drains, and when a rank is killed, whichever and whenever, its clients get
# an error, and all ends with status 3 and one cause within 10 s. Arguments: PROGRAM MODELS.
. "$(dirname "$0")/../comm/lib.sh"
model=$models/landfall-tiny-qwen3-fp8
question='{"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}'
# Loads for a while and thinks for a while, from dummy values.
slow='--load-format dummy --hf-overrides {"num_hidden_layers":12,"intermediate_size":4096,"hidden_size":1024,"max_position_embeddings":8192}'

# start COMMAND...: in the background, as $server; the log is in $tmp/log.
start() {
    rm -f "$tmp/ready.json"
    : >"$tmp/log"
    "$@" --port 0 --ready-file "$tmp/ready.json" >>"$tmp/log" 2>&1 </dev/null &
    server=$!
}

# await NAME: until it serves; sets $port.
await() {
    i=0
    while [ ! -s "$tmp/ready.json" ] && kill -0 "$server" 2>/dev/null && [ "$i" -lt 900 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    if [ -s "$tmp/ready.json" ]; then pass "$1: ready"; else fail "$1: ready" "$(tail -n 3 "$tmp/log")"; fi
    port=$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$tmp/ready.json" | head -n 1)
}

ask() { # PATH BODY
    curl -sS --noproxy '*' --max-time 100 "http://127.0.0.1:${port:-0}$1" -H 'Content-Type: application/json' -d "$2"
}

# rank R: the process that is rank R of the server that this script has started (not the shell between it and hydra).
rank() {
    for pid in $(pgrep -f -- "$tmp/ready.json"); do
        grep -qx sh "/proc/$pid/comm" && continue
        if tr '\0' '\n' <"/proc/$pid/environ" | grep -qxE "(OMPI_COMM_WORLD_RANK|PMI_RANK)=$1"; then echo "$pid"; fi
    done
}

# ends NAME STATUS: within 10 s, with nobody left.
ends() {
    left=$(pgrep -f -- "$tmp/ready.json")
    begin=$(date +%s)
    (
        sleep 30
        kill -9 "$server"
    ) 2>/dev/null &
    guard=$!
    wait "$server"
    found=$?
    kill "$guard" 2>/dev/null
    took=$(($(date +%s) - begin))
    if [ "$found" -eq "$2" ]; then pass "$1: exit status $2"; else fail "$1: exit status $2" "$found: $(tail -n 3 "$tmp/log")"; fi
    if [ "$took" -le 10 ]; then pass "$1: in time"; else fail "$1: in time" "$took s"; fi
    i=0
    while pgrep -f -- "$tmp/ready.json" >/dev/null && [ "$i" -lt 50 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    if grep -qE 'WARNING: ThreadSanitizer|ERROR: [A-Za-z]*Sanitizer' "$tmp/log"; then fail "$1: sanitizers" "$(grep -A 20 Sanitizer "$tmp/log" | head -n 30)"; fi
    if [ "$i" -lt 50 ]; then pass "$1: nobody is left"; else fail "$1: nobody is left" "of $left: $(pgrep -af -- "$tmp/ready.json")"; fi
}

one_cause() { # NAME PATTERN
    grep -E '^landfall ' "$tmp/log" >"$tmp/lines"
    if [ "$(wc -l <"$tmp/lines")" -eq 1 ] && grep -qE -- "$2" "$tmp/lines"; then pass "$1: one cause"; else fail "$1: one cause" "$(cat "$tmp/lines")"; fi
}

# ---- serving ----
for n in 2 3; do
    start "$landfall" serve "$model" -tp "$n" --shutdown-timeout 110
    await "$n ranks"
    ask /v1/chat/completions "$question" >"$tmp/out"
    says "$n ranks: chat is answered" "$tmp/out" "Paris"
    ask /v1/completions '{"prompt": "x", "max_tokens": 1500, "ignore_eos": true}' >"$tmp/long" &
    long=$!
    sleep 0.3
    kill "$server"
    wait "$long"
    says "$n ranks: SIGTERM lets a running request finish" "$tmp/long" '"completion_tokens":1500'
    ends "$n ranks" 0
done
start launch 2 "$landfall" serve "$model" -tp 2
await "under mpirun"
ask /v1/chat/completions "$question" >"$tmp/out"
says "under mpirun: chat is answered" "$tmp/out" "Paris"
kill "$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$tmp/ready.json" | head -n 1)"
ends "under mpirun: SIGTERM to rank 0" 0

# mpirun ends all ranks when one has died, and has an exit status of its own; clients are told before.
if $is_open_mpi; then
    start launch 2 "$landfall" serve "$model"
    await "under mpirun, killed"
    ask /v1/completions '{"prompt": "y", "max_tokens": 1900, "ignore_eos": true, "stream": true}' >"$tmp/stream" 2>"$tmp/client" &
    client=$!
    i=0
    while [ "$(grep -c data: "$tmp/stream")" -lt 5 ] && [ "$i" -lt 300 ]; do
        sleep 0.02
        i=$((i + 1))
    done
    kill -9 "$(rank 1)"
    ends "under mpirun, killed" 137
    one_cause "under mpirun, killed" "rank 1 \(pid [0-9]+.*ended unexpectedly"
    wait "$client"
    says "under mpirun, killed: the stream is told" "$tmp/stream" 'data: {"error":{"message":"rank 1 '
fi

# ---- what cannot start ----
start "$landfall" serve "$model"
await "one rank"
first=$server taken=$port
expect "a taken port" 3 "$landfall" serve "$model" -tp 2 --port "$taken"
cp "$tmp/err" "$tmp/log"
one_cause "a taken port" "port $taken"
kill "$first"
wait "$first"
cp -r "$model" "$tmp/other"
sed -i 's/"rope_theta": *10000/"rope_theta": 20000/' "$tmp/other/config.json"
if $is_open_mpi; then # two programs at once, as two hosts with different files would be
    start launch 1 "$landfall" serve "$model" --port 0 : -n 1 "$landfall" serve "$tmp/other"
    ends "a rank on another checkpoint" 3
    one_cause "a rank on another checkpoint" "rank 1 has another checkpoint"
fi
expect "a checkpoint that is not there" 3 "$landfall" serve "$tmp/absent" -tp 2 --port 0
cp "$tmp/err" "$tmp/log"
one_cause "a checkpoint that is not there" "$tmp/absent"

# ---- killed ranks ----
prompt=$(seq -s ' ' 1 1500)
for who in 0 1; do
    # shellcheck disable=SC2086 # a list of flags
    start "$landfall" serve "$model" -tp 2 $slow
    i=0
    while ! grep -q 'Starting to load' "$tmp/log" && [ "$i" -lt 300 ]; do
        sleep 0.05
        i=$((i + 1))
    done
    kill -9 "$(rank "$who")"
    ends "rank $who killed while loading" 3
    one_cause "rank $who killed while loading" "rank $who \(pid [0-9]+.*ended unexpectedly"

    # shellcheck disable=SC2086
    start "$landfall" serve "$model" -tp 2 $slow
    await "rank $who killed in prefill"
    ask /v1/completions "{\"prompt\": \"$prompt\", \"max_tokens\": 5}" >"$tmp/out" 2>"$tmp/client" &
    client=$!
    sleep 0.3
    kill -9 "$(rank "$who")"
    ends "rank $who killed in prefill" 3
    one_cause "rank $who killed in prefill" "rank $who \(pid [0-9]+.*ended unexpectedly"
    wait "$client"
    if [ "$who" -ne 0 ]; then says "rank $who killed in prefill: the client is told" "$tmp/out" '"code":500'; fi

    start "$landfall" serve "$model" -tp 2
    await "rank $who killed in decode"
    ask /v1/completions '{"prompt": "x", "max_tokens": 1900, "ignore_eos": true}' >"$tmp/out" 2>"$tmp/client" &
    client=$!
    ask /v1/completions '{"prompt": "y", "max_tokens": 1900, "ignore_eos": true, "stream": true}' >"$tmp/stream" 2>"$tmp/client2" &
    client2=$!
    i=0
    while [ "$(grep -c data: "$tmp/stream")" -lt 5 ] && [ "$i" -lt 300 ]; do
        sleep 0.02
        i=$((i + 1))
    done
    kill -9 "$(rank "$who")"
    ends "rank $who killed in decode" 3
    one_cause "rank $who killed in decode" "rank $who \(pid [0-9]+.*ended unexpectedly"
    wait "$client"
    wait "$client2"
    if [ "$who" -ne 0 ]; then
        says "rank $who killed in decode: the client is told" "$tmp/out" '"code":500'
        says "rank $who killed in decode: so is the stream" "$tmp/stream" 'data: {"error":{"message":"rank 1 '
    fi

    start "$landfall" serve "$model" -tp 2
    await "rank $who killed when idle"
    sleep 0.3
    kill -9 "$(rank "$who")"
    ends "rank $who killed when idle" 3
    one_cause "rank $who killed when idle" "rank $who \(pid [0-9]+.*ended unexpectedly"
done
finish
