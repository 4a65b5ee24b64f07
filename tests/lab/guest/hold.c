/* SPDX-License-Identifier: MIT */
#include "hold.h"

#include <string.h>

enum { REGISTERS = 16, YMM_BYTES = 32, XMM_BYTES = 16 };

bool hold_has_avx(void)
{
    return __builtin_cpu_supports("avx");
}

#define EACH(X)                                                                                    \
    X("0")                                                                                         \
    X("1")                                                                                         \
    X("2")                                                                                         \
    X("3") X("4") X("5") X("6") X("7") X("8") X("9") X("10") X("11") X("12") X("13") X("14")       \
        X("15")

/* Load, spin and store are one asm block: the compiler cannot use the registers in between. */
__attribute__((target("avx"))) static void hold_ymm(const uint8_t *in, uint8_t *out, uint64_t spins)
{
#define LOAD(n)  "vmovdqu 32*" n "(%[in]), %%ymm" n "\n\t"
#define STORE(n) "vmovdqu %%ymm" n ", 32*" n "(%[out])\n\t"
    __asm__ volatile(EACH(LOAD) "1: dec %[spins]\n\tjnz 1b\n\t" EACH(STORE) "vzeroupper\n\t"
                     : [spins] "+r"(spins)
                     : [in] "r"(in), [out] "r"(out)
                     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                     "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#undef LOAD
#undef STORE
}

static void hold_xmm(const uint8_t *in, uint8_t *out, uint64_t spins)
{
#define LOAD(n)  "movdqu 16*" n "(%[in]), %%xmm" n "\n\t"
#define STORE(n) "movdqu %%xmm" n ", 16*" n "(%[out])\n\t"
    __asm__ volatile(EACH(LOAD) "1: dec %[spins]\n\tjnz 1b\n\t" EACH(STORE)
                     : [spins] "+r"(spins)
                     : [in] "r"(in), [out] "r"(out)
                     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                     "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#undef LOAD
#undef STORE
}

bool hold_round(uint64_t salt, uint64_t spins)
{
    uint8_t in[REGISTERS * YMM_BYTES];
    uint8_t out[REGISTERS * YMM_BYTES];
    uint64_t word = salt;

    for (size_t i = 0; i < sizeof(in); i += sizeof(word)) {
        word = word * 6364136223846793005u + 1442695040888963407u;
        memcpy(in + i, &word, sizeof(word));
    }
    if (hold_has_avx()) {
        hold_ymm(in, out, spins);
        return memcmp(in, out, sizeof(in)) == 0;
    }
    hold_xmm(in, out, spins);
    return memcmp(in, out, REGISTERS * XMM_BYTES) == 0;
}
