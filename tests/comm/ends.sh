#!/bin/sh
# Ranks that end in the middle of a call, whichever it is: all others are told within a second and with the same text.
# And ranks that wait for hours: they cost nothing and wake at once. Arguments: RANKS MODELS.
. "$(dirname "$0")/lib.sh"
results=$tmp/results
mkdir "$results"
calls="sum large-sum min broadcast gather agree idle"

# surviving NAME N WHO PATTERN: every rank but WHO (-1: every rank) was told the same line, which matches.
surviving() {
    expected=$2
    [ "$3" -lt 0 ] || expected=$(($2 - 1))
    for _ in 1 2 3 4 5 6 7 8 9 10; do # the launcher may end before them
        n_told=$(find "$results" -type f | wc -l)
        [ "$n_told" -lt "$expected" ] || break
        sleep 0.2
    done
    told=$(cat "$results"/rank* 2>/dev/null | sort -u)
    if [ "$n_told" -eq "$expected" ] && printf '%s\n' "$told" | grep -qE -- "$4" && [ "$(printf '%s\n' "$told" | wc -l)" -eq 1 ]; then
        pass "$1"
    else
        fail "$1" "$n_told of $expected were told: $told; $(tail -n 3 "$tmp/err")"
    fi
    rm -f "$results"/rank*
}

# A launcher that ends all ranks by itself when one has died would hide what they do. Why hydra needs a shell: src/cli/mpirun.c.
leave_alone() { # N COMMAND...
    n=$1
    shift
    if $is_open_mpi; then
        launch "$n" --enable-recovery "$@"
    else
        launch "$n" -bind-to none -disable-auto-cleanup -launcher fork sh -c "trap '' USR1; \"\$0\" \"\$@\"; exit \$?" "$@"
    fi
}

for call in $calls; do
    for who in 0 1 2; do
        leave_alone 3 "$landfall" die "$call" "$who" "$results" >"$tmp/out" 2>"$tmp/err"
        surviving "rank $who dies in $call" 3 "$who" "^rank $who \(pid [0-9]+ on host [^ ]+\) ended unexpectedly$"
    done
    leave_alone 4 "$landfall" give-up "$call" 2 "$results" >"$tmp/out" 2>"$tmp/err"
    surviving "rank 2 gives up in $call" 4 -1 "^rank 2 has had enough; ask it nicely$"
done
leave_alone 3 "$landfall" give-up sum 0 "$results" >"$tmp/out" 2>"$tmp/err"
surviving "rank 0 gives up" 3 -1 "^rank 0 has had enough; ask it nicely$"
leave_alone 8 "$landfall" die sum 5 "$results" >"$tmp/out" 2>"$tmp/err"
surviving "rank 5 of 8 dies" 8 5 "^rank 5 "
for n in 2 6; do
    if launch "$n" "$landfall" idle >"$tmp/out" 2>"$tmp/err"; then pass "$n ranks wait"; else fail "$n ranks wait" "$(cat "$tmp/err")"; fi
done
finish
