// SPDX-License-Identifier: Apache-2.0
//
// Configs from text.
#include "config_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

lf_status try_parse(lf_config *config, const char *text, lf_error *err)
{
    json_t *json = NULL;
    *err = (lf_error){0};
    assert_int_equal(lf_json_parse(&json, text, strlen(text), "config", err), LF_OK);
    lf_status status = lf_config_parse(config, json, err);
    json_decref(json);
    return status;
}

lf_config parse(const char *text)
{
    lf_error err;
    lf_config config;
    if (try_parse(&config, text, &err)) fail_msg("%s: %s", text, err.message);
    return config;
}
