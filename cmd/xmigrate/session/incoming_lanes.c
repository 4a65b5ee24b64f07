/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/incoming_lanes.h"

#include "base/deadline.h"
#include "cmd/xmigrate/session/router.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Owns lane->fd. */
static int pass_on(const struct incoming_lane *lane, int link_sock, struct err *e)
{
    struct preamble p;
    int rc = preamble_decode(lane->preamble, &p, e);

    if (!rc)
        rc = link_send_conn(link_sock, p.lane, lane->preamble, lane->fd, e);
    close(lane->fd);
    return rc;
}

int incoming_lanes_pass_on(struct incoming_lanes *l, int link_sock, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < l->kept_count; i++) {
        if (!rc)
            rc = pass_on(&l->kept[i], link_sock, e);
        else
            close(l->kept[i].fd);
    }
    l->kept_count = 0;
    return rc;
}

static void close_router(struct incoming_lanes *l)
{
    if (l->router_sock >= 0)
        close(l->router_sock);
    l->router_sock = -1;
}

static void drop_oldest(struct incoming_lanes *l)
{
    close(l->kept[0].fd);
    l->kept_count--;
    memmove(l->kept, l->kept + 1, l->kept_count * sizeof(l->kept[0]));
}

/* Nothing of it was proven, so it must not end the move if there are too many of them. */
static void keep(struct incoming_lanes *l, const struct incoming_lane *lane)
{
    if (l->kept_count == SESSION_LANES_WAITING)
        drop_oldest(l);
    l->kept[l->kept_count++] = *lane;
}

int incoming_lanes_take(struct incoming_lanes *l, int link_sock, struct err *e)
{
    struct incoming_lane lane;
    const int rc = router_next(l->router_sock, lane.preamble, &lane.fd, now_ns(), e);

    if (rc == -ENODATA)
        close_router(l); /* no new connections; those that are there go on */
    if (rc)
        return rc == -ENODATA || rc == -ETIMEDOUT ? 0 : rc;
    if (link_sock >= 0)
        return pass_on(&lane, link_sock, e);
    keep(l, &lane);
    return 0;
}

void incoming_lanes_close(struct incoming_lanes *l)
{
    for (unsigned i = 0; i < l->kept_count; i++)
        close(l->kept[i].fd);
    l->kept_count = 0;
    close_router(l);
}
