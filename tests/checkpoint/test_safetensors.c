// SPDX-License-Identifier: Apache-2.0
//
// The header reader against the catalog's section 11.3: every row of its table, with the finding that the strict column
// demands.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "checkpoint/checkpoint_int.h"
#include "tests.h"

// Bytes in an own block of exactly that size, so that a sanitizer sees every read past the end.
static void read_bytes(lf__shard *shard, const void *bytes, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    if (length) memcpy(copy, bytes, length);
    *shard = (lf__shard){.file_name = "model.safetensors"};
    lf__safetensors_read(shard, length ? copy : NULL, length);
    shard->header = NULL;
    for (size_t i = 0; i < shard->count; i++) shard->tensors[i].data = NULL;
    free(copy);
}

static void read_header(lf__shard *shard, const char *header, size_t header_bytes, size_t data_bytes)
{
    size_t total = 8 + header_bytes + data_bytes;
    uint8_t *bytes = calloc(1, total);
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(header_bytes >> 8 * i);
    memcpy(bytes + 8, header, header_bytes);
    read_bytes(shard, bytes, total);
    free(bytes);
}

typedef struct row {
    const char *about;
    const char *header;
    size_t data_bytes;
    const char *code; // expected finding; NULL: none at all
    lf_severity severity;
    size_t n_tensor; // when it is not refused
} row;

#define ERR LF_SEVERITY_ERROR
#define WARN LF_SEVERITY_WARNING
#define U8(name, shape, begin, end)                                                                                    \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"
#define ENTRY(text) "{\"a\":" text "}"

