/* SPDX-License-Identifier: MIT */
/*
 * libxl's short calls, each with a limit (limited.h): XL_SHORT_NS where nothing else is said.
 * After -ETIMEDOUT nobody knows whether it was carried out, or will be.
 */
#ifndef CMD_XMIGRATE_LIBXL_CALLS_H
#define CMD_XMIGRATE_LIBXL_CALLS_H

#include "cmd/xmigrate/libxl/context.h"

#include <stdbool.h>
#include <stdint.h>

enum { XL_UUID_TEXT_BYTES = 37, XL_NAME_BYTES = 256 };

/* What Xen says of a domain. */
struct xl_domain {
    uint32_t domid;
    char uuid[XL_UUID_TEXT_BYTES]; /* 8-4-4-4-12, lower case */
    char name[XL_NAME_BYTES];      /* "" when it has none */
    libxl_domain_type type;        /* Xen calls PVH guests HVM; the configuration tells */
    uint64_t cpu_ns;               /* that it has used */
    bool paused;
    bool shut_down;
    bool dying;
    libxl_shutdown_reason reason; /* when shut down */
    unsigned vcpus;
    uint64_t memory_kb;
    uint64_t max_memory_kb;
};

/* Of Xen's release, 4.17; zeros: unknown. */
struct xl_version {
    unsigned major, minor;
};

struct xl_host {
    uint64_t free_kb; /* free for a new domain */
    uint64_t total_kb;
    bool hvm;
    bool pv;
    bool shadow; /* page tables that Xen keeps: what log-dirty mode of a PV guest needs */
    struct xl_version xen;
};

/* By name or number. ERR_REFUSED (-ESRCH) when there is none, or when it is dom0. */
int xl_find(struct xl *xl, const char *name_or_domid, struct xl_domain *d, struct err *e);
/* -ESRCH when that domid does not exist. */
int xl_look(struct xl *xl, uint32_t domid, struct xl_domain *d, struct err *e);
/* As xl_look(), and -ESRCH too when it has another UUID: a domid is used again. */
int xl_look_at(struct xl *xl, uint32_t domid, const char *uuid, struct xl_domain *d, struct err *e);
/* The domain of that name; -ESRCH without an error when there is none. */
int xl_by_name(struct xl *xl, const char *name, struct xl_domain *d, struct err *e);

/* The same by UUID, which the two ends of a move within one host share: any domain that has it;
 * another one than domid; one that is paused and has never run. One that is dying counts as gone.
 */
int xl_by_uuid(struct xl *xl, const char *uuid, struct xl_domain *d, struct err *e);
int xl_twin_of(struct xl *xl, const char *uuid, uint32_t domid, struct xl_domain *d, struct err *e);
int xl_unrun_by_uuid(struct xl *xl, const char *uuid, struct xl_domain *d, struct err *e);

/* All of them but dom0 and those that are dying; the array is the caller's to free. */
int xl_guests(struct xl *xl, struct xl_domain **list, unsigned *count, struct err *e);

static inline bool xl_is_suspended(const struct xl_domain *d)
{
    return d->shut_down && !d->dying && d->reason == LIBXL_SHUTDOWN_REASON_SUSPEND;
}

int xl_host(struct xl *xl, struct xl_host *h, struct err *e);

/* Refused by libxl when the new name exists. */
int xl_rename(struct xl *xl, uint32_t domid, const char *from, const char *to, int64_t deadline_ns,
    struct err *e);
int xl_unpause(struct xl *xl, uint32_t domid, int64_t deadline_ns, struct err *e);
/* 0 also when it is gone already. Large guests and devices' scripts take their time: 300 s at most,
 * or until then. over_fd (-1: none) is an eventfd, written to when libxl is through, even with a
 * call that was left behind, or could not be asked. */
int xl_destroy(struct xl *xl, uint32_t domid, struct err *e);
int xl_destroy_until(
    struct xl *xl, uint32_t domid, int64_t deadline_ns, int over_fd, struct err *e);

/* The scheduler's cap on a domain's processor time: percent of one processor for all of its vCPUs
 * together, at most 100 for each; 0: none. ERR_REFUSED where the scheduler has no such thing. */
int xl_cap(struct xl *xl, uint32_t domid, unsigned *percent, struct err *e);
int xl_set_cap(struct xl *xl, uint32_t domid, unsigned percent, struct err *e);

/* "pv", "pvh", "hvm". */
const char *xl_type_name(libxl_domain_type type);
/* "poweroff", "crash", ...; never NULL. */
const char *xl_reason_name(libxl_shutdown_reason reason);
void xl_uuid_text(const libxl_uuid *uuid, char text[static XL_UUID_TEXT_BYTES]);

#endif
