#!/bin/sh
# The program's own door: help, version, wrong usage.
. "$(dirname "$0")/lib.sh"

expect "version" 0 "$landfall" --version
says "version names the program" "$tmp/out" "landfall "
expect "help" 0 "$landfall" --help
says "help lists the verbs" "$tmp/out" "verify"
expect "no verb" 2 "$landfall"
expect "unknown verb" 2 "$landfall" chek
says "unknown verb is named" "$tmp/err" "chek"
for verb in $("$landfall" --help | awk '/^  [a-z]+ / { print $1 }'); do
    expect "$verb --help" 0 "$landfall" "$verb" --help
    says "$verb --help shows its usage" "$tmp/out" "Usage: landfall $verb"
    expect "$verb with an unknown flag" 2 "$landfall" "$verb" --no-such-flag
    expect "$verb without MODEL" 2 "$landfall" "$verb"
done
expect "misspelt flag" 2 "$landfall" verify --load-fromat dummy x
says "the nearest flag is proposed" "$tmp/err" "did you mean --load-format"
expect "bad choice" 2 "$landfall" verify --load-format fast x
says "the choices are named" "$tmp/err" "auto|dummy"
expect "flag without its value" 2 "$landfall" verify --load-format
expect "number out of range" 2 "$landfall" verify --ready-timeout 0 x
expect "no number" 2 "$landfall" verify --max-model-len 4x x
expect "too many operands" 2 "$landfall" verify a b
[ ! -e /dev/full ] || expect "stdout that is full" 3 sh -c "\"$landfall\" --help >/dev/full"
finish
