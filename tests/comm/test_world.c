// SPDX-License-Identifier: Apache-2.0
//
// What launchers say in the environment, and that nothing else is taken for a launcher.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "comm/comm.h"

enum { MAX_VARIABLE = 6 };
typedef struct launch_case {
    struct {
        const char *name, *value;
    } variables[MAX_VARIABLE];
    lf_comm_world world;
} launch_case;

static const lf_comm_world ALONE = {.n_rank = 1, .n_local_rank = 1};

static lf_comm_world world_in(const launch_case *c)
{
    assert_int_equal(clearenv(), 0);
    for (size_t i = 0; i < MAX_VARIABLE && c->variables[i].name; i++) {
        assert_int_equal(setenv(c->variables[i].name, c->variables[i].value, 1), 0);
    }
    return lf_comm_world_of_environment();
}

static void assert_world(const launch_case *c, const lf_comm_world *expected)
{
    lf_comm_world world = world_in(c);
    assert_int_equal(world.is_launched, expected->is_launched);
    assert_int_equal(world.rank, expected->rank);
    assert_int_equal(world.n_rank, expected->n_rank);
    assert_int_equal(world.local_rank, expected->local_rank);
    assert_int_equal(world.n_local_rank, expected->n_local_rank);
    assert_int_equal(world.lacks_pmi, expected->lacks_pmi);
}

static void test_launchers_are_understood(void **state)
{
    (void)state;
    static const launch_case cases[] = {
        {{{"OMPI_COMM_WORLD_RANK", "3"},
          {"OMPI_COMM_WORLD_SIZE", "5"},
          {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
          {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}},
         {true, false, 3, 5, 1, 2}},
        {{{"PMI_RANK", "0"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "0"}, {"MPI_LOCALNRANKS", "4"}},
         {true, false, 0, 4, 0, 4}},
        {{{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}, {true, false, 1, 2, 0, 1}}, // no word about the host: alone there
        {{{"SLURM_STEP_ID", "0"},
          {"SLURM_PROCID", "6"},
          {"SLURM_STEP_NUM_TASKS", "8"},
          {"SLURM_LOCALID", "2"},
          {"SLURM_STEP_TASKS_PER_NODE", "4(x2)"}},
         {true, true, 6, 8, 2, 4}},
        {{{"SLURM_STEP_ID", "0"},
          {"PMIX_RANK", "1"},
          {"SLURM_PROCID", "1"},
          {"SLURM_STEP_NUM_TASKS", "3"},
          {"SLURM_LOCALID", "1"},
          {"SLURM_STEP_TASKS_PER_NODE", "2,1"}},
         {true, false, 1, 3, 1, 2}},
        {{{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}}, {true, false, 0, 1, 0, 1}},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) {
        assert_world(&cases[i], &cases[i].world);
        lf_comm_world_leave();
        assert_false(lf_comm_world_of_environment().is_launched);
    }
}

static void test_all_else_is_one_rank(void **state)
{
    (void)state;
    static const launch_case cases[] = {
        {{{NULL, NULL}}, {0}},
        {{{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "8"}}, {0}}, // a batch script, outside of a step
        {{{"OMPI_COMM_WORLD_RANK", "0"}}, {0}},
        {{{"OMPI_COMM_WORLD_RANK", "2"}, {"OMPI_COMM_WORLD_SIZE", "2"}}, {0}}, // there is no such rank
        {{{"OMPI_COMM_WORLD_RANK", "-1"}, {"OMPI_COMM_WORLD_SIZE", "2"}}, {0}},
        {{{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "many"}}, {0}},
        {{{"PMI_RANK", "0"}, {"PMI_SIZE", "99999999999999999999"}}, {0}},
        {{{"PMI_RANK", ""}, {"PMI_SIZE", ""}}, {0}},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) assert_world(&cases[i], &ALONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launchers_are_understood),
        cmocka_unit_test(test_all_else_is_one_rank),
    };
    return cmocka_run_group_tests_name("comm/world", tests, NULL, NULL);
}
