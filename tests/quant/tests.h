// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests, and what they share: checkpoints that are written tensor by tensor.
#ifndef LF_TESTS_QUANT_H
#define LF_TESTS_QUANT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/finding.h"
#include "quant/quant.h"

int test_pair(void);
int test_family(void);
int test_dequant(void);
int test_formats(void);
int test_format_goldens(void);
int test_golden(void);
int test_refusals(void);
int test_scan(void);

// A checkpoint under construction: one shard whose data bytes are given or pseudo-random.
typedef struct maker {
    lf_buf header, data;
    uint64_t random;
    const char *extra_name, *extra_text; // another file of the directory, when there is text
} maker;

// Adds a tensor; shape ends with -1. `bytes` NULL: pseudo-random bytes below 0x7c (never NaN in any format).
void add_tensor(maker *m, const char *name, const char *dtype, const void *bytes, const int64_t *shape);
#define ADD(m, name, dtype, ...) add_tensor(m, name, dtype, NULL, (const int64_t[]){__VA_ARGS__ __VA_OPT__(, ) - 1})

// The finished checkpoint, opened and paired.
typedef struct opened {
    char dir[256];
    const char *extra_name;
    lf_checkpoint *checkpoint;
    json_t *config;
    lf_quant *quant;
    lf_findings findings;
} opened;

// Writes the checkpoint of `m` (which is emptied), opens it with `config` as the text of quantization_config (NULL:
// none).
void open_made(opened *o, maker *m, const char *quantization_config);
// The same with the text of the whole config.json.
void open_with_config(opened *o, maker *m, const char *config);
void open_directory(opened *o, const char *dir, json_t *config);
void close_opened(opened *o);

const lf_finding *find_code(const lf_findings *findings, const char *code);
void assert_finding(const lf_findings *findings, const char *code, lf_severity severity, const char *subject);
void assert_no_findings(const lf_findings *findings);

#endif
