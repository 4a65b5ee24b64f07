/* SPDX-License-Identifier: MIT */
/*
 * What the xensim command asks a running host: one line of words, answered with text. The
 * grammar is in docs/man/xensim.1.
 */
#ifndef XENSIM_COMMAND_H
#define XENSIM_COMMAND_H

#include "xensim/hypervisor/host.h"

/* words: bytes long, each ended by NUL. Returns 0 or a negative errno; *text (malloc'ed, may be
 * NULL) is the answer, or the one line that says what is wrong. A client that hangs up sock ends a
 * wait. */
int command_run(struct host *h, int sock, const char *words, size_t bytes, char **text);

#endif
