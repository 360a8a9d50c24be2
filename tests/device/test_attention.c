// SPDX-License-Identifier: Apache-2.0
//
// Paged attention against a plain contiguous computation in double precision, and the promise that a query's bits
// depend on its own context only: not on the batch, the prefill chunk, the block size, the threads, or what lies in
// other blocks.
#include "tests.h"

#include <math.h>

typedef struct problem {
    size_t n_head, n_kv_head, d, block_size, n_seq;
    size_t d_latent; // not 0: values are the first d_latent elements of keys
    size_t length[4], n_query[4];
    int64_t window;
    lf_bf16 *q[4], *k[4], *v[4]; // contiguous: [length, heads, d]; queries are those of the last n_query positions
} problem;

static size_t value_width(const problem *p) { return p->d_latent ? p->d_latent : p->d; }

static lf_bf16 *random_rows(test_random *random, size_t n)
{
    lf_bf16 *rows = malloc(n * sizeof *rows);
    assert_non_null(rows);
    for (size_t i = 0; i < n; i++) rows[i] = lf_bf16_from_f32(test_random_normal(random));
    return rows;
}

static void make(problem *p, uint64_t seed)
{
    test_random random = {seed};
    for (size_t s = 0; s < p->n_seq; s++) {
        p->q[s] = random_rows(&random, p->length[s] * p->n_head * p->d);
        p->k[s] = random_rows(&random, p->length[s] * p->n_kv_head * p->d);
        p->v[s] = p->d_latent ? NULL : random_rows(&random, p->length[s] * p->n_kv_head * p->d);
    }
}

static void unmake(problem *p)
{
    for (size_t s = 0; s < p->n_seq; s++) {
        free(p->q[s]);
        free(p->k[s]);
        free(p->v[s]);
    }
}

// Runs the device on the problem; returns the outputs, sequence after sequence, malloced.
static lf_bf16 *run_on(lf_device *device, const problem *p)
{
    size_t q_row = p->n_head * p->d, out_row = p->n_head * value_width(p), kv_row = p->n_kv_head * p->d,
           q_stride = q_row + 7, table_stride = 0, n_block = 1, n_tok = 0;
    for (size_t s = 0; s < p->n_seq; s++) {
        size_t need = (p->length[s] + p->block_size - 1) / p->block_size;
        table_stride = need > table_stride ? need : table_stride;
        n_block += need;
        n_tok += p->n_query[s];
    }
    int32_t *tables = malloc(p->n_seq * table_stride * sizeof *tables);
    int32_t start[5] = {0}, lengths[4];
    lf_dptr keys = reserve(n_block * p->block_size * kv_row * 2),
            values = reserve(n_block * p->block_size * kv_row * 2);
    // What nobody owns is poison.
    memset(keys.address, 0xff, n_block * p->block_size * kv_row * 2);
    if (p->d_latent) {
        release(values);
        values.address = NULL;
    }
    if (values.address) memset(values.address, 0xff, n_block * p->block_size * kv_row * 2);
    lf_dptr q = reserve(n_tok * q_stride * 2), out = reserve(n_tok * out_row * 2);
    lf_kv_layer kv = {keys, values, p->block_size, p->n_kv_head, p->d, value_width(p)};
    size_t next = n_block; // blocks from the back, so that tables are not the identity
    for (size_t s = 0; s < p->n_seq; s++) {
        lengths[s] = (int32_t)p->length[s];
        start[s + 1] = start[s] + (int32_t)p->n_query[s];
        for (size_t b = 0; b < table_stride; b++) {
            tables[s * table_stride + b] = b * p->block_size < p->length[s] ? (int32_t)--next : -1;
        }
        int32_t *slots = malloc(p->length[s] * sizeof *slots);
        for (size_t t = 0; t < p->length[s]; t++) {
            slots[t] =
                tables[s * table_stride + t / p->block_size] * (int32_t)p->block_size + (int32_t)(t % p->block_size);
        }
        lf_kv_store_args store = {{p->k[s]}, {p->v[s]}, kv_row, p->length[s], {slots}, kv};
        assert_int_equal(device->ops->kv_store(device, &store, NULL), LF_OK);
        for (size_t t = 0; t < p->n_query[s]; t++) {
            memcpy((lf_bf16 *)q.address + ((size_t)start[s] + t) * q_stride,
                   p->q[s] + (p->length[s] - p->n_query[s] + t) * q_row, q_row * 2);
        }
        free(slots);
    }
    lf_attention_args args = {.q = q,
                              .q_stride = q_stride,
                              .out = out,
                              .out_stride = out_row,
                              .n_tok = n_tok,
                              .n_seq = p->n_seq,
                              .n_head = p->n_head,
                              .n_kv_head = p->n_kv_head,
                              .kv = kv,
                              .query_start = {start},
                              .lengths = {lengths},
                              .block_tables = {tables},
                              .block_table_stride = table_stride,
                              .max_length = 4096,
                              .scale = 1 / sqrtf((float)p->d),
                              .sliding_window = p->window};
    assert_int_equal(device->ops->attention(device, &args, NULL), LF_OK);
    lf_bf16 *result = malloc(n_tok * out_row * 2);
    memcpy(result, out.address, n_tok * out_row * 2);
    free(tables);
    release(keys);
    release(values);
    release(q);
    release(out);
    return result;
}

