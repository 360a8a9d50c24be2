// SPDX-License-Identifier: Apache-2.0
//
// Opening a tokenizer and encoding with it. The stages of encoding, in this order: added tokens that are searched in
// the text as it is; normalizer; added tokens that are searched in normalized text; pre-tokenizers; BPE of every word.
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/component.h"
#include "text/model_json.h"
#include "text/tokenizer_int.h"
#include "text/utf8.h"

void lf_ids_fini(lf_ids *ids)
{
    free(ids->data);
    *ids = LF_IDS_INIT;
}

bool lf_ids_reserve(lf_ids *ids, size_t extra)
{
    size_t need;
    return lf_add_size(ids->count, extra, &need) &&
           lf_array_grow((void **)&ids->data, &ids->capacity, need, sizeof *ids->data);
}

// --- the model

static lf_status vocab_entry(void *ctx, const char *token, size_t length, uint32_t id, lf_error *err)
{
    return lf_vocab_add(ctx, token, length, id, LF_TOKEN_IN_MODEL, err);
}

static lf_status merge_entry(void *ctx, const char *left, size_t left_length, const char *right, size_t right_length,
                             uint32_t rank, lf_error *err)
{
    return lf_bpe_add_merge(ctx, left, left_length, right, right_length, rank, err);
}

// Settings that must be empty, because they change how words are cut in ways this reader does not do.
static lf_status refuse_affixes(const json_t *model, lf_error *err)
{
    static const char *const keys[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(keys); i++) {
        const char *value = "";
        lf_status status = lf_json_string(model, keys[i], &value, err);
        if (status) return status;
        if (*value) return lf_error_set(err, LF_ERR_UNSUPPORTED, "model has \"%s\" '%s'", keys[i], value);
    }
    double dropout = 0.0;
    lf_status status = lf_json_real(model, "dropout", 0.0, 1.0, &dropout, err);
    if (!status && dropout > 0.0) status = lf_error_set(err, LF_ERR_UNSUPPORTED, "model has a dropout of %g", dropout);
    return status;
}

static lf_status read_model_settings(lf_tokenizer *t, const json_t *model, lf_error *err)
{
    static const char *const keys[] = {"type",
                                       "dropout",
                                       "unk_token",
                                       "continuing_subword_prefix",
                                       "end_of_word_suffix",
                                       "fuse_unk",
                                       "vocab",
                                       "byte_fallback",
                                       "ignore_merges",
                                       "merges",
                                       NULL};
    const char *unknown = NULL;
    lf_status status = lf_component_only(model, "model", keys, err);
    if (!status) status = refuse_affixes(model, err);
    if (!status) status = lf_json_bool(model, "fuse_unk", &t->bpe.fuse_unknown, err);
    if (!status) status = lf_json_bool(model, "byte_fallback", &t->bpe.byte_fallback, err);
    if (!status) status = lf_json_bool(model, "ignore_merges", &t->bpe.ignore_merges, err);
    if (!status) status = lf_json_string(model, "unk_token", &unknown, err);
    if (status || !unknown) return status;
    int32_t id = lf_vocab_find(&t->vocab, unknown, json_string_length(json_object_get(model, "unk_token")));
    t->bpe.unknown_id = id >= 0 ? id : LF_BPE_UNKNOWN_MISSING;
    return LF_OK;
}

static lf_status read_model(lf_tokenizer *t, const lf_model_json *file, lf_error *err)
{
    const json_t *model = json_object_get(file->root, "model");
    const char *type = "BPE"; // old files of BPE models do not say so
    if (!json_is_object(model)) return lf_error_set(err, LF_ERR_FORMAT, "\"model\" is missing");
    lf_status status = lf_json_string(model, "type", &type, err);
    if (status) return status;
    if (strcmp(type, "BPE") != 0) {
        return lf_error_set(err, LF_ERR_UNSUPPORTED, "model type '%s' is not supported, only BPE is", type);
    }
    if (!file->vocab.text || !file->merges.text) {
        return lf_error_set(err, LF_ERR_FORMAT, "model has no \"%s\"", file->vocab.text ? "merges" : "vocab");
    }
    // An entry takes some 24 bytes. A guess: too little costs time, and the cap keeps too much from mattering.
    status = lf_vocab_reserve(&t->vocab, LF_MIN(file->vocab.length / 24, (size_t)1 << 18), err);
    if (!status) status = lf_model_json_vocab(file->vocab, vocab_entry, &t->vocab, err);
    if (!status) status = lf_bpe_init(&t->bpe, &t->vocab, err);
    if (!status) status = lf_model_json_merges(file->merges, merge_entry, &t->bpe, err);
    if (!status) status = read_model_settings(t, model, err);
    return status;
}

