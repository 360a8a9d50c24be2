// SPDX-License-Identifier: Apache-2.0
//
// What a tokenizer consists of, for the module's own files.
#ifndef LF_TEXT_TOKENIZER_INT_H
#define LF_TEXT_TOKENIZER_INT_H

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/decoder.h"
#include "text/normalize.h"
#include "text/pretok.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

struct lf_tokenizer {
    lf_vocab vocab;
    lf_bpe bpe; // borrows vocab
    lf_normalizer normalizer;
    lf_added_tokens added;
    lf_pretok pretok;
    lf_decoder decoder;
    lf_ids prefix; // what the post-processor puts before a single prompt
    lf_ids suffix; // and behind it
};

#endif
