#!/bin/sh
# Ranks on two hosts: MPI and the lifelines go over TCP, and a host that vanishes (its wire is cut) ends the ranks of the other.
# Arguments: RANKS MODELS.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/two_hosts.sh"
results=$tmp/results
mkdir "$results"

limit=60
if hosts "$landfall" calls >"$tmp/out" 2>"$tmp/err"; then pass "calls over two hosts"; else fail "calls over two hosts" "$(tail -n 5 "$tmp/err")"; fi
says "all ranks took part" "$tmp/out" "calls: 5 ranks, passed"
limit=10 # mpirun itself stays when a rank was killed, because it was told not to end the others
for who in 0 1 4; do
    for _ in 1 2 3; do
        hosts "$landfall" die sum "$who" "$results" >"$tmp/out" 2>"$tmp/err"
        launcher_crashed "$tmp/err" || break
        rm -f "$results"/rank*
    done
    told=$(cat "$results"/rank* 2>/dev/null | sort -u)
    host=$one
    [ "$who" -lt 3 ] || host=$two
    if [ "$(find "$results" -type f | wc -l)" -eq 4 ] && printf '%s\n' "$told" | grep -qxE "rank $who \(pid [0-9]+ on host $host\) ended unexpectedly"; then
        pass "rank $who dies, all others know"
    else
        fail "rank $who dies, all others know" "$(find "$results" -type f | wc -l): $told; $(tail -n 3 "$tmp/err")"
    fi
    rm -f "$results"/rank*
done
finish
