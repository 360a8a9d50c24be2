// SPDX-License-Identifier: Apache-2.0
//
// Server-sent events: takes what is new of each choice, lets the endpoint's writer make it a chunk, and hands out
// bytes. Ends with the usage chunk when asked for and `data: [DONE]`; an error in the middle is one event with the
// error envelope before it, as in vLLM.
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "landfall.h"
#include "server/answer.h"

struct lf_stream {
    lf_answer *answer; // OWNED
    const lf_writer *writer;
    int peer_fd;
    lf_buf out; // events not yet handed out
    size_t sent;
    bool is_opened, is_finished;
};

lf_stream *lf_stream_new(lf_answer *answer, const lf_writer *writer, int peer_fd)
{
    lf_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        lf_answer_free(answer);
        return NULL;
    }
    *stream = (lf_stream){.answer = answer, .writer = writer, .peer_fd = peer_fd};
    return stream;
}

void lf_stream_free(lf_stream *stream)
{
    if (!stream) return;
    lf_answer_free(stream->answer);
    lf_buf_fini(&stream->out);
    free(stream);
}

int64_t lf_stream_n_generated(const lf_stream *stream)
{
    int64_t n = 0;
    for (size_t i = 0; i < stream->answer->n_choice; i++) n += (int64_t)stream->answer->choices[i].n_generated;
    return n;
}

static void put_event(lf_stream *stream, json_t *root)
{
    lf_buf_puts(&stream->out, "data: ");
    if (!lf_buf_append_json(&stream->out, root)) stream->out.failed = true;
    lf_buf_puts(&stream->out, "\n\n");
}

static json_t *chunk_json(const lf_stream *stream, json_t *choices)
{
    const lf_answer *answer = stream->answer;
    return json_pack("{s:s, s:s, s:I, s:s, s:o}", "id", answer->id, "object", stream->writer->chunk_object, "created",
                     (json_int_t)answer->created, "model", answer->service->limits.model_names[0], "choices", choices);
}

static json_t *list_of(json_t *item)
{
    json_t *list = json_array();
    lf_json_append(&list, item);
    return list;
}

static void put_chunk(lf_stream *stream, lf_choice *choice, json_t *piece)
{
    json_t *chunk = chunk_json(stream, list_of(piece));
    if (stream->answer->ask.continuous_usage_stats)
        lf_json_put(&chunk, "usage", lf_usage_json(stream->answer, choice, true));
    put_event(stream, chunk);
}

static void put_openings(lf_stream *stream)
{
    lf_answer *answer = stream->answer;
    for (size_t i = 0; i < answer->n_choice && stream->writer->opening; i++) {
        json_t *chunk = chunk_json(stream, list_of(stream->writer->opening(answer, &answer->choices[i])));
        const lf_ids *ids = &answer->choices[i].prompt->ids;
        bool shows_ids = answer->ask.return_token_ids && i == 0;
        lf_json_put(&chunk, "prompt_token_ids", shows_ids ? lf_token_ids_json(ids->data, ids->count) : json_null());
        lf_json_put(&chunk, "prompt_text", json_null());
        if (answer->ask.continuous_usage_stats)
            lf_json_put(&chunk, "usage", lf_usage_json(answer, &answer->choices[i], true));
        put_event(stream, chunk);
    }
    stream->is_opened = true;
}

static void put_end(lf_stream *stream)
{
    if (stream->answer->ask.include_usage) {
        json_t *chunk = chunk_json(stream, json_array());
        lf_json_put(&chunk, "usage", lf_usage_json(stream->answer, NULL, true));
        lf_json_put(&chunk, "system_fingerprint", json_sprintf("landfall-%s", lf_version()));
        put_event(stream, chunk);
    }
    lf_buf_puts(&stream->out, "data: [DONE]\n\n");
    stream->is_finished = true;
}

static void put_error(lf_stream *stream, const lf_refusal *refusal)
{
    put_event(stream, lf_refusal_json(refusal));
    lf_buf_puts(&stream->out, "data: [DONE]\n\n");
    stream->is_finished = true;
    lf_answer_cancel(stream->answer);
}

// Memory ran out while events were written. Whole events are not told from cut ones, so all go; one that says so takes
// their place, if there is memory for it.
static void put_no_memory(lf_stream *stream)
{
    lf_refusal refusal;
    lf_buf_clear(&stream->out);
    lf_refuse_no_memory(&refusal);
    put_error(stream, &refusal);
}

static bool is_broken(const lf_answer *answer, const lf_choice *choice)
{
    return answer->ask.has_logprobs && lf_generation_n_not_finite(choice->generation) > 0;
}

// Writes what every choice has to say now.
static void collect(lf_stream *stream)
{
    lf_answer *answer = stream->answer;
    size_t n_ended = 0;
    for (size_t i = 0; i < answer->n_choice && !stream->is_finished; i++) {
        lf_choice *choice = &answer->choices[i];
        lf_refusal refusal;
        if (!choice->is_ended && lf_generation_has_news(choice->generation)) {
            if (lf_choice_take(choice, &refusal)) {
                put_error(stream, &refusal);
                return;
            }
            if (is_broken(answer, choice)) {
                lf_refuse(&refusal, 500, LF_REFUSAL_INTERNAL, NULL,
                          "the model's logits are not finite (NaN or infinity): its weights are broken");
                put_error(stream, &refusal);
                return;
            }
            bool is_empty = false;
            json_t *piece = stream->writer->piece(answer, choice, &is_empty);
            if (!is_empty) put_chunk(stream, choice, piece);
            choice->is_ended = choice->chunk.is_done;
        }
        n_ended += choice->is_ended;
    }
    if (n_ended == answer->n_choice) put_end(stream);
}

long lf_stream_read(lf_stream *stream, char *dst, size_t dst_bytes)
{
    while (stream->sent == stream->out.length) {
        if (stream->is_finished) return 0;
        lf_buf_clear(&stream->out);
        stream->sent = 0;
        if (!stream->is_opened)
            put_openings(stream);
        else
            collect(stream);
        if (lf_buf_failed(&stream->out)) put_no_memory(stream);
        if (lf_buf_failed(&stream->out)) return -1;
        if (stream->out.length == 0 && lf_job_wait(&stream->answer->job, stream->peer_fd) == LF_JOB_GONE) return -1;
    }
    size_t n = LF_MIN(dst_bytes, stream->out.length - stream->sent);
    memcpy(dst, stream->out.data + stream->sent, n);
    stream->sent += n;
    return (long)n;
}
