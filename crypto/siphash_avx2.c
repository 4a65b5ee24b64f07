/* SPDX-License-Identifier: MIT */
#ifdef __x86_64__
#define SIPHASH_TARGET "avx2"
#define SIPHASH_NAME   siphash_by_avx2

#include "crypto/siphash_vectors.h"
#else
typedef int nothing_here;
#endif
