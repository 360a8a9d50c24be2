// SPDX-License-Identifier: Apache-2.0
//
// What conversion reads beside the checkpoint: a config.json that is edited as text, and a journal. A config that was
// JSON before is JSON afterwards, an object without its quantization and with a dtype, and editing it again changes
// nothing.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "convert/convert_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void require(int condition)
{
    if (!condition) abort();
}

static void edit(const char *text, size_t length, bool is_json)
{
    lf_buf once = LF_BUF_INIT, twice = LF_BUF_INIT;
    lf_error err = {0};
    json_t *result = NULL;
    if (lf__config_rewrite(&once, text, length, false, &err)) { // no object
        require(!is_json);
        return;
    }
    if (is_json) {
        require(lf_json_parse(&result, once.data, once.length, "config.json", &err) == LF_OK);
        require(json_is_object(result));
        require(!json_object_get(result, "quantization_config") && !json_object_get(result, "compression_config"));
        require(lf__config_rewrite(&twice, once.data, once.length, false, &err) == LF_OK);
        require(once.length == twice.length && memcmp(once.data, twice.data, once.length) == 0);
    }
    json_decref(result);
    lf_buf_fini(&once);
    lf_buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    const char *text = (const char *)data;
    lf__journal journal;
    lf_error err = {0};
    json_t *parsed = NULL;
    bool is_json = lf_json_parse(&parsed, text, length, "config.json", &err) == LF_OK && json_is_object(parsed);
    json_decref(parsed);
    edit(text, length, is_json);
    if (lf__journal_parse(&journal, text, length, &err) == LF_OK) {
        require(is_json && journal.n_shard <= LF__MAX_OUT_SHARDS && journal.shard_size > 0);
        lf__journal_fini(&journal);
    } else {
        require(err.message[0] != '\0');
    }
    return 0;
}
