/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/turns.h"

#include "cmd/lock_file.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static int try_path(struct turn *t, struct err *e)
{
    const int rc = lock_file_take(t->path, &t->fd);

    if (!rc)
        return 1;
    if (rc == -EWOULDBLOCK)
        close(t->fd);
    t->fd = -1;
    return rc == -EWOULDBLOCK ? 0 : err_sys(e, ERR_LOCAL, -rc, "cannot lock %s", t->path);
}

unsigned turns_at_once(unsigned cores, unsigned lanes)
{
    const unsigned fit = lanes ? cores / lanes : 1;

    return fit < 1 ? 1 : fit > TURNS_MOST ? TURNS_MOST : fit;
}

int turn_try_move(struct turn *t, unsigned at_once, struct err *e)
{
    char dir[PATHS_BYTES];
    int rc = t->fd >= 0 ? 1 : open_run_dir(dir, e);

    for (unsigned i = 1; !rc && i <= at_once; i++) {
        snprintf(t->path, sizeof(t->path), "%s/moving-%u", dir, i);
        rc = try_path(t, e);
    }
    return rc;
}

int turn_try_pause(struct turn *t, struct err *e)
{
    char dir[PATHS_BYTES];
    int rc = t->fd >= 0 ? 1 : open_run_dir(dir, e);

    if (rc)
        return rc;
    snprintf(t->path, sizeof(t->path), "%s/pausing", dir);
    rc = try_path(t, e);
    if (rc > 0)
        t->unused_ns = deadline_in(TURN_PAUSE_UNUSED_NS);
    return rc;
}

void turn_end(struct turn *t)
{
    if (t->fd >= 0)
        lock_file_drop(t->path, t->fd);
    t->fd = -1;
    t->unused_ns = DEADLINE_NEVER;
}

void turn_end_unused(struct turn *t)
{
    if (deadline_passed(t->unused_ns))
        turn_end(t);
}
