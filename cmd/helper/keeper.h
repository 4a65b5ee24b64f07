/* SPDX-License-Identifier: MIT */
/*
 * What the engine cannot do any more once it has given up its privileges: start xmigrate --recover
 * when its supervisor is dead. A process that stays root, hears nothing but that word, and ends
 * with the engine.
 */
#ifndef CMD_HELPER_KEEPER_H
#define CMD_HELPER_KEEPER_H

#include "base/err.h"
#include "cmd/bystander.h"

/* Before threads and Xen's handles. */
int keeper_start(struct bystander *k, struct err *e);

/* As soon as this process has ended: its mappings are gone then. Does nothing if there is none. */
void keeper_ask_recovery(const struct bystander *k);

#endif
