// SPDX-License-Identifier: Apache-2.0
//
// The list of pieces.
#include "text/pieces.h"

#include <stdlib.h>

#include "base/mem.h"

void lf_pieces_fini(lf_pieces *pieces)
{
    free(pieces->items);
    lf_buf_fini(&pieces->own);
    *pieces = (lf_pieces){0};
}

void lf_pieces_clear(lf_pieces *pieces)
{
    pieces->text = NULL;
    pieces->count = 0;
    lf_buf_clear(&pieces->own);
}

lf_status lf_pieces_add(lf_pieces *pieces, size_t begin, size_t end, int32_t id, lf_error *err)
{
    if (begin == end && id == LF_PIECE_TEXT) return LF_OK;
    if (end > UINT32_MAX) return lf_error_set(err, LF_ERR_LIMIT, "the text to be tokenized is too large");
    if (!lf_array_grow((void **)&pieces->items, &pieces->capacity, pieces->count + 1, sizeof *pieces->items)) {
        return lf_error_no_memory(err, (pieces->count + 1) * sizeof *pieces->items);
    }
    pieces->items[pieces->count++] = (lf_piece){(uint32_t)begin, (uint32_t)end, id};
    return LF_OK;
}
