# SPDX-License-Identifier: Apache-2.0
"""The safetensors container: one damaged file, everything else as it should be.

The rows are the catalog's table of inputs and outcomes; where the reference reader is more lenient, the row's reason
says so.
"""
import struct

from toy import Toy, raw_file, unknown, qwen3

A = '"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
B = '"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}'
D8, D16 = bytes(range(8)), bytes(range(16))


def entry(name, dtype, shape, begin, end):
    return '"%s":{"dtype":"%s","shape":%s,"data_offsets":[%s,%s]}' % (name, dtype, shape, begin, end)


def one(text, data=D8):
    return raw_file("{" + text + "}", data)


FAULTS = [
    # name, code, bytes of model.safetensors, why
    ("empty-file", "header-too-small", b"", "an interrupted download of 0 bytes"),
    ("seven-bytes", "header-too-small", bytes(7), "no room for the length of the header"),
    ("zero-length", "header-json", bytes(8), "a header of 0 bytes is no JSON"),
    ("zero-length-data", "header-json", bytes(24), "a file of zeros, as left by a preallocated download"),
    ("header-cut", "header-truncated", struct.pack("<Q", 60), "the file ends after the length"),
    ("header-cut-limit", "header-truncated", struct.pack("<Q", 100000000) + b"{}", "the largest length allowed, a short file"),
    ("header-over-limit", "header-too-large", struct.pack("<Q", 100000001) + b"{}", "one past the largest length"),
    ("header-max", "header-too-large", b"\xff" * 8 + b"{}", "length 2^64 - 1"),
    ("trailing-byte", "data-trailing", raw_file("{}", b"x"), "no tensor covers the byte"),
    ("nul-padding", "header-json", raw_file("{" + A + "}\0\0", D8), "padding is spaces, not NUL"),
    ("text-after", "header-json", raw_file("{" + A + "}x", D8), "text after the object"),
    ("two-objects", "header-json", raw_file("{" + A + "}{}", D8), "a second object"),
    ("bom", "header-json", raw_file(b"\xef\xbb\xbf{" + A.encode() + b"}", D8), "a byte order mark"),
    ("array-top", "header-json", raw_file("[]"), "the header is an array"),
    ("null-top", "header-json", raw_file("null"), "the header is null"),
    ("bad-utf8", "header-utf8", raw_file(b'{"\xff":' + A[4:].encode() + b"}", D8), "invalid UTF-8 in a name"),
    ("data-short", "data-truncated", one(A, D8[:7]), "the file ends inside a tensor"),
    ("data-none", "data-truncated", one(A, b""), "the file ends after the header"),
    ("data-long", "data-trailing", one(A, D8 + b"x"), "bytes after the last tensor"),
    ("hole-start", "data-hole", one(B, D16), "the first tensor does not begin at 0"),
    ("hole-middle", "data-hole", one(A + "," + entry("b", "F32", "[1]", 12, 16), D16), "bytes between two tensors"),
    ("overlap", "data-overlap", one(A + "," + entry("b", "F32", "[2]", 4, 12), D16[:12]), "two tensors share bytes"),
    ("same-range", "data-overlap", one(A + "," + entry("b", "F32", "[2]", 0, 8)), "two names for the same bytes"),
    ("reversed", "offsets-reversed", one(entry("a", "F32", "[2]", 8, 0)), "the data end before they begin"),
    ("size-short", "size-mismatch", one(entry("a", "F32", "[3]", 0, 8)), "shape and dtype need 12 bytes"),
    ("size-dtype", "size-mismatch", one(entry("a", "BF16", "[2]", 0, 8)), "relabelled from F32 to BF16"),
    ("overflow-bits", "shape-overflow", one(entry("a", "U8", "[2305843009213693952]", 0, 8)), "2^61 bytes are 2^64 bits"),
    ("overflow-product", "shape-overflow", one(entry("a", "U8", "[4294967296,4294967296,4]", 0, 8)), "the product passes 2^64"),
    ("overflow-then-zero", "shape-overflow", one(entry("a", "U8", "[18446744073709551615,2,0]", 0, 0), b""), "a product that overflows before the zero"),
    ("empty-inside", "data-overlap", one(A + "," + entry("b", "F32", "[0]", 4, 4)), "an empty tensor inside another"),
    ("f4-half-byte", "sub-byte-alignment", one(entry("a", "F4", "[1]", 0, 1), b"x"), "one value of 4 bits"),
    ("f6-part-byte", "sub-byte-alignment", one(entry("a", "F6_E2M3", "[2]", 0, 2), b"xx"), "12 bits"),
    ("dtype-torch-name", "unknown-dtype", one(entry("a", "F8_E4M3FN", "[8]", 0, 8)), "torch's name of F8_E4M3"),
    ("dtype-case", "unknown-dtype", one(entry("a", "f32", "[2]", 0, 8)), "names of dtypes are upper case"),
    ("dtype-i4", "unknown-dtype", one(entry("a", "I4", "[16]", 0, 8)), "not in the format"),
    ("twice-equal", "duplicate-tensor", one(A + "," + A), "the reference takes the last silently"),
    ("twice-parts", "duplicate-tensor", one(A + "," + A.replace("[0,8]", "[8,16]"), D16), "one of two would be lost"),
    ("twice-empty", "duplicate-tensor", one(entry("a", "F32", "[0]", 0, 0) + "," + entry("a", "F32", "[0]", 0, 0), b""), "the reference takes the last silently"),
    ("twice-escaped", "duplicate-tensor", one(A + "," + A.replace('"a"', '"\\u0061"').replace("[0,8]", "[8,16]"), D16), "the same name, written as an escape"),
    ("field-twice", "entry-invalid", one(A.replace('"dtype"', '"dtype":"F32","dtype"')), "two dtypes"),
    ("metadata-number", "metadata-invalid", one('"__metadata__":{"step":1},' + A), "a number in __metadata__"),
    ("metadata-nested", "metadata-invalid", one('"__metadata__":{"x":{}},' + A), "an object in __metadata__"),
    ("metadata-array", "metadata-invalid", one('"__metadata__":[],' + A), "__metadata__ is an array"),
    ("metadata-tensor", "metadata-invalid", one('"__metadata__":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},' + A), "__metadata__ shaped like a tensor"),
    ("metadata-twice", "metadata-duplicate", one('"__metadata__":{},"__metadata__":{},' + A), "two __metadata__"),
    ("no-shape", "entry-invalid", one('"a":{"dtype":"F32","data_offsets":[0,8]}'), "a field is missing"),
    ("no-dtype", "entry-invalid", one('"a":{"shape":[2],"data_offsets":[0,8]}'), "a field is missing"),
    ("no-offsets", "entry-invalid", one('"a":{"dtype":"F32","shape":[2]}'), "a field is missing"),
    ("entry-null", "entry-invalid", one('"a":null'), "no entry"),
    ("entry-array", "entry-invalid", one('"a":["F32",[2],[0,8]]'), "the reference accepts this by a quirk of its parser"),
    ("offsets-one", "entry-invalid", one('"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}'), "one offset"),
    ("offsets-three", "entry-invalid", one('"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}'), "three offsets"),
    ("offset-negative", "entry-invalid", one(entry("a", "F32", "[2]", -1, 8)), "a negative offset"),
    ("offset-float", "entry-invalid", one(entry("a", "F32", "[2]", "0.0", 8)), "an offset with a point"),
    ("offset-huge", "entry-invalid", one(entry("a", "F32", "[2]", 0, 18446744073709551616)), "2^64"),
    ("dim-string", "entry-invalid", one(entry("a", "F32", '["2"]', 0, 8)), "a dimension in quotes"),
    ("dim-zero-led", "header-json", one(entry("a", "F32", "[02]", 0, 8)), "02 is no JSON number"),
    ("shape-scalar", "entry-invalid", one(entry("a", "F32", "2", 0, 8)), "the shape is a number"),
    ("trailing-comma", "header-json", one(A + ","), "no JSON"),
    ("comment", "header-json", one("/* */" + A), "no JSON"),
    ("single-quotes", "header-json", one(A.replace('"', "'")), "Python's repr instead of JSON"),
    ("nan-literal", "header-json", one(A[:-1] + ',"x":NaN}'), "no JSON"),
    ("lone-surrogate", "header-json", one(A.replace('"a"', '"\\ud800"')), "half a character"),
    ("control-character", "header-json", one(A.replace('"a"', '"\x01"')), "a raw control character in a name"),
    ("name-nul", "name-nul", one(A.replace('"a"', '"a\\u0000b"')), "a name that C cuts short"),
    ("name-long", "name-too-long", one(A.replace('"a"', '"%s"' % ("a" * 5000))), "no name has 5000 bytes"),
    ("nested-deep", "header-json", one(A[:-1] + ',"x":' + "[" * 200 + "]" * 200 + "}"), "a parser must not run out of stack"),
    ("rank-100", "rank-too-large", one(entry("a", "F32", "[" + "1," * 99 + "2]", 0, 8)), "100 dimensions"),
    ("lfs-pointer", "lfs-pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n", "git clone without git lfs"),
    ("html-page", "html-page", b"<!DOCTYPE html><html><body>401</body></html>\n", "the error page of a download"),
    ("xml-page", "html-page", b"<?xml version=\"1.0\"?><Error>AccessDenied</Error>\n", "the error page of an object store"),
    ("pickle", "not-safetensors", b"PK\x03\x04\x00\x00\x08\x08" + bytes(56), "a .bin under another name"),
    ("gguf", "not-safetensors", b"GGUF\x03\x00\x00\x00" + bytes(56), "a GGUF under another name"),
    ("numpy", "not-safetensors", b"\x93NUMPY\x01\x00" + bytes(60), "a NumPy file under another name"),
]

