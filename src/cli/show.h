// SPDX-License-Identifier: Apache-2.0
//
// What several verbs print in the same form: findings, sizes, and JSON documents.
#ifndef LF_CLI_SHOW_H
#define LF_CLI_SHOW_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/finding.h"
#include "base/status.h"

// Prints findings, errors first, those of one code together; at most `per_code` of each code (0: all), with the number
// of the rest.
void lf_show_findings(FILE *stream, const lf_findings *findings, size_t per_code);
// Prints `root` (a reference that is taken, NULL: memory was gone) on stdout.
lf_status lf_show_json(json_t *root, lf_error *err);
// "12.3 MiB" into dst; returns dst.
const char *lf_show_bytes(char *dst, size_t dst_bytes, uint64_t bytes);
// "671.0 B" (billions), "1.7 M", "912" into dst; returns dst.
const char *lf_show_count(char *dst, size_t dst_bytes, uint64_t count);

#endif
