# What the command-line tests share: run a command, look at exit status and output, summary in cmocka's form. Sourced, after
# which $landfall is the program, $models the folder of bundled checkpoints, and $tmp an empty folder that goes at the end.
set -u
landfall=$1
models=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0
failed=0

# expect NAME STATUS COMMAND...: runs the command with its output in $tmp/out and $tmp/err.
expect() {
    name=$1 status=$2
    shift 2
    timeout 120 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    found=$?
    if [ "$found" -eq "$status" ]; then
        pass "$name"
    else
        fail "$name" "exit status $found, expected $status: $*"
        tail -n 5 "$tmp/out" "$tmp/err"
    fi
}

# says NAME FILE TEXT: the file holds the text (a fixed string).
says() {
    if grep -qF -- "$3" "$2"; then
        pass "$1"
    else
        fail "$1" "'$3' is not in the output"
        tail -n 5 "$2"
    fi
}

pass() {
    echo "[       OK ] $1"
    passed=$((passed + 1))
}

fail() {
    echo "[  FAILED  ] $1: $2"
    failed=$((failed + 1))
}

finish() {
    echo "[  PASSED  ] $passed test(s)."
    [ "$failed" -eq 0 ] || echo "[  FAILED  ] $failed test(s)"
    [ "$failed" -eq 0 ]
}
