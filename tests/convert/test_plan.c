// SPDX-License-Identifier: Apache-2.0
//
// The plan: where shards are cut, how they are called, that elements are aligned, that it depends on headers and
// options only.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests.h"

typedef struct planned {
    folder f;
    lf_checkpoint *checkpoint;
    json_t *config;
    lf_quant *quant;
    lf_findings findings;
    lf__plan plan;
} planned;

static lf_status plan_model(planned *p, uint64_t shard_bytes, lf_dequant_rounding rounding, lf_error *err)
{
    lf_convert_options options = {.shard_bytes = shard_bytes, .rounding = rounding};
    p->config = json_loads(block_config, 0, NULL);
    assert_int_equal(lf_checkpoint_open(&p->checkpoint, p->f.model, &p->findings, err), LF_OK);
    assert_int_equal(lf_quant_open(&p->quant, p->checkpoint, p->config, &p->findings, err), LF_OK);
    assert_int_equal(p->findings.n_error, 0);
    return lf__plan_build(&p->plan, p->checkpoint, p->quant, &options, err);
}

static void close_plan(planned *p)
{
    lf__plan_fini(&p->plan);
    lf_quant_close(p->quant);
    lf_checkpoint_close(p->checkpoint);
    json_decref(p->config);
    lf_findings_fini(&p->findings);
    *p = (planned){.f = p->f};
}

// Five weights of 1000 bytes each once they are bf16: [10, 50].
static void make_five(planned *p)
{
    maker m = {0};
    const float scale = 1;
    *p = (planned){0};
    folder_make(&p->f);
    for (int i = 0; i < 5; i++) {
        char name[32], scale_name[48];
        snprintf(name, sizeof name, "w%d.weight", i);
        snprintf(scale_name, sizeof scale_name, "w%d.weight_scale_inv", i);
        ADD(&m, i / 3, name, "F8_E4M3", 10, 50);
        add_tensor(&m, i / 3, scale_name, "F32", &scale, (const int64_t[]){1, 1, -1});
    }
    write_model(&m, p->f.model, block_config);
}

static void cuts_where_the_next_tensor_does_not_fit(void **state)
{
    static const struct {
        uint64_t shard_bytes;
        size_t n_shard, first_count;
    } cases[] = {{5000, 1, 5}, {1u << 30, 1, 5}, {4999, 2, 4}, {2000, 3, 2}, {1999, 5, 1}, {1000, 5, 1}, {1, 5, 1}};
    planned p;
    make_five(&p);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) {
        lf_error err = {0};
        assert_int_equal(plan_model(&p, cases[i].shard_bytes, LF_DEQUANT_EXACT, &err), LF_OK);
        assert_int_equal(p.plan.n_shard, cases[i].n_shard);
        assert_int_equal(p.plan.shards[0].count, cases[i].first_count);
        assert_int_equal(p.plan.totals.output_bytes, 5000);
        assert_int_equal(p.plan.totals.n_dequantized, 5);
        size_t n = 0;
        for (size_t s = 0; s < p.plan.n_shard; s++) {
            assert_int_equal(p.plan.shards[s].first, n);
            n += p.plan.shards[s].count;
        }
        assert_int_equal(n, 5);
        close_plan(&p);
    }
    folder_remove(&p.f);
}

static void names_files_as_the_hub_does(void **state)
{
    planned p;
    lf_error err = {0};
    make_five(&p);
    assert_int_equal(plan_model(&p, 2000, LF_DEQUANT_EXACT, &err), LF_OK);
    assert_string_equal(p.plan.shards[0].name, "model-00001-of-00003.safetensors");
    assert_string_equal(p.plan.shards[2].name, "model-00003-of-00003.safetensors");
    assert_string_equal(p.plan.index_name, "model.safetensors.index.json");
    close_plan(&p);
    assert_int_equal(plan_model(&p, 5000, LF_DEQUANT_EXACT, &err), LF_OK);
    assert_string_equal(p.plan.shards[0].name, "model.safetensors");
    assert_string_equal(p.plan.index_name, "");
    close_plan(&p);
    folder_remove(&p.f);
}

