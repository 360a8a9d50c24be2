// SPDX-License-Identifier: Apache-2.0
//
// Tests: what stands after `is`, and by name in select and reject.
#include "base/mem.h"
#include "text/jinja_native.h"

typedef enum kind_test {
    TEST_DEFINED,
    TEST_UNDEFINED,
    TEST_NONE,
    TEST_BOOLEAN,
    TEST_TRUE,
    TEST_FALSE,
    TEST_INTEGER,
    TEST_FLOAT,
    TEST_NUMBER,
    TEST_STRING,
    TEST_MAPPING,
    TEST_SEQUENCE,
    TEST_ITERABLE,
    TEST_CALLABLE,
    TEST_ESCAPED,
} kind_test;

static bool kind_is(kind_test test, jinja_value value)
{
    jinja_kind kind = value.kind;
    switch (test) {
    case TEST_DEFINED: return kind != JINJA_UNDEFINED;
    case TEST_UNDEFINED: return kind == JINJA_UNDEFINED;
    case TEST_NONE: return kind == JINJA_NONE;
    case TEST_BOOLEAN: return kind == JINJA_BOOL;
    case TEST_TRUE: return kind == JINJA_BOOL && value.boolean;
    case TEST_FALSE: return kind == JINJA_BOOL && !value.boolean;
    case TEST_INTEGER: return kind == JINJA_INT;
    case TEST_FLOAT: return kind == JINJA_FLOAT;
    case TEST_NUMBER: return kind == JINJA_BOOL || kind == JINJA_INT || kind == JINJA_FLOAT;
    case TEST_STRING: return kind == JINJA_STRING;
    case TEST_MAPPING: return kind == JINJA_DICT;
    case TEST_SEQUENCE: // has a length and items; an undefined value pretends to
        return kind == JINJA_STRING || lf__jinja_is_sequence(value) || kind == JINJA_DICT || kind == JINJA_RANGE ||
               kind == JINJA_UNDEFINED;
    case TEST_ITERABLE: return lf__jinja_is_iterable(value) || kind == JINJA_LOOP;
    case TEST_CALLABLE:
        return kind == JINJA_NATIVE || kind == JINJA_MACRO || kind == JINJA_LOOP || kind == JINJA_JOINER ||
               kind == JINJA_UNDEFINED;
    case TEST_ESCAPED: return kind == JINJA_STRING && value.string->markup;
    }
    return false;
}

static lf_status test_kind(jinja_run *run, jinja_call *call, jinja_value *out)
{
    *out = lf__jinja_bool(kind_is((kind_test)call->native->variant, call->self));
    return LF_OK;
}

// variant: a jinja_order, or EQUAL, NOT_EQUAL
enum { EQUAL = 10, NOT_EQUAL = 11 };

static lf_status test_compare(jinja_run *run, jinja_call *call, jinja_value *out)
{
    bool holds;
    int variant = call->native->variant;
    if (variant >= EQUAL) {
        JINJA_TRY(lf__jinja_equal(run, call->self, call->params[0], &holds));
        holds ^= variant == NOT_EQUAL;
    } else {
        JINJA_TRY(lf__jinja_compare(run, (jinja_order)variant, call->self, call->params[0], &holds));
    }
    *out = lf__jinja_bool(holds);
    return LF_OK;
}

static lf_status remainder_is(jinja_run *run, jinja_value value, jinja_value divisor, int64_t rest, jinja_value *out)
{
    bool holds;
    JINJA_TRY(lf__jinja_binary(run, JINJA_MOD, value, divisor, &value));
    JINJA_TRY(lf__jinja_equal(run, value, lf__jinja_int(rest), &holds));
    *out = lf__jinja_bool(holds);
    return LF_OK;
}

static lf_status test_parity(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return remainder_is(run, call->self, lf__jinja_int(2), call->native->variant, out);
}

static lf_status test_divisibleby(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return remainder_is(run, call->self, call->params[0], 0, out);
}

