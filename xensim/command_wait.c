/* SPDX-License-Identifier: MIT */
#include "xensim/command_wait.h"
#include "xensim/command_domain.h"
#include "xensim/guest/run.h"

#include "base/deadline.h"
#include "base/units.h"

#include <errno.h>
#include <poll.h>

static bool hung_up(int sock)
{
    struct pollfd p = {.fd = sock, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

int do_suspend(struct host *h, int sock, struct words *w, struct answer *a)
{
    struct domain *d = find_domain(h, w, a);
    const char *limit = next_word(w);
    int64_t wait_ns = 60 * NS_PER_S;

    if (!d)
        return -ENOENT;
    if (limit && !parse_duration_ns(limit, &wait_ns)) {
        domain_put(d);
        return fail(a, EINVAL, "suspend DOMAIN [LIMIT]: %s is not a time", limit);
    }

    int64_t deadline = deadline_in(wait_ns);
    int rc = 0;

    guest_write_shutdown_node(d, true, NULL);
    while (!domain_is_suspended(d) && !rc) {
        if (d->dying || d->is_shut_down)
            rc = fail(a, ESRCH, "domain %s is %s", d->name, domain_state_name(d));
        else if (hung_up(sock))
            rc = -EPIPE; /* a toolstack that is dead takes nothing back */
        else if (deadline_passed(deadline) && guest_withdraw_suspend(d))
            rc = fail(a, ETIMEDOUT, "domain %s did not suspend within %s", d->name,
                limit ? limit : "60s");
        else
            host_await_change(h);
    }
    domain_put(d);
    return rc;
}

int do_changes(struct host *h, int sock, struct words *w, struct answer *a)
{
    const char *last = next_word(w);
    uint64_t seen = UINT64_MAX, changes;

    if (last && !parse_u64(last, 0, UINT64_MAX, &seen))
        return fail(a, EINVAL, "changes [LAST]");
    do {
        changes = host_await_change_after(h, seen);
    } while (changes == seen && !hung_up(sock));
    say(a, "%llu", (unsigned long long)changes);
    return 0;
}

int do_await(struct host *h, int sock, struct words *w, struct answer *a)
{
    struct domain *d = find_domain(h, w, a);

    if (!d)
        return -ENOENT;
    while (!d->is_shut_down && !d->dying && !hung_up(sock))
        host_await_change(h);
    say(a, "%s %u\n",
        d->dying          ? "dead"
        : d->is_shut_down ? "shutdown"
                          : "running",
        d->shutdown_code);
    domain_put(d);
    return 0;
}
