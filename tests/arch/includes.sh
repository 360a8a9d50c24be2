#!/bin/sh
# Includes run one way only (ARCHITECTURE.md): compares every #include "module/..." line of src/ with the allowed directions, and
# looks for tensor names outside the parameter tables. Ends with a summary in cmocka's form.
set -u
cd "$1" || exit 2

passed=0
failed=0
report() { # name, offending lines
    if [ -z "$2" ]; then
        echo "[       OK ] $1"
        passed=$((passed + 1))
    else
        printf '[  FAILED  ] %s\n%s\n' "$1" "$2"
        failed=$((failed + 1))
    fi
}

# module: the modules it may include besides itself
rules='base:
checkpoint: base
quant: base checkpoint
model: base checkpoint quant
plan: base checkpoint quant model
comm: base
device: base
load: base checkpoint quant model plan comm device
engine: base checkpoint quant model plan comm device load
text: base
server: base model comm device load engine text
verify: base checkpoint quant model plan
convert: base checkpoint quant
api: base checkpoint quant model plan text convert
cli: base checkpoint quant model plan comm device load engine text server verify convert'

for folder in src/*/; do
    module=$(basename "$folder")
    allowed=$(printf '%s\n' "$rules" | sed -n "s/^$module://p")
    if ! printf '%s\n' "$rules" | grep -q "^$module:"; then
        report "includes of $module" "src/$module is not in the table of allowed includes"
        continue
    fi
    pattern=$(printf '%s' "$module $allowed" | tr -s ' ' '|')
    report "includes of $module" "$(grep -rnE '^#include "[a-z]+/' "src/$module" | grep -vE "#include \"(${pattern%|})/")"
done

report "private headers stay inside their module" "$(
    grep -rnE '^#include "[a-z]+/[a-z_/]*_int\.h"' src | awk -F'[/:"]' '{ if ($2 != $(NF-2) && $0 !~ "#include \"" $2 "/") print }')"

report "library code never exits or prints" "$(
    grep -rnE '(^|[^_a-z>.])(exit|abort|_exit|printf|puts|putchar)\(' src --include='*.c' | grep -v '^src/cli/' | grep -vE '^[^:]*:[0-9]+: *(//|\*)')"

report "tensor names stand in the parameter tables only" "$(
    grep -rnE '"([^"]*[^a-z"])?(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj|embed_tokens|lm_head|[a-z_]*layernorm)(\.[^"]*)?"' src |
        grep -v '^src/model/')"

if [ "$failed" -eq 0 ]; then
    echo "[  PASSED  ] $passed test(s)."
else
    echo "[  PASSED  ] $passed test(s)."
    echo "[  FAILED  ] $failed test(s)"
    exit 1
fi
