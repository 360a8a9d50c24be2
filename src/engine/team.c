// SPDX-License-Identifier: Apache-2.0
//
// Messages between rank 0 and the others. The first part has a fixed size, so that a decode step of a few sequences is
// one broadcast; what does not fit follows in a second one, whose size the first tells.
#include "engine/team.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    FIRST_WORDS = 512, // of the first part
    HEAD_WORDS = 6,
};

// ORDER of the first words.
enum { AT_TASK, AT_N_WORD, AT_N_TOK, AT_N_SEQ, AT_N_ROW, AT_MAX_LENGTH };

static size_t most_words(const lf_step *step)
{
    size_t words = HEAD_WORDS + 3 * step->max_tok + 2 * step->max_seq + 1 + step->max_seq * step->table_stride;
    return LF_MAX(LF_MAX(words, HEAD_WORDS + step->max_row), (size_t)FIRST_WORDS);
}

lf_status lf__team_init(lf_team *team, lf_comm *comm, const lf_step *step, lf_error *err)
{
    *team = (lf_team){.comm = comm};
    if (lf_comm_size(comm) == 1) return LF_OK;
    team->n_word = most_words(step);
    team->message = calloc(team->n_word, sizeof *team->message);
    return team->message ? LF_OK : lf_error_no_memory(err, team->n_word * sizeof *team->message);
}

void lf__team_fini(lf_team *team)
{
    free(team->message);
    *team = (lf_team){0};
}

static int32_t *put(int32_t *to, const int32_t *from, size_t n)
{
    if (n) memcpy(to, from, n * sizeof *to);
    return to + n;
}

static const int32_t *take(int32_t *to, const int32_t *from, size_t n)
{
    if (n) memcpy(to, from, n * sizeof *to);
    return from + n;
}

lf_status lf__team_send(lf_team *team, lf_task task, const lf_step *step, const int32_t *rows, size_t n_row,
                        lf_error *err)
{
    if (!team->message) return LF_OK;
    int32_t *message = team->message, *end = message + HEAD_WORDS;
    if (task == LF_TASK_LAYERS) {
        end = put(end, step->query_start, step->n_seq + 1);
        end = put(end, step->lengths, step->n_seq);
        end = put(end, step->ids, step->n_tok);
        end = put(end, step->positions, step->n_tok);
        end = put(end, step->slots, step->n_tok);
        for (size_t s = 0; s < step->n_seq; s++) {
            end = put(end, step->tables + s * step->table_stride, lf__step_n_block(step, s));
        }
    } else if (task == LF_TASK_LOGITS) {
        end = put(end, rows, n_row);
    }
    size_t n_word = (size_t)(end - message);
    assert(n_word <= team->n_word);
    message[AT_TASK] = task;
    message[AT_N_WORD] = (int32_t)n_word;
    message[AT_N_TOK] = (int32_t)step->n_tok;
    message[AT_N_SEQ] = (int32_t)step->n_seq;
    message[AT_N_ROW] = (int32_t)n_row;
    message[AT_MAX_LENGTH] = (int32_t)step->max_length;
    lf_status status = lf_comm_broadcast(team->comm, message, FIRST_WORDS * sizeof *message, err);
    if (status || n_word <= FIRST_WORDS) return status;
    return lf_comm_broadcast(team->comm, message + FIRST_WORDS, (n_word - FIRST_WORDS) * sizeof *message, err);
}

static lf_status take_step(const int32_t *from, lf_step *step, const int32_t *head, lf_error *err)
{
    step->n_tok = (size_t)head[AT_N_TOK];
    step->n_seq = (size_t)head[AT_N_SEQ];
    step->max_length = (size_t)head[AT_MAX_LENGTH];
    assert(step->n_tok <= step->max_tok && step->n_seq <= step->max_seq);
    from = take(step->query_start, from, step->n_seq + 1);
    from = take(step->lengths, from, step->n_seq);
    from = take(step->ids, from, step->n_tok);
    from = take(step->positions, from, step->n_tok);
    from = take(step->slots, from, step->n_tok);
    lf_device *device = step->device;
    lf_status status = LF_OK;
    for (size_t s = 0; s < step->n_seq && !status; s++) {
        size_t offset = s * step->table_stride * sizeof(int32_t), n = lf__step_n_block(step, s);
        status = device->ops->write(device, lf_dptr_at(step->device_tables, offset), from, n * sizeof(int32_t), err);
        from += n;
    }
    return status ? status : lf__step_commit(step, err);
}

lf_status lf__team_receive(lf_team *team, lf_task *task, lf_step *step, size_t *n_row, lf_error *err)
{
    int32_t *message = team->message;
    lf_status status = lf_comm_broadcast(team->comm, message, FIRST_WORDS * sizeof *message, err);
    if (status) return status;
    size_t n_word = (size_t)message[AT_N_WORD];
    assert(n_word <= team->n_word);
    if (n_word > FIRST_WORDS) {
        status = lf_comm_broadcast(team->comm, message + FIRST_WORDS, (n_word - FIRST_WORDS) * sizeof *message, err);
        if (status) return status;
    }
    *task = (lf_task)message[AT_TASK];
    *n_row = (size_t)message[AT_N_ROW];
    if (*task == LF_TASK_LAYERS) return take_step(message + HEAD_WORDS, step, message, err);
    if (*task == LF_TASK_LOGITS) return lf__step_select(step, message + HEAD_WORDS, *n_row, err);
    return LF_OK;
}

lf_status lf__team_compare(lf_comm *comm, const char *text, const char *what, lf_error *err)
{
    char first[65] = "", mine[65] = "";
    strncpy(mine, text, sizeof mine - 1);
    memcpy(first, mine, sizeof first);
    lf_status status = lf_comm_broadcast(comm, first, sizeof first, err);
    if (status) return status;
    if (memcmp(first, mine, sizeof first) != 0) {
        status = lf_error_set(err, LF_ERR_COMM, "rank %d has another %s than rank 0", lf_comm_rank(comm), what);
        lf_error_expected(err, "%.12s...", first);
        lf_error_found(err, "%.12s...", mine);
        lf_error_hint(err, "all ranks must see the same files and be the same program");
    }
    return lf_comm_agree(comm, status, err);
}
