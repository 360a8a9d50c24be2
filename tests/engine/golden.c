// SPDX-License-Identifier: Apache-2.0
//
// A reader for reference.safetensors, which is ours and well-formed: it asserts instead of reporting.
#include "golden.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

static const char *golden_root(void)
{
    const char *root = getenv("LF_TEST_GOLDEN");
    return root ? root : "tests/golden";
}

void golden_dir(char dst[512], const char *name) { snprintf(dst, 512, "%s/%s/checkpoint", golden_root(), name); }

typedef struct reference {
    uint8_t *bytes; // OWNED
    const uint8_t *data;
    json_t *header;
} reference;

static void reference_open(reference *r, const char *name)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s/reference.safetensors", golden_root(), name);
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    fseek(file, 0, SEEK_END);
    size_t n_byte = (size_t)ftell(file);
    rewind(file);
    r->bytes = malloc(n_byte);
    assert_non_null(r->bytes);
    assert_int_equal(fread(r->bytes, 1, n_byte, file), n_byte);
    fclose(file);
    uint64_t header_bytes;
    memcpy(&header_bytes, r->bytes, sizeof header_bytes);
    r->header = json_loadb((const char *)r->bytes + 8, header_bytes, 0, NULL);
    assert_non_null(r->header);
    r->data = r->bytes + 8 + header_bytes;
}

// The tensor's bytes; *n_element and, for a matrix, *n_col.
static const uint8_t *reference_tensor(const reference *r, const char *name, size_t *n_element, size_t *n_col)
{
    json_t *tensor = json_object_get(r->header, name), *shape = json_object_get(tensor, "shape");
    assert_non_null(shape);
    *n_element = 1;
    size_t i;
    json_t *size;
    json_array_foreach(shape, i, size)
    {
        *n_element *= (size_t)json_integer_value(size);
        *n_col = (size_t)json_integer_value(size);
    }
    return r->data + json_integer_value(json_array_get(json_object_get(tensor, "data_offsets"), 0));
}

static float reference_scalar(const reference *r, const char *name)
{
    size_t n, n_col;
    float value;
    memcpy(&value, reference_tensor(r, name, &n, &n_col), sizeof value);
    assert_int_equal(n, 1);
    return value;
}

static void reference_ids(const reference *r, const char *name, int32_t *dst, size_t n)
{
    size_t n_element, n_col;
    const uint8_t *src = reference_tensor(r, name, &n_element, &n_col);
    assert_int_equal(n_element, n);
    for (size_t i = 0; i < n; i++) {
        int64_t id;
        memcpy(&id, src + i * sizeof id, sizeof id);
        dst[i] = (int32_t)id;
    }
}

void golden_read(golden *g, const char *name)
{
    reference r = {0};
    *g = (golden){0};
    reference_open(&r, name);
    golden_dir(g->dir, name);
    size_t n_element, n_col;
    reference_tensor(&r, "prompt_ids", &g->n_prompt, &n_col);
    g->prompt = malloc(g->n_prompt * sizeof *g->prompt);
    reference_ids(&r, "prompt_ids", g->prompt, g->n_prompt);
    reference_ids(&r, "greedy_ids", g->greedy, GOLDEN_GREEDY);
    const uint8_t *logits = reference_tensor(&r, "logits", &n_element, &g->n_vocab);
    g->n_row = n_element / g->n_vocab;
    assert_int_equal(g->n_row, g->n_prompt + GOLDEN_GREEDY - 1);
    g->logits = malloc(n_element * sizeof(float));
    memcpy(g->logits, logits, n_element * sizeof(float));
    g->bf16_deviation = reference_scalar(&r, "bf16_deviation");
    g->bf16_rms_deviation = reference_scalar(&r, "bf16_rms_deviation");
    g->margin = reference_scalar(&r, "margin");
    json_decref(r.header);
    free(r.bytes);
}

void golden_free(golden *g)
{
    free(g->prompt);
    free(g->logits);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

enum { MAX_NAME = 64 };
static char storage[MAX_NAME][64];
static const char *names[MAX_NAME + 1];

// The goldens directly inside a folder of the root; `prefix` is "" or ends with '/'.
static size_t list_names(const char *prefix, size_t n)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/%s", golden_root(), prefix);
    DIR *dir = opendir(path);
    if (!dir) return n;
    for (const struct dirent *entry; (entry = readdir(dir)) && n < MAX_NAME;) {
        snprintf(path, sizeof path, "%s/%s%s/checkpoint/config.json", golden_root(), prefix, entry->d_name);
        if (entry->d_name[0] == '.' || access(path, R_OK) != 0) continue;
        snprintf(storage[n], sizeof storage[n], "%s%.50s", prefix, entry->d_name);
        names[n] = storage[n];
        n++;
    }
    closedir(dir);
    return n;
}

const char *const *golden_names(void)
{
    if (names[0]) return names;
    size_t n = list_names("moe/", list_names("", 0));
    qsort(names, n, sizeof names[0], by_name);
    return names;
}
