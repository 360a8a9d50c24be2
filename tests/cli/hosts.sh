#!/bin/sh
# The program's ranks on two hosts, three on the first and two on the second: an answer, a server, a bring-up, and what ends them
# when the wire between the hosts is cut. Arguments: LANDFALL MODELS.
. "$(dirname "$0")/../comm/lib.sh"
. "$(dirname "$0")/../comm/two_hosts.sh"
program=$(realpath "$landfall")
model=$models/landfall-tiny-qwen3-fp8

limit=60
hosts "$landfall" run "$model" -p 'What is the capital of France?' >"$tmp/out" 2>"$tmp/err"
says "an answer of five ranks" "$tmp/out" "Paris"
hosts "$landfall" verify "$model" --compare-single-rank --output-dir "$tmp/report" >"$tmp/out" 2>"$tmp/err"
says "a bring-up is signed off" "$tmp/out" "signed off"
says "its ranks agree with one" "$tmp/out" "real.single_rank passed"
says "it knows the hosts" "$tmp/report/report.md" "2 hosts"
says "and who is where" "$tmp/report/report.md" "| 4 | $two |"

# start: a server on both hosts, with its log in $tmp/log; sets $server and waits until it is ready.
start() {
    rm -f "$tmp/ready.json"
    hosts "$landfall" serve "$model" --port 0 --ready-file "$tmp/ready.json" >"$tmp/log" 2>&1 &
    server=$!
    i=0
    while [ ! -s "$tmp/ready.json" ] && [ "$i" -lt 300 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    port=$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$tmp/ready.json" | head -n 1)
}

ask() { # PATH BODY
    "$tmp/on" "$one" curl -sS --noproxy '*' --max-time 60 "http://127.0.0.1:${port:-0}$1" -H 'Content-Type: application/json' -d "$2"
}

# gone NAME: within 12 s no rank is left on either host.
gone() {
    i=0
    while pgrep -f -- "$tmp/ready.json" | xargs -r -I{} readlink /proc/{}/exe 2>/dev/null | grep -qx -- "$program" && [ "$i" -lt 120 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    if [ "$i" -lt 120 ]; then pass "$1: all ranks have ended, after $((i / 10)) s"; else fail "$1: all ranks have ended" "$(tail -n 5 "$tmp/log")"; fi
}

# cut WHEN: takes the second host away from a server that is idle or busy; its log, and its answer in $tmp/stream.
cut_wire() {
    start
    ask /v1/chat/completions '{"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}' >"$tmp/out"
    if [ "$1" = busy ]; then
        ask /v1/completions '{"prompt": "x", "max_tokens": 2000, "ignore_eos": true, "stream": true}' >"$tmp/stream" 2>&1 &
        asking=$!
        sleep 0.3
    fi
    ip -n "$two" link set veth0 down
}

for when in idle busy; do
    for _ in 1 2 3; do
        cut_wire "$when"
        says "a server answers ($when)" "$tmp/out" "Paris"
        gone "the wire is cut while it is $when"
        clear_hosts # mpirun waits for the host that has gone
        wait "$server" 2>/dev/null
        ip -n "$two" link set veth0 up
        launcher_crashed "$tmp/log" || break
    done
    says "one host is missed ($when)" "$tmp/log" "landfall serve: rank "
    if [ "$when" = busy ]; then
        wait "$asking"
        says "the running request is told" "$tmp/stream" '"error"'
    fi
done
finish
