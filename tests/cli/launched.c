// SPDX-License-Identifier: Apache-2.0
//
// A program with one verb that runs on ranks, for launch.sh: it starts its own ranks with -tp, or joins mpirun's, and
// then does what a scenario says, on the rank that --who names. What each rank does is left in files of --dir.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/par.h"
#include "cli/ranks.h"

typedef struct job_args {
    const char *dir;
    int64_t tensor_parallel_size, who;
} job_args;

static const lf_opt job_opts[] = {
    {.name = "tensor-parallel-size",
     .alias = "-tp",
     .kind = LF_OPT_INT,
     .metavar = "N",
     .min = 1,
     .max = LF_RANKS_MAX,
     .offset = offsetof(job_args, tensor_parallel_size)},
    {.name = "who", .kind = LF_OPT_INT, .metavar = "N", .offset = offsetof(job_args, who)},
    {.name = "dir", .kind = LF_OPT_STRING, .metavar = "DIR", .offset = offsetof(job_args, dir)},
};

static volatile sig_atomic_t must_stop;
static void stop(int number) { must_stop = number; }

static void leave_note(const job_args *args, int rank, const char *text)
{
    char path[512];
    if (!args->dir) return;
    snprintf(path, sizeof path, "%s/rank%d", args->dir, rank);
    FILE *file = fopen(path, "w");
    if (!file) return;
    fprintf(file, "%d %s\n", (int)getpid(), text);
    fclose(file);
}

// Steps until rank 0 is told to stop, as a server does: rank 0 says each time whether there is one more.
static lf_status serve(const job_args *args, lf_comm *comm, bool stumbles, lf_error *err)
{
    int rank = lf_comm_rank(comm);
    float x[1024] = {0};
    lf_status status = LF_OK;
    if (rank == 0) signal(SIGTERM, stop), signal(SIGINT, stop);
    for (long i = 0; !status; i++) {
        int64_t goes_on = !must_stop;
        status = lf_comm_broadcast(comm, &goes_on, sizeof goes_on, err);
        if (!status && !goes_on) break;
        if (i == 10) leave_note(args, rank, "steps");
        if (stumbles && rank == args->who && i == 20) return lf_error_set(err, LF_ERR_FORMAT, "rank %d stumbles", rank);
        if (!status) status = lf_comm_sum_f32(comm, x, LF_ARRAY_LENGTH(x), err);
        if (rank == 0) usleep(2000);
    }
    if (rank == 0 && !status) printf("served until a signal\n");
    return status;
}

static lf_status disagree(const job_args *args, lf_comm *comm, lf_error *err)
{
    lf_status status = LF_OK;
    if (lf_comm_rank(comm) == args->who) status = lf_error_set(err, LF_ERR_FORMAT, "tensor x is not there");
    return lf_comm_agree(comm, status, err);
}

static lf_status greet(const job_args *args, const lf_ranks *ranks)
{
    int rank = lf_comm_rank(ranks->comm);
    char line[256] = "nothing", note[128];
    if (rank == 0 && !fgets(line, sizeof line, stdin)) snprintf(line, sizeof line, "nothing\n");
    printf("rank %d of %d read %s", rank, lf_comm_size(ranks->comm), line);
    lf_log(LF_LOG_INFO, "information");
    lf_log(LF_LOG_WARNING, "a warning");
    snprintf(note, sizeof note, "processors %d threads %d n_thread %d", lf_cpu_count(), lf_par_threads(),
             ranks->n_thread);
    leave_note(args, rank, note);
    return LF_OK;
}

static int run_job(const lf_verb *verb, int argc, char **argv)
{
    job_args args = {.who = -1};
    const char *scenario = NULL;
    bool is_done;
    lf_error err = {0};
    lf_ranks ranks;
    lf_status status = lf_opts_parse(verb, argc, argv, &args, &scenario, 1, &is_done, &err);
    if (status) return lf_cli_fail(verb, &err);
    if (!scenario) return 2;
    lf_comm_world world = lf_comm_world_of_environment();
    if (strcmp(scenario, "absent") == 0 && world.is_launched && world.rank == args.who) raise(SIGKILL);
    status = lf_ranks_open(&ranks, verb, argc, argv, args.tensor_parallel_size, &err);
    if (ranks.is_over) return ranks.exit_status;
    if (!status) {
        if (strcmp(scenario, "serve") == 0) status = serve(&args, ranks.comm, false, &err);
        if (strcmp(scenario, "stumble") == 0) status = serve(&args, ranks.comm, true, &err);
        if (strcmp(scenario, "disagree") == 0) status = disagree(&args, ranks.comm, &err);
        if (strcmp(scenario, "greet") == 0) status = greet(&args, &ranks);
    }
    return lf_ranks_close(&ranks, verb, status, &err);
}

int main(int argc, char **argv)
{
    static const lf_verb verb = {
        .name = "job", .operands = "SCENARIO", .opts = job_opts, .n_opt = LF_ARRAY_LENGTH(job_opts), .run = run_job};
    return argc > 1 ? run_job(&verb, argc - 2, argv + 2) : 2;
}