// --- the post-processor: ids before and behind a single prompt

static lf_status add_template_token(lf_tokenizer *t, lf_ids *ids, const json_t *piece, const json_t *special_tokens,
                                    lf_error *err)
{
    const char *name = NULL;
    lf_status status = lf_json_string(piece, "id", &name, err);
    if (status) return status;
    const json_t *list = name ? json_object_get(json_object_get(special_tokens, name), "ids") : NULL;
    if (!json_is_array(list)) {
        return lf_error_set(err, LF_ERR_FORMAT, "post-processor uses '%s' and does not define it", name ? name : "");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || !lf_vocab_has(&t->vocab, json_integer_value(id))) {
            return lf_error_set(err, LF_ERR_FORMAT, "post-processor token '%s' has an id that is no token", name);
        }
        if (!lf_ids_reserve(ids, 1)) return lf_error_no_memory(err, sizeof *ids->data);
        ids->data[ids->count++] = (int32_t)json_integer_value(id);
    }
    return LF_OK;
}

static lf_status read_template(lf_tokenizer *t, const json_t *json, lf_error *err)
{
    static const char *const keys[] = {"type", "single", "pair", "special_tokens", NULL};
    const json_t *single = json_object_get(json, "single");
    bool is_behind = false;
    lf_status status = lf_component_only(json, "post-processor TemplateProcessing", keys, err);
    if (status) return status;
    if (!json_is_array(single)) return lf_error_set(err, LF_ERR_FORMAT, "post-processor has no list \"single\"");
    if (t->prefix.count || t->suffix.count) {
        return lf_error_set(err, LF_ERR_UNSUPPORTED, "more than one post-processor adds tokens");
    }
    for (size_t i = 0; i < json_array_size(single) && !status; i++) {
        const json_t *item = json_array_get(single, i);
        const json_t *piece = json_object_get(item, "SpecialToken");
        const json_t *sequence = json_object_get(item, "Sequence");
        if (piece) {
            lf_ids *ids = is_behind ? &t->suffix : &t->prefix;
            status = add_template_token(t, ids, piece, json_object_get(json, "special_tokens"), err);
            continue;
        }
        const char *name = json_string_value(json_object_get(sequence, "id"));
        if (!name || strcmp(name, "A") != 0 || is_behind) {
            return lf_error_set(err, LF_ERR_UNSUPPORTED, "post-processor template does not have the prompt just once");
        }
        is_behind = true;
    }
    if (!status && !is_behind) {
        status = lf_error_set(err, LF_ERR_UNSUPPORTED, "post-processor template does not have the prompt just once");
    }
    return status;
}

static lf_status read_processor(void *ctx, const json_t *json, const char *type, lf_error *err)
{
    static const char *const keys[] = {"type", "add_prefix_space", "trim_offsets", "use_regex", NULL};
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(ctx, json, err);
    // ByteLevel only corrects positions.
    if (strcmp(type, "ByteLevel") == 0) return lf_component_only(json, "post-processor ByteLevel", keys, err);
    return lf_error_set(err, LF_ERR_UNSUPPORTED, "post-processor '%s' is not supported", type);
}

// --- opening

