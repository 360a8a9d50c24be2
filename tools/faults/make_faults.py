#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the corpus of planted faults: a small model directory per case, cases.txt, and the packed form for the tests.

    tools/faults/make_faults.py OUT            # directories and OUT/cases.txt
    tools/faults/make_faults.py --pack FILE    # the same as one .tar.xz, as tests/golden/faults/corpus.tar.xz

cases.txt has five fields with tabs between them: name, kind, arguments for check, codes, why. Kinds:

    fault     check must exit with 1, and its errors must have exactly these codes
    warning   check must exit with 0 and warn with this code: the model loads, something is odd
    note      check must exit with 0 and note this code
    control   legal: check must exit with 0, without an error

The expectations are written here by hand, from the format's rules; nothing here reads what check says.
"""
import io
import lzma
import os
import sys
import tarfile

import checkpoint_cases
import container_cases
import data_cases
import family_cases
from toy import Link


def collect():
    cases, names = [], set()

    def add(kind, name, codes, build, why, args=""):
        assert name not in names, name
        names.add(name)
        cases.append((name, kind, args, codes, why, build))

    def fault(name, codes, build, why, args=""):
        add("fault", name, codes, build, why, args)

    def warning(name, codes, build, why, args=""):
        add("warning", name, codes, build, why, args)

    def note(name, codes, build, why, args=""):
        add("note", name, codes, build, why, args)

    def control(name, build, why, args=""):
        add("control", name, "none", build, why, args)

    container_cases.register(fault, control)
    checkpoint_cases.register(fault, warning, note, control)
    family_cases.register(fault, control)
    data_cases.register(fault, warning, note, control)
    return cases


def table(cases):
    return "".join("\t".join([name, kind, args or "-", codes, why]) + "\n" for name, kind, args, codes, why, _ in cases)


def write_directory(cases, out):
    for name, *_, build in cases:
        for path, content in build().items():
            full = os.path.join(out, name, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            if isinstance(content, Link):
                os.symlink(content, full)
            else:
                with open(full, "wb") as file:
                    file.write(content)
    with open(os.path.join(out, "cases.txt"), "w", encoding="utf-8") as file:
        file.write(table(cases))


def pack(cases, path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        def put(name, content):
            info = tarfile.TarInfo(name)
            if isinstance(content, Link):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        put("cases.txt", table(cases).encode())
        for name, *_, build in cases:
            for path_in_case, content in build().items():
                put(name + "/" + path_in_case, content)
    with open(path, "wb") as file:
        file.write(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def main():
    cases = collect()
    if len(sys.argv) == 3 and sys.argv[1] == "--pack":
        pack(cases, sys.argv[2])
    elif len(sys.argv) == 2 and not sys.argv[1].startswith("-"):
        write_directory(cases, sys.argv[1])
    else:
        sys.exit(__doc__)
    kinds = [case[1] for case in cases]
    print(", ".join("%d %s" % (kinds.count(kind), kind) for kind in ("fault", "warning", "note", "control")))


if __name__ == "__main__":
    main()
