// SPDX-License-Identifier: Apache-2.0
//
// The log and its one piece of process-wide state: level, name and sink, set before threads start, guarded by `lock`.
#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

static void stderr_sink(void *ctx, lf_log_level level, const char *line);

// `lock` protects the values below it and the order of lines; no other lock is taken while it is held.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static lf_log_level max_level = LF_LOG_INFO;
static lf_log_sink sink = stderr_sink;
static void *sink_ctx;
static char name[32];

static void stderr_sink(void *ctx, lf_log_level level, const char *line)
{
    (void)ctx;
    static const char *const names[] = {"ERROR", "WARNING", "INFO", "DEBUG"};
    char when[32] = "";
    time_t now = time(NULL);
    struct tm local;
    if (localtime_r(&now, &local)) strftime(when, sizeof when, "%m-%d %H:%M:%S", &local);
    fprintf(stderr, "%s %s %s\n", names[level], when, line);
}

void lf_log(lf_log_level level, const char *format, ...)
{
    char line[2048];
    va_list args;
    pthread_mutex_lock(&lock);
    int prefix = name[0] ? snprintf(line, sizeof line, "[%s] ", name) : 0;
    pthread_mutex_unlock(&lock);
    va_start(args, format);
    int length = vsnprintf(line + prefix, sizeof line - (size_t)prefix, format, args);
    va_end(args);
    if (length < 0) return;
    pthread_mutex_lock(&lock);
    if (level <= max_level) sink(sink_ctx, level, line);
    pthread_mutex_unlock(&lock);
}

void lf_log_set_level(lf_log_level level)
{
    pthread_mutex_lock(&lock);
    max_level = level;
    pthread_mutex_unlock(&lock);
}

void lf_log_set_name(const char *new_name)
{
    pthread_mutex_lock(&lock);
    snprintf(name, sizeof name, "%s", new_name);
    pthread_mutex_unlock(&lock);
}

void lf_log_set_sink(lf_log_sink new_sink, void *ctx)
{
    pthread_mutex_lock(&lock);
    sink = new_sink ? new_sink : stderr_sink;
    sink_ctx = ctx;
    pthread_mutex_unlock(&lock);
}
