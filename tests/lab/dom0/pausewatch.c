/* SPDX-License-Identifier: MIT */
/*
 * pausewatch UUID: says when a domain was suspended on this host, as xenstored tells, and when a
 * copy of it was unpaused, give or take LOOK_MS, by the host's clock:
 *
 *     suspended 1764230000123
 *     unpaused 1764230000458
 *
 * Source and copy have the same UUID, so the two may be on one host. Whose tools move it does not
 * matter: Xen is asked, and often only from the copy's introduction to its first run, because that
 * costs the host what it has for the move. Until it is killed.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xenctrl.h>
#include <xenstore.h>

enum { MAX_DOMAINS = 16, LOOK_MS = 5, UUID_BYTES = sizeof(xen_domain_handle_t) };

static bool parse_uuid(const char *text, uint8_t uuid[UUID_BYTES])
{
    unsigned n = 0, byte;

    for (; *text && n < UUID_BYTES; text += *text == '-' ? 1 : 2)
        if (*text != '-') {
            if (sscanf(text, "%2x", &byte) != 1)
                return false;
            uuid[n++] = (uint8_t)byte;
        }
    return n == UUID_BYTES;
}

static void say(const char *what)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    printf("%s %lld\n", what, now.tv_sec * 1000LL + now.tv_nsec / 1000000);
    fflush(stdout);
}

static bool is_suspended(uint32_t flags)
{
    return flags & XEN_DOMINF_shutdown &&
           (flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask) == SHUTDOWN_suspend;
}

/* What is new of the domains with that UUID; true: one of them is paused. */
static bool look(xc_interface *xch, const uint8_t uuid[UUID_BYTES])
{
    static xc_domaininfo_t domains[MAX_DOMAINS];
    static bool was_paused[DOMID_FIRST_RESERVED], was_suspended[DOMID_FIRST_RESERVED];
    const int n = xc_domain_getinfolist(xch, 1, MAX_DOMAINS, domains);
    bool any_paused = false;

    for (int i = 0; i < n; i++) {
        const domid_t domid = domains[i].domain;
        const bool paused = domains[i].flags & XEN_DOMINF_paused;
        const bool suspended = is_suspended(domains[i].flags);

        if (memcmp(domains[i].handle, uuid, UUID_BYTES))
            continue;
        if (suspended && !was_suspended[domid])
            say("suspended");
        if (was_paused[domid] && !paused)
            say("unpaused");
        was_suspended[domid] = suspended;
        was_paused[domid] = paused;
        any_paused |= paused;
    }
    return any_paused;
}

int main(int argc, char **argv)
{
    uint8_t uuid[UUID_BYTES];
    xc_interface *xch = xc_interface_open(NULL, NULL, 0);
    struct xs_handle *xs = xs_open(0);

    if (argc != 2 || !parse_uuid(argv[1], uuid) || !xch || !xs ||
        !xs_watch(xs, "@introduceDomain", "") || !xs_watch(xs, "@releaseDomain", "")) {
        fprintf(stderr, "usage: pausewatch UUID\n");
        return 1;
    }
    for (;;) {
        struct pollfd fd = {.fd = xs_fileno(xs), .events = POLLIN};
        char **event;

        poll(&fd, 1, look(xch, uuid) ? LOOK_MS : -1);
        while ((event = xs_check_watch(xs)))
            free(event);
    }
}
