/*
 * Hypercalls, answered as Xen 4.17 answers them. Every pointer a client passes lies in its
 * session's arena. What xensim does not know is -ENOSYS (or what Xen says for an unknown
 * sub-operation) and is named in the host's log: nothing succeeds silently.
 *
 * To add one: find its number below, its structure in /usr/include/xen, and write a function
 * that copies the arguments once, checks them, acts under the locks that domain.h tells, and
 * copies back what Xen copies back.
 */
#ifndef XENSIM_HYPERVISOR_HYPERCALL_H
#define XENSIM_HYPERVISOR_HYPERCALL_H

#include "xensim/session.h"

/* Returns what the hypercall returns: negative values are Xen's errno, as Linux's are. */
int64_t hypercall(struct host *h, struct session *s, uint64_t op, const uint64_t *arg);

int64_t do_domctl(struct host *h, struct session *s, uint64_t arg);
int64_t do_sysctl(struct host *h, struct session *s, uint64_t arg);
int64_t do_memory_op(struct host *h, struct session *s, uint64_t cmd, uint64_t arg);

/* Fill what getdomaininfo tells. */
void domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info);

#endif
