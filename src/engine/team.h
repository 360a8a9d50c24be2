// SPDX-License-Identifier: Apache-2.0
//
// Teamwork of ranks: rank 0 decides, and sends what it is about to do; the others do the same. A message is a few
// numbers and the step's descriptor. One rank sends nothing.
#ifndef LF_ENGINE_TEAM_H
#define LF_ENGINE_TEAM_H

#include "comm/comm.h"
#include "engine/step.h"

typedef enum lf_task {
    LF_TASK_STOP,   // the engine closes
    LF_TASK_LAYERS, // run the layers over the step that comes with it
    LF_TASK_LOGITS, // logits of the rows that come with it
} lf_task;

typedef struct lf_team {
    lf_comm *comm;    // BORROWED; NULL: one rank
    int32_t *message; // OWNED
    size_t n_word;    // room in message
} lf_team;

lf_status lf__team_init(lf_team *team, lf_comm *comm, const lf_step *step, lf_error *err);
void lf__team_fini(lf_team *team); // a zeroed team is accepted

// Rank 0. `step` is committed; `rows` (LOGITS only) are selected.
lf_status lf__team_send(lf_team *team, lf_task task, const lf_step *step, const int32_t *rows, size_t n_row,
                        lf_error *err);
// The other ranks: waits for the next task, fills in the step and commits it, or selects the rows.
lf_status lf__team_receive(lf_team *team, lf_task *task, lf_step *step, size_t *n_row, lf_error *err);

// All ranks make the same sums: rank 0's `text` (at most 64 bytes) is everybody's, or LF_ERR_COMM names the rank whose
// `what` differs.
lf_status lf__team_compare(lf_comm *comm, const char *text, const char *what, lf_error *err);

#endif
