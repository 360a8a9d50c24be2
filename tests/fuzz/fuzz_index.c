// SPDX-License-Identifier: Apache-2.0
//
// An index from anywhere: entries in order, each once, and file names that stay in the directory.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/checkpoint_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void require(int condition)
{
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    lf__index index;
    lf__arena arena = {0};
    lf_findings findings = LF_FINDINGS_INIT;
    bool is_read = lf__index_read(&index, &arena, (const char *)data, length, "index.json", &findings);
    require(!findings.failed);
    require(is_read || findings.n_error > 0);
    for (size_t i = 0; i < index.n_file; i++) {
        const char *file = index.files[i];
        require(!strchr(file, '/') && file[0] != '.' && strlen(file) > strlen(".safetensors"));
        if (is_read) require(i == 0 || strcmp(index.files[i - 1], file) < 0);
    }
    for (size_t i = 0; is_read && i < index.count; i++) {
        require(index.entries[i].file < index.n_file);
        require(i == 0 || strcmp(index.entries[i - 1].name, index.entries[i].name) < 0);
    }
    lf__index_fini(&index);
    lf__arena_fini(&arena);
    lf_findings_fini(&findings);
    return 0;
}
