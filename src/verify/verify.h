// SPDX-License-Identifier: Apache-2.0
//
// The bring-up, signed off with evidence: preflight, gate A with dummy weights, gate B with real weights, one report.
// Sign-off is computed from the steps, never written by hand, and dummy weights alone never reach it (lesson L10).
// Servers are spoken to over HTTP only, so that the evidence comes through the door that users take.
#ifndef LF_VERIFY_VERIFY_H
#define LF_VERIFY_VERIFY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef enum lf_step_status {
    LF_STEP_PASSED,
    LF_STEP_FAILED,
    LF_STEP_SKIPPED,        // did not run although it belongs here; the reason says why
    LF_STEP_NOT_APPLICABLE, // this checkpoint has nothing for the step to show (no images, no probes)
} lf_step_status;

const char *lf_step_status_name(lf_step_status status); // "passed", "failed", "skipped", "not applicable"

// Called after each step, for the terminal; `step` is the report's JSON object of it, BORROWED.
typedef void (*lf_verify_step_fn)(void *ctx, const json_t *step);

// Ranks that a launcher (mpirun, srun) has started, for the commands of a bring-up that need several: they run one
// after another on the same ranks. `ctx` is passed to each function.
typedef struct lf_verify_ranks {
    // Starts a command (argv[0] is the program; NULL-terminated; read before the call returns) with rank 0's output in
    // the file log_path. One at a time.
    lf_status (*start)(void *ctx, const char *const *argv, const char *log_path, lf_error *err);
    // Whether it is over; *wait_status is then as waitpid() has it, for rank 0.
    bool (*has_ended)(void *ctx, int *wait_status);
    void (*send_signal)(void *ctx, int number); // to rank 0
    void *ctx;
} lf_verify_ranks;

typedef struct lf_verify_options {
    const char *model_dir;
    const char *hf_overrides;     // text of a JSON object laid over config.json; NULL: none
    const char *output_dir;       // report.json, report.md and the servers' logs; made if absent
    const char *program;          // the landfall executable that is started as a server
    int64_t tensor_parallel_size; // 0, 1: one rank
    const lf_verify_ranks *ranks; // those ranks, when they are there already; NULL: `program` starts them each time
    bool enable_expert_parallel;
    bool compare_single_rank;  // the ranks' logits with those of one rank: mandatory for sign-off when asked for
    bool dummy_only;           // --load-format dummy: gate B is skipped, which rules sign-off out
    bool hash_data;            // fingerprint the tensor data too
    const char *probes_path;   // NULL: MODEL/landfall-probes.json when it is there
    int64_t max_model_len;     // 0: the server's own choice
    double ready_timeout_s;    // for a server to load and answer its warm-up
    double request_timeout_s;  // for one request
    lf_verify_step_fn on_step; // NULL: silent
    void *on_step_ctx;
} lf_verify_options;

// Runs the bring-up and writes the report. With hf_overrides that leave layers out the report says how many were run,
// and is never signed off.
// *report (a new reference) is set whenever a report was written. LF_OK:
// signed off. LF_ERR_NOT_SIGNED_OFF: the report says why. Anything else: no report could be written.
lf_status lf_verify_run(const lf_verify_options *options, json_t **report, lf_error *err);

// Reads a report again and decides once more: its own digest, its log files' digests, sign-off recomputed from the
// steps, and, when model_dir is not NULL, the fingerprint of the checkpoint as it is now. LF_OK only when all agree and
// the result is "signed off".
lf_status lf_verify_recheck(const char *report_path, const char *model_dir, lf_error *err);

#endif
