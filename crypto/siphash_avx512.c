/* SPDX-License-Identifier: MIT */
#ifdef __x86_64__
#define SIPHASH_TARGET "avx2,avx512f,avx512vl"
#define SIPHASH_NAME   siphash_by_avx512

#include "crypto/siphash_vectors.h"
#else
typedef int nothing_here;
#endif
