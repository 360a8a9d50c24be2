// SPDX-License-Identifier: Apache-2.0
//
// Finds the MPI module and opens it: in the folder that LANDFALL_MODULE_DIR names, in the build tree that the program
// stands in, or where it is installed. MPI itself comes with it, through the module's own dependencies.
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/comm_int.h"

static const char file_name[] = "landfall-mpi.so";

// The folder of the running program; false when it cannot be known.
static bool program_folder(char *dst, size_t dst_bytes)
{
    ssize_t length = readlink("/proc/self/exe", dst, dst_bytes - 1);
    if (length <= 0) return false;
    dst[length] = '\0';
    char *slash = strrchr(dst, '/');
    if (!slash) return false;
    *slash = '\0';
    return true;
}

static bool find_module(char *dst, size_t dst_bytes)
{
    char folder[PATH_MAX];
    const char *chosen = getenv("LANDFALL_MODULE_DIR");
    if (chosen && *chosen) { // whoever names a folder wants the module from there and from nowhere else
        snprintf(dst, dst_bytes, "%s/%s", chosen, file_name);
        return access(dst, R_OK) == 0;
    }
    if (program_folder(folder, sizeof folder)) {
        snprintf(dst, dst_bytes, "%s/../comm/%s", folder, file_name);
        if (access(dst, R_OK) == 0) return true;
    }
    snprintf(dst, dst_bytes, "%s/%s", LF_MODULE_DIR, file_name);
    return access(dst, R_OK) == 0;
}

lf_status lf__transport_load(lf_comm *comm, lf_error *err)
{
    char path[2 * PATH_MAX];
    if (!find_module(path, sizeof path)) {
        lf_error_set(err, LF_ERR_COMM, "more than one rank needs Landfall's MPI module, and there is no %s", path);
        return lf_error_hint(err,
                             "install the package landfall-mpi, or build with MPI (libopenmpi-dev or libmpich-dev)");
    }
    // MPI libraries open components of their own that expect the library's symbols to be there for all.
    comm->module = dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
    if (!comm->module) {
        lf_error_set(err, LF_ERR_COMM, "cannot open the MPI module: %s", dlerror());
        return lf_error_hint(err, "install the MPI library it was built with (Debian: libopenmpi3)");
    }
    lf__transport_fn transport_of = (lf__transport_fn)dlsym(comm->module, LF__TRANSPORT_SYMBOL);
    comm->transport = transport_of ? transport_of() : NULL;
    if (!comm->transport || strcmp(comm->transport->version, LF_VERSION) != 0) {
        lf_error_set(err, LF_ERR_COMM, "%s belongs to another version of Landfall", path);
        lf_error_expected(err, "%s", LF_VERSION);
        lf_error_found(err, "%s", comm->transport ? comm->transport->version : "none");
        return lf_error_hint(err, "install landfall and landfall-mpi of the same version");
    }
    return LF_OK;
}
