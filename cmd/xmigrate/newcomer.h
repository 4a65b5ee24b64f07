/* SPDX-License-Identifier: MIT */
/*
 * Guests on their way to this host, as far as the processes that receive them have to know of each
 * other: who came first, and what memory the host has promised already. Each has a file in the run
 * directory, `newcomer-NUMBER`, in the order in which they came, locked (flock) as long as its
 * process lives, with the KiB in it that were promised. So one that was killed counts no more,
 * whatever it left. All are looked at, and changed, under the lock of `newcomers.lock`.
 *
 * Memory is promised before ACCEPT, and claimed from Xen for the domain as soon as there is one:
 * from then on Xen keeps it, and the promise is over. What is missing dom0 gives, if its balloon is
 * the toolstack's to use (libxl/dom0.h).
 *
 * One thread's, the story's.
 */
#ifndef CMD_XMIGRATE_NEWCOMER_H
#define CMD_XMIGRATE_NEWCOMER_H

#include "cmd/xmigrate/libxl/config.h"
#include "engine/xen/xen.h"

struct newcomer {
    int fd; /* -1: it has not joined */
    unsigned number;
    uint64_t need_kb;    /* for all that libxl would build */
    uint64_t guest_kb;   /* for the guest's own memory */
    uint64_t lowered_kb; /* dom0's target, for this guest */
    bool awaits;         /* dom0's balloon has not given all up yet */
    uint32_t claimed;    /* the domain that has claimed; 0: none */
};

/* Behind those that are here. */
int newcomer_join(struct newcomer *a, struct err *e);
/* How many of these are still on their way. */
int newcomer_ahead(const struct newcomer *a, unsigned *ahead, struct err *e);
/* For whoever comes next. Of one that has not joined it does nothing. */
void newcomer_leave(struct newcomer *a);

/* ERR_REFUSED when the host has not the memory that libxl would need to build it, promises to
 * others included, and dom0 cannot give it. name is what people know the guest by. One that is only
 * measured has not joined, and is promised nothing. */
int newcomer_check(struct xl *xl, libxl_domain_config *config, const char *name, struct err *e);
int newcomer_promise(struct newcomer *a, struct xl *xl, libxl_domain_config *config,
    const char *name, struct err *e);
/* Once that was promised: 1 when it is all there; 0 while dom0's balloon still shrinks. */
int newcomer_has_room(struct newcomer *a, struct xl *xl, struct err *e);
/* It is not wanted any more, or dom0 does not give it: dom0 gets back what it was to give. */
void newcomer_break(struct newcomer *a, struct xl *xl);

/* The domain is there: Xen keeps its memory from now on, as far as it has not got it yet.
 * ERR_LOCAL: somebody else has taken it. */
int newcomer_claim(struct newcomer *a, struct xen *x, uint32_t domid, struct err *e);
/* It has all that it needs. */
void newcomer_unclaim(struct newcomer *a, struct xen *x, const struct log *log);

/* Pure: what the host has, and what is to be done for one more. */
struct room {
    uint64_t need_kb, promised_kb, free_kb; /* promised: to the others */
    bool may_balloon;
    uint64_t dom0_kb, dom0_target_kb; /* 0: not known */
};

/* 0; *dom0_kb is what its target has to be then. -ENOMEM: there is not enough. */
int room_plan(const struct room *r, uint64_t *dom0_kb);

#endif
