// SPDX-License-Identifier: Apache-2.0
//
// Opening, device memory, and the promise that no operator allocates: malloc and its family are counted at link time.
#include "tests.h"

#include <errno.h>
#include <stdatomic.h>

static atomic_size_t n_allocation, n_mapping;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__real_mmap(void *address, size_t bytes, int protection, int flags, int file, long offset);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int file, long offset);
void *__wrap_mmap64(void *address, size_t bytes, int protection, int flags, int file, int64_t offset);

static size_t fail_at; // 0: never; else the n-th allocation from now on fails

static bool refuse(void)
{
    n_allocation++;
    return fail_at > 0 && --fail_at == 0;
}

void *__wrap_malloc(size_t bytes) { return refuse() ? NULL : __real_malloc(bytes); }
void *__wrap_calloc(size_t n, size_t bytes) { return refuse() ? NULL : __real_calloc(n, bytes); }
void *__wrap_realloc(void *old, size_t bytes) { return refuse() ? NULL : __real_realloc(old, bytes); }
void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return refuse() ? NULL : __real_aligned_alloc(alignment, bytes);
}
static void *map(void *address, size_t bytes, int protection, int flags, int file, long offset)
{
    n_mapping++;
    if (!refuse()) return __real_mmap(address, bytes, protection, flags, file, offset);
    errno = ENOMEM;
    return (void *)-1;
}
void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int file, long offset)
{
    return map(address, bytes, protection, flags, file, offset);
}
// What mmap is called with 64-bit file offsets, whatever the size of long.
void *__wrap_mmap64(void *address, size_t bytes, int protection, int flags, int file, int64_t offset)
{
    return map(address, bytes, protection, flags, file, (long)offset);
}

static void memory_is_zero_and_aligned(void **state)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, (1 << 20) - 64, 1 << 20, (5 << 20) + 3};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        lf_dptr p = reserve(sizes[i]);
        assert_int_equal((uintptr_t)p.address % 64, 0);
        unsigned char *bytes = p.address;
        for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(bytes[j], 0);
        memset(bytes, 0x5a, sizes[i]);
        release(p);
    }
    release((lf_dptr){0});
}

static void absurd_sizes_are_refused(void **state)
{
    lf_error err = {0};
    lf_dptr p = {0};
    assert_int_equal(test_device()->ops->alloc(test_device(), SIZE_MAX, &p, &err), LF_ERR_NO_MEMORY);
    assert_int_equal(test_device()->ops->alloc(test_device(), SIZE_MAX / 2, &p, &err), LF_ERR_NO_MEMORY);
    assert_int_equal(test_device()->ops->alloc(test_device(), SIZE_MAX - (3u << 20), &p, &err), LF_ERR_NO_MEMORY);
    assert_null(p.address);
    lf_device *device = NULL;
    lf_device_options options = {.n_thread = 2, .max_n_tok = 0, .max_vocab = 1, .max_length = 1};
    assert_int_equal(lf_device_cpu_open(&device, &options, &err), LF_ERR_INVALID);
    options = (lf_device_options){.n_thread = 2, .max_n_tok = 1, .max_vocab = SIZE_MAX / 2, .max_length = 1};
    assert_int_equal(lf_device_cpu_open(&device, &options, &err), LF_ERR_INVALID);
    assert_null(device);
}

static void describes_itself(void **state)
{
    lf_device_caps caps;
    test_device()->ops->describe(test_device(), &caps);
    assert_string_equal(caps.name, "cpu");
    assert_non_null(strstr(caps.description, "2 threads"));
    assert_false(caps.executes_fp8);
    assert_false(caps.captures_graphs);
    assert_non_null(caps.graph_reason);
    assert_true(caps.memory_bytes > 1u << 20);
}

static void failed_allocations_leave_nothing_behind(void **state)
{
    test_device_close();
    lf_status rc = LF_ERR_BUG;
    for (size_t n = 1; rc; n++) {
        lf_device *device = NULL;
        lf_weight *weight = NULL, *shared = NULL;
        lf_device_options options = {.n_thread = 2, .max_n_tok = 600, .max_vocab = 300000, .max_length = 4096};
        lf_error err = {0};
        fail_at = n;
        rc = lf_device_cpu_open(&device, &options, &err);
        if (!rc) rc = device->ops->weight_create(device, 100, 100, &weight, &err);
        if (!rc) rc = device->ops->weight_create(device, 300, 300, &shared, &err);
        bool reached = fail_at == 0;
        fail_at = 0;
        if (rc) assert_int_equal(rc, LF_ERR_NO_MEMORY);
        // A failure that only a message suffers from (reading /proc) may pass.
        if (!rc && reached) rc = LF_ERR_BUG;
        if (weight) device->ops->weight_free(device, weight);
        if (shared) device->ops->weight_free(device, shared);
        if (device) device->ops->close(device);
        assert_true(n < 100);
    }
}

typedef struct expert_weights {
    const lf_weight *gate_up[4], *down[4]; // [128, 128] and [128, 64]
    lf_dptr scratch;
} expert_weights;

