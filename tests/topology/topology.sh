#!/bin/sh
# Scenarios on several numbers of ranks, all in one start of the ranks. Arguments: RANKS MODELS "SCENARIO..." N...;
# LF_TEST_RANKS has other numbers.
. "$(dirname "$0")/../comm/lib.sh"
scenarios=$3
shift 3
# shellcheck disable=SC2086
[ -z "${LF_TEST_RANKS-}" ] || set -- $LF_TEST_RANKS
for n in "$@"; do
    # shellcheck disable=SC2086
    if launch "$n" timeout 250 "$landfall" $scenarios >"$tmp/out" 2>"$tmp/err"; then
        pass "$n ranks end well"
    else
        fail "$n ranks end well" "exit status $?: $(tail -n 20 "$tmp/err")"
    fi
    for scenario in $scenarios; do
        if grep -qE "^$scenario on $n ranks: [0-9]+ passed, 0 failed" "$tmp/out"; then
            pass "$scenario on $n ranks"
        else
            fail "$scenario on $n ranks" "$(grep "^$scenario " "$tmp/out"; head -n 20 "$tmp/err")"
        fi
    done
done
finish