static void expect_row(const problem *p, size_t s, size_t position, size_t head, const lf_bf16 *out)
{
    size_t kv_head = head / (p->n_head / p->n_kv_head), first = 0;
    if (p->window > 0 && position + 1 > (size_t)p->window) first = position + 1 - (size_t)p->window;
    const lf_bf16 *q = p->q[s] + (position * p->n_head + head) * p->d;
    double *score = malloc((position + 1) * sizeof *score), max = -1e300, total = 0;
    for (size_t j = first; j <= position; j++) {
        const lf_bf16 *k = p->k[s] + (j * p->n_kv_head + kv_head) * p->d;
        score[j] = 0;
        for (size_t i = 0; i < p->d; i++) score[j] += (double)lf_bf16_to_f32(q[i]) * (double)lf_bf16_to_f32(k[i]);
        score[j] /= sqrt((double)p->d);
        max = fmax(max, score[j]);
    }
    for (size_t j = first; j <= position; j++) total += score[j] = exp(score[j] - max);
    const lf_bf16 *values = p->d_latent ? p->k[s] : p->v[s];
    for (size_t i = 0; i < value_width(p); i++) {
        double value = 0;
        for (size_t j = first; j <= position; j++) {
            value += score[j] / total * (double)lf_bf16_to_f32(values[(j * p->n_kv_head + kv_head) * p->d + i]);
        }
        test_assert_close(lf_bf16_to_f32(out[i]), (float)value, 0.52f, 2e-6f, "attention", i);
    }
    free(score);
}

static void check(const problem *p)
{
    lf_bf16 *out = run_on(test_device(), p), *row = out;
    for (size_t s = 0; s < p->n_seq; s++) {
        for (size_t t = 0; t < p->n_query[s]; t++) {
            for (size_t h = 0; h < p->n_head; h++, row += value_width(p))
                expect_row(p, s, p->length[s] - p->n_query[s] + t, h, row);
        }
    }
    free(out);
}

static void agrees_with_double_precision(void **state)
{
    static const size_t dims[] = {16, 24, 64, 80, 96, 128, 256};
    static const size_t heads[][2] = {{1, 1}, {4, 2}, {6, 2}, {5, 5}, {7, 1}, {16, 8}, {9, 3}};
    static const size_t blocks[] = {16, 1, 7, 32, 64, 128, 3};
    static const int64_t windows[] = {0, 0, 40, 0, 1, 0, 100};
    for (size_t i = 0; i < 7; i++) {
        problem p = {.n_head = heads[i][0],
                     .n_kv_head = heads[i][1],
                     .d = dims[i],
                     .block_size = blocks[i],
                     .n_seq = 4,
                     .length = {1, 200, 77, 66},
                     .n_query = {1, 1, 77, 20},
                     .window = windows[i]};
        make(&p, 100 + i);
        check(&p);
        unmake(&p);
    }
}

static void skips_sequences_without_queries(void **state)
{
    problem p = {.n_head = 4,
                 .n_kv_head = 2,
                 .d = 32,
                 .block_size = 16,
                 .n_seq = 4,
                 .length = {9, 50, 30, 5},
                 .n_query = {0, 3, 0, 5}};
    make(&p, 200);
    check(&p);
    unmake(&p);
}

