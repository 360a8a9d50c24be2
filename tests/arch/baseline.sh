#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Code that runs before the processor is known must not need more than the baseline: outside the objects named _avx2, _avx512 and _amx no
# instruction may touch a ymm, zmm or mask register. Usage: baseline.sh liblandfall.a
set -eu
command -v objdump >/dev/null || { echo "skipped: no objdump"; exit 77; }
objdump -d --no-show-raw-insn "$1" | awk '
    /file format/ { object = $1; sub(":$", "", object); exempt = object ~ /_(avx2|avx512|amx)\.c/; if (exempt) n_exempt++; else n_plain++ }
    !exempt && /%[yz]mm[0-9]|%k[0-7]/ { print object ": " $0; bad = 1 }
    END {
        if (n_plain < 10) { print "only " n_plain " baseline objects found"; bad = 1 }
        print n_plain " baseline objects, " n_exempt + 0 " for one instruction set"
        exit bad
    }'
