// SPDX-License-Identifier: Apache-2.0
//
// The JSON pull reader: RFC 8259 and nothing more. It exists beside jansson because headers and indexes hold 200,000
// entries in megabytes of text that are read once, in order, and because a duplicate key must be seen, not merged.
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "checkpoint/checkpoint_int.h"

void lf__pull_init(lf__pull *pull, const char *text, size_t length)
{
    *pull = (lf__pull){.begin = text, .at = text, .end = text + length};
}

void lf__pull_fini(lf__pull *pull) { lf_buf_fini(&pull->scratch); }

bool lf__pull_fail(lf__pull *pull, const char *problem)
{
    if (!pull->problem) {
        pull->problem = problem;
        pull->problem_off = (size_t)(pull->at - pull->begin);
    }
    return false;
}

bool lf__pull_open(lf__pull *pull, char bracket)
{
    if (pull->problem) return false;
    if (lf__pull_peek(pull) != bracket || pull->at == pull->end) {
        return lf__pull_fail(pull, bracket == '{' ? "expected an object" : "expected an array");
    }
    pull->at++;
    return true;
}

// Consumes the separator before the next item of a container; false at its end or on a problem.
static bool next_item(lf__pull *pull, bool *is_first, char closing)
{
    if (pull->problem) return false;
    char next = lf__pull_peek(pull);
    if (pull->at == pull->end) return lf__pull_fail(pull, "the text ends inside an object or array");
    if (next == closing) {
        pull->at++;
        return false;
    }
    if (*is_first) {
        *is_first = false;
        return true;
    }
    if (next != ',') return lf__pull_fail(pull, "expected ',' or a closing bracket");
    pull->at++;
    return true;
}

bool lf__pull_member(lf__pull *pull, bool *is_first, lf__text *key)
{
    if (!next_item(pull, is_first, '}')) return false;
    if (lf__pull_peek(pull) != '"') return lf__pull_fail(pull, "expected a key in double quotes");
    if (!lf__pull_string(pull, key)) return false;
    if (lf__pull_peek(pull) != ':') return lf__pull_fail(pull, "expected ':' after a key");
    pull->at++;
    return true;
}

bool lf__pull_element(lf__pull *pull, bool *is_first)
{
    if (!next_item(pull, is_first, ']')) return false;
    if (lf__pull_peek(pull) == ']') return lf__pull_fail(pull, "a comma before the closing bracket");
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// Four hexadecimal digits at pull->at.
static bool hex4(lf__pull *pull, uint32_t *out)
{
    if (pull->end - pull->at < 4) return lf__pull_fail(pull, "the text ends inside an escape");
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(pull->at[i]);
        if (digit < 0) return lf__pull_fail(pull, "\\u needs four hexadecimal digits");
        value = value << 4 | (uint32_t)digit;
    }
    pull->at += 4;
    *out = value;
    return true;
}

static void put_utf8(lf_buf *buf, uint32_t c)
{
    if (c < 0x80) {
        lf_buf_putc(buf, (char)c);
    } else if (c < 0x800) {
        lf_buf_putc(buf, (char)(0xc0 | c >> 6));
        lf_buf_putc(buf, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        lf_buf_putc(buf, (char)(0xe0 | c >> 12));
        lf_buf_putc(buf, (char)(0x80 | (c >> 6 & 0x3f)));
        lf_buf_putc(buf, (char)(0x80 | (c & 0x3f)));
    } else {
        lf_buf_putc(buf, (char)(0xf0 | c >> 18));
        lf_buf_putc(buf, (char)(0x80 | (c >> 12 & 0x3f)));
        lf_buf_putc(buf, (char)(0x80 | (c >> 6 & 0x3f)));
        lf_buf_putc(buf, (char)(0x80 | (c & 0x3f)));
    }
}

// After "\u".
static bool unicode_escape(lf__pull *pull)
{
    uint32_t c, low;
    if (!hex4(pull, &c)) return false;
    if (c >= 0xdc00 && c < 0xe000) return lf__pull_fail(pull, "a lone surrogate escape");
    if (c >= 0xd800 && c < 0xdc00) {
        if (pull->end - pull->at < 2 || pull->at[0] != '\\' || pull->at[1] != 'u') {
            return lf__pull_fail(pull, "a lone surrogate escape");
        }
        pull->at += 2;
        if (!hex4(pull, &low)) return false;
        if (low < 0xdc00 || low >= 0xe000) return lf__pull_fail(pull, "a lone surrogate escape");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    put_utf8(&pull->scratch, c);
    return true;
}

// After the backslash.
static bool escape(lf__pull *pull)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (pull->at == pull->end) return lf__pull_fail(pull, "the text ends inside a string");
    char c = *pull->at;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        pull->at++;
        lf_buf_putc(&pull->scratch, to[known - from]);
        return true;
    }
    if (c != 'u') return lf__pull_fail(pull, "an unknown escape");
    pull->at++;
    return unicode_escape(pull);
}

// Whether one of the 8 bytes is '"', '\\' or below 0x20: what ends a plain stretch of a string.
static bool has_special(const char *at)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t eight;
    memcpy(&eight, at, sizeof eight);
    uint64_t quote = eight ^ ones * '"', backslash = eight ^ ones * '\\';
    uint64_t found = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((eight - ones * 0x20) & ~eight);
    return (found & highs) != 0;
}

#if defined(__SSE2__)
// The same for 16 bytes at a time, with the place of the first one. Part of every x86-64 processor.
static const char *skip_sixteens(const char *at, const char *end)
{
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), last_control = _mm_set1_epi8(0x1f);
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i is_control = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
        __m128i is_end = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_or_si128(is_control, is_end));
        if (found) return at + __builtin_ctz(found);
    }
    return at;
}
#endif

