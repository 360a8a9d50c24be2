// SPDX-License-Identifier: Apache-2.0
//
// Memory that is counted and made to run out: the linker routes the allocations of the library and of the tests through
// memory.c (link with wrap_memory of tests/meson.build). Shared libraries keep their own; jansson's can be routed too.
// The counts are of the whole process.
#ifndef LF_TESTS_SUPPORT_MEMORY_H
#define LF_TESTS_SUPPORT_MEMORY_H

#include <stdbool.h>

// From now on allocation `call`, counted from 0, fails.
void memory_fail_at(long call);
// The same, and all after it.
void memory_fail_from(long call);
// No further one fails. Whether one did since memory_fail_at.
bool memory_stop_failing(void);
// While true, allocations of the calling thread are neither numbered nor fail: it is not what is tested.
void memory_spare_thread(bool is_spared);
// Allocations since memory_fail_at, or since the program began.
long memory_n_call(void);
// Blocks that are allocated and not freed.
long memory_n_live(void);
// Routes jansson's allocations through here as well, or no longer. No JSON value may live across a change.
void memory_route_jansson(bool is_routed);

#endif
