// SPDX-License-Identifier: Apache-2.0
//
// Whether a sanitizer watches: then everything takes several times as long, and calls like memmem, which it checks over
// the whole of their range, take time with the range. Tests that go through very many cases take a part of them, and
// say so.
#ifndef LF_TESTS_SUPPORT_SANITIZED_H
#define LF_TESTS_SUPPORT_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif
#else
enum { IS_SANITIZED = 0 };
#endif

#endif
