/* SPDX-License-Identifier: MIT */
/*
 * What is known of how a guest suspends and runs on, looked up before anything is done, and what is
 * refused because of it.
 */
#ifndef CMD_XMIGRATE_RESUMABLE_H
#define CMD_XMIGRATE_RESUMABLE_H

#include "base/cancel.h"
#include "base/log.h"
#include "cmd/link.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/resume_way.h"
#include "cmd/xmigrate/ui/options.h"

struct resumable {
    struct suspend_facts facts;
    struct kernel_notes notes;
    struct resume_choice choice; /* as --resume-as wants it, if that is given */
};

/* kernel: the configured one, or NULL. Refuses a guest that says that it cannot suspend, and one
 * that says nothing and is known by a request that it did not acknowledge. */
int resumable_find(const struct xl_domain *d, const char *kernel, const struct options *o,
    const struct log *log, const struct cancel *cancel, struct resumable *r, struct err *e);

/* The guest failed to be suspended, and that is why: if it did not acknowledge the request it is
 * known by that from now on. */
void resumable_learn(const struct xl_domain *d, const struct err *why);

/* For a suspend that may be cancelled with no file to go on from. */
int resumable_check_cancel(const struct xl_domain *d, const struct resumable *r, struct err *e);

/* Into the helper's job: it travels with the guest. */
void resumable_fill_job(const struct resumable *r, struct link_job *job);

#endif
