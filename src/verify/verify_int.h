// SPDX-License-Identifier: Apache-2.0
//
// What the files of verify share: fingerprint, server child, HTTP client, step list, report.
#ifndef LF_VERIFY_VERIFY_INT_H
#define LF_VERIFY_VERIFY_INT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/status.h"
#include "checkpoint/checkpoint.h"
#include "model/model.h"
#include "verify/verify.h"

// fingerprint.c: identity of a checkpoint as a JSON object (new reference, NULL without memory): SHA-256 of
// config.json, of all headers in order of shard name, of names and sizes, and of the data when asked for (a progress
// bar shows).
lf_status lf__fingerprint(json_t **out, const char *model_dir, const lf_checkpoint *checkpoint, bool hash_data,
                          lf_error *err);

// client.c: one HTTP exchange with a server.
typedef struct lf__reply {
    long http_status;
    lf_buf body;
    double seconds;
} lf__reply;

typedef struct lf__client lf__client;
lf_status lf__client_open(lf__client **out, const char *base_url, double timeout_s, lf_error *err);
void lf__client_close(lf__client *client);
// `body` NULL: GET, otherwise POST of JSON. LF_ERR_NETWORK when no answer came; any HTTP status is an answer.
lf_status lf__client_send(lf__client *client, const char *path, const json_t *body, lf__reply *reply, lf_error *err);
void lf__reply_fini(lf__reply *reply);

// process.c: a command of ours that runs, its output in a log file: a process of its own, or on ranks that are there.
typedef struct lf__process {
    bool is_running;
    pid_t pid;                    // without ranks
    const lf_verify_ranks *ranks; // BORROWED
} lf__process;
// `ranks` NULL: as a new process.
lf_status lf__process_start(lf__process *process, const lf_verify_ranks *ranks, const char *const *argv,
                            const char *log_path, lf_error *err);
// Waits at most until `deadline_ns` (of lf_now_ns). Whether it has ended; *wait_status is then as waitpid() has it.
bool lf__process_wait(lf__process *process, int64_t deadline_ns, int *wait_status);
// Sends the signal; nothing when it has ended.
void lf__process_signal(const lf__process *process, int number);
// SIGKILL, and waits.
void lf__process_kill(lf__process *process);

// child.c: what a bring-up starts: a server that it speaks to, or one run from its start to its end.
typedef struct lf__child {
    lf__process process;
    char *log_path;
    char *ready_path;
    json_t *ready; // what the server wrote when it was ready: port, ledger, engine
} lf__child;

typedef struct lf__child_args {
    const char *program;
    const char *model_dir;
    const char *load_format;  // "dummy" or "auto"
    const char *hf_overrides; // NULL: none
    const char *output_dir;
    const char *log_name; // file name inside output_dir
    int64_t max_model_len, tensor_parallel_size;
    const lf_verify_ranks *ranks; // NULL: the program starts its ranks
    bool enable_expert_parallel;
    double ready_timeout_s;
} lf__child_args;

// Starts the server and waits until it says ready; on failure the child is gone and `err` quotes the log's last line.
lf_status lf__child_start(lf__child *child, const lf__child_args *args, lf_error *err);
// SIGTERM, then waits; *clean is whether it exited with 0 in time (it is killed otherwise).
void lf__child_stop(lf__child *child, bool *clean);
void lf__child_fini(lf__child *child);

// One greedy run of `landfall run` that writes a trace, from its start to its end. On failure `err` quotes the log's
// last line.
typedef struct lf__run_args {
    const char *prompt;
    int64_t max_tokens;
    const char *trace_path;
} lf__run_args;
lf_status lf__child_run(const lf__child_args *args, const lf__run_args *run, lf_error *err);

