// SPDX-License-Identifier: Apache-2.0
//
// Processor features. Built without instruction-set flags, because it runs before anything is known.
#include "base/cpu.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif

static const char *const isa_names[] = {
    [LF_CPU_ISA_REF] = "ref",       [LF_CPU_ISA_AVX2] = "avx2",
    [LF_CPU_ISA_AVX512] = "avx512", [LF_CPU_ISA_AVX512_BF16] = "avx512_bf16",
    [LF_CPU_ISA_AMX] = "amx",
};

const char *lf_cpu_isa_name(lf_cpu_isa isa) { return (size_t)isa < LF_ARRAY_LENGTH(isa_names) ? isa_names[isa] : "?"; }

#if defined(__x86_64__)
static uint64_t enabled_register_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

// Linux gives the AMX tile registers on request only (Documentation/arch/x86/xstate.rst).
static bool request_amx(void)
{
    enum { ARCH_REQUEST_XCOMP_PERMISSION = 0x1023, XFEATURE_TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQUEST_XCOMP_PERMISSION, XFEATURE_TILE_DATA) == 0;
}

static lf_cpu_isa detect(void)
{
    enum { AVX_STATE = 0x6, AVX512_STATE = 0xe6, AMX_STATE = 0x60000 };
    uint32_t a, b, c, d, ext_b, ext_c, ext_d, sub_a = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return LF_CPU_ISA_REF;
    const uint32_t fma = 1u << 12, osxsave = 1u << 27, f16c = 1u << 29;
    if ((c & (fma | osxsave | f16c)) != (fma | osxsave | f16c)) return LF_CPU_ISA_REF;
    uint64_t state = enabled_register_state();
    if ((state & AVX_STATE) != AVX_STATE) return LF_CPU_ISA_REF;
    if (!__get_cpuid_count(7, 0, &a, &ext_b, &ext_c, &ext_d)) return LF_CPU_ISA_REF;
    if (a >= 1) __get_cpuid_count(7, 1, &sub_a, &b, &c, &d);
    if (!(ext_b & 1u << 5)) return LF_CPU_ISA_REF;
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; // F, DQ, BW, VL
    if ((ext_b & avx512) != avx512 || (state & AVX512_STATE) != AVX512_STATE) return LF_CPU_ISA_AVX2;
    if (!(sub_a & 1u << 5)) return LF_CPU_ISA_AVX512;
    const uint32_t amx = 1u << 22 | 1u << 24; // AMX-BF16, AMX-TILE
    if ((ext_d & amx) != amx || (state & AMX_STATE) != AMX_STATE || !request_amx()) return LF_CPU_ISA_AVX512_BF16;
    return LF_CPU_ISA_AMX;
}
#else
static lf_cpu_isa detect(void) { return LF_CPU_ISA_REF; }
#endif

static lf_cpu_isa capped(lf_cpu_isa isa)
{
    const char *cap = getenv("LF_CPU_ISA");
    for (size_t i = 0; cap && i < LF_ARRAY_LENGTH(isa_names); i++) {
        if (strcmp(cap, isa_names[i]) == 0 && (lf_cpu_isa)i < isa) return (lf_cpu_isa)i;
    }
    return isa;
}

lf_cpu_isa lf_cpu_isa_best(void)
{
    static _Atomic int known = -1; // detection gives the same answer on every thread, so a race is harmless
    int isa = atomic_load_explicit(&known, memory_order_relaxed);
    if (isa < 0) {
        isa = (int)capped(detect());
        atomic_store_explicit(&known, isa, memory_order_relaxed);
    }
    return (lf_cpu_isa)isa;
}

int lf_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return LF_MAX(1, CPU_COUNT(&set));
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

// ---- shares ----

typedef struct processor {
    int package, core, number;
} processor;

// A number that the kernel tells about a processor; 0 when it does not.
static int topology(int number, const char *what)
{
    char path[96];
    int value = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", number, what);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    if (fscanf(file, "%d", &value) != 1) value = 0;
    fclose(file);
    return value;
}

static int by_place(const void *a, const void *b)
{
    const processor *x = a, *y = b;
    if (x->package != y->package) return x->package < y->package ? -1 : 1;
    if (x->core != y->core) return x->core < y->core ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

bool lf_cpu_take_share(int index, int n_share)
{
    cpu_set_t set;
    processor all[CPU_SETSIZE];
    int n = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0 || index < 0 || index >= n_share) return false;
    if (CPU_COUNT(&set) < n_share) return false;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &set)) continue;
        all[n++] = (processor){topology(i, "physical_package_id"), topology(i, "core_id"), i};
    }
    qsort(all, (size_t)n, sizeof *all, by_place);
    int base = n / n_share, rest = n % n_share;
    int begin = base * index + LF_MIN(index, rest), count = base + (index < rest);
    CPU_ZERO(&set);
    for (int i = begin; i < begin + count; i++) CPU_SET(all[i].number, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}
