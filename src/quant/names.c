// SPDX-License-Identifier: Apache-2.0
//
// Names of companion tensors (the catalog's section 9.2) and finding them. The lists are closed: a name that only
// resembles a scale is reported by the caller, because a scale that is silently dropped leaves raw codes behind.
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "quant/quant_int.h"

static const char activation[] = "activation scale: activations stay bf16";
static const char kv_cache[] = "KV-cache scale: the cache stays bf16";
static const char zero_point[] = "zero point or offset: FP8 is symmetric, it must be zero";

static const struct {
    const char *component;
    lf__role role;
    const char *reason;
} components[] = {
    {"weight_scale_inv", LF__ROLE_SCALE, NULL},
    {"weight_scale", LF__ROLE_SCALE, NULL},
    {"qscale_weight", LF__ROLE_SCALE, NULL},
    {"scale_weight", LF__ROLE_SCALE, NULL},
    {"_weight_scale", LF__ROLE_SCALE, NULL},
    {"gate_up_proj_scale", LF__ROLE_SCALE, NULL}, // fused experts
    {"down_proj_scale", LF__ROLE_SCALE, NULL},
    {"scale", LF__ROLE_MAYBE_SCALE, NULL},
    {"input_scale", LF__ROLE_SIDE, activation},
    {"activation_scale", LF__ROLE_SIDE, activation},
    {"qscale_act", LF__ROLE_SIDE, activation},
    {"act_scale", LF__ROLE_SIDE, activation},
    {"scale_input", LF__ROLE_SIDE, activation},
    {"input_scale_ub", LF__ROLE_SIDE, "bound of activation scales: activations stay bf16"},
    {"input_zero_point", LF__ROLE_SIDE, "activation zero point: activations stay bf16"},
    {"output_scale", LF__ROLE_SIDE, kv_cache},
    {"k_scale", LF__ROLE_SIDE, kv_cache},
    {"v_scale", LF__ROLE_SIDE, kv_cache},
    {"kv_scale", LF__ROLE_SIDE, kv_cache},
    {"q_scale", LF__ROLE_SIDE, "query scale of an FP8 attention: attention stays bf16"},
    {"weight_g_idx", LF__ROLE_SIDE, "order of quantization groups: not used by these layouts"},
    {"scaled_fp8", LF__ROLE_SIDE, "marker of the tool that wrote the file"},
    {"weight_zero_point", LF__ROLE_ZERO_POINT, zero_point},
    {"_weight_zero_point", LF__ROLE_ZERO_POINT, zero_point},
    {"weight_offset", LF__ROLE_ZERO_POINT, zero_point},
};

bool lf__has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

