#!/bin/sh
# Runs openai_client.py against the program with the bundled checkpoint. Skipped (77) without Python's `openai` package.
# Usage: openai_client.sh LANDFALL MODELS; LF_TEST_PYTHON names the interpreter.
set -u
OMP_WAIT_POLICY=passive # a machine that runs tests is seldom idle
export OMP_WAIT_POLICY
landfall=$1
model=$2/landfall-tiny-qwen3-fp8
python=${LF_TEST_PYTHON:-python3}
here=$(dirname "$0")
if ! "$python" -c 'import openai' 2>/dev/null; then
    echo "skipped: $python has no package \`openai\`"
    exit 77
fi
tmp=$(mktemp -d)
"$landfall" serve "$model" --port 0 --served-model-name tiny --ready-file "$tmp/ready.json" 2>"$tmp/log" &
server=$!
trap 'kill "$server" 2>/dev/null; rm -rf "$tmp"' EXIT
i=0
while [ ! -s "$tmp/ready.json" ] && [ "$i" -lt 600 ] && kill -0 "$server" 2>/dev/null; do
    sleep 0.1
    i=$((i + 1))
done
port=$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$tmp/ready.json" | head -n 1)
if [ -z "$port" ]; then
    tail -n 5 "$tmp/log"
    exit 1
fi
"$python" "$here/openai_client.py" "http://127.0.0.1:$port/v1" tiny