// Matrices of the size of experts share mappings: they keep apart, and go in any order.
static void weights_share_mappings(void **state)
{
    enum { WEIGHTS = 60, ROWS = 300, COLUMNS = 2000 }; // 1.3 MB each
    test_random random = {2};
    const struct lf_device_ops *ops = test_device()->ops;
    lf_weight *weights[WEIGHTS];
    lf_dptr rows[WEIGHTS], y = reserve(ROWS * COLUMNS * 2);
    int32_t ids[ROWS];
    for (int i = 0; i < ROWS; i++) ids[i] = i;
    for (int i = 0; i < WEIGHTS; i++) rows[i] = test_random_bf16(&random, ROWS * COLUMNS, 1);
    size_t before = n_mapping;
    for (int i = 0; i < WEIGHTS; i++) weights[i] = test_weight(rows[i].address, ROWS, COLUMNS);
    assert_in_range(n_mapping - before, 1, 4); // and one for activations
    for (int i = 0; i < WEIGHTS; i++) {
        lf_embed_args args = {
            .weight = weights[i], .ids = {ids}, .y = y, .y_stride = COLUMNS, .n_tok = ROWS, .d = COLUMNS};
        assert_int_equal(ops->embed(test_device(), &args, NULL), LF_OK);
        assert_memory_equal(y.address, rows[i].address, ROWS * COLUMNS * 2);
    }
    for (int i = 0; i < WEIGHTS; i++) {
        ops->weight_free(test_device(), weights[i * 7 % WEIGHTS]);
        release(rows[i]);
    }
    lf_weight *fresh = NULL; // zero again, though memory came back
    assert_int_equal(ops->weight_create(test_device(), ROWS, COLUMNS, &fresh, NULL), LF_OK);
    lf_embed_args args = {.weight = fresh, .ids = {ids}, .y = y, .y_stride = COLUMNS, .n_tok = ROWS, .d = COLUMNS};
    assert_int_equal(ops->embed(test_device(), &args, NULL), LF_OK);
    for (size_t i = 0; i < ROWS * COLUMNS; i++) assert_int_equal(((lf_bf16 *)y.address)[i], 0);
    ops->weight_free(test_device(), fresh);
    release(y);
}

