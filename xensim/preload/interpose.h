/* SPDX-License-Identifier: MIT */
/* Standing in front of other libraries' functions. */
#ifndef XENSIM_PRELOAD_INTERPOSE_H
#define XENSIM_PRELOAD_INTERPOSE_H

#include <dlfcn.h>

/* For what programs and libraries are to find; everything else is hidden. */
#define EXPORT __attribute__((visibility("default")))

/* The function that ours stands in front of. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#endif
