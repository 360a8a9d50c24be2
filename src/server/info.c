// SPDX-License-Identifier: Apache-2.0
//
// The endpoints that only tell: models, health, version, load, metrics. /health says 503 as soon as the server is
// stopping.
#include <string.h>

#include "base/json.h"
#include "landfall.h"
#include "server/service.h"

static json_t *model_json(const lf_service *service, const char *name)
{
    json_t *permission =
        json_pack("{s:s, s:s, s:I, s:b, s:b, s:b, s:b, s:b, s:b, s:s, s:n, s:b}", "id", "modelperm-landfall", "object",
                  "model_permission", "created", (json_int_t)service->created, "allow_create_engine", 0,
                  "allow_sampling", 1, "allow_logprobs", 1, "allow_search_indices", 0, "allow_view", 1,
                  "allow_fine_tuning", 0, "organization", "*", "group", "is_blocking", 0);
    const char *root = service->session->model_dir;
    return json_pack("{s:s, s:s, s:I, s:s, s:o, s:n, s:I, s:[o]}", "id", name, "object", "model", "created",
                     (json_int_t)service->created, "owned_by", "landfall", "root", lf_json_text(root, strlen(root)),
                     "parent", "max_model_len", (json_int_t)service->limits.max_model_len, "permission", permission);
}

void lf_handle_models(lf_service *service, const lf_call *call, lf_reply *reply)
{
    json_t *data = json_array();
    for (size_t i = 0; service->limits.model_names[i]; i++) {
        lf_json_append(&data, model_json(service, service->limits.model_names[i]));
    }
    lf_reply_json(reply, 200, json_pack("{s:s, s:o}", "object", "list", "data", data));
}

void lf_handle_model(lf_service *service, const lf_call *call, lf_reply *reply)
{
    lf_refusal refusal;
    if (lf_model_name_check(call->operand, &service->limits, &refusal))
        lf_reply_refusal(reply, &refusal);
    else
        lf_reply_json(reply, 200, model_json(service, call->operand));
}

void lf_handle_health(lf_service *service, const lf_call *call, lf_reply *reply)
{
    bool is_stopping = atomic_load(&service->is_stopping);
    if (!is_stopping && !atomic_load(&service->is_failing)) {
        reply->http_status = 200;
        return;
    }
    lf_refusal refusal;
    lf_refuse(&refusal, 503, LF_REFUSAL_UNAVAILABLE, NULL, "%s",
              is_stopping ? "the server is shutting down" : "the newest generation failed in the engine");
    lf_reply_refusal(reply, &refusal);
}

void lf_handle_version(lf_service *service, const lf_call *call, lf_reply *reply)
{
    lf_reply_json(reply, 200, json_pack("{s:s}", "version", lf_version()));
}

void lf_handle_load(lf_service *service, const lf_call *call, lf_reply *reply)
{
    lf_reply_json(reply, 200, json_pack("{s:i}", "server_load", atomic_load(&service->n_generating)));
}

void lf_handle_metrics(lf_service *service, const lf_call *call, lf_reply *reply)
{
    reply->http_status = 200;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    lf_metrics_write(service->metrics, service->session, &reply->body);
    if (lf_buf_failed(&reply->body)) lf_reply_json(reply, 500, NULL);
}
