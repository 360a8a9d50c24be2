#!/bin/sh
# The corpus of planted faults (tests/golden/faults): every fault is refused with its own code and no other, what is only
# odd is told without an error, and what is legal passes.
. "$(dirname "$0")/lib.sh"
if ! tar -xJf "$(dirname "$0")/../golden/faults/corpus.tar.xz" -C "$tmp"; then
    fail "unpack the corpus" "tar and xz are needed"
    finish
    exit
fi

# codes SEVERITY: the codes of that severity in $tmp/out, sorted, with commas between them.
codes() { sed -n "s/^$1 \([a-z0-9-]*\) ([0-9]*)\$/\1/p" "$tmp/out" | sort -u | paste -s -d , -; }

n_fault=0 n_told=0 n_control=0
tab=$(printf '\t')
while IFS="$tab" read -r case kind args expected why; do
    dir=$tmp/$case
    [ -d "$dir/snapshots/main" ] && dir=$dir/snapshots/main
    [ "$args" = - ] && args=
    # shellcheck disable=SC2086 # several arguments
    timeout 60 "$landfall" check "$dir" --all $args >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
    errors=$(codes error)
    case $kind in
    fault)
        n_fault=$((n_fault + 1))
        [ "$status" -eq 1 ] && [ "$errors" = "$expected" ]
        ;;
    warning | note)
        n_told=$((n_told + 1))
        [ "$status" -eq 0 ] && [ -z "$errors" ] && grep -q "^$kind $expected (" "$tmp/out"
        ;;
    control)
        n_control=$((n_control + 1))
        [ "$status" -eq 0 ] && [ -z "$errors" ]
        ;;
    *) false ;;
    esac && pass "$kind $case" ||
        fail "$kind $case ($why)" "status $status, errors '$errors', warnings '$(codes warning)', notes '$(codes note)'; expected $expected"
done <"$tmp/cases.txt"
echo "$n_fault faults, $n_told oddities that are told, $n_control controls"
[ "$n_fault" -ge 100 ] && [ "$n_control" -ge 30 ] || fail "size of the corpus" "it is smaller than promised"
finish