// compare.c: two traces of one prompt, point by point (see there for the tolerance).
typedef struct lf__comparison {
    bool agrees;       // within the tolerance everywhere
    bool is_identical; // to the bit
    double logits_difference, logits_tolerance;
    size_t n_logits; // rows of logits that were compared
    size_t n_step;
    size_t n_rerouted; // rows that a near tie sent to another expert
    char first[256];   // the first point beyond the tolerance, in words
    json_t *evidence;  // OWNED by the caller after success
} lf__comparison;
lf_status lf__compare_traces(lf__comparison *out, const char *path, const char *path_of_one_rank, lf_error *err);

// steps.c: the list of steps, as the JSON array of the report.
typedef struct lf__steps {
    json_t *list; // array of step objects
    const char *output_dir;
    lf_verify_step_fn on_step;
    void *on_step_ctx;
    int64_t start_ns; // of the step that runs now
    bool failed;      // memory ran out
} lf__steps;

typedef struct lf__step_result {
    lf_step_status status;
    char detail[512]; // one sentence
    json_t *evidence; // OWNED until lf__steps_add, which takes it; may be NULL
} lf__step_result;

void lf__steps_begin(lf__steps *steps);
// Ends the step `id` of the plan (see lf__step_plan) with its result; log_name may be NULL.
void lf__steps_add(lf__steps *steps, const char *id, lf__step_result *result, const char *log_name);
lf_step_status lf__steps_status(const json_t *list, const char *id);

// One row per step, in the order of the bring-up.
typedef struct lf__step_row {
    const char *id;    // "real.answer"
    const char *gate;  // "preflight", "dummy", "real"
    const char *title; // for people
    bool is_mandatory;
    bool may_not_apply; // LF_STEP_NOT_APPLICABLE is an acceptable end
} lf__step_row;
const lf__step_row *lf__step_plan(size_t *n_row);

// What the preflight has found out about the model, for the steps behind it.
typedef struct lf__model {
    bool is_sound; // gate B makes sense: a checkpoint with errors is never loaded
    bool has_table, has_vision;
    lf_config config; // valid when has_table
} lf__model;

// topology.c: who holds what, by the same plan that the loader follows (new reference; NULL without memory or table).
json_t *lf__topology(const lf_verify_options *options, const lf__model *model);
// Adds to it what the ranks of a server have said about themselves: hosts, bytes held and read.
void lf__topology_add_ranks(json_t *topology, const json_t *engine);

// single_rank.c: the same prompt on the ranks asked for and on one; the result of the step.
void lf__single_rank(lf__step_result *result, const lf_verify_options *options, const lf__model *model, bool is_real);

// signoff.c: decides from the list of steps alone. `reasons` (new reference): why not, or empty.
bool lf__signoff(const json_t *steps, json_t **reasons);
// The dummy-proved / real-proved table (new reference).
json_t *lf__proof_table(const json_t *steps);

// probes.c: questions with known answers.
typedef struct lf__probe {
    const json_t *messages; // BORROWED from the file's JSON
    const char *expect;
    bool is_exact; // the whole answer, white space at its ends aside; otherwise contained in it
    int64_t max_tokens;
} lf__probe;
lf_status lf__probes_load(json_t **json, lf__probe **probes, size_t *n_probe, const char *path, lf_error *err);
bool lf__probe_matches(const lf__probe *probe, const char *answer);

// gate.c: one gate, from starting the server to stopping it. `is_real` adds the steps that only real weights can pass.
typedef struct lf__gate_args {
    const lf_verify_options *options;
    const char *probes_path; // NULL: the checkpoint ships none
    const lf__model *model;
    bool is_real;
} lf__gate_args;
void lf__gate_run(lf__steps *steps, const lf__gate_args *args);
// Ends all steps of a gate as skipped, for the same reason.
void lf__gate_skip(lf__steps *steps, const char *gate_name, const char *reason);

// report.c: report.json with its digest, and report.md made from it.
lf_status lf__report_write(json_t *report, const char *output_dir, lf_error *err);
// The digest of a report: SHA-256 of its canonical JSON (sorted keys, no white space) without the member "digest".
bool lf__report_digest(const json_t *report, char hex[65]);
lf_status lf__file_digest(const char *path, char hex[65], lf_error *err);

#endif
