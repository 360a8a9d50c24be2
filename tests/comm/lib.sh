# What the tests of ranks share, beside ../cli/lib.sh (whose $landfall is then the program that runs as ranks): mpirun.
. "$(dirname "$0")/../cli/lib.sh"
mpirun=${LF_TEST_MPIRUN:-mpirun} # of the MPI library that the module is linked with
command -v "$mpirun" >/dev/null || { echo "skipped: no $mpirun"; exit 77; }
# By the name mpirun.openmpi it calls itself OpenRTE.
if "$mpirun" --version | grep -qE 'Open MPI|OpenRTE'; then is_open_mpi=true; else is_open_mpi=false; fi
[ -e "${LANDFALL_MODULE_DIR-}/landfall-mpi.so" ] || { echo "skipped: no landfall-mpi.so in '${LANDFALL_MODULE_DIR-}'"; exit 77; }

# Open MPI does not run for root, nor with more ranks than processors, unless it is told to.
launch() { # N COMMAND...
    n=$1
    shift
    if $is_open_mpi; then
        set -- --oversubscribe --bind-to none "$@"
        if [ "$(id -u)" -eq 0 ]; then set -- --allow-run-as-root "$@"; fi
    fi
    timeout 300 "$mpirun" -n "$n" "$@"
}

. "$(dirname "$0")/../comm/sanitizers.sh"
