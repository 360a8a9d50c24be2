// SPDX-License-Identifier: Apache-2.0
//
// Micro-benchmark of the CPU device on the shapes of Qwen3-0.6B and 1.7B: share of the read bandwidth in decode, share
// of the machine's matrix-product peak in prefill, attention beside the linear layers. `bench_device [threads]`. Every
// figure is the best of several short runs; with one thread it is processor time, so that other programs hardly disturb
// it.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/par.h"
#include "device/cpu/measure.h"
#include "device/device.h"

enum { MAX_TOK = 512, MAX_COLUMNS = 6144, MAX_ROWS = 12288 };

typedef struct bench {
    lf_device *device;
    int n_thread;
    lf_dptr x, y, cache;
    double read_peak, matmul_peak; // bytes and operations per second
} bench;

static double seconds(const bench *b)
{
    struct timespec now;
    clock_gettime(b->n_thread == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_device: %s\n", what);
    exit(3);
}

static lf_dptr buffer(const bench *b, size_t bytes)
{
    lf_dptr p = {0};
    if (b->device->ops->alloc(b->device, bytes, &p, NULL)) die("out of memory");
    for (size_t i = 0; i < bytes / 2; i++) ((lf_bf16 *)p.address)[i] = (lf_bf16)(0x3c00 + i * 40503 % 512);
    return p;
}

// Seconds of one linear layer; `copies` of the weight take turns, so that in decode none is in a cache.
static double time_linear(const bench *b, lf_weight *const *copies, int n_copy, const lf_linear_args *shape, int n_run)
{
    double best = HUGE_VAL;
    for (int run = 0; run < n_run; run++) {
        lf_linear_args args = *shape;
        args.weight = copies[run % n_copy];
        double start = seconds(b);
        if (b->device->ops->linear(b->device, &args, NULL)) die("linear");
        best = fmin(best, seconds(b) - start);
    }
    return best;
}

static void bench_linear(const bench *b, size_t n_row, size_t n_col)
{
    enum { MOST_COPIES = 64 };
    static const size_t tokens[] = {1, 2, 4, 8, 16, 32, MAX_TOK};
    lf_weight *copies[MOST_COPIES];
    int n_copy = (int)fmin(MOST_COPIES, 1 + 128e6 / (double)(2 * n_row * n_col));
    lf_dptr rows = buffer(b, n_row * n_col * sizeof(lf_bf16));
    for (int i = 0; i < n_copy; i++) {
        if (b->device->ops->weight_create(b->device, (int64_t)n_row, (int64_t)n_col, &copies[i], NULL)) die("weight");
        b->device->ops->weight_fill(copies[i], 0, (int64_t)n_row, 0, (int64_t)n_col, rows.address, n_col);
    }
    printf("%6zu x %4zu ", n_row, n_col);
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        size_t n_tok = tokens[i];
        if (n_row > MAX_ROWS && n_tok > 32) continue;
        lf_linear_args args = {
            .x = b->x, .x_stride = n_col, .y = b->y, .y_stride = n_row, .n_tok = n_tok, .y_is_f32 = n_row > MAX_ROWS};
        double time = time_linear(b, copies, n_copy, &args, n_tok > 100 ? 6 : 100);
        if (n_tok == MAX_TOK) {
            double rate = 2.0 * (double)(n_tok * n_row * n_col) / time;
            printf(" %zu: %.1f GF/s %.0f%%", n_tok, rate * 1e-9, 100 * rate / b->matmul_peak);
        } else {
            double rate = 2.0 * (double)(n_row * n_col) / time;
            printf(" %zu: %.1f GB/s %.0f%% |", n_tok, rate * 1e-9, 100 * rate / b->read_peak);
        }
        fflush(stdout);
    }
    printf("\n");
    for (int i = 0; i < n_copy; i++) b->device->ops->weight_free(b->device, copies[i]);
    b->device->ops->free(b->device, rows);
}

// Prefill of n_tok tokens at the end of a context, or decode of one.
static void bench_attention(const bench *b, size_t n_tok, size_t length)
{
    enum { HEADS = 16, KV_HEADS = 8, D = 128, BLOCK = 16 };
    int32_t start[2] = {0, (int32_t)n_tok}, lengths[1] = {(int32_t)length};
    size_t n_block = length / BLOCK + 1;
    int32_t *table = malloc(n_block * sizeof *table);
    if (!table) die("out of memory");
    for (size_t i = 0; i < n_block; i++) table[i] = (int32_t)i;
    lf_kv_layer kv = {b->cache, lf_dptr_at(b->cache, n_block * BLOCK * KV_HEADS * D * 2), BLOCK, KV_HEADS, D, D};
    lf_attention_args args = {.q = b->x,
                              .q_stride = HEADS * D,
                              .out = b->y,
                              .out_stride = HEADS * D,
                              .n_tok = n_tok,
                              .n_seq = 1,
                              .n_head = HEADS,
                              .n_kv_head = KV_HEADS,
                              .kv = kv,
                              .query_start = {start},
                              .lengths = {lengths},
                              .block_tables = {table},
                              .block_table_stride = n_block,
                              .max_length = length,
                              .scale = 0.088f};
    double best = HUGE_VAL;
    for (int run = 0; run < 20; run++) {
        double begin = seconds(b);
        if (b->device->ops->attention(b->device, &args, NULL)) die("attention");
        best = fmin(best, seconds(b) - begin);
    }
    double pairs = (double)n_tok * ((double)length - (double)(n_tok - 1) / 2), work = 4.0 * pairs * HEADS * D;
    double bytes = (double)length * KV_HEADS * D * 2 * 2;
    printf("attention %3zu of %4zu: %.1f us, %.1f GF/s, cache %.1f GB/s\n", n_tok, length, best * 1e6,
           work / best * 1e-9, bytes / best * 1e-9);
    free(table);
}

