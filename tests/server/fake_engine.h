// SPDX-License-Identifier: Apache-2.0
//
// An engine without a model, behind the functions of engine/engine.h: it is linked in place of the real one, so that
// tests of the server decide what is generated. A prompt tells it what to do (tokens are bytes, see fixture.h):
//   "say:TEXT;"   generates the tokens of TEXT as they stand in the prompt, then the end token; without it, letters
//   that depend on the
//                 prompt (and on the seed, when the temperature is not 0) until max_tokens
//   "slow:"       waits 2 ms before each token
//   "nan:"        reports logits that are not finite
//   "fail:"       fails after three tokens
#ifndef LF_TESTS_SERVER_FAKE_ENGINE_H
#define LF_TESTS_SERVER_FAKE_ENGINE_H

enum {
    FAKE_VOCAB = 300,
    FAKE_IM_START = 256,
    FAKE_IM_END = 257,     // the end token
    FAKE_LONG_TOKEN = 258, // "lo wo"
    FAKE_MAX_MODEL_LEN = 2048,
};

#endif