static lf_status read_parts(lf_tokenizer *t, const lf_model_json *file, lf_error *err)
{
    static const char *const keys[] = {"version",       "truncation",     "padding", "added_tokens", "normalizer",
                                       "pre_tokenizer", "post_processor", "decoder", "model",        NULL};
    const json_t *root = file->root;
    const char *version = "1.0";
    lf_regex_scratch *scratch = NULL;
    if (!json_is_object(root)) return lf_error_set(err, LF_ERR_FORMAT, "not an object");
    lf_status status = lf_component_only(root, "the file", keys, err);
    if (!status) status = lf_json_string(root, "version", &version, err);
    if (!status && strcmp(version, "1.0") != 0) {
        status = lf_error_set(err, LF_ERR_UNSUPPORTED, "version '%s' is not supported, only 1.0 is", version);
    }
    if (!status) status = lf_regex_scratch_new(&scratch, err);
    if (!status) status = lf_normalizer_init(&t->normalizer, json_object_get(root, "normalizer"), err);
    if (!status) status = lf_pretok_init(&t->pretok, json_object_get(root, "pre_tokenizer"), err);
    if (!status) status = lf_decoder_init(&t->decoder, json_object_get(root, "decoder"), err);
    if (!status) status = read_model(t, file, err);
    bool is_byte_level = t->decoder.is_byte_level || lf_pretok_ends_byte_level(&t->pretok);
    if (!status && is_byte_level) status = lf_vocab_map_byte_level(&t->vocab, err);
    if (!status) status = lf_bpe_finish(&t->bpe, lf_pretok_ends_byte_level(&t->pretok), err);
    if (!status) {
        const json_t *list = json_object_get(root, "added_tokens");
        status = lf_added_tokens_init(&t->added, list, &t->normalizer, scratch, &t->vocab, err);
    }
    if (!status) {
        const json_t *processor = json_object_get(root, "post_processor");
        status = lf_component_walk(processor, "post-processor", "processors", read_processor, t, err);
    }
    if (!status) status = lf_decoder_apply(&t->decoder, &t->vocab, err);
    lf_regex_scratch_free(scratch);
    return status;
}

lf_status lf_tokenizer_open_memory(lf_tokenizer **out, const char *json, size_t length, lf_error *err)
{
    lf_model_json file = {0};
    lf_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return lf_error_no_memory(err, sizeof *t);
    lf_status status = lf_vocab_init(&t->vocab, err);
    if (!status) status = lf_model_json_open(&file, json, length, err);
    if (!status) status = read_parts(t, &file, err);
    lf_model_json_close(&file);
    if (status) {
        lf_tokenizer_close(t);
        return status;
    }
    *out = t;
    return LF_OK;
}

lf_status lf_tokenizer_open(lf_tokenizer **out, const char *path, lf_error *err)
{
    char *json;
    size_t length;
    lf_status status = lf_file_read(&json, &length, path, LF_TOKENIZER_MAX_FILE_BYTES, err);
    if (status) return status;
    status = lf_tokenizer_open_memory(out, json, length, err);
    free(json);
    return status ? lf_error_at(err, "%s", path) : LF_OK;
}

void lf_tokenizer_close(lf_tokenizer *t)
{
    if (!t) return;
    lf_ids_fini(&t->prefix);
    lf_ids_fini(&t->suffix);
    lf_decoder_fini(&t->decoder);
    lf_pretok_fini(&t->pretok);
    lf_added_tokens_fini(&t->added);
    lf_normalizer_fini(&t->normalizer);
    lf_bpe_fini(&t->bpe);
    lf_vocab_fini(&t->vocab);
    free(t);
}

// --- encoding

typedef struct encoder {
    const lf_tokenizer *t;
    bool parse_special;
    lf_regex_scratch *regex;
    lf_pieces pieces[2];
    lf_bpe_scratch bpe;
    lf_error *err;
} encoder;

// From pieces[1], cut at the raw added tokens, to pieces[0]: normalized and cut at the others.
static lf_status normalize_pieces(encoder *e)
{
    const lf_tokenizer *t = e->t;
    lf_pieces *in = &e->pieces[1];
    lf_pieces *out = &e->pieces[0];
    for (size_t i = 0; i < in->count; i++) { // the text first: cutting refers to it when it is complete
        lf_piece *piece = &in->items[i];
        if (piece->id != LF_PIECE_TEXT) continue;
        size_t begin = out->own.length;
        lf_status status = lf_normalizer_run(&t->normalizer, e->regex, &out->own, in->text + piece->begin,
                                             piece->end - piece->begin, e->err);
        if (status) return status;
        if (out->own.length > UINT32_MAX) return lf_error_set(e->err, LF_ERR_LIMIT, "the normalized text is too large");
        piece->begin = (uint32_t)begin;
        piece->end = (uint32_t)out->own.length;
    }
    if (lf_buf_failed(&out->own)) return lf_error_no_memory(e->err, 0);
    out->text = lf_buf_text(&out->own);
    for (size_t i = 0; i < in->count; i++) {
        lf_piece piece = in->items[i];
        lf_status status = piece.id != LF_PIECE_TEXT
                               ? lf_pieces_add(out, 0, 0, piece.id, e->err)
                               : lf_added_tokens_split(&t->added, &t->added.normalized, e->parse_special, piece.begin,
                                                       piece.end, out, e->err);
        if (status) return status;
    }
    return LF_OK;
}

