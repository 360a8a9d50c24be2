// SPDX-License-Identifier: Apache-2.0
//
// Steps made by hand, without a scheduler: one sequence, chunk by chunk, and the logits of all of its rows.
#include "logits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"

enum { MAX_ROW = 64 };

static void require(lf_status status, const lf_error *err)
{
    char line[2048];
    if (!status) return;
    lf_error_format(err, line, sizeof line);
    fail_msg("%s", line);
}

// Logits of rows [0, n_tok) of the step that has just run.
static void read_logits(lf_engine *engine, size_t n_tok, float *dst)
{
    const lf_rows logits = engine->forward.logits;
    size_t n_vocab = engine->forward.n_vocab, max_row = LF_MIN(engine->emit.max_row, (size_t)MAX_ROW);
    lf_error err = {0};
    for (size_t row = 0; row < n_tok; row += max_row) {
        size_t n_row = LF_MIN(max_row, n_tok - row);
        int32_t rows[MAX_ROW];
        for (size_t i = 0; i < n_row; i++) rows[i] = (int32_t)(row + i);
        require(lf__engine_logits(engine, rows, n_row, &err), &err);
        for (size_t i = 0; i < n_row; i++) {
            lf_dptr src = lf_dptr_at(logits.data, i * logits.stride * sizeof(float));
            require(engine->device->ops->read(engine->device, dst + (row + i) * n_vocab, src, n_vocab * sizeof(float),
                                              &err),
                    &err);
        }
    }
}

void engine_logits(lf_engine *engine, const int32_t *tokens, size_t n, size_t chunk, float *dst)
{
    lf_block_table table = {0};
    lf_error err = {0};
    require(lf__block_table_init(&table, n, engine->step.block_size, &err), &err);
    assert_true(lf__blocks_grow(&engine->kv.pool, &table, n));
    for (size_t first = 0; first < n; first += chunk) {
        size_t n_tok = LF_MIN(chunk, n - first);
        lf__step_begin(&engine->step);
        require(lf__step_add(&engine->step, tokens, first, n_tok, &table, &err), &err);
        require(lf__step_commit(&engine->step, &err), &err);
        require(lf__engine_layers(engine, &err), &err);
        read_logits(engine, n_tok, dst + first * engine->forward.n_vocab);
    }
    lf__blocks_release(&engine->kv.pool, &table);
    lf__block_table_fini(&table);
}
