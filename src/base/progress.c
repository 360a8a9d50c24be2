// SPDX-License-Identifier: Apache-2.0
//
// The progress bar. Drawing starts two seconds into the work, then ten times a second on a terminal and every ten
// seconds in a log file; the thread whose update finds the next drawing due draws, the others go on.
#include "base/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

static const int64_t quiet_ns = 2000000000;
static const int64_t terminal_interval_ns = 100000000;
static const int64_t log_interval_ns = 10000000000;

void lf_progress_begin(lf_progress *progress, const char *label, const char *unit, uint64_t total)
{
    progress->label = label;
    progress->unit = unit;
    progress->total = total;
    atomic_store(&progress->done, 0);
    progress->start_ns = lf_now_ns();
    atomic_store(&progress->next_draw_ns, progress->start_ns + quiet_ns);
    progress->is_terminal = isatty(STDERR_FILENO);
    progress->is_drawn = false;
    pthread_mutex_init(&progress->lock, NULL);
}

static void format_amount(char *dst, size_t dst_bytes, double amount, const char *unit)
{
    if (unit[0] == 'b' && amount >= 1073741824.0) {
        snprintf(dst, dst_bytes, "%.2f GiB", amount / 1073741824.0);
    } else if (unit[0] == 'b') {
        snprintf(dst, dst_bytes, "%.1f MiB", amount / 1048576.0);
    } else {
        snprintf(dst, dst_bytes, "%.0f %s", amount, unit);
    }
}

static void draw(lf_progress *progress, int64_t now_ns)
{
    char done_text[48], total_text[48], rate_text[48], bar[31];
    uint64_t done = atomic_load(&progress->done);
    double seconds = (double)(now_ns - progress->start_ns) / 1e9;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    double share = progress->total ? LF_MIN(1.0, (double)done / (double)progress->total) : 0;
    double left = rate > 0 && progress->total > done ? (double)(progress->total - done) / rate : 0;
    format_amount(done_text, sizeof done_text, (double)done, progress->unit);
    format_amount(total_text, sizeof total_text, (double)progress->total, progress->unit);
    format_amount(rate_text, sizeof rate_text, rate, progress->unit);
    for (size_t i = 0; i < sizeof bar - 1; i++) bar[i] = (double)i < share * (double)(sizeof bar - 1) ? '#' : '.';
    bar[sizeof bar - 1] = '\0';
    if (progress->is_terminal) {
        fprintf(stderr, "\r%s [%s] %3.0f%% %s/%s %s/s, %.0f s left \033[K", progress->label, bar, share * 100,
                done_text, total_text, rate_text, left);
    } else {
        fprintf(stderr, "%s: %.0f%% (%s of %s, %s/s, %.0f s left)\n", progress->label, share * 100, done_text,
                total_text, rate_text, left);
    }
    progress->is_drawn = true;
}

void lf_progress_add(lf_progress *progress, uint64_t amount)
{
    atomic_fetch_add(&progress->done, amount);
    int64_t now_ns = lf_now_ns();
    int64_t due_ns = atomic_load(&progress->next_draw_ns);
    if (now_ns < due_ns) return;
    int64_t interval = progress->is_terminal ? terminal_interval_ns : log_interval_ns;
    if (!atomic_compare_exchange_strong(&progress->next_draw_ns, &due_ns, now_ns + interval)) return;
    pthread_mutex_lock(&progress->lock);
    draw(progress, now_ns);
    pthread_mutex_unlock(&progress->lock);
}

void lf_progress_end(lf_progress *progress)
{
    pthread_mutex_lock(&progress->lock);
    if (progress->is_drawn) {
        draw(progress, lf_now_ns());
        if (progress->is_terminal) fputc('\n', stderr);
    }
    pthread_mutex_unlock(&progress->lock);
    pthread_mutex_destroy(&progress->lock);
}
