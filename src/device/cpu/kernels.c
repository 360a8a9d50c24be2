// SPDX-License-Identifier: Apache-2.0
//
// The kernel table and its choice. Choice is per kernel, best instruction set first; a kernel must agree with __ref on
// a built-in vector before it is taken, because a processor, an emulator or a compiler nobody has tested on must not
// produce wrong tokens.
#include "device/cpu/kernels.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

const char *const lf_kernel_names[LF_KERNEL_COUNT] = {
#define LF_KERNEL(name, result, arguments, avx2, avx512, amx) #name,
#include "device/cpu/kernels.inc"
#undef LF_KERNEL
};

static const lf_cpu_kernels ref_kernels = {
#define LF_KERNEL(name, result, arguments, avx2, avx512, amx) .name = lf_##name##__ref,
#include "device/cpu/kernels.inc"
#undef LF_KERNEL
};

#if defined(__x86_64__)
static const lf_cpu_kernels avx2_kernels = {
#define LF_KERNEL(name, result, arguments, avx2, avx512, amx) LF_WHEN_##avx2(.name = lf_##name##__avx2, )
#include "device/cpu/kernels.inc"
#undef LF_KERNEL
};
static const lf_cpu_kernels avx512_kernels = {
#define LF_KERNEL(name, result, arguments, avx2, avx512, amx) LF_WHEN_##avx512(.name = lf_##name##__avx512, )
#include "device/cpu/kernels.inc"
#undef LF_KERNEL
};
static const lf_cpu_kernels amx_kernels = {
#define LF_KERNEL(name, result, arguments, avx2, avx512, amx) LF_WHEN_##amx(.name = lf_##name##__amx, )
#include "device/cpu/kernels.inc"
#undef LF_KERNEL
};
#endif

const lf_cpu_kernels *lf_cpu_kernels_of(lf_cpu_isa isa)
{
    switch (isa) {
    case LF_CPU_ISA_REF: return &ref_kernels;
#if defined(__x86_64__)
    case LF_CPU_ISA_AVX2: return &avx2_kernels;
    case LF_CPU_ISA_AVX512: return &avx512_kernels;
    case LF_CPU_ISA_AMX: return &amx_kernels;
#endif
    default: return NULL;
    }
}

// Takes the kernels of `isa` that exist and agree with __ref.
static void choose_from(lf_cpu_kernels *out, lf_cpu_isa isa)
{
    const lf_cpu_kernels *candidate = lf_cpu_kernels_of(isa);
    if (!candidate) return;
#define LF_KERNEL(name, result, arguments, avx2, avx512, amx)                                                          \
    if (candidate->name) {                                                                                             \
        if (lf_cpu_kernel_agrees(LF_KERNEL_##name, candidate)) {                                                       \
            out->name = candidate->name;                                                                               \
        } else {                                                                                                       \
            lf_log(LF_LOG_WARNING, "cpu kernel %s__%s refused: disagrees with the reference on the start-up check",    \
                   #name, lf_cpu_isa_name(isa));                                                                       \
        }                                                                                                              \
    }
#include "device/cpu/kernels.inc"
#undef LF_KERNEL
}

void lf_cpu_kernels_choose(lf_cpu_kernels *out, lf_cpu_isa best)
{
    *out = ref_kernels;
    if (best >= LF_CPU_ISA_AVX2) choose_from(out, LF_CPU_ISA_AVX2);
    if (best >= LF_CPU_ISA_AVX512) choose_from(out, LF_CPU_ISA_AVX512);
    if (best >= LF_CPU_ISA_AMX) choose_from(out, LF_CPU_ISA_AMX);
}
