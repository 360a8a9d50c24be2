// SPDX-License-Identifier: Apache-2.0
//
// Every step cuts each piece of text into matches and the stretches between them, and one of five behaviours says what
// becomes of those. A piece is searched alone: look-behind and look-ahead end at its edges.
#include "text/pretok.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/component.h"
#include "text/unicode.h"
#include "text/utf8.h"
#include "text/vocab.h"

enum { MAX_STEPS = 64 };

// The words of GPT-2, which ByteLevel splits into unless use_regex is false (openai/gpt-2, encoder.py).
static const char gpt2_words[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

typedef enum behaviour {
    REMOVED,              // matches go away
    ISOLATED,             // matches are pieces, stretches between them too
    CONTIGUOUS,           // as isolated, but neighbouring matches are one piece
    MERGED_WITH_PREVIOUS, // a match ends the piece before it
    MERGED_WITH_NEXT,     // a match begins the piece after it
} behaviour;

typedef enum step_kind { STEP_PATTERN, STEP_CHARACTERS, STEP_PREFIX_SPACE, STEP_BYTE_CHARS } step_kind;

typedef struct lf_pretok_step {
    step_kind kind;
    behaviour behaviour;
    bool invert;                  // the stretches between are the matches
    lf_pattern pattern;           // STEP_PATTERN
    bool (*is_match)(uint32_t c); // STEP_CHARACTERS: each such character is a match
} lf_pretok_step;

// --- reading

static lf_status add_step(lf_pretok *pretok, step_kind kind, lf_pretok_step **step, lf_error *err)
{
    if (pretok->n_step == MAX_STEPS) return lf_error_set(err, LF_ERR_LIMIT, "more than %d pre-tokenizers", MAX_STEPS);
    if (!lf_array_grow((void **)&pretok->steps, &pretok->capacity, pretok->n_step + 1, sizeof *pretok->steps)) {
        return lf_error_no_memory(err, sizeof *pretok->steps);
    }
    *step = &pretok->steps[pretok->n_step++];
    **step = (lf_pretok_step){.kind = kind, .behaviour = ISOLATED};
    return LF_OK;
}

static lf_status read_behaviour(const json_t *json, behaviour *out, lf_error *err)
{
    // ORDER behaviour
    static const char *const names[] = {"Removed", "Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext"};
    char *name = NULL;
    size_t length;
    lf_status status = lf_component_string(json, "behavior", &name, &length, err);
    if (status) return status;
    size_t i = 0;
    while (i < LF_ARRAY_LENGTH(names) && strcmp(name, names[i]) != 0) i++;
    if (i < LF_ARRAY_LENGTH(names)) {
        *out = (behaviour)i;
    } else {
        status = lf_error_set(err, LF_ERR_UNSUPPORTED, "split behavior '%s' is not supported", name);
    }
    free(name);
    return status;
}

static lf_status read_split(lf_pretok *pretok, const json_t *json, lf_error *err)
{
    static const char *const keys[] = {"type", "pattern", "behavior", "invert", NULL};
    lf_pretok_step *step = NULL;
    lf_status status = lf_component_only(json, "pre-tokenizer Split", keys, err);
    if (!status) status = add_step(pretok, STEP_PATTERN, &step, err);
    if (!status) status = lf_pattern_init(&step->pattern, json_object_get(json, "pattern"), err);
    if (!status) status = read_behaviour(json, &step->behaviour, err);
    if (!status) status = lf_component_bool(json, "invert", &step->invert, err);
    return status;
}

static lf_status read_byte_level(lf_pretok *pretok, const json_t *json, lf_error *err)
{
    static const char *const keys[] = {"type", "add_prefix_space", "trim_offsets", "use_regex", NULL};
    bool add_prefix_space = false;
    bool trim_offsets = false; // about positions, which ids do not depend on
    bool use_regex = true;
    lf_pretok_step *step = NULL;
    lf_status status = lf_component_only(json, "pre-tokenizer ByteLevel", keys, err);
    if (!status) status = lf_component_bool(json, "add_prefix_space", &add_prefix_space, err);
    if (!status) status = lf_component_bool(json, "trim_offsets", &trim_offsets, err);
    if (!status && json_object_get(json, "use_regex")) status = lf_component_bool(json, "use_regex", &use_regex, err);
    if (!status && add_prefix_space) status = add_step(pretok, STEP_PREFIX_SPACE, &step, err);
    if (!status && use_regex) {
        status = add_step(pretok, STEP_PATTERN, &step, err);
        if (!status) status = lf_regex_compile(&step->pattern.regex, gpt2_words, sizeof gpt2_words - 1, err);
    }
    if (!status) status = add_step(pretok, STEP_BYTE_CHARS, &step, err);
    return status;
}

static lf_status read_characters(lf_pretok *pretok, const json_t *json, const char *type, lf_error *err)
{
    lf_pretok_step *step = NULL;
    lf_status status = add_step(pretok, STEP_CHARACTERS, &step, err);
    if (status) return status;
    if (strcmp(type, "Digits") == 0) {
        bool individual_digits = false;
        status = lf_component_only(json, "pre-tokenizer Digits",
                                   (const char *const[]){"type", "individual_digits", NULL}, err);
        if (!status) status = lf_component_bool(json, "individual_digits", &individual_digits, err);
        step->is_match = lf_is_number;
        step->behaviour = individual_digits ? ISOLATED : CONTIGUOUS;
        return status;
    }
    if (strcmp(type, "Punctuation") == 0) {
        status =
            lf_component_only(json, "pre-tokenizer Punctuation", (const char *const[]){"type", "behavior", NULL}, err);
        step->is_match = lf_is_punctuation;
        if (!status && json_object_get(json, "behavior")) status = read_behaviour(json, &step->behaviour, err);
        return status;
    }
    step->is_match = lf_is_white_space;
    step->behaviour = REMOVED;
    return lf_component_only(json, "pre-tokenizer WhitespaceSplit", (const char *const[]){"type", NULL}, err);
}

static lf_status read_one(void *ctx, const json_t *json, const char *type, lf_error *err)
{
    if (strcmp(type, "Split") == 0) return read_split(ctx, json, err);
    if (strcmp(type, "ByteLevel") == 0) return read_byte_level(ctx, json, err);
    if (strcmp(type, "Digits") == 0 || strcmp(type, "Punctuation") == 0 || strcmp(type, "WhitespaceSplit") == 0) {
        return read_characters(ctx, json, type, err);
    }
    return lf_error_set(err, LF_ERR_UNSUPPORTED, "pre-tokenizer '%s' is not supported", type);
}

lf_status lf_pretok_init(lf_pretok *pretok, const json_t *json, lf_error *err)
{
    *pretok = (lf_pretok){0};
    return lf_component_walk(json, "pre-tokenizer", "pretokenizers", read_one, pretok, err);
}

void lf_pretok_fini(lf_pretok *pretok)
{
    for (size_t i = 0; i < pretok->n_step; i++) lf_pattern_fini(&pretok->steps[i].pattern);
    free(pretok->steps);
    *pretok = (lf_pretok){0};
}

bool lf_pretok_ends_byte_level(const lf_pretok *pretok)
{
    size_t n = pretok->n_step;
    if (n == 0 || pretok->steps[n - 1].kind != STEP_BYTE_CHARS) return false;
    for (size_t i = 0; i + 1 < n; i++) {
        if (pretok->steps[i].kind == STEP_BYTE_CHARS) return false; // mapped twice: the bytes are no longer the text's
    }
    return true;
}

// --- behaviours

// Takes matches and stretches in order and emits pieces. At most one stretch of text waits in [begin, end).
typedef struct joiner {
    lf_pieces *out;
    behaviour behaviour;
    bool has_pending;
    size_t begin;
    size_t end;
    bool was_match; // the segment before was a match; false at the beginning
    lf_error *err;
} joiner;

static lf_status joiner_flush(joiner *j)
{
    lf_status status = j->has_pending ? lf_pieces_add(j->out, j->begin, j->end, LF_PIECE_TEXT, j->err) : LF_OK;
    j->has_pending = false;
    return status;
}

// True when the segment continues the pending piece instead of starting one. An empty match still counts as a match.
static bool joiner_continues(const joiner *j, bool is_match)
{
    switch (j->behaviour) {
    case CONTIGUOUS: return is_match == j->was_match;
    case MERGED_WITH_PREVIOUS: return is_match && !j->was_match;
    // Read backwards, a match joins what follows unless that is a match too: so a stretch joins the match before it,
    // which stands alone otherwise.
    case MERGED_WITH_NEXT: return !is_match && j->was_match;
    case REMOVED:
    case ISOLATED: break;
    }
    return false;
}

static lf_status joiner_add(joiner *j, size_t begin, size_t end, bool is_match)
{
    bool continues = j->has_pending && joiner_continues(j, is_match);
    j->was_match = is_match;
    if (continues) {
        j->end = end;
        return LF_OK;
    }
    lf_status status = joiner_flush(j);
    if (status) return status;
    j->has_pending = !(is_match && j->behaviour == REMOVED);
    j->begin = begin;
    j->end = end;
    return LF_OK;
}

// --- steps

// The next match of a step in one piece.
typedef struct match_walk {
    const lf_pretok_step *step;
    lf_pattern_walk pattern;
    const char *text;
    size_t length;
    size_t at;
} match_walk;

static lf_status match_next(match_walk *walk, bool *found, size_t *begin, size_t *end, lf_error *err)
{
    if (walk->step->kind == STEP_PATTERN) return lf_pattern_next(&walk->pattern, found, begin, end, err);
    const char *cursor = walk->text + walk->at;
    const char *stop = walk->text + walk->length;
    *found = false;
    while (cursor < stop && !*found) {
        *begin = (size_t)(cursor - walk->text);
        *found = walk->step->is_match(lf_utf8_next(&cursor));
    }
    *end = walk->at = (size_t)(cursor - walk->text);
    return LF_OK;
}

static lf_status split_piece(const lf_pretok_step *step, lf_regex_scratch *scratch, lf_piece piece, lf_pieces *out,
                             lf_error *err)
{
    match_walk walk = {.step = step, .text = out->text + piece.begin, .length = piece.end - piece.begin};
    joiner j = {.out = out, .behaviour = step->behaviour, .err = err};
    lf_pattern_start(&walk.pattern, &step->pattern, scratch, walk.text, walk.length);
    size_t done = 0;
    for (;;) {
        bool found;
        size_t begin;
        size_t end;
        lf_status status = match_next(&walk, &found, &begin, &end, err);
        if (status) return status;
        if (!found) break;
        if (done < begin) status = joiner_add(&j, piece.begin + done, piece.begin + begin, step->invert);
        if (!status) status = joiner_add(&j, piece.begin + begin, piece.begin + end, !step->invert);
        if (status) return status;
        done = end;
    }
    lf_status status = LF_OK;
    if (done < walk.length) status = joiner_add(&j, piece.begin + done, piece.end, step->invert);
    return status ? status : joiner_flush(&j);
}

// A space in front of every piece of text that does not start with one.
static lf_status prefix_piece(const lf_pieces *in, lf_piece piece, lf_pieces *out, lf_error *err)
{
    size_t begin = out->own.length;
    if (in->text[piece.begin] != ' ') lf_buf_putc(&out->own, ' ');
    lf_buf_append(&out->own, in->text + piece.begin, piece.end - piece.begin);
    return lf_pieces_add(out, begin, out->own.length, LF_PIECE_TEXT, err);
}

static lf_status map_piece(const lf_pieces *in, lf_piece piece, lf_pieces *out, lf_error *err)
{
    size_t begin = out->own.length;
    for (size_t i = piece.begin; i < piece.end; i++) {
        char bytes[4];
        lf_buf_append(&out->own, bytes, lf_utf8_put(bytes, lf_byte_char((uint8_t)in->text[i])));
    }
    return lf_pieces_add(out, begin, out->own.length, LF_PIECE_TEXT, err);
}

static lf_status run_step(const lf_pretok_step *step, lf_regex_scratch *scratch, lf_pieces *in, lf_pieces *out,
                          lf_error *err)
{
    bool rewrites = step->kind == STEP_PREFIX_SPACE || step->kind == STEP_BYTE_CHARS;
    lf_pieces_clear(out);
    out->text = in->text;
    if (!rewrites) { // the text may lie in in->own: it moves on with the pieces
        lf_buf moved = in->own;
        in->own = out->own;
        out->own = moved;
    }
    for (size_t i = 0; i < in->count; i++) {
        lf_piece piece = in->items[i];
        lf_status status;
        if (piece.id != LF_PIECE_TEXT) {
            status = lf_pieces_add(out, 0, 0, piece.id, err);
        } else if (step->kind == STEP_PREFIX_SPACE) {
            status = prefix_piece(in, piece, out, err);
        } else if (step->kind == STEP_BYTE_CHARS) {
            status = map_piece(in, piece, out, err);
        } else {
            status = split_piece(step, scratch, piece, out, err);
        }
        if (status) return status;
    }
    if (lf_buf_failed(&out->own)) return lf_error_no_memory(err, 0);
    if (rewrites) out->text = lf_buf_text(&out->own);
    return LF_OK;
}

lf_status lf_pretok_run(const lf_pretok *pretok, lf_regex_scratch *scratch, bool raw_bytes, lf_pieces pieces[2],
                        const lf_pieces **result, lf_error *err)
{
    size_t n = raw_bytes ? pretok->n_step - 1 : pretok->n_step;
    for (size_t i = 0; i < n; i++) {
        lf_status status = run_step(&pretok->steps[i], scratch, &pieces[i % 2], &pieces[(i + 1) % 2], err);
        if (status) return status;
    }
    *result = &pieces[n % 2];
    return LF_OK;
}
