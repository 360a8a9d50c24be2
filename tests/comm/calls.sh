#!/bin/sh
# Every call on one to sixteen ranks, compared bit for bit with what it must give. Arguments: RANKS MODELS.
. "$(dirname "$0")/lib.sh"

run() { # NAME N SCENARIO
    if launch "$2" "$landfall" "$3" >"$tmp/out" 2>"$tmp/err"; then pass "$1"; else fail "$1" "$(tail -n 5 "$tmp/err")"; fi
    says "$1: all of it" "$tmp/out" "$3: $2 ranks, passed"
}

expect "one rank, no MPI" 0 env LANDFALL_MODULE_DIR=/nowhere "$landfall" calls
for n in 1 2 3 4 5 7 8 16; do run "calls on $n ranks" "$n" calls; done
run "more than a slice on 3 ranks" 3 large
launch 2 env LANDFALL_MODULE_DIR="$tmp" "$landfall" calls >"$tmp/out" 2>"$tmp/err"
says "a missing module is named" "$tmp/err" "$tmp/landfall-mpi.so"
finish
