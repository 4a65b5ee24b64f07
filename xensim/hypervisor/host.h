/*
 * A host: one machine, its domains and the clients that talk to it. Made by `xensim host`, lives
 * in one daemon process, and keeps its sockets in a run directory.
 */
#ifndef XENSIM_HYPERVISOR_HOST_H
#define XENSIM_HYPERVISOR_HOST_H

#include "xensim/hypervisor/domain.h"

#include "base/log.h"

enum { MAX_DOMAINS = 1024, FIRST_DOMID = 1 };

struct host {
    char name[NAME_BYTES];
    char dir[400];
    struct machine machine;
    struct log log;
    int log_fd;
    bool no_shadow;     /* PV log-dirty is refused, as on a Xen built without shadow paging */
    uint32_t scheduler; /* XEN_SCHEDULER_*: what it says it has, and which parameters it takes */

    pthread_mutex_t domctl_lock;
    pthread_rwlock_t domains_lock;
    struct domain *domains[MAX_DOMAINS];
    uint16_t next_domid;

    pthread_mutex_t sessions_lock;
    struct session *sessions;
    uint64_t next_token;

    /* Counts up whenever a domain comes, goes, shuts down or resumes; waiters poll it. */
    pthread_mutex_t change_lock;
    pthread_cond_t change_cond;
    uint64_t changes;

    int listen_fd;
    int stop_fd; /* eventfd: the daemon ends */
    _Atomic uint64_t log_lines;
    _Atomic uint64_t unknown_ioctls[4]; /* a bit a number: named in the log already */
};

#define host_log(h, ...) log_write(&(h)->log, LOG_INFO, __VA_ARGS__)

/* For what a client can cause over and over: every line of the first thousand, then each 4096th. */
void host_log_rate(struct host *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Something about a domain changed that toolstacks wait for. */
void host_notify(struct host *h);

/* Drop the references of mappings that clients have let go of. d (may be NULL) is the domain
 * whose lock the caller holds: only its mappings are looked at then. */
void host_sweep_mappings(struct host *h, struct domain *d);

/* Run until stopped. */
int host_run(struct host *h, struct err *e);

#endif
