/* SPDX-License-Identifier: MIT */
/*
 * A host as its hypervisor sees it: one machine, its domains and its log. It knows neither the
 * clients that make hypercalls nor the programs that run as guests; both sit above it and are
 * called through host_ops.
 */
#ifndef XENSIM_HYPERVISOR_HOST_H
#define XENSIM_HYPERVISOR_HOST_H

#include "xensim/hypervisor/machine.h"

#include "base/err.h"
#include "base/log.h"

struct domain;
struct devices;

enum { MAX_DOMAINS = 1024, FIRST_DOMID = 1, NAME_BYTES = 64 };

struct host_ops {
    /* Drop the references of mappings that clients have let go of. d (may be NULL) is the domain
     * whose lock the caller holds: only its mappings are swept. */
    void (*sweep_mappings)(void *arg, struct domain *d);
    /* Run what is in the domain's memory, at its first unpause, and set d->guest. d->guest_lock is
     * held. */
    void (*start_guest)(struct domain *d);
    /* Free d->guest, whose vCPU threads have ended. d->guest_lock is held. */
    void (*free_guest)(void *guest);
    /* End the thread of d->emulator, if it has one; free it, when the domain is. */
    void (*stop_emulator)(struct domain *d);
    void (*free_emulator)(void *emulator);
    /* Where the domain's first disk is, which whoever is its toolstack knows; false: nowhere. */
    bool (*disk_path)(const struct domain *d, char *path, size_t bytes);
};

struct host {
    char name[NAME_BYTES];
    struct machine machine;
    struct log log;
    _Atomic uint64_t log_lines;
    bool tmem;          /* it has transcendent memory, as Xen had until 4.11 */
    bool no_shadow;     /* PV log-dirty is refused, as on a Xen built without shadow paging */
    bool old_cpu;       /* its processor lacks what other hosts' have */
    uint32_t scheduler; /* XEN_SCHEDULER_*: what it says it has, and which parameters it takes */
    const struct host_ops *ops;
    void *ops_arg; /* of sweep_mappings */

    pthread_mutex_t domctl_lock;
    pthread_rwlock_t domains_lock;
    struct domain *domains[MAX_DOMAINS];
    uint16_t next_domid;
    struct devices *devices; /* the toolstack's (xensim/device.h), which Xen knows nothing of */

    /* Counts domains that come, go, shut down or resume; see host_await_change(). */
    pthread_mutex_t change_lock;
    pthread_cond_t change_cond;
    uint64_t changes;

    int stop_fd; /* eventfd, readable once the host is to end */
};

/* Locks, counters and stop_fd. The rest is set by whoever makes the host. */
int host_init(struct host *h, struct err *e);

#define host_log(h, ...) log_write(&(h)->log, LOG_INFO, __VA_ARGS__)

/* For what a client can cause over and over: the first thousand lines, then every 4096th. */
void host_log_rate(struct host *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Something that toolstacks wait for changed about a domain. */
void host_notify(struct host *h);

/* Wait until something about domains changes, at most a tenth of a second. */
void host_await_change(struct host *h);

/* The same, but not for what changed since host->changes was seen; what it is now. */
uint64_t host_await_change_after(struct host *h, uint64_t seen);

/* Ask the host to end. Safe in a signal handler. 0 or -EIO. */
int host_stop(struct host *h);

/* Drop mappings of d's pages that clients have let go of. d->lock is held. */
void host_sweep_mappings(struct host *h, struct domain *d);

#endif
