// SPDX-License-Identifier: Apache-2.0
//
// Whole tokenizers against the reference library: ids of 3000 texts and the text of 200 lists of ids each
// (tests/golden/text). The large public ones are not in the repository; without them (LF_TEST_SHARED) their tests are
// skipped.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "helpers.h"
#include "tests.h"

enum { N_TEXT = 3000, N_DECODE = 200, N_THREAD = 4 };

static const char *folder(const char *variable, const char *otherwise)
{
    const char *path = getenv(variable);
    return path ? path : otherwise;
}

static char *golden(const char *name)
{
    char path[4096];
    char *content = NULL;
    size_t length;
    lf_error err;
    snprintf(path, sizeof path, "%s/text/%s", folder("LF_TEST_GOLDEN", "tests/golden"), name);
    if (lf_file_read(&content, &length, path, 64 << 20, &err)) fail_msg("%s", err.message);
    return content;
}

// Unpacks a file that xz made; NULL when it is not there.
static char *unpack(const char *path, size_t *length)
{
    char command[4200];
    lf_buf out = LF_BUF_INIT;
    if (access(path, R_OK) != 0 || strchr(path, '\'')) return NULL;
    snprintf(command, sizeof command, "xz -dc '%s'", path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char block[65536];
    size_t got;
    while ((got = fread(block, 1, sizeof block, pipe)) > 0) lf_buf_append(&out, block, got);
    assert_int_equal(pclose(pipe), 0);
    *length = out.length;
    return lf_buf_take(&out);
}

static lf_tokenizer *open_shared(const char *name)
{
    char path[4096];
    size_t length;
    lf_tokenizer *tokenizer = NULL;
    lf_error err;
    snprintf(path, sizeof path, "%s/tokenizers/%s/tokenizer.json.xz", folder("LF_TEST_SHARED", "/nonexistent"), name);
    char *json = unpack(path, &length);
    if (!json) {
        print_message("SKIPPED: no %s (set LF_TEST_SHARED)\n", path);
        return NULL;
    }
    int64_t start = lf_now_ns();
    if (lf_tokenizer_open_memory(&tokenizer, json, length, &err)) fail_msg("%s: %s", name, err.message);
    print_message("%s: opened in %.0f ms\n", name, (double)(lf_now_ns() - start) / 1e6);
    free(json);
    return tokenizer;
}

static lf_tokenizer *open_file(const char *base, const char *name)
{
    lf_tokenizer *tokenizer = NULL;
    lf_error err;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/tokenizer.json", base, name);
    if (lf_tokenizer_open(&tokenizer, path, &err)) fail_msg("%s", err.message);
    return tokenizer;
}

// The texts of the corpus and where their expected ids stand, line by line.
typedef struct corpus {
    json_t *texts[N_TEXT];
    char *ids; // the file, lines ended by NUL
    const char *lines[N_TEXT];
} corpus;

static void corpus_load(corpus *c, const char *name)
{
    char file[256];
    lf_error err;
    char *text = golden("corpus.txt");
    snprintf(file, sizeof file, "%s.ids", name);
    c->ids = golden(file);
    char *at = text;
    char *id_at = c->ids;
    for (size_t i = 0; i < N_TEXT; i++) {
        char *line = strsep(&at, "\n");
        c->lines[i] = strsep(&id_at, "\n");
        assert_non_null(line);
        assert_non_null(c->lines[i]);
        assert_int_equal(lf_json_parse(&c->texts[i], line, strlen(line), "corpus.txt", &err), LF_OK);
    }
    free(text);
}

static void corpus_free(corpus *c)
{
    for (size_t i = 0; i < N_TEXT; i++) json_decref(c->texts[i]);
    free(c->ids);
}

// How many texts do not encode to the expected ids. No assertion in here: threads run it.
static size_t count_differences(const lf_tokenizer *tokenizer, const corpus *c)
{
    size_t n = 0;
    lf_ids ids = LF_IDS_INIT;
    lf_buf line = LF_BUF_INIT;
    for (size_t i = 0; i < N_TEXT; i++) {
        lf_error err;
        ids.count = 0;
        lf_buf_clear(&line);
        lf_status status = lf_tokenizer_encode(tokenizer, json_string_value(c->texts[i]),
                                               json_string_length(c->texts[i]), LF_ENCODE_PARSE_SPECIAL, &ids, &err);
        for (size_t k = 0; k < ids.count; k++) lf_buf_printf(&line, k ? " %d" : "%d", (int)ids.data[k]);
        if (status || strcmp(lf_buf_text(&line), c->lines[i]) != 0) {
            if (n++ < 3) print_message("line %zu: %s\n expected %s\n", i + 1, lf_buf_text(&line), c->lines[i]);
        }
    }
    lf_buf_fini(&line);
    lf_ids_fini(&ids);
    return n;
}

static size_t read_ids(const json_t *list, int32_t *ids, size_t capacity)
{
    size_t n = json_array_size(list);
    assert_true(n <= capacity);
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return n;
}

// Whole and piece by piece; no piece may end inside a character.
static void assert_decodes(const lf_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip,
                           const json_t *expected)
{
    lf_buf whole = LF_BUF_INIT;
    lf_buf pieces = LF_BUF_INIT;
    lf_detokenizer detokenizer;
    lf_error err;
    assert_int_equal(lf_tokenizer_decode(tokenizer, ids, n, skip, &whole, &err), LF_OK);
    assert_string_equal(lf_buf_text(&whole), json_string_value(expected));
    lf_detokenizer_init(&detokenizer, tokenizer, skip);
    for (size_t i = 0; i < n; i++) {
        size_t before = pieces.length;
        assert_int_equal(lf_detokenizer_push(&detokenizer, ids[i], &pieces, &err), LF_OK);
        if (pieces.length > before) assert_true(((uint8_t)pieces.data[before] & 0xc0) != 0x80);
    }
    assert_int_equal(lf_detokenizer_flush(&detokenizer, &pieces, &err), LF_OK);
    assert_string_equal(lf_buf_text(&pieces), lf_buf_text(&whole));
    lf_detokenizer_fini(&detokenizer);
    lf_buf_fini(&whole);
    lf_buf_fini(&pieces);
}

static void assert_decode_file(const lf_tokenizer *tokenizer, const char *name)
{
    char file[256];
    snprintf(file, sizeof file, "%s.decode.jsonl", name);
    char *text = golden(file);
    char *at = text;
    for (size_t i = 0; i < N_DECODE; i++) {
        char *line = strsep(&at, "\n");
        json_t *json = NULL;
        lf_error err;
        int32_t ids[4096];
        assert_non_null(line);
        assert_int_equal(lf_json_parse(&json, line, strlen(line), file, &err), LF_OK);
        size_t n = read_ids(json_object_get(json, "ids"), ids, LF_ARRAY_LENGTH(ids));
        assert_decodes(tokenizer, ids, n, false, json_object_get(json, "text"));
        assert_decodes(tokenizer, ids, n, true, json_object_get(json, "no_special"));
        json_decref(json);
    }
    free(text);
}

// The ids that are put in front by default, as tokenizers.json lists them.
static void assert_added_by_default(const lf_tokenizer *tokenizer, const char *name)
{
    char *text = golden("tokenizers.json");
    json_t *root = NULL;
    lf_error err;
    assert_int_equal(lf_json_parse(&root, text, strlen(text), "tokenizers.json", &err), LF_OK);
    const json_t *list = json_object_get(root, "tokenizers");
    size_t at = 0;
    while (at < json_array_size(list) &&
           strcmp(json_string_value(json_object_get(json_array_get(list, at), "name")), name) != 0) {
        at++;
    }
    const json_t *entry = json_array_get(list, at);
    assert_non_null(entry);
    assert_int_equal(lf_tokenizer_vocab_size(tokenizer), json_integer_value(json_object_get(entry, "vocab")));
    int32_t expected[16];
    size_t n = read_ids(json_object_get(entry, "added_by_default"), expected, LF_ARRAY_LENGTH(expected));
    lf_ids ids = LF_IDS_INIT;
    assert_int_equal(lf_tokenizer_encode(tokenizer, "", 0, LF_ENCODE_ADD_SPECIAL, &ids, &err), LF_OK);
    assert_int_equal(ids.count, n);
    if (n) assert_memory_equal(ids.data, expected, n * sizeof *expected);
    lf_ids_fini(&ids);
    json_decref(root);
    free(text);
}

static void assert_golden(lf_tokenizer *tokenizer, const char *name)
{
    corpus *c = calloc(1, sizeof *c);
    assert_non_null(c);
    corpus_load(c, name);
    assert_int_equal(count_differences(tokenizer, c), 0);
    assert_decode_file(tokenizer, name);
    assert_added_by_default(tokenizer, name);
    corpus_free(c);
    free(c);
    lf_tokenizer_close(tokenizer);
}

static void llama3_like(void **state)
{
    char base[4096];
    snprintf(base, sizeof base, "%s/text", folder("LF_TEST_GOLDEN", "tests/golden"));
    assert_golden(open_file(base, "llama3_like"), "llama3_like");
}

static void bundled(void **state)
{
    assert_golden(open_file(folder("LF_TEST_MODELS", "models"), "landfall-tiny-qwen3-fp8"), "bundled");
}

static void qwen3(void **state)
{
    lf_tokenizer *tokenizer = open_shared("qwen3");
    if (!tokenizer) skip();
    assert_golden(tokenizer, "qwen3");
}

static void deepseek_v3(void **state)
{
    lf_tokenizer *tokenizer = open_shared("deepseek_v3");
    if (!tokenizer) skip();
    assert_golden(tokenizer, "deepseek_v3");
}

typedef struct worker {
    const lf_tokenizer *tokenizer;
    const corpus *corpus;
    size_t n_difference;
} worker;

static void *work(void *argument)
{
    worker *w = argument;
    w->n_difference = count_differences(w->tokenizer, w->corpus);
    return NULL;
}

// One tokenizer, fresh (its cache of whole words still empty), used by all threads at once.
static void threads_share_a_tokenizer(void **state)
{
    pthread_t threads[N_THREAD];
    worker workers[N_THREAD];
    corpus *c = calloc(1, sizeof *c);
    lf_tokenizer *tokenizer = open_file(folder("LF_TEST_MODELS", "models"), "landfall-tiny-qwen3-fp8");
    assert_non_null(c);
    corpus_load(c, "bundled");
    for (size_t i = 0; i < N_THREAD; i++) {
        workers[i] = (worker){tokenizer, c, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < N_THREAD; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].n_difference, 0);
    }
    corpus_free(c);
    free(c);
    lf_tokenizer_close(tokenizer);
}

int test_tokenizer_files(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama3_like),
        cmocka_unit_test(bundled),
        cmocka_unit_test(qwen3),
        cmocka_unit_test(deepseek_v3),
        cmocka_unit_test(threads_share_a_tokenizer),
    };
    return cmocka_run_group_tests_name("tokenizer_files", tests, NULL, NULL);
}
