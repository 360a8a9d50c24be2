#!/bin/sh
# A scenario on several numbers of ranks. Arguments: RANKS MODELS SCENARIO N...
. "$(dirname "$0")/../comm/lib.sh"
scenario=$3
shift 3
for n in "$@"; do
    if launch "$n" timeout 250 "$landfall" "$scenario" >"$tmp/out" 2>"$tmp/err"; then
        pass "$scenario on $n ranks"
    else
        fail "$scenario on $n ranks" "$(tail -n 20 "$tmp/err")"
    fi
    says "$scenario on $n ranks: all of it" "$tmp/out" ", 0 failed"
done
finish