// A step of everything with shapes that take every path; run once to wake the threads, then counted.
static void step(lf_dptr x, lf_dptr y, lf_dptr cache, const lf_weight *weight, const expert_weights *experts,
                 size_t n_tok)
{
    lf_device *device = test_device();
    const struct lf_device_ops *ops = device->ops;
    enum { D = 64, LENGTH = 2048 };
    static int32_t ids[600], slots[600], table[LENGTH / 16], start[2], length[1] = {LENGTH};
    static float ones[256], tables[LENGTH * D];
    for (int i = 0; i < LENGTH / 16; i++) table[i] = i;
    for (size_t i = 0; i < n_tok; i++) slots[i] = (int32_t)(LENGTH - n_tok + i);
    start[1] = (int32_t)n_tok;
    lf_kv_layer kv = {cache, lf_dptr_at(cache, LENGTH * 2 * D * 2), 16, 2, D, D};
    lf_linear_args linear = {.weight = weight, .x = x, .x_stride = 256, .y = y, .y_stride = 256, .n_tok = n_tok};
    lf_norm_args norm = {
        .x = x, .x_stride = 256, .weight = {ones}, .y = y, .y_stride = 256, .n_tok = n_tok, .n_group = 1, .d = 256};
    lf_rope_args rope = {.x = x,
                         .x_stride = 256,
                         .n_tok = n_tok,
                         .n_head = 4,
                         .d_head = D,
                         .rotary_dim = D,
                         .positions = {slots},
                         .cos_sin = {tables}};
    lf_kv_store_args store = {x, x, 256, n_tok, {slots}, kv};
    lf_attention_args attention = {.q = x,
                                   .q_stride = 256,
                                   .out = y,
                                   .out_stride = 256,
                                   .n_tok = n_tok,
                                   .n_seq = 1,
                                   .n_head = 4,
                                   .n_kv_head = kv.n_kv_head,
                                   .kv = kv,
                                   .query_start = {start},
                                   .lengths = {length},
                                   .block_tables = {table},
                                   .block_table_stride = LENGTH / 16,
                                   .max_length = LENGTH,
                                   .scale = 0.1f};
    lf_silu_mul_args gate = {.x = x, .x_stride = 256, .y = y, .y_stride = 128, .n_tok = n_tok, .d = 128};
    lf_embed_args embed = {.weight = weight, .ids = {ids}, .y = x, .y_stride = 256, .n_tok = n_tok, .d = 256};
    lf_gather_args gather = {.x = x, .x_stride = 256, .rows = {ids}, .y = y, .y_stride = 256, .n_row = n_tok, .d = 256};
    assert_int_equal(ops->embed(device, &embed, NULL), LF_OK);
    assert_int_equal(ops->linear(device, &linear, NULL), LF_OK);
    assert_int_equal(ops->rms_norm(device, &norm, NULL), LF_OK);
    assert_int_equal(ops->rope(device, &rope, NULL), LF_OK);
    assert_int_equal(ops->kv_store(device, &store, NULL), LF_OK);
    assert_int_equal(ops->attention(device, &attention, NULL), LF_OK);
    assert_int_equal(ops->silu_mul(device, &gate, NULL), LF_OK);
    assert_int_equal(ops->gather(device, &gather, NULL), LF_OK);
    enum { EXPERTS = 4, ACTIVE = 2, D_FF = 64 };
    static float router[EXPERTS * 128], scores[600 * ACTIVE], sums[600], parts[600 * 128];
    static int32_t choices[600 * ACTIVE];
    for (size_t i = 0; i < EXPERTS * 128; i++) router[i] = (float)(i % 7) / 8;
    lf_route_args route = {.x = y,
                           .x_stride = 256,
                           .weight = {router},
                           .n_tok = n_tok,
                           .d = 128,
                           .n_expert = EXPERTS,
                           .n_active = ACTIVE,
                           .n_group = 2,
                           .n_active_group = 1,
                           .experts = {choices},
                           .scores = {scores}};
    lf_experts_args mixture = {.gate_up = experts->gate_up,
                               .down = experts->down,
                               .n_held = EXPERTS,
                               .experts = {choices},
                               .scores = {scores},
                               .x = y,
                               .x_stride = 256,
                               .y = {parts},
                               .is_first = true,
                               .n_tok = n_tok,
                               .n_active = ACTIVE,
                               .d = 128,
                               .d_ff = D_FF,
                               .scratch = experts->scratch};
    lf_all_reduce_args reduce = {.x = {parts}, .y = y, .y_stride = 256, .n_tok = n_tok, .d = 128};
    lf_square_sums_args squares = {.x = y, .x_stride = 256, .sums = {sums}, .sums_stride = 1, .n_tok = n_tok, .d = 128};
    lf_scale_norm_args scale = {.x = y,
                                .x_stride = 256,
                                .sums = {sums},
                                .sums_stride = 1,
                                .weight = {ones},
                                .n_tok = n_tok,
                                .d = 128,
                                .count = 128};
    assert_int_equal(ops->route(device, &route, NULL), LF_OK);
    assert_int_equal(ops->experts(device, &mixture, NULL), LF_OK);
    assert_int_equal(ops->all_reduce(device, &reduce, NULL), LF_OK);
    assert_int_equal(ops->square_sums(device, &squares, NULL), LF_OK);
    assert_int_equal(ops->scale_norm(device, &scale, NULL), LF_OK);
    static float logits[2 * 30000];
    const lf_sample_row rows[2] = {{.row = 0, .temperature = 1, .top_p = 0.9f, .top_k = 50},
                                   {.row = 1, .temperature = 1, .top_p = 0.8f}};
    const int32_t targets[2] = {5, -1}, n_top[2] = {20, 1};
    int32_t tokens[2];
    lf_logprob_row out[2];
    assert_int_equal(ops->sample(device, (lf_dptr){logits}, 30000, 30000, 2, rows, tokens, NULL), LF_OK);
    assert_int_equal(ops->logprobs(device, (lf_dptr){logits}, 30000, 30000, 2, targets, n_top, out, NULL), LF_OK);
}

static void operators_do_not_allocate(void **state)
{
    test_random random = {1};
    lf_dptr rows = test_random_bf16(&random, 256 * 256, 0.1f), x = reserve(600 * 256 * 2), y = reserve(600 * 256 * 2);
    lf_dptr cache = reserve((size_t)2 * 2048 * 2 * 64 * 2);
    lf_weight *weight = test_weight(rows.address, 256, 256);
    lf_weight *gate_up = test_weight(rows.address, 128, 128), *down = test_weight(rows.address, 128, 64);
    expert_weights experts = {{gate_up, gate_up, gate_up, gate_up}, {down, down, down, down}, {NULL}};
    size_t bytes = 0;
    assert_true(test_device()->ops->experts_scratch(600, 2, 4, 128, 64, &bytes));
    experts.scratch = reserve(bytes);
    static const size_t tokens[] = {1, 3, 17, 200, 600};
    for (size_t i = 0; i < 5; i++) {
        step(x, y, cache, weight, &experts, tokens[i]);
        size_t before = n_allocation;
        step(x, y, cache, weight, &experts, tokens[i]);
        assert_int_equal(n_allocation, before);
    }
    test_device()->ops->weight_free(test_device(), weight);
    test_device()->ops->weight_free(test_device(), gate_up);
    test_device()->ops->weight_free(test_device(), down);
    release(experts.scratch);
    release(rows);
    release(x);
    release(y);
    release(cache);
}

int test_memory(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zero_and_aligned), cmocka_unit_test(absurd_sizes_are_refused),
        cmocka_unit_test(describes_itself),           cmocka_unit_test(failed_allocations_leave_nothing_behind),
        cmocka_unit_test(weights_share_mappings),     cmocka_unit_test(operators_do_not_allocate),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
