#!/bin/sh
# Breaks the rules of the partition one after another (the list beside this script) in a copy of the sources, and demands that
# the tests of ranks turn red each time. Takes minutes: not part of script/test.
#   tests/mutation/mutation.sh [PATTERN]     only rules whose name holds the pattern
set -u
cd "$(dirname "$0")/../.."
pattern=${1-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
git ls-files -z -- . ':!tests/golden/text' | xargs -0 cp --parents -t "$scratch"
list=$PWD/tests/mutation/mutations
cd "$scratch" || exit 1
: >models/.keep

meson setup build -Dwerror=false >log 2>&1 || { cat log; exit 1; }
targets="tests/plan/test_plan tests/topology/topology_ranks src/comm/landfall-mpi.so src/cli/landfall"
# shellcheck disable=SC2086
build() { ninja -C build $targets >log 2>&1; }
export LF_TEST_GOLDEN="$scratch/tests/golden" LF_TEST_LANDFALL="$scratch/build/src/cli/landfall" OMP_WAIT_POLICY=passive \
    LANDFALL_MODULE_DIR="$scratch/build/src/comm"

# Prints the tests that fail: of the plan, and of ranks that compute. Of the latter one number of ranks is enough.
red() {
    seen=
    timeout 60 build/tests/plan/test_plan >out 2>&1 || seen="the plan; "
    for n in 5 3 16; do
        sh tests/topology/topology.sh build/tests/topology/topology_ranks models "goldens matrix dummies ledgers" "$n" >out 2>&1 && continue
        said=$(grep -m 1 -o '[0-9]* ranks, .*, limit .*' out)
        seen="$seen${said:-$n ranks, which end}"
        break
    done
    echo "$seen"
    [ -n "$seen" ]
}

build || { tail -n 20 log; exit 1; }
if found=$(red); then
    echo "[  FAILED  ] the tests fail before anything is broken: $found"
    exit 1
fi
passed=0
failed=0
grep -v '^#' "$list" | grep -F -- "$pattern" >chosen
while IFS= read -r line; do
    name=${line%% | *} rest=${line#* | }
    file=${rest%% | *} expression=${rest#* | }
    cp "$file" kept
    sed -i "$expression" "$file"
    if cmp -s "$file" kept; then
        verdict="the expression changes nothing in $file"
    elif ! build; then
        verdict="does not build: $(grep -m 1 error log)"
    elif found=$(red </dev/null); then
        verdict=
    else
        verdict="broken, and no test sees it"
    fi
    if [ -z "$verdict" ]; then
        echo "[       OK ] $name: seen by $found"
        passed=$((passed + 1))
    else
        echo "[  FAILED  ] $name: $verdict"
        failed=$((failed + 1))
    fi
    cp kept "$file"
done <chosen
echo "[  PASSED  ] $passed test(s)."
[ "$failed" -eq 0 ] || { echo "[  FAILED  ] $failed test(s)"; exit 1; }
