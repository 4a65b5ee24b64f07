/* SPDX-License-Identifier: MIT */
/*
 * The destination's half of --resolve: a source that gave a guest to this host asks what became of
 * it. The answer is in the journal, on disk, before it is given, and is forgotten once the source
 * has heard it. Only the host that the guest came from is told anything.
 */
#ifndef CMD_XMIGRATE_ANSWER_H
#define CMD_XMIGRATE_ANSWER_H

#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/session/incoming.h"

/* The question is in->ask. Returns an exit code. */
int answer_question(struct incoming *in, struct xl *xl);

#endif
