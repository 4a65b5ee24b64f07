/* SPDX-License-Identifier: MIT */
#include "engine/xen/cpu_features.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xenguest.h>

/* Bits that follow the guest's own state or its number of vCPUs, and not the processor. */
#define APIC       (1u << 9)  /* leaf 1, edx */
#define HTT        (1u << 28) /* leaf 1, edx */
#define OSXSAVE    (1u << 27) /* leaf 1, ecx */
#define HYPERVISOR (1u << 31) /* leaf 1, ecx */
#define CMP_LEGACY (1u << 1)  /* leaf 0x80000001, ecx */
#define OSPKE      (1u << 4)  /* leaf 7, ecx */
/* AMD's copy of bits of leaf 1, edx, in leaf 0x80000001, edx: Xen's limits are without it. */
#define COPY_OF_1D 0x0183f3ffu

enum { WORD_DIGITS = 8 };

enum reg { EAX, EBX, ECX, EDX };

static const struct word {
    uint32_t leaf, subleaf;
    enum reg reg;
    uint32_t ignored;
} words[CPU_FEATURE_WORDS] = {
    {0x1, 0, EDX, APIC | HTT},
    {0x1, 0, ECX, OSXSAVE | HYPERVISOR},
    {0x80000001, 0, EDX, COPY_OF_1D},
    {0x80000001, 0, ECX, CMP_LEGACY},
    {0xd, 1, EAX, 0},
    {0x7, 0, EBX, 0},
    {0x7, 0, ECX, OSPKE},
    {0x80000007, 0, EDX, 0},
    {0x80000008, 0, EBX, 0},
    {0x7, 0, EDX, 0},
    {0x7, 1, EAX, 0},
    {0x80000021, 0, EAX, 0},
    {0x7, 1, EBX, 0},
    {0x7, 2, EDX, 0},
    {0x7, 1, ECX, 0},
    {0x7, 1, EDX, 0},
    {0xd, 0, EAX, 0}, /* what XSAVE can hold */
    {0xd, 0, EDX, 0},
};

static uint32_t reg_of(const xen_cpuid_leaf_t *l, enum reg reg)
{
    const uint32_t regs[] = {l->a, l->b, l->c, l->d};

    return regs[reg];
}

/* A leaf without subleaves has a number of its own instead. */
static bool is_word_of(const struct word *w, const xen_cpuid_leaf_t *l)
{
    return l->leaf == w->leaf &&
           (l->subleaf == w->subleaf || (l->subleaf == XEN_CPUID_NO_SUBLEAF && !w->subleaf));
}

struct cpu_features cpu_features_of(const xen_cpuid_leaf_t *leaves, uint32_t count)
{
    struct cpu_features f = {{0}};

    for (unsigned i = 0; i < CPU_FEATURE_WORDS; i++)
        for (uint32_t j = 0; j < count; j++)
            if (is_word_of(&words[i], &leaves[j]))
                f.words[i] = reg_of(&leaves[j], words[i].reg) & ~words[i].ignored;
    return f;
}

int cpu_features_of_domain(struct xen *x, uint32_t domid, struct cpu_features *f, struct err *e)
{
    struct cpu_policy p;
    const int rc = cpu_policy_read(x, domid, &p, e);

    if (!rc)
        *f = cpu_features_of(p.leaves, p.leaf_count);
    cpu_policy_free(&p);
    return rc;
}

int cpu_features_of_host(struct xen *x, bool hvm, struct cpu_features *f, struct err *e)
{
    struct cpu_policy p;
    const int rc = cpu_policy_read_host(x, hvm, &p, e);

    if (!rc)
        *f = cpu_features_of(p.leaves, p.leaf_count);
    cpu_policy_free(&p);
    return rc;
}

void cpu_features_format(const struct cpu_features *f, char text[static CPU_FEATURES_TEXT_BYTES])
{
    for (unsigned i = 0; i < CPU_FEATURE_WORDS; i++)
        snprintf(text + (size_t)i * WORD_DIGITS, WORD_DIGITS + 1, "%08x", f->words[i]);
}

bool cpu_features_parse(const char *text, struct cpu_features *f)
{
    const size_t words_told = strlen(text) / WORD_DIGITS;

    *f = (struct cpu_features){{0}};
    for (unsigned i = 0; i < CPU_FEATURE_WORDS && i < words_told; i++)
        if (sscanf(text + (size_t)i * WORD_DIGITS, "%8x", &f->words[i]) != 1)
            return false;
    return words_told * WORD_DIGITS == strlen(text);
}

bool cpu_features_suffice(const struct cpu_features *host, const struct cpu_features *guest,
    char lack[static CPU_FEATURES_LACK_BYTES])
{
    static const char *const names[] = {"eax", "ebx", "ecx", "edx"};
    size_t at = 0;

    lack[0] = '\0';
    for (unsigned i = 0; i < CPU_FEATURE_WORDS; i++) {
        const uint32_t bits = guest->words[i] & ~host->words[i];
        char subleaf[16] = "";

        if (!bits || at >= CPU_FEATURES_LACK_BYTES)
            continue;
        if (words[i].subleaf)
            snprintf(subleaf, sizeof(subleaf), ".%u", words[i].subleaf);
        at += (size_t)snprintf(lack + at, CPU_FEATURES_LACK_BYTES - at, "%sCPUID 0x%x%s %s 0x%x",
            at ? ", " : "", words[i].leaf, subleaf, names[words[i].reg], bits);
    }
    return !at;
}
