#!/bin/sh
# Scenarios on several numbers of ranks, all in one start of the ranks. Arguments: RANKS MODELS "SCENARIO..." N...
. "$(dirname "$0")/../comm/lib.sh"
scenarios=$3
shift 3
for n in "$@"; do
    # shellcheck disable=SC2086
    launch "$n" timeout 250 "$landfall" $scenarios >"$tmp/out" 2>"$tmp/err"
    for scenario in $scenarios; do
        if grep -qE "^$scenario on $n ranks: [0-9]+ passed, 0 failed" "$tmp/out"; then
            pass "$scenario on $n ranks"
        else
            fail "$scenario on $n ranks" "$(grep "^$scenario " "$tmp/out"; head -n 20 "$tmp/err")"
        fi
    done
done
finish