static void reads_long_contexts_split_over_threads(void **state)
{
    for (size_t window = 0; window < 2; window++) {
        problem p = {.n_head = 4,
                     .n_kv_head = 2,
                     .d = 64,
                     .block_size = 16,
                     .n_seq = 2,
                     .length = {3000, 1500},
                     .n_query = {1, 3},
                     .window = window ? 700 : 0};
        make(&p, 300 + window);
        check(&p);
        unmake(&p);
    }
}

// The outputs of `p`'s sequence 0 for its last n_query positions, computed in steps of `step` tokens.
static lf_bf16 *in_steps(lf_device *device, const problem *p, size_t step)
{
    size_t row = p->n_head * value_width(p), n = p->n_query[0], begin = p->length[0] - n;
    lf_bf16 *all = malloc(n * row * 2);
    for (size_t t = 0; t < n; t += step) {
        problem part = *p;
        part.n_seq = 1;
        part.n_query[0] = step < n - t ? step : n - t;
        part.length[0] = begin + t + part.n_query[0];
        lf_bf16 *out = run_on(device, &part);
        memcpy(all + t * row, out, part.n_query[0] * row * 2);
        free(out);
    }
    return all;
}

// One latent for all heads, fewer and more of them than there is scratch for at a time, and numbers of them that cannot
// be cut evenly.
static void attends_to_latents(void **state)
{
    static const size_t heads[] = {4, 7, 64, 128, 97, 200}, keys[][2] = {{28, 20}, {136, 128}, {576, 512}};
    for (size_t i = 0; i < 6; i++) {
        problem p = {.n_head = heads[i],
                     .n_kv_head = 1,
                     .d = keys[i % 3][0],
                     .d_latent = keys[i % 3][1],
                     .block_size = i % 2 ? 16 : 7,
                     .n_seq = 4,
                     .length = {1, 700, 77, 66},
                     .n_query = {1, 1, 5, 3}};
        make(&p, 500 + i);
        check(&p);
        unmake(&p);
    }
}

static void expect_same_bits(problem p)
{
    make(&p, 400);
    size_t bytes = p.n_query[0] * p.n_head * value_width(&p) * 2;
    lf_bf16 *alone = in_steps(test_device(), &p, 1);
    static const size_t steps[] = {2, 7, 64, 150};
    for (size_t i = 0; i < 4; i++) {
        lf_bf16 *out = in_steps(test_device(), &p, steps[i]);
        assert_memory_equal(alone, out, bytes);
        free(out);
    }
    problem other = p;
    other.block_size = 5;
    lf_bf16 *out = in_steps(test_device(), &other, 150);
    assert_memory_equal(alone, out, bytes);
    free(out);
    problem batch = {.n_head = p.n_head,
                     .n_kv_head = p.n_kv_head,
                     .d = p.d,
                     .d_latent = p.d_latent,
                     .block_size = 16,
                     .n_seq = 3,
                     .length = {1300, 900, 31},
                     .n_query = {150, 1, 31}};
    make(&batch, 400); // the same first sequence
    out = run_on(test_device(), &batch);
    assert_memory_equal(alone, out, bytes);
    free(out);
    unmake(&batch);
    lf_device *serial = test_device_open(1);
    out = in_steps(serial, &p, 1);
    assert_memory_equal(alone, out, bytes);
    free(out);
    serial->ops->close(serial);
    test_device_close(); // the next use opens one with two threads again
    free(alone);
    unmake(&p);
}

static void bits_depend_on_the_context_only(void **state)
{
    expect_same_bits((problem){
        .n_head = 8, .n_kv_head = 2, .d = 64, .block_size = 16, .n_seq = 1, .length = {1300}, .n_query = {150}});
    expect_same_bits((problem){.n_head = 5,
                               .n_kv_head = 1,
                               .d = 72,
                               .d_latent = 64,
                               .block_size = 16,
                               .n_seq = 1,
                               .length = {1300},
                               .n_query = {150}});
    expect_same_bits((problem){.n_head = 100,
                               .n_kv_head = 1,
                               .d = 40,
                               .d_latent = 32,
                               .block_size = 16,
                               .n_seq = 1,
                               .length = {1300},
                               .n_query = {150}});
}

int test_attention(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_double_precision),           cmocka_unit_test(skips_sequences_without_queries),
        cmocka_unit_test(reads_long_contexts_split_over_threads), cmocka_unit_test(attends_to_latents),
        cmocka_unit_test(bits_depend_on_the_context_only),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