CONTROLS = [
    ("no-tensors", raw_file("{}"), "an empty file is legal"),
    ("leading-space", raw_file(" \n{" + A + "}", D8), "the reference skips it"),
    ("trailing-spaces", raw_file("{" + A + "}      ", D8), "the usual padding"),
    ("trailing-newline", raw_file("{" + A + "}\r\n\t", D8), "the reference skips it"),
    ("odd-length", raw_file("{" + A + "} ", D8), "the length need not be a multiple of 8"),
    ("odd-offset", one(entry("c", "U8", "[1]", 0, 1) + "," + entry("a", "BF16", "[2]", 1, 5), D8[:5]), "data need no alignment"),
    ("unsorted", one(B + "," + A, D16), "the order in the header is free"),
    ("empty-at-end", one(A + "," + entry("b", "F32", "[0,4]", 8, 8)), "an empty tensor at a boundary"),
    ("two-empty", one(entry("b", "F32", "[0]", 0, 0) + "," + entry("c", "F32", "[4,0]", 0, 0) + "," + A), "two empty tensors at one place"),
    ("scalar", one(entry("a", "F32", "[]", 0, 4), D8[:4]), "rank 0 has one value"),
    ("metadata-strings", one('"__metadata__":{"format":"pt"},' + A), "the usual __metadata__"),
    ("metadata-null", one('"__metadata__":null,' + A), "odd, and accepted by the reference"),
    ("metadata-last", one(A + ',"__metadata__":{"format":"pt"}'), "its place is free"),
    ("metadata-key-twice", one('"__metadata__":{"x":"1","x":"2"},' + A), "nothing of the model is lost"),
    ("extra-field", one(A[:-1] + ',"x":[1,{"y":null}]}'), "the reference ignores it"),
    ("extra-field-nested", one(A[:-1] + ',"x":' + "[" * 30 + "]" * 30 + "}"), "the reference ignores it"),
    ("name-empty", one(A.replace('"a"', '""')), "odd and legal"),
    ("name-unicode", one(A.replace('"a"', '"\u00e9\\u00e8.\\ud83d\\ude00"')), "any character may be in a name"),
    ("name-escaped", one(A.replace('"a"', '"\\u0061\\/b"')), "escapes"),
    ("every-dtype", one(",".join(entry("t%d" % i, d, "[1]", 8 * i, 8 * i + 8) for i, d in enumerate(["F64", "I64", "U64", "C64"])) + "," +
                        ",".join(entry("u%d" % i, d, "[2]", 32 + 8 * i, 40 + 8 * i) for i, d in enumerate(["F32", "I32", "U32"])) + "," +
                        ",".join(entry("v%d" % i, d, "[4]", 56 + 8 * i, 64 + 8 * i) for i, d in enumerate(["F16", "BF16", "I16", "U16"])) + "," +
                        ",".join(entry("w%d" % i, d, "[8]", 88 + 8 * i, 96 + 8 * i) for i, d in enumerate(["BOOL", "U8", "I8"])), bytes(112)),
     "all dtypes that are no quantized weights"),
]


def bare(content):
    m = Toy({"architectures": ["UnheardOfForCausalLM"], "model_type": "unheard"}, index=False)
    files = m.files()
    files["model.safetensors"] = content
    return files


def cut_shard():
    files = qwen3().files()
    name = "model-00002-of-00002.safetensors"
    files[name] = files[name][:-100]
    return files


def register(fault, control):
    for name, code, content, why in FAULTS:
        fault("file-" + name, code, lambda content=content: bare(content), why)
    for name, content, why in CONTROLS:
        control("file-" + name, lambda content=content: bare(content), why)
    fault("file-shard-cut", "data-truncated", cut_shard, "the last 100 bytes of the second shard are missing")
