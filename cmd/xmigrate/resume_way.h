/* SPDX-License-Identifier: MIT */
/*
 * How a guest that was suspended runs on here, chosen from what is known of its kernel. A pure
 * function. Its reasons are those of docs/guests.md.
 */
#ifndef CMD_XMIGRATE_RESUME_WAY_H
#define CMD_XMIGRATE_RESUME_WAY_H

#include "engine/xen/suspend_ability.h"
#include "transport/kernel_notes.h"

enum resume_way {
    RESUME_COOPERATIVE, /* as the same domain: its suspend call returns 1 */
    RESUME_REVIVE,      /* as a new domain, from its finished file */
};

struct resume_choice {
    enum resume_way way;
    bool is_known;   /* and not only the best guess */
    const char *why; /* lives for ever */
};

struct resume_choice resume_choose(
    bool hvm, const struct suspend_facts *facts, const struct kernel_notes *notes);

#endif
