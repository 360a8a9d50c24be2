// SPDX-License-Identifier: Apache-2.0
//
// What the tests of config.json share: a config made from its text.
#ifndef LF_TESTS_MODEL_CONFIG_TEXT_H
#define LF_TESTS_MODEL_CONFIG_TEXT_H

#include "model/model.h"

// Parses valid JSON as a config: the status, and what is wrong in *err.
lf_status try_parse(lf_config *config, const char *text, lf_error *err);
// The config; the test fails with the message when it is refused.
lf_config parse(const char *text);

#endif
