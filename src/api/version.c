// SPDX-License-Identifier: Apache-2.0
//
// The version, as the build system knows it.
#include "landfall.h"

const char *lf_version(void) { return LF_VERSION; }