static const row rows[] = {
    // Shape of the object
    {"no tensors", "{}", 0, NULL, 0, 0},
    {"no tensors, one byte of data", "{}", 1, "data-trailing", ERR, 0},
    {"leading space", " {}", 0, "header-padding", WARN, 0},
    {"leading tab", "\t{}", 0, "header-padding", WARN, 0},
    {"leading newline", "\n{}", 0, "header-padding", WARN, 0},
    {"trailing spaces", "{}      ", 0, NULL, 0, 0},
    {"trailing tab", "{}\t", 0, "header-padding", WARN, 0},
    {"trailing CR LF", "{}\r\n", 0, "header-padding", WARN, 0},
    {"text after the object", "{}x", 0, "header-json", ERR, 0},
    {"two objects", "{}{}", 0, "header-json", ERR, 0},
    {"byte order mark", "\xef\xbb\xbf{}", 0, "header-json", ERR, 0},
    {"an array at the top", "[]", 0, "header-json", ERR, 0},
    {"null at the top", "null", 0, "header-json", ERR, 0},
    {"unclosed", "{\"a\":", 0, "header-json", ERR, 0},
    {"header of odd length", "{ }", 0, NULL, 0, 0},
    {"invalid UTF-8", "{\"\xff\":1}", 0, "header-utf8", ERR, 0},
    {"overlong UTF-8", "{\"\xc0\xaf\":1}", 0, "header-utf8", ERR, 0},
    {"surrogate in UTF-8", "{\"\xed\xa0\x80\":1}", 0, "header-utf8", ERR, 0},
    {"trailing comma", "{" U8("a", "[1]", 0, 1) ",}", 1, "header-json", ERR, 0},
    {"comment", "{/**/}", 0, "header-json", ERR, 0},
    {"single quotes", "{'a':1}", 0, "header-json", ERR, 0},
    {"NaN", ENTRY("NaN"), 0, "header-json", ERR, 0},
    // Placement
    {"BF16 at an odd offset",
     "{" U8("a", "[1]", 0, 1) ",\"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[1,3]}}", 3, NULL, 0, 2},
    {"names not in order of offset", "{" U8("a", "[2]", 2, 4) "," U8("b", "[2]", 0, 2) "}", 4, NULL, 0, 2},
    {"data too short", "{" U8("a", "[4]", 0, 4) "}", 3, "data-truncated", ERR, 0},
    {"data too long", "{" U8("a", "[4]", 0, 4) "}", 5, "data-trailing", ERR, 0},
    {"hole at the start", "{" U8("a", "[4]", 1, 5) "}", 5, "data-hole", ERR, 0},
    {"hole in the middle", "{" U8("a", "[2]", 0, 2) "," U8("b", "[2]", 3, 5) "}", 5, "data-hole", ERR, 0},
    {"overlap", "{" U8("a", "[3]", 0, 3) "," U8("b", "[3]", 2, 5) "}", 5, "data-overlap", ERR, 0},
    {"the same range twice", "{" U8("a", "[3]", 0, 3) "," U8("b", "[3]", 0, 3) "}", 3, "data-overlap", ERR, 0},
    {"begin after end", "{" U8("a", "[3]", 3, 0) "}", 3, "offsets-reversed", ERR, 0},
    {"size against shape", "{" U8("a", "[4]", 0, 3) "}", 3, "size-mismatch", ERR, 0},
    {"size against dtype", ENTRY("{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,8]}"), 8, "size-mismatch", ERR,
     0},
    {"two empty tensors at one offset", "{" U8("a", "[0]", 0, 0) "," U8("b", "[2,0]", 0, 0) "}", 0, NULL, 0, 2},
    {"empty tensor at a border", "{" U8("a", "[2]", 0, 2) "," U8("b", "[0]", 2, 2) "," U8("c", "[1]", 2, 3) "}", 3,
     NULL, 0, 3},
    {"empty tensor inside another", "{" U8("a", "[4]", 0, 4) "," U8("b", "[0]", 2, 2) "}", 4, "data-overlap", ERR, 0},
    {"offsets near 2^64", "{" U8("a", "[1]", 18446744073709551614, 18446744073709551615) "}", 1, "data-hole", ERR, 0},
    // Shapes and dtypes
    {"scalar", "{" U8("a", "[]", 0, 1) "}", 1, NULL, 0, 1},
    {"bits overflow", "{" U8("a", "[2305843009213693952]", 0, 1) "}", 1, "shape-overflow", ERR, 0},
    {"product overflow", "{" U8("a", "[4294967296,4294967296]", 0, 1) "}", 1, "shape-overflow", ERR, 0},
    {"overflow before a zero", "{" U8("a", "[18446744073709551615,2,0]", 0, 0) "}", 0, "shape-overflow", ERR, 0},
    {"zero before a huge dimension", "{" U8("a", "[0,18446744073709551615,2]", 0, 0) "}", 0, "shape-overflow", ERR, 0},
    {"two F4", ENTRY("{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}"), 1, NULL, 0, 1},
    {"four F6", ENTRY("{\"dtype\":\"F6_E3M2\",\"shape\":[4],\"data_offsets\":[0,3]}"), 3, NULL, 0, 1},
    {"one F4", ENTRY("{\"dtype\":\"F4\",\"shape\":[1],\"data_offsets\":[0,1]}"), 1, "sub-byte-alignment", ERR, 0},
    {"three F4", ENTRY("{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}"), 2, "sub-byte-alignment", ERR, 0},
    {"one F6", ENTRY("{\"dtype\":\"F6_E2M3\",\"shape\":[1],\"data_offsets\":[0,1]}"), 1, "sub-byte-alignment", ERR, 0},
    {"unknown dtype", ENTRY("{\"dtype\":\"F8_E4M3FN\",\"shape\":[1],\"data_offsets\":[0,1]}"), 1, "unknown-dtype", ERR,
     0},
    {"lower-case dtype", ENTRY("{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}"), 4, "unknown-dtype", ERR, 0},
    {"rank 8", "{" U8("a", "[1,1,1,1,1,1,1,1]", 0, 1) "}", 1, NULL, 0, 1},
    {"rank 9", "{" U8("a", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, "rank-too-large", ERR, 0},
    // Duplicates
    {"duplicate, identical", "{" U8("a", "[2]", 0, 2) "," U8("a", "[2]", 0, 2) "}", 2, "duplicate-tensor", ERR, 0},
    {"duplicate, contiguous", "{" U8("a", "[2]", 0, 2) "," U8("a", "[2]", 2, 4) "}", 4, "duplicate-tensor", ERR, 0},
    {"duplicate, the first wrong", "{" U8("a", "[9]", 0, 2) "," U8("a", "[2]", 0, 2) "}", 2, "size-mismatch", ERR, 0},
    {"duplicate, empty", "{" U8("a", "[0]", 0, 0) "," U8("a", "[0]", 0, 0) "}", 0, "duplicate-tensor", ERR, 0},
    {"duplicate by an escape", "{" U8("\\u0061", "[1]", 0, 1) "," U8("a", "[1]", 1, 2) "}", 2, "duplicate-tensor", ERR,
     0},
    {"two dtypes", ENTRY("{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}"), 1,
     "entry-invalid", ERR, 0},
    // Metadata
    {"metadata", "{\"__metadata__\":{\"format\":\"pt\"}," U8("a", "[1]", 0, 1) "}", 1, NULL, 0, 1},
    {"metadata at the end", "{" U8("a", "[1]", 0, 1) ",\"__metadata__\":{\"format\":\"pt\"}}", 1, NULL, 0, 1},
    {"metadata null", "{\"__metadata__\":null}", 0, "metadata-null", WARN, 0},
    {"metadata with an integer", "{\"__metadata__\":{\"a\":1}}", 0, "metadata-invalid", ERR, 0},
    {"metadata with an object", "{\"__metadata__\":{\"a\":{}}}", 0, "metadata-invalid", ERR, 0},
    {"metadata as an array", "{\"__metadata__\":[\"a\"]}", 0, "metadata-invalid", ERR, 0},
    {"metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "metadata-duplicate", ERR, 0},
    {"metadata key twice", "{\"__metadata__\":{\"a\":\"1\",\"b\":\"\",\"a\":\"2\"}}", 0, "metadata-duplicate-key", WARN,
     0},
    {"metadata like a tensor", "{" U8("__metadata__", "[1]", 0, 1) "}", 1, "metadata-invalid", ERR, 0},
    // Entries
    {"unknown field", ENTRY("{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":[{}]}"), 1, "unknown-field",
     WARN, 1},
    {"no shape", ENTRY("{\"dtype\":\"U8\",\"data_offsets\":[0,1]}"), 1, "entry-invalid", ERR, 0},
    {"no dtype", ENTRY("{\"shape\":[1],\"data_offsets\":[0,1]}"), 1, "entry-invalid", ERR, 0},
    {"no data_offsets", ENTRY("{\"dtype\":\"U8\",\"shape\":[1]}"), 1, "entry-invalid", ERR, 0},
    {"null entry", ENTRY("null"), 0, "entry-invalid", ERR, 0},
    {"entry as an array", ENTRY("[\"U8\",[1],[0,1]]"), 1, "entry-invalid", ERR, 0},
    {"one offset", ENTRY("{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}"), 1, "entry-invalid", ERR, 0},
    {"three offsets", ENTRY("{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}"), 1, "entry-invalid", ERR, 0},
    {"negative dimension", "{" U8("a", "[-1]", 0, 1) "}", 1, "entry-invalid", ERR, 0},
    {"negative zero", "{" U8("a", "[-0]", 0, 0) "}", 0, "entry-invalid", ERR, 0},
    {"fraction", "{" U8("a", "[1.0]", 0, 1) "}", 1, "entry-invalid", ERR, 0},
    {"exponent", "{" U8("a", "[1e0]", 0, 1) "}", 1, "entry-invalid", ERR, 0},
    {"number in quotes", "{" U8("a", "[\"1\"]", 0, 1) "}", 1, "entry-invalid", ERR, 0},
    {"leading zero", "{" U8("a", "[01]", 0, 1) "}", 1, "header-json", ERR, 0},
    {"2^64", "{" U8("a", "[18446744073709551616]", 0, 1) "}", 1, "entry-invalid", ERR, 0},
    {"shape as a number", "{" U8("a", "1", 0, 1) "}", 1, "entry-invalid", ERR, 0},
    {"dtype as a number", ENTRY("{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}"), 1, "entry-invalid", ERR, 0},
    // Names
    {"lone surrogate", "{" U8("\\ud800", "[1]", 0, 1) "}", 1, "header-json", ERR, 0},
    {"surrogate pair", "{" U8("\\ud83d\\ude00", "[1]", 0, 1) "}", 1, NULL, 0, 1},
    {"raw control character", "{\"a\nb\":1}", 0, "header-json", ERR, 0},
    {"NUL in a name", "{" U8("a\\u0000b", "[1]", 0, 1) "}", 1, "name-nul", ERR, 0},
    {"empty name", "{" U8("", "[1]", 0, 1) "}", 1, "name-empty", WARN, 1},
};

static void follows_the_table(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(rows); i++) {
        const row *r = &rows[i];
        lf__shard shard;
        read_header(&shard, r->header, strlen(r->header), r->data_bytes);
        bool is_refused = r->code && r->severity == ERR;
        if (!r->code && shard.findings.count) fail_msg("%s: unexpected %s", r->about, shard.findings.items[0].code);
        if (r->code && !find_code(&shard.findings, r->code)) {
            fail_msg("%s: expected %s, found %s", r->about, r->code,
                     shard.findings.count ? shard.findings.items[0].code : "nothing");
        }
        if (r->code) assert_finding(&shard.findings, r->code, r->severity, NULL);
        if (shard.is_refused != is_refused) fail_msg("%s: refused is %d", r->about, shard.is_refused);
        assert_int_equal(shard.count, is_refused ? 0 : r->n_tensor);
        lf__shard_fini(&shard);
    }
}

static void reads_every_dtype(void **state)
{
    for (int i = 0; i < LF_DTYPE_COUNT; i++) {
        lf_dtype dtype = (lf_dtype)i;
        char header[160];
        int bytes = lf_dtype_bits(dtype); // eight elements
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"%s\",\"shape\":[2,4],\"data_offsets\":[0,%d]}}",
                 lf_dtype_name(dtype), bytes);
        lf__shard shard;
        read_header(&shard, header, strlen(header), (size_t)bytes);
        assert_int_equal(shard.findings.count, 0);
        assert_int_equal(shard.count, 1);
        assert_int_equal(shard.tensors[0].dtype, dtype);
        assert_int_equal(shard.tensors[0].bytes, bytes);
        lf__shard_fini(&shard);
    }
}

