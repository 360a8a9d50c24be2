// SPDX-License-Identifier: Apache-2.0
//
// The service object: limits taken from the session once, and the way to end everything that runs.
#include "server/service.h"

#include <time.h>

#include "server/answer.h"

lf_status lf_service_init(lf_service *service, lf_session *session, const char *const *model_names, lf_error *err)
{
    *service = (lf_service){.session = session, .created = (int64_t)time(NULL)};
    service->limits = (lf_request_limits){.max_model_len = session->info.max_model_len,
                                          .vocab_size = session->vocab_size,
                                          .model_names = model_names,
                                          .defaults = session->defaults};
    atomic_init(&service->is_stopping, false);
    atomic_init(&service->is_failing, false);
    atomic_init(&service->n_generating, 0);
    pthread_mutex_init(&service->lock, NULL);
    return lf_metrics_new(&service->metrics, model_names[0], session->info.max_model_len, err);
}

void lf_service_fini(lf_service *service)
{
    lf_metrics_free(service->metrics);
    service->metrics = NULL;
    pthread_mutex_destroy(&service->lock);
}

void lf_service_abort(lf_service *service)
{
    atomic_store(&service->is_stopping, true);
    pthread_mutex_lock(&service->lock);
    service->is_aborted = true;
    for (lf_answer *answer = service->answers; answer; answer = answer->next) lf_answer_cancel(answer);
    pthread_mutex_unlock(&service->lock);
}
