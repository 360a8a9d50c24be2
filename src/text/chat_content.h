// SPDX-License-Identifier: Apache-2.0
//
// Detection of the content format that a chat template wants.
#ifndef LF_TEXT_CHAT_CONTENT_H
#define LF_TEXT_CHAT_CONTENT_H

#include <stdbool.h>

#include "text/jinja.h"

// Whether the template loops over the content of a message: it then accepts a list of parts.
bool lf__chat_iterates_content(const lf_jinja_template *compiled);

#endif