static lf_status test_case(jinja_run *run, jinja_call *call, jinja_value *out)
{
    const char *method = call->native->variant ? "isupper" : "islower";
    const jinja_args none = {0};
    jinja_value text;
    JINJA_TRY(lf__jinja_str(run, call->self, &text));
    return lf__jinja_call_native(run, lf__jinja_method(JINJA_STRING, method, 7), text, &none, out);
}

static lf_status test_sameas(jinja_run *run, jinja_call *call, jinja_value *out)
{
    *out = lf__jinja_bool(lf__jinja_same(call->self, call->params[0]));
    return LF_OK;
}

static lf_status test_in(jinja_run *run, jinja_call *call, jinja_value *out)
{
    bool holds;
    JINJA_TRY(lf__jinja_contains(run, call->params[0], call->self, &holds));
    *out = lf__jinja_bool(holds);
    return LF_OK;
}

static lf_status test_exists(jinja_run *run, jinja_call *call, jinja_value *out)
{
    const jinja_string *name = call->self.string;
    *out = lf__jinja_bool(false);
    if (!lf__jinja_is_hashable(call->self))
        return lf__jinja_error(run, "unhashable type: '%s'", lf__jinja_type_name(call->self));
    if (lf__jinja_is_text(call->self))
        *out = lf__jinja_bool(call->native->variant ? lf__jinja_filter(name->data, name->bytes) != NULL
                                                    : lf__jinja_test(name->data, name->bytes) != NULL);
    return LF_OK;
}

static const jinja_native tests[] = {
    {"defined", "", 0, test_kind, TEST_DEFINED},
    {"undefined", "", 0, test_kind, TEST_UNDEFINED},
    {"none", "", 0, test_kind, TEST_NONE},
    {"boolean", "", 0, test_kind, TEST_BOOLEAN},
    {"true", "", 0, test_kind, TEST_TRUE},
    {"false", "", 0, test_kind, TEST_FALSE},
    {"integer", "", 0, test_kind, TEST_INTEGER},
    {"float", "", 0, test_kind, TEST_FLOAT},
    {"number", "", 0, test_kind, TEST_NUMBER},
    {"string", "", 0, test_kind, TEST_STRING},
    {"mapping", "", 0, test_kind, TEST_MAPPING},
    {"sequence", "", 0, test_kind, TEST_SEQUENCE},
    {"iterable", "", 0, test_kind, TEST_ITERABLE},
    {"callable", "", 0, test_kind, TEST_CALLABLE},
    {"escaped", "", 0, test_kind, TEST_ESCAPED},
    {"odd", "", 0, test_parity, 1},
    {"even", "", 0, test_parity, 0},
    {"divisibleby", "num", 1, test_divisibleby, 0},
    {"lower", "", 0, test_case, 0},
    {"upper", "", 0, test_case, 1},
    {"sameas", "other", 1, test_sameas, 0},
    {"in", "seq", 1, test_in, 0},
    {"filter", "", 0, test_exists, 1},
    {"test", "", 0, test_exists, 0},
    {"eq", "/b", 1, test_compare, EQUAL},
    {"==", "/b", 1, test_compare, EQUAL},
    {"equalto", "/b", 1, test_compare, EQUAL},
    {"ne", "/b", 1, test_compare, NOT_EQUAL},
    {"!=", "/b", 1, test_compare, NOT_EQUAL},
    {"gt", "/b", 1, test_compare, JINJA_GT},
    {">", "/b", 1, test_compare, JINJA_GT},
    {"greaterthan", "/b", 1, test_compare, JINJA_GT},
    {"ge", "/b", 1, test_compare, JINJA_GE},
    {">=", "/b", 1, test_compare, JINJA_GE},
    {"lt", "/b", 1, test_compare, JINJA_LT},
    {"<", "/b", 1, test_compare, JINJA_LT},
    {"lessthan", "/b", 1, test_compare, JINJA_LT},
    {"le", "/b", 1, test_compare, JINJA_LE},
    {"<=", "/b", 1, test_compare, JINJA_LE},
};

const jinja_native *lf__jinja_test(const char *name, size_t bytes)
{
    return lf__jinja_table_find(tests, LF_ARRAY_LENGTH(tests), name, bytes);
}
