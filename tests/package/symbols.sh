#!/bin/sh
# The shared library exports exactly the functions that landfall.h declares with LF_API, and carries its versioned name.
# Arguments: LIBRARY HEADER SYMBOLS.
. "$(dirname "$0")/../cli/lib.sh"
library=$1 header=$2 symbols=$3
command -v nm >/dev/null || { echo "skipped: no nm"; exit 77; }
# A declaration may go on in the next line; the name stands before the first parenthesis after LF_API.
tr '\n' ' ' <"$header" | sed 's/LF_API /\n&/g' | sed -n 's/^LF_API [^(;]*[ *]\(lf_[a-z0-9_]*\)(.*/\1/p' | sort >"$tmp/declared"
nm -D --defined-only "$library" | awk '{ print $3 }' | grep -v '^__\(asan\|ubsan\|odr_asan\)' | sort >"$tmp/exported"
n=$(wc -l <"$tmp/declared")
if [ "$n" -ge 20 ]; then pass "$n functions are declared"; else fail "declarations are found" "$n"; fi
for symbol in $(comm -23 "$tmp/declared" "$tmp/exported"); do fail "declared and not exported" "$symbol"; done
for symbol in $(comm -13 "$tmp/declared" "$tmp/exported"); do fail "exported and not declared" "$symbol"; done
[ "$failed" -eq 0 ] && pass "the exported symbols are the declared functions"
sed -n 's/^ \(.*\)@Base .*/\1/p' "$symbols" | sort >"$tmp/listed"
if cmp -s "$tmp/listed" "$tmp/declared"; then
    pass "the package's list of symbols is the same"
else
    fail "the package's list of symbols" "$(diff "$tmp/declared" "$tmp/listed" | grep '^[<>]')"
fi
readelf -d "$library" >"$tmp/dynamic"
says "versioned soname" "$tmp/dynamic" "[liblandfall.so.0]"
# What only the engine and the server need stays out.
for library in microhttpd dnnl curl; do
    if grep -q "NEEDED.*lib$library" "$tmp/dynamic"; then fail "no need of lib$library" "it is needed"; else pass "no need of lib$library"; fi
done
finish
