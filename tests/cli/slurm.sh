#!/bin/sh
# Ranks that Slurm has started: srun with and without PMI, a bring-up, a server that drains and one that loses a rank, batch jobs.
# Brings its own cluster of one node up, from Debian's slurmctld, slurmd, slurm-client and munge where they are installed.
# Arguments: LANDFALL MODELS.
. "$(dirname "$0")/../comm/lib.sh"
[ "$(id -u)" -eq 0 ] || { echo "skipped: a cluster of one's own needs root"; exit 77; }
for tool in munged slurmctld slurmd srun sbatch scancel; do
    PATH=$PATH:/usr/sbin command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
PATH=$PATH:/usr/sbin
if $is_open_mpi; then pmi=pmix; else pmi=pmi2; fi
program=$(realpath "$landfall")
model=$(realpath "$models")/landfall-tiny-qwen3-fp8

# ---- a cluster of one node ----
host=$(hostname -s)
port=$((20000 + $$ % 20000))
export SLURM_CONF="$tmp/slurm.conf"
mkdir "$tmp/munge" "$tmp/state" "$tmp/spool"
chmod 755 "$tmp" "$tmp/munge"
head -c 1024 /dev/urandom >"$tmp/munge/key"
chmod 400 "$tmp/munge/key"
cat >"$SLURM_CONF" <<END
ClusterName=landfall
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$tmp/munge/socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
SlurmctldPidFile=$tmp/slurmctld.pid
SlurmdPidFile=$tmp/slurmd.pid
SlurmctldLogFile=$tmp/slurmctld.log
SlurmdLogFile=$tmp/slurmd.log
SlurmdSpoolDir=$tmp/spool
StateSaveLocation=$tmp/state
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
END
take_down() {
    scancel --quiet --user=root 2>/dev/null
    for daemon in slurmd slurmctld munged; do
        pid=$(cat "$tmp/$daemon.pid" 2>/dev/null) && kill "$pid" 2>/dev/null
    done
    pkill -9 -f -- "$tmp" 2>/dev/null
    rm -rf "$tmp"
}
trap take_down EXIT
trap 'exit 1' INT TERM HUP
munged --force --key-file="$tmp/munge/key" --socket="$tmp/munge/socket" --pid-file="$tmp/munged.pid" --log-file="$tmp/munge/log" \
    --seed-file="$tmp/munge/seed" && slurmctld -f "$SLURM_CONF" && slurmd -f "$SLURM_CONF"
i=0
while ! sinfo --noheader 2>/dev/null | grep -q idle && [ "$i" -lt 100 ]; do
    sleep 0.1
    i=$((i + 1))
done
[ "$i" -lt 100 ] || { echo "skipped: Slurm does not come up here: $(tail -n 2 "$tmp/slurmctld.log" "$tmp/slurmd.log")"; exit 77; }
srun --mpi=list 2>&1 | grep -qw "$pmi" || { echo "skipped: this Slurm has no $pmi"; exit 77; }

# one_cause NAME PATTERN: in $tmp/err
one_cause() {
    grep -E '^landfall ' "$tmp/err" >"$tmp/lines"
    if [ "$(wc -l <"$tmp/lines")" -eq 1 ] && grep -qE -- "$2" "$tmp/lines"; then pass "$1: one cause"; else fail "$1: one cause" "$(cat "$tmp/lines")"; fi
}

# ---- ranks of a step ----
expect "an answer of three ranks" 0 srun --mpi=$pmi -n 3 "$program" run "$model" -p 'What is the capital of France?'
says "is right" "$tmp/out" "Paris"
expect "another number of ranks" 2 srun --mpi=$pmi -n 3 "$program" run "$model" -p hi -tp 2
one_cause "another number of ranks" "expected 3, found 2"
expect "no PMI" 3 srun --mpi=none -n 3 "$program" run "$model" -p hi
one_cause "no PMI" "give it --mpi=pmix"
expect "no PMI, one rank" 0 srun --mpi=none -n 1 "$program" run "$model" -p 'What is the capital of France?'
says "no PMI, one rank: is right" "$tmp/out" "Paris"
expect "a bring-up" 0 srun --mpi=$pmi -n 3 "$program" verify "$model" --compare-single-rank --output-dir "$tmp/report"
says "is signed off" "$tmp/out" "signed off"
says "its ranks agree with one" "$tmp/out" "real.single_rank passed"

# ---- servers ----
start() { # N: as $server, with its output in $tmp/err
    rm -f "$tmp/ready.json"
    srun --mpi=$pmi -n "$1" --job-name=server "$program" serve "$model" --port 0 --ready-file "$tmp/ready.json" >"$tmp/err" 2>&1 &
    server=$!
    i=0
    while [ ! -s "$tmp/ready.json" ] && [ "$i" -lt 300 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    served=$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$tmp/ready.json" | head -n 1)
}
ask() { # BODY
    curl -sS --noproxy '*' --max-time 60 "http://127.0.0.1:$served/v1/completions" -H 'Content-Type: application/json' -d "$1"
}
ends() { # NAME STATUS
    begin=$(date +%s)
    wait "$server"
    found=$? took=$(($(date +%s) - begin))
    if [ "$found" -eq "$2" ] && [ "$took" -le 10 ]; then pass "$1"; else fail "$1" "exit status $found after $took s: $(tail -n 3 "$tmp/err")"; fi
    if pgrep -f -- "serve $model .*$tmp/ready.json" >/dev/null; then fail "$1: nobody is left" "$(pgrep -af -- "$tmp/ready.json")"; else pass "$1: nobody is left"; fi
}
start 2
ask '{"prompt": "x", "max_tokens": 1000, "ignore_eos": true}' >"$tmp/long" &
long=$!
sleep 0.2
scancel --quiet --signal=TERM "$(squeue --noheader --name=server -o %i)"
wait "$long"
says "SIGTERM lets a running request finish" "$tmp/long" '"completion_tokens":1000'
ends "SIGTERM ends a server" 0

start 3
ask '{"prompt": "y", "max_tokens": 1900, "ignore_eos": true, "stream": true}' >"$tmp/stream" 2>&1 &
client=$!
i=0
while [ "$(grep -c data: "$tmp/stream")" -lt 5 ] && [ "$i" -lt 300 ]; do
    sleep 0.02
    i=$((i + 1))
done
for pid in $(pgrep -f -- "serve $model .*$tmp/ready.json"); do
    if tr '\0' '\n' <"/proc/$pid/environ" | grep -qxE 'SLURM_PROCID=1'; then kill -9 "$pid"; fi
done
ends "a killed rank ends a server" 137 # srun's own: the highest of all tasks
one_cause "a killed rank" "rank 1 \(pid [0-9]+.*ended unexpectedly"
wait "$client"
says "the stream is told" "$tmp/stream" 'data: {"error":{"message":"rank 1 '

# ---- batch scripts, which run outside of a step ----
batch() { # NAME COMMAND
    sbatch --quiet --wait -n 3 -o "$tmp/batch" --wrap "$2" >/dev/null 2>"$tmp/err"
    says "$1" "$tmp/batch" "Paris"
}
question="-p 'What is the capital of France?'"
batch "a batch script is one rank" "$program run $model $question"
batch "a batch script starts ranks with -tp" "LANDFALL_MODULE_DIR='$LANDFALL_MODULE_DIR' $program run $model $question -tp 3"
batch "a batch script runs a step" "srun --mpi=$pmi $program run $model $question"
finish
