/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/turns.h"

#include "cmd/lock_file.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICKET "after-"

enum { TICKET_GOOD_S = 5 };

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

/* ---- tickets ---- */

static int take_ticket(struct turn *t, const char *dir, struct err *e)
{
    char path[TURN_PATH_BYTES];
    int rc;

    if (t->ticket_fd >= 0) {
        futimens(t->ticket_fd, NULL);
        return 0;
    }
    /* In the order of their names. */
    snprintf(t->ticket, sizeof(t->ticket), TICKET "%019" PRId64 "-%d", now_ns(), (int)getpid());
    snprintf(path, sizeof(path), "%s/%s", dir, t->ticket);
    /* Another process may hold it for a moment, to see whether anybody does. */
    rc = lock_file_wait(path, deadline_in(NS_PER_S), &t->ticket_fd);
    if (!rc)
        return 0;
    t->ticket_fd = -1;
    return err_sys(e, ERR_LOCAL, -rc, "cannot lock %s", path);
}

static void drop_ticket(struct turn *t, const char *dir)
{
    char path[TURN_PATH_BYTES];

    if (t->ticket_fd < 0)
        return;
    snprintf(path, sizeof(path), "%s/%s", dir, t->ticket);
    lock_file_drop(path, t->ticket_fd);
    t->ticket_fd = -1;
}

/* Does a process hold it that still tries? The ticket of one that was killed is removed, and one
 * that was stopped keeps nobody waiting. */
static bool is_waited_for(const char *dir, const char *ticket)
{
    bool tries;
    int fd;

    if (!lock_file_is_held(dir, ticket, &fd))
        return false;
    tries = lock_file_was_touched(fd, TICKET_GOOD_S);
    close(fd);
    return tries;
}

static bool others_come_first(const struct turn *t, const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;
    bool found = false;

    while (d && !found && (entry = readdir(d)))
        found = !strncmp(entry->d_name, TICKET, sizeof(TICKET) - 1) &&
                strcmp(entry->d_name, t->ticket) < 0 && is_waited_for(dir, entry->d_name);
    if (d)
        closedir(d);
    return found;
}

/* ---- turns ---- */

int turn_try_move(struct turn *t, unsigned at_once, struct err *e)
{
    char dir[PATHS_BYTES];
    int rc = t->fd >= 0 ? 1 : open_run_dir(dir, e);

    if (rc)
        return rc;
    rc = take_ticket(t, dir, e);
    if (rc || others_come_first(t, dir))
        return rc;
    for (unsigned i = 1; !rc && i <= at_once; i++) {
        snprintf(t->path, sizeof(t->path), "%s/moving-%u", dir, i);
        rc = try_path(t, e);
    }
    if (rc)
        drop_ticket(t, dir);
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
    char dir[PATHS_BYTES];
    struct err ignored = ERR_INIT;

    if (t->ticket_fd >= 0 && !open_run_dir(dir, &ignored))
        drop_ticket(t, dir);
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
