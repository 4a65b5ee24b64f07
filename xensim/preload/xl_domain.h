/* SPDX-License-Identifier: MIT */
/*
 * Domains as libxl tells of them: finding and describing them, renaming, pausing, resuming,
 * destroying. The daemon keeps their names and configurations.
 */
#ifndef XENSIM_PRELOAD_XL_DOMAIN_H
#define XENSIM_PRELOAD_XL_DOMAIN_H

#include "xensim/preload/xl_context.h"

/* 0 if the host has it, else libxl's ERROR_*. *emulated: it has a device model. */
int xl_check_domain(struct xl *xl, uint32_t domid, bool *emulated);

/* The type as a word of the host's commands. */
const char *xl_type_word(libxl_domain_type type);

#endif
