// SPDX-License-Identifier: Apache-2.0
//
// Code points as Python's str sees them. The lists below are what Unicode calls Other_Uppercase, Other_Lowercase and
// Numeric_Type=Digit beyond the general categories.
#include "text/jinja_unicode.h"

#include <utf8proc.h>

#include "base/mem.h"
#include "text/jinja_case_table.h"

typedef struct code_range {
    int32_t first, last;
} code_range;

static bool in_ranges(const code_range *ranges, size_t n, int32_t code_point)
{
    for (size_t i = 0; i < n; i++)
        if (code_point >= ranges[i].first && code_point <= ranges[i].last) return true;
    return false;
}

// --- UTF-8 ---------------------------------------------------------------------------------------

static bool is_continuation(char byte) { return ((unsigned char)byte & 0xC0) == 0x80; }

size_t lf__utf8_decode(const char *data, size_t bytes, int32_t *code_point)
{
    if (!((unsigned char)data[0] & 0x80)) {
        size_t plain = 1;
        while (plain < bytes && is_continuation(data[plain])) plain++;
        *code_point = plain == 1 ? data[0] : 0xFFFD;
        return plain;
    }
    size_t length = 1;
    while (length < bytes && is_continuation(data[length])) length++;
    utf8proc_int32_t decoded;
    utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)data, (utf8proc_ssize_t)length, &decoded);
    *code_point = used == (utf8proc_ssize_t)length ? decoded : 0xFFFD;
    return length;
}

size_t lf__utf8_encode(int32_t code_point, char out[4])
{
    return (size_t)utf8proc_encode_char(code_point, (utf8proc_uint8_t *)out);
}

size_t lf__utf8_count(const char *data, size_t bytes)
{
    size_t continuations = 0;
    for (size_t i = 1; i < bytes; i++) continuations += is_continuation(data[i]);
    return bytes - continuations;
}

size_t lf__utf8_offset(const char *data, size_t bytes, size_t index)
{
    size_t offset = 0;
    for (; index > 0 && offset < bytes; index--) do
            offset++;
        while (offset < bytes && is_continuation(data[offset]));
    return offset;
}

size_t lf__utf8_before(const char *data, size_t offset)
{
    do offset--;
    while (offset > 0 && is_continuation(data[offset]));
    return offset;
}

bool lf__utf8_is_valid(const char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        if (!((unsigned char)data[i] & 0x80)) {
            i++;
            continue;
        }
        utf8proc_int32_t decoded;
        utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)data + i, (utf8proc_ssize_t)(bytes - i), &decoded);
        if (used <= 0) return false;
        i += (size_t)used;
    }
    return true;
}

size_t lf__utf8_prefix(const char *data, size_t bytes)
{
    if (bytes == 0) return 0;
    size_t last = lf__utf8_before(data, bytes);
    return lf__utf8_is_valid(data + last, bytes - last) ? bytes : last;
}

// --- case ----------------------------------------------------------------------------------------

static const struct special_case *special_case_of(int32_t code_point)
{
    size_t low = 0, high = LF_ARRAY_LENGTH(special_cases);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (special_cases[middle].code_point < code_point)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < LF_ARRAY_LENGTH(special_cases) && special_cases[low].code_point == code_point;
    return found ? &special_cases[low] : NULL;
}

static int mapped(const uint16_t from[LF_UNICODE_MAX_MAPPED], int32_t out[LF_UNICODE_MAX_MAPPED])
{
    int n = 0;
    for (; n < LF_UNICODE_MAX_MAPPED && from[n]; n++) out[n] = from[n];
    return n;
}

int lf__unicode_upper(int32_t code_point, int32_t out[LF_UNICODE_MAX_MAPPED])
{
    const struct special_case *special = special_case_of(code_point);
    if (special) return mapped(special->upper, out);
    out[0] = utf8proc_toupper(code_point);
    return 1;
}

int lf__unicode_title(int32_t code_point, int32_t out[LF_UNICODE_MAX_MAPPED])
{
    const struct special_case *special = special_case_of(code_point);
    if (special) return mapped(special->title, out);
    out[0] = utf8proc_totitle(code_point);
    return 1;
}

int lf__unicode_lower(int32_t code_point, int32_t out[LF_UNICODE_MAX_MAPPED])
{
    out[0] = utf8proc_tolower(code_point);
    if (code_point != 0x130) return 1; // I with a dot above keeps the dot, as a combining character
    out[1] = 0x307;
    return 2;
}

static bool is_cased(int32_t code_point)
{
    return lf__unicode_is_upper(code_point) || lf__unicode_is_lower(code_point) || lf__unicode_is_title(code_point);
}

static bool is_case_ignorable(int32_t code_point)
{
    switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: break;
    }
    static const code_range others[] = {{'\'', '\''},     {'.', '.'},       {':', ':'},       {0xB7, 0xB7},
                                        {0x387, 0x387},   {0x55F, 0x55F},   {0x5F4, 0x5F4},   {0x2018, 0x2019},
                                        {0x2024, 0x2024}, {0x2027, 0x2027}, {0xFE13, 0xFE13}, {0xFE52, 0xFE52},
                                        {0xFE55, 0xFE55}, {0xFF07, 0xFF07}, {0xFF0E, 0xFF0E}, {0xFF1A, 0xFF1A}};
    return in_ranges(others, LF_ARRAY_LENGTH(others), code_point);
}

