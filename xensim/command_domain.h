/* SPDX-License-Identifier: MIT */
/* How commands name a domain, and how answers describe it. */
#ifndef XENSIM_COMMAND_DOMAIN_H
#define XENSIM_COMMAND_DOMAIN_H

#include "xensim/command_io.h"
#include "xensim/hypervisor/domain.h"

/* The domain that the next word names, by id or name: a reference, or NULL with an answer. */
struct domain *find_domain(struct host *h, struct words *w, struct answer *a);

bool domain_name_is_taken(struct host *h, const char *name);

const char *domain_type_name(const struct domain *d);
const char *domain_state_name(const struct domain *d);
bool domain_is_suspended(const struct domain *d);

#endif