static const char *last_component(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

lf__role lf__role_of(const char *name, const char **reason)
{
    const char *last = last_component(name);
    *reason = NULL;
    if (!strstr(last, "scale") && !strstr(last, "weight_") && !strstr(last, "zero_point")) {
        if (!strstr(name, "fake_quantizer")) return LF__ROLE_PLAIN; // nearly every name ends here
    }
    for (size_t i = 0; i < LF_ARRAY_LENGTH(components); i++) {
        if (strcmp(last, components[i].component) != 0) continue;
        *reason = components[i].reason;
        return components[i].role;
    }
    if (strstr(name, "fake_quantizer")) {
        *reason = "state of a quantizer: not used by these layouts";
        return LF__ROLE_SIDE;
    }
    if (lf__has_suffix(last, "_scale_inv") || lf__has_suffix(last, "_scales_inv"))
        return LF__ROLE_SCALE; // fused experts
    if (lf__has_suffix(last, "_activation_scale")) {
        *reason = activation;
        return LF__ROLE_SIDE;
    }
    return LF__ROLE_PLAIN;
}

bool lf__looks_like_scale(const char *name)
{
    const char *last = last_component(name);
    return lf__has_suffix(last, "scale") || lf__has_suffix(last, "scale_inv") || lf__has_suffix(last, "_scale_2") ||
           strncmp(last, "qscale_", 7) == 0;
}

// What a companion's last component is made of: the weight's and something appended, or something in its place.
static const char *const appended[] = {"_scale_inv", "_scale", "_scales_inv"};
static const char *const replacing_weight[] = {"scale", "qscale_weight", "scale_weight"};
static const char qdata[] = "_weight_qdata", qdata_scale[] = "_weight_scale";
static_assert(LF_ARRAY_LENGTH(appended) + LF_ARRAY_LENGTH(replacing_weight) <= LF__MAX_CANDIDATES, "every candidate");

bool lf__scale_candidate(const char *name, size_t k, lf_buf *buf)
{
    const char *last = last_component(name);
    lf_buf_clear(buf);
    lf_buf_append(buf, name, (size_t)(last - name));
    if (strcmp(last, qdata) == 0) {
        lf_buf_puts(buf, qdata_scale);
        return k == 0;
    }
    if (k < LF_ARRAY_LENGTH(appended)) {
        lf_buf_puts(buf, last);
        lf_buf_puts(buf, appended[k]);
        return true;
    }
    k -= LF_ARRAY_LENGTH(appended);
    if (k >= LF_ARRAY_LENGTH(replacing_weight) || strcmp(last, "weight") != 0 || last == name) return false;
    lf_buf_puts(buf, replacing_weight[k]);
    return true;
}

// The number of the candidate that a neighbour's last component is, for a weight whose last component is `last`;
// LF__MAX_CANDIDATES when it is none.
static size_t candidate_of(const char *last, const char *other)
{
    if (strcmp(last, qdata) == 0) return strcmp(other, qdata_scale) == 0 ? 0 : LF__MAX_CANDIDATES;
    size_t n = strlen(last);
    for (size_t k = 0; k < LF_ARRAY_LENGTH(appended) && strncmp(other, last, n) == 0; k++) {
        if (strcmp(other + n, appended[k]) == 0) return k;
    }
    for (size_t k = 0; k < LF_ARRAY_LENGTH(replacing_weight) && strcmp(last, "weight") == 0; k++) {
        if (strcmp(other, replacing_weight[k]) == 0) return LF_ARRAY_LENGTH(appended) + k;
    }
    return LF__MAX_CANDIDATES;
}

bool lf__companions_near(const lf_checkpoint *checkpoint, size_t i, uint32_t found[LF__MAX_CANDIDATES])
{
    enum { REACH = 16 }; // tensors of one module; more are looked up by name
    const char *name = lf_checkpoint_tensor(checkpoint, i)->name, *last = last_component(name);
    size_t n_prefix = (size_t)(last - name), n = lf_checkpoint_count(checkpoint);
    if (n_prefix == 0) return false;
    for (size_t k = 0; k < LF__MAX_CANDIDATES; k++) found[k] = UINT32_MAX;
    for (int direction = -1; direction <= 1; direction += 2) {
        size_t at = i;
        for (size_t step = 0;; step++) {
            if (direction < 0 ? at == 0 : at + 1 == n) break;
            at = direction < 0 ? at - 1 : at + 1;
            const char *other = lf_checkpoint_tensor(checkpoint, at)->name;
            if (strncmp(other, name, n_prefix) != 0) break;
            if (step == REACH) return false;
            size_t k = candidate_of(last, other + n_prefix);
            if (k < LF__MAX_CANDIDATES) found[k] = (uint32_t)at;
        }
    }
    return true;
}

bool lf__shared_scale_name(const char *name, lf_buf *buf)
{
    static const char table[] = ".ngram_embedding.", shard[] = "shard_", end[] = ".weight";
    const char *at = strstr(name, table);
    lf_buf_clear(buf);
    if (!at) return false;
    const char *rest = at + strlen(table);
    if (strncmp(rest, shard, strlen(shard)) != 0) return false;
    rest += strlen(shard);
    size_t n_digit = strspn(rest, "0123456789");
    if (n_digit == 0 || strcmp(rest + n_digit, end) != 0) return false;
    lf_buf_append(buf, name, (size_t)(at - name) + strlen(table));
    lf_buf_puts(buf, "weight_scale");
    return true;
}

size_t lf__find_near(const lf_checkpoint *checkpoint, size_t near, const char *name)
{
    size_t n = lf_checkpoint_count(checkpoint);
    if (n == 0) return SIZE_MAX;
    // Widen [low, high) by doubling until it must contain the name.
    size_t low = near, high = near, step = 1;
    int order = strcmp(lf_checkpoint_tensor(checkpoint, near)->name, name);
    if (order == 0) return near;
    if (order < 0) {
        while (high < n && strcmp(lf_checkpoint_tensor(checkpoint, high)->name, name) < 0) {
            low = high + 1;
            high = high + step < n ? high + step : n;
            step *= 2;
        }
        high = high < n ? high + 1 : n;
    } else {
        while (low > 0 && strcmp(lf_checkpoint_tensor(checkpoint, low)->name, name) > 0) {
            high = low;
            low = low > step ? low - step : 0;
            step *= 2;
        }
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        order = strcmp(lf_checkpoint_tensor(checkpoint, middle)->name, name);
        if (order == 0) return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return SIZE_MAX;
}
