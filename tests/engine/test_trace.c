// SPDX-License-Identifier: Apache-2.0
//
// Traced passes: every point of every step comes once and in order, rows are what the model computes with fewer layers,
// logits lead to the tokens, and tracing changes none of them.
#include "tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client.h"
#include "golden.h"

enum { MOST = 128, N_TOKEN = 3, CHUNK = 8 };

typedef struct record {
    lf_trace_rows head; // pointers are not valid, but for `rows`
    float *rows;        // OWNED
    int32_t first_position;
    bool has_experts;
} record;

typedef struct recorder {
    record items[MOST];
    size_t count;
} recorder;

static void keep(void *ctx, const lf_trace_rows *rows)
{
    recorder *r = ctx;
    if (r->count == MOST) return;
    size_t bytes = rows->n_row * rows->n_col * sizeof(float);
    record *item = &r->items[r->count++];
    *item = (record){.head = *rows, .rows = malloc(bytes), .first_position = rows->positions[0]};
    item->has_experts = rows->experts && rows->n_active > 0;
    memcpy(item->rows, rows->rows, bytes);
}

static void clear(recorder *r)
{
    for (size_t i = 0; i < r->count; i++) free(r->items[i].rows);
    r->count = 0;
}

static void run(client *c, recorder *r, const golden *g, lf_load_format format, const json_t *overrides)
{
    lf_engine_options options = {.model_dir = g->dir,
                                 .load_format = format,
                                 .hf_overrides = overrides,
                                 .max_num_seqs = 2,
                                 .max_num_batched_tokens = CHUNK};
    if (r) options.on_trace = keep, options.trace_ctx = r;
    lf_engine *engine = client_open(&options);
    lf_sampling sampling = client_greedy(N_TOKEN);
    *c = (client){0};
    client_start(c, engine, g->prompt, g->n_prompt, &sampling);
    client_wait(c);
    client_release(c);
    lf_engine_close(engine);
    assert_int_equal(c->n_token, N_TOKEN);
}

static size_t likeliest(const float *logits, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

// The points of a step in order; returns the index behind it.
static size_t check_step(const recorder *r, size_t at, int64_t step, int64_t n_layer, bool has_logits)
{
    for (int64_t i = 0; i < 2 * n_layer + 2 + has_logits; i++, at++) {
        assert_true(at < r->count);
        const lf_trace_rows *head = &r->items[at].head;
        bool is_in_layer = i > 0 && i <= 2 * n_layer;
        lf_trace_point expected = i == 0                 ? LF_TRACE_EMBEDDING
                                  : i == 2 * n_layer + 1 ? LF_TRACE_NORM
                                  : i == 2 * n_layer + 2 ? LF_TRACE_LOGITS
                                  : i % 2                ? LF_TRACE_ATTENTION
                                                         : LF_TRACE_LAYER;
        assert_int_equal(head->point, expected);
        assert_int_equal(head->step, step);
        assert_int_equal(head->layer, is_in_layer ? (i - 1) / 2 : -1);
    }
    return at;
}

static void points_come_in_order(void **state)
{
    static const char *const names[] = {"qwen3_bf16", "moe/qwen3_moe_bf16"};
    for (size_t k = 0; k < 2; k++) {
        golden g;
        client plain, traced;
        recorder *r = calloc(1, sizeof *r);
        golden_read(&g, names[k]);
        run(&plain, NULL, &g, LF_LOAD_AUTO, NULL);
        run(&traced, r, &g, LF_LOAD_AUTO, NULL);
        assert_memory_equal(plain.tokens, traced.tokens, N_TOKEN * sizeof plain.tokens[0]);

        size_t n_layer = 0, n_prefill = (g.n_prompt + CHUNK - 1) / CHUNK, at = 0, n_token = 0;
        for (; r->items[1 + 2 * n_layer].head.point == LF_TRACE_ATTENTION;) n_layer++;
        assert_true(n_layer >= 2);
        for (size_t step = 0; step < n_prefill + N_TOKEN - 1; step++) {
            size_t first = at;
            bool has_logits = step + 1 >= n_prefill;
            at = check_step(r, at, (int64_t)step, (int64_t)n_layer, has_logits);
            size_t position = step < n_prefill ? step * CHUNK : g.n_prompt + step - n_prefill;
            assert_int_equal(r->items[first].first_position, position);
            if (k == 1) assert_true(r->items[first + 2 * n_layer].has_experts);
            assert_false(r->items[first + 1].has_experts);
            if (!has_logits) continue;
            const record *logits = &r->items[at - 1];
            assert_int_equal(logits->head.n_row, 1);
            assert_int_equal(logits->head.n_col, g.n_vocab);
            assert_int_equal(likeliest(logits->rows, g.n_vocab), traced.tokens[n_token++]);
        }
        assert_int_equal(at, r->count);
        clear(r);
        free(r);
        golden_free(&g);
    }
}

// Layers do not know how many follow: what stands behind layer 0 is the same in a model of one layer.
static void fewer_layers_are_the_first_ones(void **state)
{
    static const lf_load_format formats[] = {LF_LOAD_AUTO, LF_LOAD_DUMMY};
    for (size_t k = 0; k < 2; k++) {
        golden g;
        client c;
        recorder *whole = calloc(1, sizeof *whole), *one = calloc(1, sizeof *one);
        json_t *overrides = json_pack("{s:i}", "num_hidden_layers", 1);
        golden_read(&g, "qwen3_fp8_block");
        run(&c, whole, &g, formats[k], NULL);
        run(&c, one, &g, formats[k], overrides);
        for (size_t i = 0; i < 3; i++) {
            const record *a = &whole->items[i], *b = &one->items[i];
            assert_int_equal(a->head.point, b->head.point);
            assert_memory_equal(a->rows, b->rows, a->head.n_row * a->head.n_col * sizeof(float));
        }
        assert_int_equal(one->items[3].head.point, LF_TRACE_NORM);
        assert_int_equal(whole->items[3].head.point, LF_TRACE_ATTENTION);
        clear(whole);
        clear(one);
        free(whole);
        free(one);
        json_decref(overrides);
        golden_free(&g);
    }
}

int test_trace(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_come_in_order),
        cmocka_unit_test(fewer_layers_are_the_first_ones),
    };
    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