static void is_the_same_every_time(void **state)
{
    planned p;
    lf_error err = {0};
    char digest[LF_SHA256_HEX_BYTES];
    make_five(&p);
    assert_int_equal(plan_model(&p, 2000, LF_DEQUANT_EXACT, &err), LF_OK);
    memcpy(digest, p.plan.digest, sizeof digest);
    close_plan(&p);
    assert_int_equal(plan_model(&p, 2000, LF_DEQUANT_EXACT, &err), LF_OK);
    assert_string_equal(p.plan.digest, digest);
    close_plan(&p);
    assert_int_equal(plan_model(&p, 2001, LF_DEQUANT_EXACT, &err), LF_OK); // the same files
    assert_string_equal(p.plan.digest, digest);
    close_plan(&p);
    assert_int_equal(plan_model(&p, 3000, LF_DEQUANT_EXACT, &err), LF_OK);
    assert_string_not_equal(p.plan.digest, digest);
    close_plan(&p);
    assert_int_equal(plan_model(&p, 2000, LF_DEQUANT_BF16_SCALE, &err), LF_OK);
    assert_string_not_equal(p.plan.digest, digest);
    close_plan(&p);
    folder_remove(&p.f);
}

static void aligns_every_element(void **state)
{
    planned p = {0};
    lf_error err = {0};
    lf_buf header = LF_BUF_INIT;
    folder_make(&p.f);
    write_mixed_model(p.f.model, 1);
    assert_int_equal(plan_model(&p, 100000, LF_DEQUANT_EXACT, &err), LF_OK);
    for (size_t s = 0; s < p.plan.n_shard; s++) {
        const lf__out_shard *shard = &p.plan.shards[s];
        uint64_t off = 0;
        assert_int_equal(shard->header_bytes % 8, 0);
        for (size_t i = shard->first; i < shard->first + shard->count; i++) {
            const lf__out_tensor *t = &p.plan.tensors[i];
            lf_dtype dtype = lf__is_dequantized(t) ? LF_DTYPE_BF16 : t->tensor->weight->dtype;
            assert_int_equal(t->off, off); // no holes
            assert_int_equal(t->off * 8 % (uint64_t)lf_dtype_bits(dtype), 0);
            off += t->bytes;
        }
        assert_int_equal(shard->file_bytes, shard->header_bytes + off);
        assert_true(lf__plan_header(&p.plan, shard, &header));
        assert_int_equal(header.length, shard->header_bytes);
        json_t *parsed = json_loadb(header.data + 8, header.length - 8, JSON_REJECT_DUPLICATES, NULL);
        assert_int_equal(json_object_size(parsed), shard->count + 1);
        assert_string_equal(json_string_value(json_object_get(json_object_get(parsed, "__metadata__"), "format")),
                            "pt");
        json_decref(parsed);
    }
    lf_buf_fini(&header);
    close_plan(&p);
    folder_remove(&p.f);
}

static void refuses_too_many_shards(void **state)
{
    planned p = {0};
    lf_error err = {0};
    maker m = {0};
    const float scale = 1;
    folder_make(&p.f);
    ADD(&m, 0, "w.weight", "F8_E4M3", 2, 2);
    add_tensor(&m, 0, "w.weight_scale_inv", "F32", &scale, (const int64_t[]){1, 1, -1});
    for (int i = 0; i < LF__MAX_OUT_SHARDS; i++) {
        char name[32];
        snprintf(name, sizeof name, "norm.%d", i);
        ADD(&m, 1, name, "BF16", 1);
    }
    write_model(&m, p.f.model, block_config);
    assert_int_equal(plan_model(&p, 1, LF_DEQUANT_EXACT, &err), LF_ERR_USAGE);
    assert_non_null(strstr(err.hint, "--shard-size"));
    close_plan(&p);
    folder_remove(&p.f);
}

static void escapes_names(void **state)
{
    lf_buf out = LF_BUF_INIT;
    lf__put_json_string(&out, "a\"b\\c\n\x1f gr\xc3\xbc\xc3\x9f");
    assert_string_equal(lf_buf_text(&out), "\"a\\\"b\\\\c\\u000a\\u001f gr\xc3\xbc\xc3\x9f\"");
    lf_buf_fini(&out);
}

int test_plan(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_where_the_next_tensor_does_not_fit),
        cmocka_unit_test(names_files_as_the_hub_does),
        cmocka_unit_test(is_the_same_every_time),
        cmocka_unit_test(aligns_every_element),
        cmocka_unit_test(refuses_too_many_shards),
        cmocka_unit_test(escapes_names),
    };
    return cmocka_run_group_tests_name("convert plan", tests, NULL, NULL);
}
