// SPDX-License-Identifier: Apache-2.0
//
// What must be refused, and by which name; truncated and damaged documents.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "helpers.h"
#include "tests.h"

static void assert_refused(const parts *from, lf_status expected, const char *name)
{
    lf_error err = {0};
    lf_status status = open_status(from, &err);
    if (status != expected || !strstr(err.message, name))
        fail_msg("status %d, '%s', not '%s'", status, err.message, name);
}

static void refuses_by_name(void **state)
{
    static const struct {
        parts from;
        const char *name;
    } cases[] = {
        {{.normalizer = "{\"type\":\"Lowercase\"}"}, "Lowercase"},
        {{.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"StripAccents\"}]}"}, "StripAccents"},
        {{.normalizer = "{\"type\":\"NFC\",\"form\":1}"}, "form"},
        {{.pre_tokenizer = "{\"type\":\"Metaspace\"}"}, "Metaspace"},
        {{.pre_tokenizer =
              "{\"type\":\"Split\",\"pattern\":{\"Glob\":\"*\"},\"behavior\":\"Removed\",\"invert\":false}"},
         "pattern"},
        {{.pre_tokenizer =
              "{\"type\":\"Split\",\"pattern\":{\"String\":\"\"},\"behavior\":\"Removed\",\"invert\":false}"},
         "empty"},
        {{.pre_tokenizer =
              "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Kept\",\"invert\":false}"},
         "Kept"},
        {{.pre_tokenizer =
              "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?x)a\"},\"behavior\":\"Removed\",\"invert\":false}"},
         "group option"},
        {{.post_processor = "{\"type\":\"BertProcessing\"}"}, "BertProcessing"},
        {{.post_processor = "{\"type\":\"TemplateProcessing\",\"single\":[],\"pair\":[],\"special_tokens\":{}}"},
         "just once"},
        {{.decoder = "null"}, "decoder"},
        {{.decoder = "{\"type\":\"WordPiece\"}"}, "WordPiece"},
        {{.decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"ByteLevel\"}]}"},
         "ByteLevel"},
        {{.settings = ",\"dropout\":0.1"}, "dropout"},
        {{.settings = ",\"end_of_word_suffix\":\"</w>\""}, "end_of_word_suffix"},
        {{.settings = ",\"continuing_subword_prefix\":\"##\""}, "continuing_subword_prefix"},
        {{.settings = ",\"max_input_chars_per_word\":100"}, "max_input_chars_per_word"},
        {{.added_tokens = "{\"id\":300,\"content\":\"x!\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                          "\"normalized\":false,\"special\":true}"},
         "x!"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++)
        assert_refused(&cases[i].from, LF_ERR_UNSUPPORTED, cases[i].name);
}

static void refuses_malformed_parts(void **state)
{
    static const struct {
        parts from;
        const char *name;
    } cases[] = {
        {{.vocab = "\"a\":400"}, "'a' is given twice"},
        {{.vocab = "\"ab\":97"}, "97 is given twice"},
        {{.vocab = "\"ab\":-1"}, "model.vocab"},
        {{.vocab = "\"ab\":400.5"}, "model.vocab"},
        {{.vocab = "\"ab\":007"}, "model.vocab"},
        {{.vocab = "\"ab\":99999999999"}, "model.vocab"},
        {{.vocab = "\"ab\":\"1\""}, "model.vocab"},
        {{.vocab = "\"\\ud800\":300"}, "model.vocab"},
        {{.vocab = "\"\\q\":300"}, "model.vocab"},
        {{.vocab = "\"\xff\":300"}, "model.vocab"},
        {{.vocab = "\"a\nb\":300"}, "model.vocab"},
        {{.merges = "\"a\""}, "model.merges"},
        {{.merges = "\"a b c\""}, "model.merges"},
        {{.merges = "[\"a\"]"}, "model.merges"},
        {{.merges = "[\"a\",\"b\",\"c\"]"}, "model.merges"},
        {{.merges = "\"a b\""}, "result"},
        {{.merges = "\"xy b\""}, "first"},
        {{.merges = "\"a xy\""}, "second"},
        {{.merges = "1"}, "model.merges"},
        {{.settings = ",\"byte_fallback\":1"}, "byte_fallback"},
        {{.settings = ",\"vocab\":{}"}, "JSON"},
        {{.added_tokens = "{}"}, "missing"},
        {{.added_tokens = "1"}, "object"},
        {{.normalizer = "[]"}, "normalizer"},
        {{.pre_tokenizer = "{}"}, "type"},
        {{.pre_tokenizer = "{\"type\":\"Sequence\"}"}, "pretokenizers"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) assert_refused(&cases[i].from, LF_ERR_FORMAT, cases[i].name);
    assert_refused(&(parts){.vocab = "\"ab\":2097152"}, LF_ERR_LIMIT, "2097152");
}

static void refuses_other_documents(void **state)
{
    static const char *const documents[] = {
        "",
        " ",
        "null",
        "[]",
        "{",
        "{}",
        "{\"model\":{}}",
        "{\"model\":[]}",
        "{\"model\":{\"vocab\":{}}}",
        "{\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"vocab\":{},\"merges\":[}}",
        "{\"model\":{\"vocab\":{]},\"merges\":[]}}",
        "{\"version\":\"2.0\"}",
        "{\"modle\":1}",
        "\"\\",
        "{\"model\":{\"vocab\":\"",
        "{\"a\":\"\\",
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(documents); i++) {
        lf_tokenizer *tokenizer = NULL;
        lf_error err = {0};
        lf_status status = lf_tokenizer_open_memory(&tokenizer, documents[i], strlen(documents[i]), &err);
        if (status != LF_ERR_FORMAT && status != LF_ERR_UNSUPPORTED) fail_msg("'%s': status %d", documents[i], status);
        assert_null(tokenizer);
        assert_true(strlen(err.message) > 0);
    }
    lf_tokenizer *tokenizer = NULL;
    lf_error err;
    assert_int_equal(lf_tokenizer_open(&tokenizer, "/nonexistent/tokenizer.json", &err), LF_ERR_NOT_FOUND);
    static const char unigram[] =
        "{\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}";
    assert_int_equal(lf_tokenizer_open_memory(&tokenizer, unigram, sizeof unigram - 1, &err), LF_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "Unigram"));
}

// No prefix of a document is a document, and no single damaged byte does worse than change or refuse it.
static void survives_damage(void **state)
{
    lf_buf json = LF_BUF_INIT;
    make_json(&json, &(parts){.vocab = "\"ab\":256",
                              .merges = "[\"a\",\"b\"]",
                              .pre_tokenizer = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s+|[^\\\\s]+\"},"
                                               "\"behavior\":\"Isolated\",\"invert\":false}"});
    for (size_t length = 0; length < json.length; length++) {
        lf_tokenizer *tokenizer = NULL;
        lf_error err;
        char *cut = malloc(length + 1); // exact size: reading past it shows
        memcpy(cut, json.data, length);
        assert_int_not_equal(lf_tokenizer_open_memory(&tokenizer, cut, length, &err), LF_OK);
        free(cut);
    }
    for (size_t at = 0; at < json.length; at++) {
        static const char damages[] = {'"', '}', '\\', '9', '\x80'};
        for (size_t k = 0; k < sizeof damages; k++) {
            lf_tokenizer *tokenizer = NULL;
            lf_error err;
            char kept = json.data[at];
            json.data[at] = damages[k];
            lf_tokenizer_open_memory(&tokenizer, json.data, json.length, &err);
            lf_tokenizer_close(tokenizer);
            json.data[at] = kept;
        }
    }
    lf_buf_fini(&json);
}

int test_tokenizer_hostile(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_by_name),
        cmocka_unit_test(refuses_malformed_parts),
        cmocka_unit_test(refuses_other_documents),
        cmocka_unit_test(survives_damage),
    };
    return cmocka_run_group_tests_name("tokenizer_hostile", tests, NULL, NULL);
}
