// SPDX-License-Identifier: Apache-2.0
//
// Rank 0 leads, the others follow: the two halves of a step run on all ranks, and one rank is the team that needs no
// words.
#include "base/par.h"
#include "engine/engine_int.h"

lf_status lf__engine_layers(lf_engine *engine, lf_error *err)
{
    lf_status status = lf__team_send(&engine->team, LF_TASK_LAYERS, &engine->step, NULL, 0, err);
    return status ? status : lf__forward_layers(&engine->forward, &engine->step, err);
}

lf_status lf__engine_logits(lf_engine *engine, const int32_t *rows, size_t n_row, lf_error *err)
{
    lf_status status = lf__step_select(&engine->step, rows, n_row, err);
    if (!status) status = lf__team_send(&engine->team, LF_TASK_LOGITS, &engine->step, rows, n_row, err);
    if (!status) status = lf__forward_logits(&engine->forward, &engine->step, n_row, err);
    if (status || !engine->forward.trace) return status;
    return lf__trace_logits(&engine->forward, &engine->step, rows, n_row, err);
}

lf_status lf__engine_follow(lf_engine *engine, lf_error *err)
{
    for (;;) {
        lf_task task = LF_TASK_STOP;
        size_t n_row = 0;
        lf_status status = lf__team_receive(&engine->team, &task, &engine->step, &n_row, err);
        if (!status && task == LF_TASK_STOP) return LF_OK;
        if (!status && task == LF_TASK_LAYERS) status = lf__forward_layers(&engine->forward, &engine->step, err);
        if (!status && task == LF_TASK_LOGITS) status = lf__forward_logits(&engine->forward, &engine->step, n_row, err);
        if (status) return status;
    }
}

lf_status lf_engine_follow(const lf_engine_options *options, lf_engine_info *info, lf_error *err)
{
    lf_engine *engine = calloc(1, sizeof *engine);
    if (!engine) return lf_error_no_memory(err, sizeof *engine);
    engine->options = *options;
    lf_par_set_threads(options->n_thread);
    lf_status status = lf__engine_build(engine, err);
    if (!status && info) *info = engine->info;
    if (!status) status = lf__engine_follow(engine, err);
    lf__engine_tear_down(engine);
    free(engine);
    return status;
}
