// SPDX-License-Identifier: Apache-2.0
//
// Replays a corpus folder through a fuzz target: the ordinary build's stand-in for libFuzzer. Every input is handed
// over whole and cut short at a few places, in a block of exactly its size so that a sanitizer sees reads past the end.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void run_prefix(const char *bytes, size_t length)
{
    uint8_t *block = malloc(length ? length : 1);
    if (!block) return;
    memcpy(block, bytes, length);
    LLVMFuzzerTestOneInput(block, length);
    free(block);
}

static int replay(const char *path)
{
    char *bytes;
    size_t length;
    lf_error err = {0};
    if (lf_file_read(&bytes, &length, path, (size_t)64 << 20, &err)) {
        printf("%s: %s\n", path, err.message);
        return 1;
    }
    run_prefix(bytes, length);
    for (size_t part = 1; part < 8; part++) run_prefix(bytes, length * part / 8);
    free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    int n_file = 0, n_failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (!folder) {
            printf("no corpus folder %s\n", argv[i]);
            return 1;
        }
        for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
            if (entry->d_name[0] == '.') continue;
            char *path = lf_path_join(argv[i], entry->d_name);
            if (!path) return 1;
            n_failed += replay(path);
            n_file++;
            free(path);
        }
        closedir(folder);
    }
    printf("%d inputs replayed\n", n_file);
    if (n_file == 0 || n_failed) {
        printf("[  FAILED  ] 1 test(s)\n");
        return 1;
    }
    printf("[  PASSED  ] 1 test(s).\n");
    return 0;
}
