// SPDX-License-Identifier: Apache-2.0
//
// The command that starts ranks on this machine. Open MPI's mpirun and the hydra of MPICH (and of its descendants) do
// the same with different flags; which one it is, it says itself. Both are told not to bind (ranks take their share of
// the processors themselves), to start more ranks than processors, and to leave the others alone when one has died:
// they end by themselves, after rank 0 has answered its clients. Hydra has to be kept from it.
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/launch.h"

extern char **environ;

// Through shared memory only, which is all that one machine needs: nothing is searched for, started or complained
// about. Messages of a decode step (4 bytes for each of a sequence's hidden values) go without asking the receiver
// first.
static const char *const open_mpi_flags[] = {
    "--oversubscribe", //
    "--bind-to",
    "none",              //
    "--enable-recovery", //
    "--mca",
    "pml",
    "ob1", //
    "--mca",
    "btl",
    "self,vader", //
    "--mca",
    "btl_vader_eager_limit",
    "32768", //
    "--mca",
    "plm",
    "isolated", //
    "--mca",
    "ras",
    "^slurm,gridengine,tm,lsf,alps", // this machine, inside of a batch job for several too
    NULL,
};
static const char *const hydra_flags[] = {"-bind-to", "none", "-disable-auto-cleanup", "-launcher", "fork", NULL};
static const char *const other_flags[] = {NULL};

// Hydra's proxy kills all its ranks when waitpid tells it that a signal ended one of them, whatever
// -disable-auto-cleanup says (pmip.c, 3.4 to 4.2 at least). So its children are shells, which end with an exit status
// when their ranks are killed. It also sends SIGUSR1 to the process groups of all others, which the shells survive.
static const char *const hydra_wrapper[] = {"sh", "-c", "trap '' USR1; \"$0\" \"$@\"; exit $?", NULL};
static const char *const no_wrapper[] = {NULL};

// The flags for `launcher` (as execvp finds it) by what `launcher --version` says; NULL when it cannot be run.
static const char *const *flags_of(const char *launcher)
{
    char version[] = "--version", *arguments[] = {(char *)launcher, version, NULL}, text[1024];
    posix_spawn_file_actions_t actions;
    int ends[2];
    pid_t pid;
    if (pipe2(ends, O_CLOEXEC) != 0) return NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int code = posix_spawnp(&pid, launcher, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    size_t length = 0;
    while (code == 0) { // to its end: a closed pipe would kill the writer
        char rest[512];
        bool is_full = length == sizeof text - 1;
        ssize_t n = read(ends[0], is_full ? rest : text + length, is_full ? sizeof rest : sizeof text - 1 - length);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        if (!is_full) length += (size_t)n;
    }
    text[length] = '\0';
    close(ends[0]);
    if (code) return NULL;
    int wait_status = 0;
    while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) continue;
    if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) == 127) return NULL;
    if (strstr(text, "Open MPI") || strstr(text, "OpenRTE")) return open_mpi_flags;
    return strstr(text, "HYDRA") || strstr(text, "Hydra") ? hydra_flags : other_flags;
}

// The user's choice, or the one that belongs to the MPI library of the module where the distribution has several.
static lf_status find_launcher(const char **out, const char *const **flags, lf_error *err)
{
    const char *chosen = getenv("LANDFALL_MPIRUN");
    const char *const candidates[] = {LF_MPIRUN, "mpirun", "mpiexec"};
    if (chosen && *chosen) {
        *out = chosen;
        *flags = flags_of(chosen);
        if (*flags) return LF_OK;
        lf_error_set(err, LF_ERR_NOT_FOUND, "cannot run %s, which LANDFALL_MPIRUN names", chosen);
        return err->status;
    }
    for (size_t i = 0; i < LF_ARRAY_LENGTH(candidates); i++) {
        *out = candidates[i];
        *flags = flags_of(candidates[i]);
        if (*flags) return LF_OK;
    }
    lf_error_set(err, LF_ERR_NOT_FOUND, "more than one rank needs mpirun, and there is none in PATH");
    return lf_error_hint(err, "install openmpi-bin, or start the ranks with a launcher of your own (mpirun, srun)");
}

void lf_mpirun_free(char **command)
{
    for (size_t i = 0; command && command[i]; i++) free(command[i]);
    free(command);
}

lf_status lf_mpirun_command(char ***out, int n_rank, const char *program, char *const *arguments, lf_error *err)
{
    const char *launcher, *const *flags;
    char number[16];
    lf_status status = find_launcher(&launcher, &flags, err);
    if (status) return status;
    snprintf(number, sizeof number, "%d", n_rank);
    const char *const *wrapper = flags == hydra_flags ? hydra_wrapper : no_wrapper;
    size_t n = 0, n_flag = 0, n_wrapper = 0, n_argument = 0;
    while (flags[n_flag]) n_flag++;
    while (wrapper[n_wrapper]) n_wrapper++;
    while (arguments[n_argument]) n_argument++;
    char **command = calloc(n_flag + n_wrapper + n_argument + 6, sizeof *command);
    if (!command) return lf_error_no_memory(err, 0);
    command[n++] = strdup(launcher);
    if (flags == open_mpi_flags && geteuid() == 0) command[n++] = strdup("--allow-run-as-root");
    for (size_t i = 0; i < n_flag; i++) command[n++] = strdup(flags[i]);
    command[n++] = strdup("-n");
    command[n++] = strdup(number);
    for (size_t i = 0; i < n_wrapper; i++) command[n++] = strdup(wrapper[i]);
    command[n++] = strdup(program);
    for (size_t i = 0; i < n_argument; i++) command[n++] = strdup(arguments[i]);
    for (size_t i = 0; i < n; i++) {
        if (command[i]) continue;
        for (size_t j = 0; j < n; j++) free(command[j]);
        free(command);
        return lf_error_no_memory(err, 0);
    }
    *out = command;
    return LF_OK;
}
