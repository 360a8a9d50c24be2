// SPDX-License-Identifier: Apache-2.0
//
// The decoder of tokenizer.json, reduced to what it does to each token (done once, when the tokenizer is opened) and to
// the whole: ByteLevel; or Replace, ByteFallback, Fuse and Strip in the order SentencePiece conversions have them.
#ifndef LF_TEXT_DECODER_H
#define LF_TEXT_DECODER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "text/normalize.h"
#include "text/vocab.h"

enum { LF_DECODER_MAX_REPLACE = 8 };

typedef struct lf_decoder {
    bool is_byte_level; // texts are byte-level; ill-formed parts of the joined bytes become U+FFFD each
    // Otherwise: texts are joined, and a run of "<0xHH>" tokens is text only if all of it is UTF-8, else one U+FFFD per
    // token.
    bool has_byte_fallback;
    size_t n_strip; // spaces dropped from the start of the text
    struct lf_decoder_replace {
        char *pattern; // OWNED
        size_t pattern_length;
        char *content; // OWNED
        size_t content_length;
    } replaces[LF_DECODER_MAX_REPLACE];
    size_t n_replace;
    bool is_fused; // reading: a Fuse was seen
} lf_decoder;

lf_status lf_decoder_init(lf_decoder *decoder, const json_t *json, lf_error *err);
void lf_decoder_fini(lf_decoder *decoder);
// Sets the bytes of every token (for byte-level decoders, lf_vocab_map_byte_level() has done the model's) and
// LF_TOKEN_BYTE.
lf_status lf_decoder_apply(const lf_decoder *decoder, lf_vocab *vocab, lf_error *err);

#endif
