#!/bin/sh
# A verb on several ranks: started by the program itself and joined under mpirun; one cause and one exit status whatever rank fails
# and when; signals; nobody stays behind. Arguments: PROGRAM (launched.c) MODELS.
. "$(dirname "$0")/../comm/lib.sh"
program=$landfall
notes=$tmp/notes
mkdir "$notes"

job() { timeout 60 "$program" job "$@" --dir "$notes"; }
expect_job() { # NAME STATUS ARGUMENTS...
    expected=$1 code=$2
    shift 2
    expect "$expected" "$code" "$program" job "$@" --dir "$notes"
}

# ended NAME: no process of the last job is left, within 10 s.
ended() {
    i=0
    while pgrep -f "job .*--dir $notes\$" >/dev/null && [ "$i" -lt 100 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    if [ "$i" -lt 100 ]; then pass "$1: nobody is left"; else fail "$1: nobody is left" "$(pgrep -af "$notes")"; fi
    rm -f "$notes"/*
}

# one_line NAME TEXT: stderr is this line, beside the log.
one_line() {
    grep -vE '^(INFO|WARNING) ' "$tmp/err" >"$tmp/lines"
    if [ "$(wc -l <"$tmp/lines")" -eq 1 ] && grep -qE -- "$2" "$tmp/lines"; then
        pass "$1: one line says why"
    else
        fail "$1: one line says why" "$(cat "$tmp/lines")"
    fi
}

# start NAME COMMAND...: in the background as $launcher, until all of $n ranks have made steps.
start() {
    name=$1
    shift
    "$@" >"$tmp/out" 2>"$tmp/err" </dev/null &
    launcher=$!
    i=0
    while [ "$(cat "$notes"/rank* 2>/dev/null | grep -c steps)" -lt "$n" ] && [ "$i" -lt 300 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    [ "$i" -lt 300 ] || fail "$name: starts" "$(tail -n 3 "$tmp/err")"
}

pid_of() { cut -d ' ' -f 1 "$notes/rank$1"; }

# status NAME EXPECTED: of the launcher, within 10 s.
status() {
    (
        sleep 10
        kill -9 "$launcher"
    ) 2>/dev/null &
    guard=$!
    wait "$launcher"
    found=$?
    kill "$guard" 2>/dev/null
    if [ "$found" -eq "$2" ]; then pass "$1: exit status $2"; else fail "$1: exit status $2" "$found: $(tail -n 3 "$tmp/err")"; fi
}

# ---- what ranks have ----
printf 'hello\n' | job greet -tp 2 >"$tmp/out" 2>"$tmp/err"
if [ $? -eq 0 ]; then pass "two ranks"; else fail "two ranks" "$(cat "$tmp/err")"; fi
if [ "$(cat "$tmp/out")" = "rank 0 of 2 read hello" ]; then pass "stdin and stdout are rank 0's"; else fail "stdout" "$(cat "$tmp/out")"; fi
if [ "$(grep -c ' information' "$tmp/err")" -eq 1 ]; then pass "the log is rank 0's"; else fail "the log" "$(cat "$tmp/err")"; fi
says "but warnings come from all" "$tmp/err" "[rank 1] a warning"
if [ "$(nproc)" -ge 2 ]; then
    share=$(($(nproc) / 2))
    says "ranks share the processors" "$notes/rank1" "processors $share threads $share n_thread 0"
fi
ended "two ranks"
crowd=$(($(nproc) + 1))
job greet -tp "$crowd" >"$tmp/out" 2>"$tmp/err"
says "more ranks than processors: one thread each" "$notes/rank1" "threads 1 n_thread 1"
ended "more ranks than processors"

# ---- wrong usage ----
for size in 0 -1 x 1.5 100000 1000; do
    expect "-tp $size" 2 "$program" job greet -tp "$size"
    one_line "-tp $size" "tensor-parallel-size"
done
launch 2 "$program" job greet -tp 3 >"$tmp/out" 2>"$tmp/err"
if [ $? -eq 2 ]; then pass "-tp 3 under mpirun -n 2: exit status 2"; else fail "-tp 3 under mpirun -n 2" "not 2"; fi
if [ "$(grep -c 'is not the number of ranks' "$tmp/err")" -eq 1 ]; then pass "and one line"; else fail "and one line" "$(cat "$tmp/err")"; fi
launch 3 "$program" job greet >"$tmp/out" 2>"$tmp/err"
says "under mpirun the number of ranks is mpirun's" "$tmp/out" "rank 0 of 3"

# What Slurm says in a batch script of a job on two other hosts: the ranks are for this machine all the same.
expect "in a batch job for several hosts" 0 env SLURM_JOBID=77 SLURM_JOB_ID=77 SLURM_PROCID=0 SLURM_NODELIST=nodea,nodeb \
    SLURM_JOB_NODELIST=nodea,nodeb SLURM_NNODES=2 SLURM_JOB_NUM_NODES=2 'SLURM_TASKS_PER_NODE=1(x2)' \
    'SLURM_JOB_CPUS_PER_NODE=1(x2)' "$program" job greet -tp 2
says "in a batch job for several hosts: ranks here" "$tmp/out" "rank 0 of 2"

# ---- failures ----
expect_job "a failure that all agree on" 1 disagree -tp 3 --who 2
one_line "a failure that all agree on" "^landfall job: tensor x is not there$"
ended "a failure that all agree on"
expect_job "one that rank 0 has alone" 1 stumble -tp 3 --who 0
one_line "one that rank 0 has alone" "^landfall job: rank 0 stumbles$"
ended "one that rank 0 has alone"
expect_job "one that rank 1 has alone" 3 stumble -tp 3 --who 1
one_line "one that rank 1 has alone" "^landfall job: rank 1: rank 1 stumbles$"
ended "one that rank 1 has alone"
for who in 0 1; do
    begin=$(date +%s)
    expect_job "rank $who dies before the ranks meet" 3 absent -tp 3 --who "$who"
    if [ $(($(date +%s) - begin)) -le 12 ]; then pass "in time"; else fail "in time" "$(($(date +%s) - begin)) s"; fi
    one_line "rank $who dies before the ranks meet" "^landfall job: rank $who has not started$"
    ended "rank $who dies before the ranks meet"
done
expect "no module" 3 env LANDFALL_MODULE_DIR="$tmp" "$program" job greet -tp 2 --dir "$notes"
one_line "no module" "landfall-mpi.so"
ended "no module"
expect "no mpirun" 3 env LANDFALL_MPIRUN="$tmp/mpirun" "$program" job greet -tp 2
one_line "no mpirun" "$tmp/mpirun"
printf '#!/bin/sh\necho -------\necho no more slots\nexit 1\n' >"$tmp/mpirun"
chmod +x "$tmp/mpirun"
expect "mpirun that fails" 3 env LANDFALL_MPIRUN="$tmp/mpirun" "$program" job greet -tp 2
one_line "mpirun that fails" "no more slots"

n=3
for who in 0 1 2; do
    start "rank $who is killed" "$program" job serve -tp 3 --dir "$notes"
    kill -9 "$(pid_of "$who")"
    status "rank $who is killed" 3
    one_line "rank $who is killed" "^landfall job: rank $who \(pid [0-9]+( on host [^ ]+)?\) ended unexpectedly$"
    ended "rank $who is killed"
done
start "the launcher is killed" "$program" job serve -tp 3 --dir "$notes"
kill -9 "$launcher"
wait "$launcher" 2>/dev/null
ended "the launcher is killed"
start "mpirun is killed" "$program" job serve -tp 3 --dir "$notes"
pkill -9 -P "$launcher"
status "mpirun is killed" 3
ended "mpirun is killed"

# ---- signals ----
for number in TERM INT; do
    start "SIG$number to the launcher" setsid "$program" job serve -tp 3 --dir "$notes"
    kill -s "$number" "$launcher"
    status "SIG$number to the launcher" 0
    says "SIG$number to the launcher: it was finished" "$tmp/out" "served until a signal"
    ended "SIG$number to the launcher"
done
start "SIGTERM to rank 0" "$program" job serve -tp 3 --dir "$notes"
kill "$(pid_of 0)"
status "SIGTERM to rank 0" 0
ended "SIGTERM to rank 0"
start "SIGTERM to rank 1" "$program" job serve -tp 3 --dir "$notes"
kill "$(pid_of 1)"
sleep 0.5
if kill -0 "$launcher"; then pass "SIGTERM to rank 1 is ignored"; else fail "SIGTERM to rank 1 is ignored" "all ended"; fi
kill "$(pid_of 0)"
status "SIGTERM to rank 1 and then to rank 0" 0
ended "SIGTERM to rank 1"
finish