static const char *skip_plain(const char *at, const char *end)
{
#if defined(__SSE2__)
    at = skip_sixteens(at, end);
#endif
    while (end - at >= 8 && !has_special(at)) at += 8;
    while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20) at++;
    return at;
}

bool lf__pull_string(lf__pull *pull, lf__text *out)
{
    if (pull->problem) return false;
    if (pull->at == pull->end || *pull->at != '"') return lf__pull_fail(pull, "expected a string");
    const char *run = ++pull->at; // start of the stretch that was not copied yet
    bool is_copied = false;
    for (;;) {
        pull->at = skip_plain(pull->at, pull->end);
        if (pull->at == pull->end) return lf__pull_fail(pull, "the text ends inside a string");
        if (*pull->at == '"') break;
        if (*pull->at != '\\') return lf__pull_fail(pull, "a raw control character in a string");
        if (!is_copied) lf_buf_clear(&pull->scratch);
        is_copied = true;
        lf_buf_append(&pull->scratch, run, (size_t)(pull->at - run));
        pull->at++;
        if (!escape(pull)) return false;
        run = pull->at;
    }
    *out = (lf__text){run, (size_t)(pull->at - run)};
    if (is_copied) {
        lf_buf_append(&pull->scratch, run, (size_t)(pull->at - run));
        if (lf_buf_failed(&pull->scratch)) {
            pull->no_memory = true;
            return lf__pull_fail(pull, "out of memory");
        }
        *out = (lf__text){lf_buf_text(&pull->scratch), pull->scratch.length};
    }
    pull->at++;
    return true;
}

static bool is_digit(const lf__pull *pull, const char *at) { return at < pull->end && *at >= '0' && *at <= '9'; }

bool lf__pull_u64(lf__pull *pull, uint64_t *out)
{
    if (pull->problem) return false;
    lf__pull_space(pull);
    const char *at = pull->at;
    uint64_t value = 0;
    if (!is_digit(pull, at)) return false;
    if (*at == '0' && is_digit(pull, at + 1)) return false;
    for (; is_digit(pull, at); at++) {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value)) return false;
        if (__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value)) return false;
    }
    if (at < pull->end && (*at == '.' || *at == 'e' || *at == 'E')) return false;
    pull->at = at;
    *out = value;
    return true;
}

static bool skip_digits(lf__pull *pull)
{
    if (!is_digit(pull, pull->at)) return lf__pull_fail(pull, "a malformed number");
    while (is_digit(pull, pull->at)) pull->at++;
    return true;
}

static bool skip_number(lf__pull *pull)
{
    if (*pull->at == '-') pull->at++;
    if (pull->at < pull->end && *pull->at == '0') {
        pull->at++;
        if (is_digit(pull, pull->at)) return lf__pull_fail(pull, "a number with a leading zero");
    } else if (!skip_digits(pull)) {
        return false;
    }
    if (pull->at < pull->end && *pull->at == '.') {
        pull->at++;
        if (!skip_digits(pull)) return false;
    }
    if (pull->at < pull->end && (*pull->at == 'e' || *pull->at == 'E')) {
        pull->at++;
        if (pull->at < pull->end && (*pull->at == '+' || *pull->at == '-')) pull->at++;
        return skip_digits(pull);
    }
    return true;
}

static bool skip_word(lf__pull *pull)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);
        if ((size_t)(pull->end - pull->at) < length || memcmp(pull->at, words[i], length) != 0) continue;
        pull->at += length;
        return true;
    }
    return lf__pull_fail(pull, "expected a value");
}

static bool skip_value(lf__pull *pull, int depth)
{
    lf__text text;
    bool is_first = true;
    char next = lf__pull_peek(pull);
    if (next == '"') return lf__pull_string(pull, &text);
    if (next != '{' && next != '[') {
        return next == '-' || (next >= '0' && next <= '9') ? skip_number(pull) : skip_word(pull);
    }
    if (depth == LF__MAX_DEPTH) return lf__pull_fail(pull, "values nested more than 64 deep");
    pull->at++;
    if (next == '{') {
        while (lf__pull_member(pull, &is_first, &text)) {
            if (!skip_value(pull, depth + 1)) return false;
        }
    } else {
        while (lf__pull_element(pull, &is_first)) {
            if (!skip_value(pull, depth + 1)) return false;
        }
    }
    return !pull->problem;
}

bool lf__pull_skip(lf__pull *pull) { return !pull->problem && skip_value(pull, 0); }

bool lf__pull_finish(lf__pull *pull)
{
    if (pull->problem) return false;
    lf__pull_space(pull);
    return pull->at == pull->end || lf__pull_fail(pull, "text after the end of the value");
}

// Length of the sequence at `at`, 0 when it is malformed (Unicode standard, table 3-7).
static size_t utf8_sequence(const unsigned char *at, size_t left)
{
    unsigned char c = at[0];
    size_t length = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (length == 0 || length > left) return 0;
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
    }
    if (c == 0xe0 && at[1] < 0xa0) return 0; // overlong
    if (c == 0xed && at[1] > 0x9f) return 0; // surrogates
    if (c == 0xf0 && at[1] < 0x90) return 0; // overlong
    if (c == 0xf4 && at[1] > 0x8f) return 0; // past U+10FFFF
    return length;
}

size_t lf__utf8_bad_offset(const char *text, size_t length)
{
    size_t i = 0;
    while (i < length) {
        uint64_t words[4]; // nearly all text is ASCII
        if (length - i >= sizeof words) {
            memcpy(words, text + i, sizeof words);
            if (((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080u) == 0) {
                i += sizeof words;
                continue;
            }
        }
        size_t step = utf8_sequence((const unsigned char *)text + i, length - i);
        if (step == 0) return i;
        i += step;
    }
    return length;
}
