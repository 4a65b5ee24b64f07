/* SPDX-License-Identifier: MIT */
/*
 * The features of a processor, as CPUID's words of bits have them: does a host have all that a
 * guest was told of? Xen 4.17 itself, when a domain is built there, leaves out what it lacks and
 * says nothing.
 */
#ifndef ENGINE_XEN_CPU_FEATURES_H
#define ENGINE_XEN_CPU_FEATURES_H

#include "engine/xen/cpu_policy.h"

#include <stdbool.h>
#include <stddef.h>

enum { CPU_FEATURE_WORDS = 18, CPU_FEATURES_LACK_BYTES = 160 };

struct cpu_features {
    uint32_t words[CPU_FEATURE_WORDS];
};

struct cpu_features cpu_features_of(const xen_cpuid_leaf_t *leaves, uint32_t count);

int cpu_features_of_domain(struct xen *x, uint32_t domid, struct cpu_features *f, struct err *e);
/* The most that a guest of that kind can have here. */
int cpu_features_of_host(struct xen *x, bool hvm, struct cpu_features *f, struct err *e);

/* As text: eight hex digits for each word. Words that it lacks are 0; false if it is no such text.
 */
enum { CPU_FEATURES_TEXT_BYTES = 8 * CPU_FEATURE_WORDS + 1 };
void cpu_features_format(const struct cpu_features *f, char text[static CPU_FEATURES_TEXT_BYTES]);
bool cpu_features_parse(const char *text, struct cpu_features *f);

/* Which of the guest's the host lacks, "" if none, as "CPUID 0x1 ecx 0x80000, ...". False: some. */
bool cpu_features_suffice(const struct cpu_features *host, const struct cpu_features *guest,
    char lack[static CPU_FEATURES_LACK_BYTES]);

#endif
