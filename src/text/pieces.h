// SPDX-License-Identifier: Apache-2.0
//
// A text on its way to becoming ids: cut into pieces, some of which are ids already. Every stage (added tokens,
// normalizer, pre-tokenizers) turns one list of pieces into the next; empty pieces vanish.
#ifndef LF_TEXT_PIECES_H
#define LF_TEXT_PIECES_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

enum { LF_PIECE_TEXT = -1 };

typedef struct lf_piece {
    uint32_t begin; // [begin, end) of lf_pieces.text
    uint32_t end;
    int32_t id; // an added token, or LF_PIECE_TEXT
} lf_piece;

typedef struct lf_pieces {
    const char *text; // BORROWED: the caller's, or `own`
    lf_piece *items;  // OWNED
    size_t count;
    size_t capacity;
    lf_buf own; // text that a stage has written
} lf_pieces;

void lf_pieces_fini(lf_pieces *pieces);
// Empties the list; the text stays to be set.
void lf_pieces_clear(lf_pieces *pieces);
// Appends [begin, end) unless it is empty text.
lf_status lf_pieces_add(lf_pieces *pieces, size_t begin, size_t end, int32_t id, lf_error *err);

#endif