typedef struct file_row {
    const char *bytes;
    size_t length;
    const char *code;
} file_row;

static void recognizes_files_that_are_no_shards(void **state)
{
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4\n";
    static const file_row files[] = {
        {"", 0, "header-too-small"},
        {"\x02\0\0\0\0\0\0", 7, "header-too-small"},
        {"\0\0\0\0\0\0\0\0", 8, "header-json"},
        {"\0\0\0\0\0\0\0\0abc", 11, "header-json"},
        {"\x3c\0\0\0\0\0\0\0", 8, "header-truncated"},
        {"\x00\xe1\xf5\x05\0\0\0\0{}", 10, "header-truncated"},      // 100,000,000
        {"\x01\xe1\xf5\x05\0\0\0\0{}", 10, "header-too-large"},      // one more
        {"\xff\xff\xff\xff\xff\xff\xff\xff", 8, "header-too-large"}, // 2^64 - 1
        {pointer, sizeof pointer - 1, "lfs-pointer"},
        {"<!DOCTYPE html><html>", 21, "html-page"},
        {"PK\003\004\x14\0\0\0\0\0\0\0", 12, "not-safetensors"},
        {"GGUF\003\0\0\0", 8, "not-safetensors"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(files); i++) {
        lf__shard shard;
        read_bytes(&shard, files[i].bytes, files[i].length);
        assert_finding(&shard.findings, files[i].code, ERR, "model.safetensors");
        assert_true(shard.is_refused);
        lf__shard_fini(&shard);
    }
}

static void reports_all_problems_of_a_shard(void **state)
{
    static const char header[] = "{" U8(
        "a", "[4]", 0, 3) ",\"b\":{\"dtype\":\"X\",\"shape\":[1],\"data_offsets\":[3,4]}," U8("c", "[1", 4, 5) "]}";
    static const char good[] =
        "{" U8("a", "[4]", 0, 3) ",\"b\":{\"dtype\":\"X\",\"shape\":[1],\"data_offsets\":[3,4]},\"c\":null}";
    lf__shard shard;
    read_header(&shard, good, strlen(good), 5);
    assert_int_equal(shard.findings.n_error, 3);
    assert_finding(&shard.findings, "size-mismatch", ERR, "a");
    assert_finding(&shard.findings, "unknown-dtype", ERR, "b");
    assert_finding(&shard.findings, "entry-invalid", ERR, "c");
    lf__shard_fini(&shard);
    read_header(&shard, header, strlen(header), 5); // and after a syntax error, what came before it
    assert_finding(&shard.findings, "unknown-dtype", ERR, "b");
    assert_finding(&shard.findings, "header-json", ERR, NULL);
    lf__shard_fini(&shard);
}

static void bounds_names_and_nesting(void **state)
{
    char *header = malloc(20000);
    lf__shard shard;
    for (size_t length = LF__MAX_NAME_BYTES; length <= LF__MAX_NAME_BYTES + 1; length++) {
        header[0] = '{';
        header[1] = '"';
        memset(header + 2, 'n', length);
        strcpy(header + 2 + length, "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}");
        read_header(&shard, header, strlen(header), 1);
        if (length == LF__MAX_NAME_BYTES)
            assert_no_errors(&shard.findings);
        else
            assert_finding(&shard.findings, "name-too-long", ERR, NULL);
        lf__shard_fini(&shard);
    }
    for (int depth = 16; depth <= 5000; depth += 48) { // as the value of an unknown field
        size_t used = (size_t)sprintf(header, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":");
        memset(header + used, '[', (size_t)depth);
        memset(header + used + depth, ']', (size_t)depth);
        strcpy(header + used + 2 * depth, "}}");
        read_header(&shard, header, strlen(header), 1);
        if (depth <= LF__MAX_DEPTH)
            assert_no_errors(&shard.findings);
        else
            assert_finding(&shard.findings, "header-json", ERR, NULL);
        lf__shard_fini(&shard);
    }
    free(header);
}

// Every prefix of a good file, and every single byte of its header replaced: never a crash, never a tensor past the
// end.
static void survives_damage(void **state)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"}," U8("m.weight", "[2,2]", 0, 4) "," U8("m.bias", "[2]", 4, 6) "}";
    size_t length = sizeof header - 1, total = 8 + length + 6;
    uint8_t *file = calloc(1, total);
    lf__shard shard;
    file[0] = (uint8_t)length;
    memcpy(file + 8, header, length);
    for (size_t n = 0; n < total; n++) {
        read_bytes(&shard, file, n);
        assert_true(shard.is_refused);
        lf__shard_fini(&shard);
    }
    for (size_t i = 0; i < 8 + length; i++) {
        uint8_t kept = file[i];
        for (int value = 0; value < 256; value++) {
            file[i] = (uint8_t)value;
            read_bytes(&shard, file, total);
            for (size_t k = 0; k < shard.count; k++) {
                assert_true(shard.tensors[k].file_off >= 8 &&
                            shard.tensors[k].file_off + shard.tensors[k].bytes <= total);
            }
            assert_true(shard.is_refused || shard.findings.n_error == 0);
            lf__shard_fini(&shard);
        }
        file[i] = kept;
    }
    free(file);
}

int test_safetensors(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_table),
        cmocka_unit_test(reads_every_dtype),
        cmocka_unit_test(recognizes_files_that_are_no_shards),
        cmocka_unit_test(reports_all_problems_of_a_shard),
        cmocka_unit_test(bounds_names_and_nesting),
        cmocka_unit_test(survives_damage),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
