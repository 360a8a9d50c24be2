// SPDX-License-Identifier: Apache-2.0
//
// Which path is answered by whom, and who may ask. With an API key everything is guarded but /health and /ping, which
// tell nothing: /metrics and /tokenize show what others are doing or cost time, so they are not left open as elsewhere.
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "server/http.h"

static const lf_route routes[] = {
    {"/health", LF_METHOD_GET, true, lf_handle_health},
    {"/ping", LF_METHOD_GET | LF_METHOD_POST, true, lf_handle_health},
    {"/version", LF_METHOD_GET, false, lf_handle_version},
    {"/load", LF_METHOD_GET, false, lf_handle_load},
    {"/metrics", LF_METHOD_GET, false, lf_handle_metrics},
    {"/v1/models", LF_METHOD_GET, false, lf_handle_models},
    {"/v1/models/", LF_METHOD_GET, false, lf_handle_model},
    {"/v1/chat/completions", LF_METHOD_POST, false, lf_handle_chat},
    {"/v1/completions", LF_METHOD_POST, false, lf_handle_completions},
    {"/tokenize", LF_METHOD_POST, false, lf_handle_tokenize},
    {"/detokenize", LF_METHOD_POST, false, lf_handle_detokenize},
};

const lf_route *lf_route_find(const char *path, const char **operand)
{
    *operand = "";
    for (size_t i = 0; i < LF_ARRAY_LENGTH(routes); i++) {
        size_t length = strlen(routes[i].path);
        bool is_prefix = routes[i].path[length - 1] == '/';
        if (is_prefix ? strncmp(path, routes[i].path, length) == 0 && path[length]
                      : strcmp(path, routes[i].path) == 0) {
            if (is_prefix) *operand = path + length;
            return &routes[i];
        }
    }
    return NULL;
}

const char *lf_route_allow(const lf_route *route)
{
    if (route->methods == LF_METHOD_GET) return "GET, HEAD, OPTIONS";
    return route->methods == LF_METHOD_POST ? "POST, OPTIONS" : "GET, HEAD, POST, OPTIONS";
}

static bool is_equal(const char *key, const char *offered, size_t offered_length)
{
    size_t key_length = strlen(key);
    unsigned difference = key_length != offered_length;
    for (size_t i = 0; i < offered_length; i++) {
        difference |= (unsigned char)offered[i] ^ (unsigned char)key[key_length ? i % key_length : 0];
    }
    return difference == 0;
}

bool lf_auth_is_valid(const char *const *api_keys, const char *authorization)
{
    if (!api_keys || !api_keys[0]) return true;
    static const char scheme[] = "bearer ";
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0) return false;
    const char *offered = authorization + sizeof scheme - 1;
    offered += strspn(offered, " ");
    bool is_valid = false;
    for (size_t i = 0; api_keys[i]; i++) is_valid |= is_equal(api_keys[i], offered, strlen(offered));
    return is_valid;
}