static void bench_rows(const bench *b, size_t n_tok)
{
    static float ones[3072];
    const struct lf_device_ops *ops = b->device->ops;
    double norm = HUGE_VAL, gate = HUGE_VAL;
    for (int run = 0; run < 50; run++) {
        double start = seconds(b);
        lf_norm_args args = {.x = b->x,
                             .x_stride = 1024,
                             .residual = b->y,
                             .residual_stride = 1024,
                             .weight = {ones},
                             .y = b->x,
                             .y_stride = 1024,
                             .n_tok = n_tok,
                             .n_group = 1,
                             .d = 1024,
                             .eps = 1e-6f};
        ops->rms_norm(b->device, &args, NULL);
        double middle = seconds(b);
        lf_silu_mul_args silu = {.x = b->x, .x_stride = 6144, .y = b->y, .y_stride = 3072, .n_tok = n_tok, .d = 3072};
        ops->silu_mul(b->device, &silu, NULL);
        norm = fmin(norm, middle - start);
        gate = fmin(gate, seconds(b) - middle);
    }
    printf("%zu tokens: residual norm of 1024 %.1f us, silu of 3072 %.1f us\n", n_tok, norm * 1e6, gate * 1e6);
}

static void bench_sampling(const bench *b)
{
    enum { VOCABULARY = 151936, KINDS = 4 };
    static const char *const names[KINDS] = {"greedy", "temperature", "top_p 0.9", "top_k 50 top_p 0.9"};
    const lf_sample_row rows[KINDS] = {{.temperature = 0, .top_p = 1},
                                       {.temperature = 1, .top_p = 1, .uniform = 0.5f},
                                       {.temperature = 1, .top_p = 0.9f},
                                       {.temperature = 1, .top_p = 0.9f, .top_k = 50}};
    lf_dptr logits = buffer(b, VOCABULARY * sizeof(float));
    float *x = logits.address;
    for (size_t i = 0; i < VOCABULARY; i++) x[i] = 4 * (float)sin((double)i * 12.9898) + (float)(i % 1000 == 0) * 12;
    for (int kind = 0; kind < KINDS; kind++) {
        double best = HUGE_VAL;
        int32_t token;
        for (int run = 0; run < 20; run++) {
            double start = seconds(b);
            b->device->ops->sample(b->device, logits, VOCABULARY, VOCABULARY, 1, &rows[kind], &token, NULL);
            best = fmin(best, seconds(b) - start);
        }
        printf("sample %s: %.0f us\n", names[kind], best * 1e6);
    }
    b->device->ops->free(b->device, logits);
}

int main(int argc, char **argv)
{
    static const size_t shapes[][2] = {{4096, 1024}, {1024, 2048},  {6144, 1024}, {1024, 3072},  {4096, 2048},
                                       {2048, 2048}, {12288, 2048}, {2048, 6144}, {151936, 1024}};
    bench b = {.n_thread = argc > 1 ? atoi(argv[1]) : 0};
    lf_device_options options = {.n_thread = b.n_thread, .max_n_tok = MAX_TOK, .max_vocab = 151936, .max_length = 8192};
    lf_error err;
    const char *what;
    if (lf_device_cpu_open(&b.device, &options, &err)) die(err.message);
    b.n_thread = lf_par_threads();
    lf_cpu_read_test *read_test;
    double first_touch;
    if (lf_cpu_read_test_open(&read_test, &first_touch, &err) ||
        lf_cpu_measure_matmul_peak(&b.matmul_peak, &what, &err))
        die(err.message);
    b.read_peak = lf_cpu_read_test_run(read_test);
    lf_cpu_read_test_close(read_test);
    printf("%d threads: read %.1f GB/s, %s %.1f GF/s\n", b.n_thread, b.read_peak * 1e-9, what, b.matmul_peak * 1e-9);
    b.x = buffer(&b, (size_t)MAX_TOK * MAX_ROWS * sizeof(lf_bf16));
    b.y = buffer(&b, (size_t)MAX_TOK * MAX_ROWS * sizeof(lf_bf16) + 32u * 151936 * sizeof(float));
    b.cache = buffer(&b, (size_t)2 * 8208 * 8 * 128 * sizeof(lf_bf16));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) bench_linear(&b, shapes[i][0], shapes[i][1]);
    bench_attention(&b, MAX_TOK, MAX_TOK);
    bench_attention(&b, 256, 4096);
    bench_attention(&b, 1, 128);
    bench_attention(&b, 1, 512);
    bench_attention(&b, 1, 8192);
    bench_rows(&b, 1);
    bench_rows(&b, MAX_TOK);
    bench_sampling(&b);
    b.device->ops->free(b.device, b.x);
    b.device->ops->free(b.device, b.y);
    b.device->ops->free(b.device, b.cache);
    b.device->ops->close(b.device);
    return 0;
}
