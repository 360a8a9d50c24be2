// SPDX-License-Identifier: Apache-2.0
//
// The HTTP client of the gates, on libcurl. A server under test is not trusted: answers are bounded in time and size.
//
// libcurl is opened when the first client is, not when the program starts: it brings some thirty libraries along, and
// every other verb would wait for the loader to bind them.
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "verify/verify_int.h"

enum { MAX_REPLY_BYTES = 16 << 20 };

#undef curl_easy_setopt // a macro that checks types around the function of that name
#undef curl_easy_getinfo

// X(function): what is used of libcurl.
#define CURL_FUNCTION_MAP(X)                                                                                           \
    X(curl_easy_init)                                                                                                  \
    X(curl_easy_cleanup)                                                                                               \
    X(curl_easy_reset)                                                                                                 \
    X(curl_easy_setopt)                                                                                                \
    X(curl_easy_getinfo)                                                                                               \
    X(curl_easy_perform)                                                                                               \
    X(curl_easy_strerror)                                                                                              \
    X(curl_slist_append)                                                                                               \
    X(curl_slist_free_all)

typedef struct curl_library {
    void *handle;
#define X(function) __typeof__(function) *function;
    CURL_FUNCTION_MAP(X)
#undef X
} curl_library;

struct lf__client {
    curl_library library;
    CURL *curl;
    char *base_url; // OWNED, without a slash at its end
    double timeout_s;
};

static lf_status open_library(curl_library *library, lf_error *err)
{
    static const char name[] = "libcurl.so.4";
    library->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library->handle) {
        lf_error_set(err, LF_ERR_NOT_FOUND, "cannot open %s: %s", name, dlerror());
        return lf_error_hint(err, "install libcurl4");
    }
#define X(function)                                                                                                    \
    if (!(library->function = (__typeof__(function) *)dlsym(library->handle, #function))) {                            \
        return lf_error_set(err, LF_ERR_NOT_FOUND, "%s has no %s", name, #function);                                   \
    }
    CURL_FUNCTION_MAP(X)
#undef X
    return LF_OK;
}

lf_status lf__client_open(lf__client **out, const char *base_url, double timeout_s, lf_error *err)
{
    lf__client *client = calloc(1, sizeof *client);
    if (!client) return lf_error_no_memory(err, 0);
    lf_status status = open_library(&client->library, err);
    if (status) {
        lf__client_close(client);
        return status;
    }
    client->timeout_s = timeout_s;
    client->base_url = strdup(base_url);
    client->curl = client->library.curl_easy_init();
    if (!client->base_url || !client->curl) {
        lf__client_close(client);
        return lf_error_no_memory(err, 0);
    }
    *out = client;
    return LF_OK;
}

void lf__client_close(lf__client *client)
{
    if (!client) return;
    if (client->curl) client->library.curl_easy_cleanup(client->curl);
    if (client->library.handle) dlclose(client->library.handle);
    free(client->base_url);
    free(client);
}

void lf__reply_fini(lf__reply *reply) { lf_buf_fini(&reply->body); }

// Returning less than was offered makes libcurl give the transfer up.
static size_t take_bytes(char *bytes, size_t one, size_t n, void *ctx)
{
    lf_buf *body = ctx;
    if (n > MAX_REPLY_BYTES - body->length) return 0;
    lf_buf_append(body, bytes, one * n);
    return lf_buf_failed(body) ? 0 : n;
}

lf_status lf__client_send(lf__client *client, const char *path, const json_t *body, lf__reply *reply, lf_error *err)
{
    const curl_library *library = &client->library;
    lf_status status = LF_OK;
    lf_buf url = LF_BUF_INIT;
    char *text = NULL;
    struct curl_slist *headers = NULL;
    *reply = (lf__reply){0};

    lf_buf_printf(&url, "%s%s", client->base_url, path);
    if (body) {
        text = json_dumps(body, JSON_COMPACT);
        headers = library->curl_slist_append(NULL, "Content-Type: application/json");
    }
    if (lf_buf_failed(&url) || (body && (!text || !headers))) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    library->curl_easy_reset(client->curl);
    library->curl_easy_setopt(client->curl, CURLOPT_URL, url.data);
    library->curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
    library->curl_easy_setopt(client->curl, CURLOPT_NOPROXY, "*");
    library->curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, (long)(client->timeout_s * 1000));
    library->curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, take_bytes);
    library->curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &reply->body);
    if (body) {
        library->curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
        library->curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, text);
    }
    CURLcode code = library->curl_easy_perform(client->curl);
    if (code != CURLE_OK) {
        status =
            lf_error_set(err, LF_ERR_NETWORK, "no answer from %s: %s", url.data, library->curl_easy_strerror(code));
        goto out;
    }
    library->curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &reply->http_status);
    library->curl_easy_getinfo(client->curl, CURLINFO_TOTAL_TIME, &reply->seconds);

out:
    if (status) lf__reply_fini(reply);
    library->curl_slist_free_all(headers);
    free(text);
    lf_buf_fini(&url);
    return status;
}
