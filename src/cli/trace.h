// SPDX-License-Identifier: Apache-2.0
//
// --trace-layers FILE: the stream behind every block and the logits, as JSON lines (docs/trace-layers.md describes
// them).
#ifndef LF_CLI_TRACE_H
#define LF_CLI_TRACE_H

#include "base/file.h"
#include "engine/engine.h"

typedef struct lf_trace_file {
    lf_atomic_file file; // file.stream NULL: nothing is traced
} lf_trace_file;

// `path` NULL: nothing is traced. Otherwise sets the callback of `options`; `file` must outlive the engine.
lf_status lf_trace_file_open(lf_trace_file *file, const char *path, lf_engine_options *options, lf_error *err);
// The first line: which model and which ranks. After the engine is open and before its first request.
void lf_trace_file_head(lf_trace_file *file, const char *model_dir, const lf_engine *engine);
// After the engine is closed. `status` other than LF_OK gives the file up, and is returned.
lf_status lf_trace_file_close(lf_trace_file *file, lf_status status, lf_error *err);

#endif
