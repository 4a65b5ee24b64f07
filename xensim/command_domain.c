/* SPDX-License-Identifier: MIT */
#include "xensim/command_domain.h"

#include "base/units.h"

struct domain *find_domain(struct host *h, struct words *w, struct answer *a)
{
    const char *name = next_word(w);
    uint64_t id;

    if (!name) {
        say(a, "which domain? give its id or name");
        return NULL;
    }
    if (parse_u64(name, 0, MAX_DOMAINS - 1, &id)) {
        struct domain *d = domain_get(h, (uint16_t)id);

        if (d)
            return d;
    }
    for (unsigned i = 0; i < MAX_DOMAINS; i++) {
        struct domain *d = domain_get(h, (uint16_t)i);

        if (d && !strcmp(d->name, name))
            return d;
        if (d)
            domain_put(d);
    }
    say(a, "host %s has no domain %s; `xensim list %s` shows what it has", h->name, name, h->name);
    return NULL;
}

const char *domain_type_name(const struct domain *d)
{
    return d->emulated ? "hvm" : d->hvm ? "pvh" : d->pv32 ? "pv32" : "pv";
}

bool domain_name_is_taken(struct host *h, const char *name)
{
    bool taken = false;

    pthread_rwlock_rdlock(&h->domains_lock);
    for (unsigned i = 0; i < MAX_DOMAINS && !taken; i++)
        taken = h->domains[i] && !strcmp(h->domains[i]->name, name);
    pthread_rwlock_unlock(&h->domains_lock);
    return taken;
}

const char *domain_state_name(const struct domain *d)
{
    static const char *const codes[] = {
        [SHUTDOWN_poweroff] = "poweroff",
        [SHUTDOWN_reboot] = "reboot",
        [SHUTDOWN_suspend] = "suspended",
        [SHUTDOWN_crash] = "crashed",
        [SHUTDOWN_watchdog] = "shut down",
        [SHUTDOWN_soft_reset] = "soft-reset",
    };

    if (d->dying)
        return "dying";
    if (d->is_shut_down)
        return d->shutdown_code < sizeof(codes) / sizeof(codes[0]) ? codes[d->shutdown_code]
                                                                   : "shut down";
    return d->controller_pauses ? "paused" : "running";
}

bool domain_is_suspended(const struct domain *d)
{
    return d->is_shut_down && d->shutdown_code == SHUTDOWN_suspend;
}
