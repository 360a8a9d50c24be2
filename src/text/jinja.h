// SPDX-License-Identifier: Apache-2.0
//
// A Jinja interpreter for chat templates. It renders what Python's jinja2 3.1 renders when it is set up as the
// transformers library sets it up: immutable sandbox, trim_blocks, lstrip_blocks, loop controls, the `generation` tag,
// plain `tojson`, raise_exception() and strftime_now(). Templates that load other templates (include, import, extends)
// are refused.
//
// Templates come with checkpoints and are not trusted: size, nesting, steps, memory and output are limited, there is no
// way from a template to the outside, and values cannot be changed by it (namespaces excepted).
#ifndef LF_TEXT_JINJA_H
#define LF_TEXT_JINJA_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

typedef struct lf_jinja_template lf_jinja_template;

enum { LF_JINJA_MAX_TEMPLATE_BYTES = 1 << 20 };

// Passing a limit ends the render with LF_ERR_LIMIT. A field of 0 means its default.
typedef struct lf_jinja_limits {
    uint64_t max_steps;      // evaluated nodes, visited elements and, in part, visited bytes; default 50 million
    size_t max_memory_bytes; // everything a render allocates besides the output; default 256 MiB
    size_t max_output_bytes; // default 64 MiB
    int max_depth;           // nested evaluations, below 1 KiB of C stack each; default 1000
} lf_jinja_limits;

typedef struct lf_jinja_options {
    lf_jinja_limits limits;
    int64_t now; // seconds since the epoch that strftime_now() shows, as local time; 0: the clock
} lf_jinja_options;

// Compiles `length` bytes of UTF-8. LF_ERR_FORMAT for a malformed template, LF_ERR_UNSUPPORTED for a tag or filter that
// Landfall leaves out, LF_ERR_LIMIT for one that is too long or nested too deeply; messages name the line. *out is only
// written on success and released with lf_jinja_free(). A compiled template is constant: any number of threads may
// render it.
lf_status lf_jinja_compile(lf_jinja_template **out, const char *source, size_t length, lf_error *err);
void lf_jinja_free(lf_jinja_template *compiled);

// Renders with the members of the object `context` as variables and appends the text to `out`; `options` may be NULL.
// After a failure `out` holds a part of the text. LF_ERR_INVALID when the template raises (raise_exception()'s text is
// then the whole message) or does what Python would refuse, such as reading an attribute of an undefined value.
lf_status lf_jinja_render(const lf_jinja_template *compiled, const json_t *context, const lf_jinja_options *options,
                          lf_buf *out, lf_error *err);

#endif
