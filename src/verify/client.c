// SPDX-License-Identifier: Apache-2.0
//
// The HTTP client of the gates, on libcurl. A server under test is not trusted: answers are bounded in time and size.
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "verify/verify_int.h"

enum { MAX_REPLY_BYTES = 16 << 20 };

struct lf__client {
    CURL *curl;
    char *base_url; // OWNED, without a slash at its end
    double timeout_s;
};

lf_status lf__client_open(lf__client **out, const char *base_url, double timeout_s, lf_error *err)
{
    lf__client *client = calloc(1, sizeof *client);
    if (!client) return lf_error_no_memory(err, 0);
    client->timeout_s = timeout_s;
    client->base_url = strdup(base_url);
    client->curl = curl_easy_init();
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
    if (client->curl) curl_easy_cleanup(client->curl);
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
    lf_status status = LF_OK;
    lf_buf url = LF_BUF_INIT;
    char *text = NULL;
    struct curl_slist *headers = NULL;
    *reply = (lf__reply){0};

    lf_buf_printf(&url, "%s%s", client->base_url, path);
    if (body) {
        text = json_dumps(body, JSON_COMPACT);
        headers = curl_slist_append(NULL, "Content-Type: application/json");
    }
    if (lf_buf_failed(&url) || (body && (!text || !headers))) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    curl_easy_reset(client->curl);
    curl_easy_setopt(client->curl, CURLOPT_URL, url.data);
    curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(client->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, (long)(client->timeout_s * 1000));
    curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &reply->body);
    if (body) {
        curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, text);
    }
    CURLcode code = curl_easy_perform(client->curl);
    if (code != CURLE_OK) {
        status = lf_error_set(err, LF_ERR_NETWORK, "no answer from %s: %s", url.data, curl_easy_strerror(code));
        goto out;
    }
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &reply->http_status);
    curl_easy_getinfo(client->curl, CURLINFO_TOTAL_TIME, &reply->seconds);

out:
    if (status) lf__reply_fini(reply);
    curl_slist_free_all(headers);
    free(text);
    lf_buf_fini(&url);
    return status;
}