int lf__unicode_lower_at(const char *data, size_t bytes, size_t offset, int32_t out[LF_UNICODE_MAX_MAPPED])
{
    int32_t code_point, other = 0;
    size_t length = lf__utf8_decode(data + offset, bytes - offset, &code_point);
    if (code_point != 0x3A3) return lf__unicode_lower(code_point, out);
    bool before = false, after = false;
    for (size_t i = offset; i > 0;) {
        i = lf__utf8_before(data, i);
        lf__utf8_decode(data + i, bytes - i, &other);
        if (is_case_ignorable(other)) continue;
        before = is_cased(other);
        break;
    }
    for (size_t i = offset + length; before && i < bytes;) {
        i += lf__utf8_decode(data + i, bytes - i, &other);
        if (is_case_ignorable(other)) continue;
        after = is_cased(other);
        break;
    }
    out[0] = before && !after ? 0x3C2 : 0x3C3;
    return 1;
}

// --- classes -------------------------------------------------------------------------------------

bool lf__unicode_is_space(int32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool lf__unicode_is_line_end(int32_t c)
{
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool lf__unicode_is_alpha(int32_t code_point)
{
    utf8proc_category_t category = utf8proc_category(code_point);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool lf__unicode_is_decimal(int32_t code_point) { return utf8proc_category(code_point) == UTF8PROC_CATEGORY_ND; }

bool lf__unicode_is_digit(int32_t code_point)
{
    static const code_range digits[] = {{0xb2, 0xb3},       {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},
                                        {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
                                        {0x2474, 0x247c},   {0x2488, 0x2490},   {0x24ea, 0x24ea},   {0x24f5, 0x24fd},
                                        {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},   {0x278a, 0x2792},
                                        {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a}};
    return lf__unicode_is_decimal(code_point) || in_ranges(digits, LF_ARRAY_LENGTH(digits), code_point);
}

bool lf__unicode_is_numeric(int32_t code_point)
{
    // Ideographs that are numbers (general category Lo).
    static const int32_t ideographs[] = {
        0x3405,  0x3483,  0x382a,  0x3b4d,  0x4e00,  0x4e03,  0x4e07,  0x4e09,  0x4e5d,  0x4e8c,  0x4e94,  0x4e96,
        0x4ebf,  0x4ec0,  0x4edf,  0x4ee8,  0x4f0d,  0x4f70,  0x5104,  0x5146,  0x5169,  0x516b,  0x516d,  0x5341,
        0x5343,  0x5344,  0x5345,  0x534c,  0x53c1,  0x53c2,  0x53c3,  0x53c4,  0x56db,  0x58f1,  0x58f9,  0x5e7a,
        0x5efe,  0x5eff,  0x5f0c,  0x5f0d,  0x5f0e,  0x5f10,  0x62fe,  0x634c,  0x67d2,  0x6f06,  0x7396,  0x767e,
        0x8086,  0x842c,  0x8cae,  0x8cb3,  0x8d30,  0x9621,  0x9646,  0x964c,  0x9678,  0x96f6,  0xf96b,  0xf973,
        0xf978,  0xf9b2,  0xf9d1,  0xf9d3,  0xf9fd,  0x20001, 0x20064, 0x200e2, 0x20121, 0x2092a, 0x20983, 0x2098c,
        0x2099c, 0x20aea, 0x20afd, 0x20b19, 0x22390, 0x22998, 0x23b1b, 0x2626d, 0x2f890};
    utf8proc_category_t category = utf8proc_category(code_point);
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) return true;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(ideographs); i++)
        if (ideographs[i] == code_point) return true;
    return false;
}

bool lf__unicode_is_alnum(int32_t code_point)
{
    return lf__unicode_is_alpha(code_point) || lf__unicode_is_numeric(code_point);
}

bool lf__unicode_is_word(int32_t code_point) { return code_point == '_' || lf__unicode_is_alnum(code_point); }

bool lf__unicode_is_upper(int32_t code_point)
{
    static const code_range others[] = {
        {0x2160, 0x216f}, {0x24b6, 0x24cf}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}};
    return utf8proc_category(code_point) == UTF8PROC_CATEGORY_LU ||
           in_ranges(others, LF_ARRAY_LENGTH(others), code_point);
}

bool lf__unicode_is_lower(int32_t code_point)
{
    static const code_range others[] = {{0xaa, 0xaa},       {0xba, 0xba},       {0x2b0, 0x2b8},     {0x2c0, 0x2c1},
                                        {0x2e0, 0x2e4},     {0x345, 0x345},     {0x37a, 0x37a},     {0x1d2c, 0x1d6a},
                                        {0x1d78, 0x1d78},   {0x1d9b, 0x1dbf},   {0x2071, 0x2071},   {0x207f, 0x207f},
                                        {0x2090, 0x209c},   {0x2170, 0x217f},   {0x24d0, 0x24e9},   {0x2c7c, 0x2c7d},
                                        {0xa69c, 0xa69d},   {0xa770, 0xa770},   {0xa7f8, 0xa7f9},   {0xab5c, 0xab5f},
                                        {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107b0}, {0x107b2, 0x107ba}};
    return utf8proc_category(code_point) == UTF8PROC_CATEGORY_LL ||
           in_ranges(others, LF_ARRAY_LENGTH(others), code_point);
}

bool lf__unicode_is_title(int32_t code_point) { return utf8proc_category(code_point) == UTF8PROC_CATEGORY_LT; }

bool lf__unicode_is_printable(int32_t code_point)
{
    switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    case UTF8PROC_CATEGORY_ZS: return code_point == ' ';
    default: return true;
    }
}

bool lf__unicode_is_name_start(int32_t code_point)
{
    return code_point == '_' || lf__unicode_is_alpha(code_point) ||
           utf8proc_category(code_point) == UTF8PROC_CATEGORY_NL;
}

bool lf__unicode_is_name_part(int32_t code_point)
{
    switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return lf__unicode_is_name_start(code_point);
    }
}
