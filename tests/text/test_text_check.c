// SPDX-License-Identifier: Apache-2.0
//
// The findings about a directory's tokenizer and chat template.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests.h"
#include "text/text_check.h"

typedef struct fixture {
    char dir[256];
    lf_findings findings;
    lf_text_summary summary;
} fixture;

static void begin(fixture *f)
{
    const char *parent = getenv("TMPDIR");
    *f = (fixture){0};
    snprintf(f->dir, sizeof f->dir, "%s/landfall-test-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(f->dir));
}

static void put(const fixture *f, const char *name, const char *text)
{
    lf_error err;
    char *path = lf_path_join(f->dir, name);
    assert_int_equal(lf_file_write(path, text, strlen(text), &err), LF_OK);
    free(path);
}

static void run(fixture *f)
{
    lf_error err;
    lf_findings_fini(&f->findings);
    assert_int_equal(lf_text_check(f->dir, &f->summary, &f->findings, &err), LF_OK);
}

static void end(fixture *f)
{
    static const char *const files[] = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(files); i++) {
        char *path = lf_path_join(f->dir, files[i]);
        unlink(path);
        free(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
    lf_findings_fini(&f->findings);
}

static void assert_only(const fixture *f, const char *code, lf_severity severity, const char *subject)
{
    if (f->findings.count != 1) fail_msg("%zu findings instead of one (%s)", f->findings.count, code);
    assert_string_equal(f->findings.items[0].code, code);
    assert_int_equal(f->findings.items[0].severity, severity);
    assert_string_equal(f->findings.items[0].subject, subject);
    assert_true(f->findings.items[0].message[0] != '\0');
}

#define TOKENIZER                                                                                                      \
    "{\"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, "        \
    "\"merges\": []}}"
#define CONFIG "{\"chat_template\": \"{{ messages[0].content }}\"}"

static void accepts_the_bundled_model(void **state)
{
    char dir[512];
    lf_error err;
    lf_findings findings = LF_FINDINGS_INIT;
    lf_text_summary summary;
    snprintf(dir, sizeof dir, "%s/landfall-tiny-qwen3-fp8", getenv("LF_TEST_MODELS"));
    assert_int_equal(lf_text_check(dir, &summary, &findings, &err), LF_OK);
    assert_int_equal(findings.count, 0);
    assert_true(summary.has_tokenizer && summary.has_chat_template && summary.n_token > 256);
}

static void reports_what_does_not_open(void **state)
{
    fixture f;
    begin(&f);
    put(&f, "tokenizer_config.json", CONFIG);
    run(&f); // no tokenizer: for others to report
    assert_int_equal(f.findings.count, 0);
    assert_true(f.summary.has_chat_template && !f.summary.has_tokenizer && f.summary.n_token == 0);

    put(&f, "tokenizer.json", TOKENIZER);
    run(&f);
    if (f.findings.count) fail_msg("%s", f.findings.items[0].message);
    assert_true(f.summary.has_tokenizer && f.summary.n_token == 2);

    put(&f, "tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n");
    run(&f);
    assert_only(&f, "lfs-pointer", LF_SEVERITY_ERROR, "tokenizer.json");
    put(&f, "tokenizer.json", "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0");
    run(&f);
    assert_only(&f, "tokenizer-invalid", LF_SEVERITY_ERROR, "tokenizer.json");
    put(&f, "tokenizer.json", "{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}");
    run(&f);
    assert_only(&f, "tokenizer-unsupported", LF_SEVERITY_WARNING, "tokenizer.json");

    put(&f, "tokenizer.json", TOKENIZER);
    put(&f, "tokenizer_config.json", "{}");
    run(&f);
    assert_only(&f, "template-missing", LF_SEVERITY_NOTE, "tokenizer_config.json");
    put(&f, "tokenizer_config.json", "{");
    run(&f);
    assert_only(&f, "tokenizer-config-invalid", LF_SEVERITY_WARNING, "tokenizer_config.json");
    put(&f, "tokenizer_config.json",
        "{\"chat_template\": \"x\", \"added_tokens_decoder\": {\"1\": {\"content\": \"other\", \"special\": true}}}");
    run(&f);
    assert_only(&f, "tokenizer-config-invalid", LF_SEVERITY_WARNING, "tokenizer_config.json");
    put(&f, "tokenizer_config.json", "{}");
    put(&f, "chat_template.jinja", "{% for m in messages %}");
    run(&f);
    assert_only(&f, "template-invalid", LF_SEVERITY_WARNING, "chat_template.jinja");
    assert_false(f.summary.has_chat_template);
    end(&f);
}

int test_text_check(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_the_bundled_model),
        cmocka_unit_test(reports_what_does_not_open),
    };
    return cmocka_run_group_tests_name("text_check", tests, NULL, NULL);
}
