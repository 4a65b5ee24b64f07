/* SPDX-License-Identifier: MIT */
/* Standing before other libraries' functions. */
#ifndef XENSIM_PRELOAD_INTERPOSE_H
#define XENSIM_PRELOAD_INTERPOSE_H

#include <dlfcn.h>

/* What programs and libraries are to find; all else is hidden. */
#define EXPORT __attribute__((visibility("default")))

/* The function that we stand before. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#endif
