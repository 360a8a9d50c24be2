// SPDX-License-Identifier: Apache-2.0
//
// What this processor can execute, asked once from the CPU and the operating system (the OS must save the registers).
// LF_CPU_ISA=ref|avx2|avx512|avx512_bf16|amx caps the answer, for tests and for isolating a kernel.
#ifndef LF_BASE_CPU_H
#define LF_BASE_CPU_H

#include <stdbool.h>

// Each level includes the ones before it. avx2: AVX2 + FMA + F16C. avx512: F + BW + DQ + VL.
typedef enum lf_cpu_isa {
    LF_CPU_ISA_REF,
    LF_CPU_ISA_AVX2,
    LF_CPU_ISA_AVX512,
    LF_CPU_ISA_AVX512_BF16,
    LF_CPU_ISA_AMX,
} lf_cpu_isa;

// The best level that is present and not capped. Constant for the life of the process; safe from any thread.
lf_cpu_isa lf_cpu_isa_best(void);
const char *lf_cpu_isa_name(lf_cpu_isa isa);
// Processors this process may run on (affinity respected), at least 1.
int lf_cpu_count(void);
// Binds the calling thread, and those it starts from now on, to share `index` of `n_share` of the processors it may run
// on, in contiguous, balanced ranges that keep the threads of a core together; lf_cpu_count() is then their number.
// False, with nothing changed, when there are fewer processors than shares or the system refuses.
bool lf_cpu_take_share(int index, int n_share);

#endif
