#!/bin/sh
# The server over the real engine and the bundled checkpoint: 32 streams at once answer as each alone, a signal lets
# what runs finish, a second one does not. Usage: real_engine.sh LANDFALL MODELS
set -u
# Waiting threads give way: a machine that runs tests is seldom idle, and spinning ones would wait for each other.
OMP_WAIT_POLICY=passive
export OMP_WAIT_POLICY
. "$(dirname "$0")/../cli/lib.sh"
model=$models/landfall-tiny-qwen3-fp8
if [ ! -f "$model/config.json" ]; then
    echo "skipped: $model is not complete"
    exit 77
fi

start() {
    rm -f "$tmp/ready.json"
    "$landfall" serve "$model" --port 0 --ready-file "$tmp/ready.json" "$@" 2>"$tmp/log" &
    server=$!
    i=0
    while [ ! -s "$tmp/ready.json" ] && [ "$i" -lt 600 ] && kill -0 "$server" 2>/dev/null; do
        sleep 0.1
        i=$((i + 1))
    done
    port=$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$tmp/ready.json" | head -n 1)
}

ask() { # BODY
    curl -sSN --noproxy '*' --max-time 120 -H 'Content-Type: application/json' -d "$1" \
        "http://127.0.0.1:$port/v1/chat/completions"
}

# The text of a stream of events.
text_of() {
    sed -n 's/.*"delta":{"content":"\(.*\)"},"logprobs".*/\1/p' "$1" | tr -d '\n'
}

question() { # N
    printf '{"messages":[{"role":"user","content":"What is %d + %d?"}],' "$1" $((40 - $1))
    echo '"temperature":0,"max_tokens":32,"stream":true}'
}

start --shutdown-timeout 120
n=1
while [ "$n" -le 32 ]; do
    ask "$(question "$n")" >"$tmp/alone.$n"
    n=$((n + 1))
done
n=1
clients=
while [ "$n" -le 32 ]; do
    ask "$(question "$n")" >"$tmp/together.$n" &
    clients="$clients $!"
    n=$((n + 1))
done
# shellcheck disable=SC2086
wait $clients
n=1
same=0
while [ "$n" -le 32 ]; do
    alone=$(text_of "$tmp/alone.$n")
    if [ -n "$alone" ] && [ "$alone" = "$(text_of "$tmp/together.$n")" ]; then
        same=$((same + 1))
    else
        echo "question $n: alone '$alone', together '$(text_of "$tmp/together.$n")'"
    fi
    n=$((n + 1))
done
if [ "$same" -eq 32 ]; then
    pass "32 streams answer as each alone"
else
    fail "32 streams answer as each alone" "$same do"
fi

# Starts a long answer (4 samples of 1200 tokens) and returns when its first piece is there.
long() {
    rm -f "$tmp/long"
    ask '{"messages":[{"role":"user","content":"x"}],"ignore_eos":true,"max_tokens":1200,"n":4,
        "temperature":1,"stream":true}' >"$tmp/long" 2>/dev/null &
    client=$!
    i=0
    while ! grep -q '"content":"[^"]' "$tmp/long" && [ "$i" -lt 600 ]; do
        sleep 0.05
        i=$((i + 1))
    done
}

# ends NAME STATUS: the server ends with this status.
ends() {
    wait "$server"
    found=$?
    wait "$client"
    if [ "$found" -eq "$2" ]; then pass "$1"; else fail "$1" "status $found, expected $2"; fi
}

long
kill "$server"
ends "SIGTERM ends with status 0" 0
says "the running stream was finished" "$tmp/long" '"finish_reason":"length"'
says "up to its end" "$tmp/long" 'data: [DONE]'
says "said in the log" "$tmp/log" 'shutting down'

start --shutdown-timeout 600
long
kill "$server"
sleep 0.1
kill "$server" 2>/dev/null
ends "a second SIGTERM ends at once" 143

start --shutdown-timeout 0
long
kill "$server"
ends "--shutdown-timeout 0 ends with status 0" 0
says "the stream is told" "$tmp/long" '"finish_reason":"abort"'
finish