static lf_status encode_text(encoder *e, const char *text, size_t length, lf_ids *out)
{
    const lf_tokenizer *t = e->t;
    const lf_pieces *words;
    e->pieces[1].text = text;
    lf_status status =
        lf_added_tokens_split(&t->added, &t->added.raw, e->parse_special, 0, length, &e->pieces[1], e->err);
    if (!status) status = normalize_pieces(e);
    if (!status) status = lf_pretok_run(&t->pretok, e->regex, t->bpe.is_byte_level, e->pieces, &words, e->err);
    for (size_t i = 0; !status && i < words->count; i++) {
        lf_piece piece = words->items[i];
        if (piece.id == LF_PIECE_TEXT) {
            status = lf_bpe_encode(&t->bpe, &e->bpe, words->text + piece.begin, piece.end - piece.begin, out, e->err);
        } else if (lf_ids_reserve(out, 1)) {
            out->data[out->count++] = piece.id;
        } else {
            status = lf_error_no_memory(e->err, sizeof *out->data);
        }
    }
    return status;
}

static lf_status append_ids(lf_ids *out, const lf_ids *ids, lf_error *err)
{
    if (!lf_ids_reserve(out, ids->count)) return lf_error_no_memory(err, ids->count * sizeof *ids->data);
    if (ids->count) memcpy(out->data + out->count, ids->data, ids->count * sizeof *ids->data);
    out->count += ids->count;
    return LF_OK;
}

lf_status lf_tokenizer_encode(const lf_tokenizer *tokenizer, const char *text, size_t length, unsigned flags,
                              lf_ids *out, lf_error *err)
{
    encoder e = {.t = tokenizer, .parse_special = (flags & LF_ENCODE_PARSE_SPECIAL) != 0, .err = err};
    bool adds = (flags & LF_ENCODE_ADD_SPECIAL) != 0;
    if (length > LF_TOKENIZER_MAX_TEXT_BYTES) {
        return lf_error_set(err, LF_ERR_LIMIT, "text has %zu bytes, more than %d", length, LF_TOKENIZER_MAX_TEXT_BYTES);
    }
    size_t valid = lf_utf8_valid_prefix(text, length);
    if (valid != length) return lf_error_set(err, LF_ERR_FORMAT, "text is not valid UTF-8 at byte %zu", valid);
    lf_status status = lf_regex_scratch_new(&e.regex, err);
    if (!status && adds) status = append_ids(out, &tokenizer->prefix, err);
    if (!status) status = encode_text(&e, text, length, out);
    if (!status && adds) status = append_ids(out, &tokenizer->suffix, err);
    lf_bpe_scratch_fini(&e.bpe);
    lf_pieces_fini(&e.pieces[0]);
    lf_pieces_fini(&e.pieces[1]);
    lf_regex_scratch_free(e.regex);
    return status;
}

// --- tokens

int32_t lf_tokenizer_vocab_size(const lf_tokenizer *tokenizer) { return (int32_t)tokenizer->vocab.n_token; }

int32_t lf_tokenizer_id(const lf_tokenizer *tokenizer, const char *content, size_t length)
{
    return lf_vocab_find(&tokenizer->vocab, content, length);
}

bool lf_tokenizer_token(const lf_tokenizer *tokenizer, int32_t id, lf_token_info *info)
{
    const lf_vocab *vocab = &tokenizer->vocab;
    if (!lf_vocab_has(vocab, id)) return false;
    const lf_token *token = &vocab->tokens[id];
    *info = (lf_token_info){
        .content = lf_vocab_text(vocab, token),
        .content_length = token->text_length,
        .bytes = lf_vocab_bytes(vocab, token),
        .bytes_length = token->bytes_length,
        .is_special = (token->flags & LF_TOKEN_SPECIAL) != 0,
        .is_added = (token->flags & LF_TOKEN_ADDED) != 0,
    };
    return true;
}
