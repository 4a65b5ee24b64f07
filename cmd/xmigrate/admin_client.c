/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/admin_client.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/xmigrate/handoff/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One that is busy answers all the same; one that is stopped does not. */
#define ANSWER_NS (3 * NS_PER_S)
#define AGAIN_NS  (10 * NS_PER_MS)

/* --- one of them --- */

/* EAGAIN: more wait there than are taken at once. */
static int connect_patiently(int fd, const struct sockaddr_un *a, int64_t deadline_ns)
{
    int rc;

    while ((rc = connect(fd, (const struct sockaddr *)a, sizeof(*a))) && errno == EAGAIN &&
           !deadline_passed(deadline_ns))
        sleep_until_ns(deadline_in(AGAIN_NS));
    return rc;
}

/* The socket of one that lives may be bound and not listen yet. */
static void remove_if_dead(const char *path)
{
    const char *number = strrchr(path, '-');

    if (number && sweep_is_of_dead(number + 1))
        unlink(path);
}

static int reach(const char *path, int64_t deadline_ns, struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot make a socket");
    if (snprintf(a.sun_path, sizeof(a.sun_path), "%s", path) >= (int)sizeof(a.sun_path))
        errno = ENAMETOOLONG;
    else if (!connect_patiently(fd, &a, deadline_ns))
        return fd;

    const int why = errno;

    close(fd);
    if (why == ECONNREFUSED)
        remove_if_dead(path);
    return why == ECONNREFUSED || why == ENOENT
               ? -ENOENT
               : err_sys(e, ERR_LOCAL, why, "cannot reach the migration at %s", path);
}

static int read_line(int fd, char line[static ADMIN_LINE_BYTES], int64_t deadline_ns)
{
    size_t used_bytes = 0;

    while (used_bytes < ADMIN_LINE_BYTES - 1) {
        const ssize_t n = io_read_some(fd, line + used_bytes, ADMIN_LINE_BYTES - 1 - used_bytes);

        if (n == -EAGAIN) {
            const int rc = io_wait(fd, POLLIN, NULL, deadline_ns);

            if (rc)
                return rc;
            continue;
        }
        if (n < 0)
            return (int)n;
        if (n == 0)
            break;
        used_bytes += (size_t)n;
    }
    line[used_bytes] = '\0';
    return used_bytes ? 0 : -ENODATA;
}

json_t *admin_ask(const char *path, const struct admin_request *r, struct err *e)
{
    const int64_t deadline_ns = deadline_in(ANSWER_NS);
    char line[ADMIN_LINE_BYTES], *text = admin_request_text(r);
    const int fd = text ? reach(path, deadline_ns, e) : -ENOMEM;
    json_t *o = NULL;
    int rc = fd < 0 ? fd : 0;

    if (fd >= 0) {
        const size_t len = strlen(text);

        text[len] = '\n'; /* in the NUL's place */
        rc = io_write_full(fd, text, len + 1, NULL, deadline_ns);
        if (!rc)
            rc = read_line(fd, line, deadline_ns);
        close(fd);
        /* It ended just now. */
        if (rc && rc != -ENODATA && rc != -EPIPE && rc != -ECONNRESET)
            err_set(e, ERR_LOCAL, -rc, "the migration at %s does not answer: %s", path,
                io_strerror(rc));
        o = rc ? NULL : json_loads(line, 0, NULL);
    }
    free(text);
    return o;
}

/* --- all of them --- */

int admin_for_each(
    int (*visit)(void *arg, const char *path, struct err *e), void *arg, struct err *e)
{
    char dir[PATHS_BYTES], path[ADMIN_PATH_BYTES];
    int rc = open_run_dir(dir, e);
    DIR *d = rc ? NULL : opendir(dir);

    if (!rc && !d)
        rc = err_sys(e, ERR_LOCAL, errno, "cannot list %s", dir);
    for (const struct dirent *at; !rc && (at = readdir(d));) {
        if (strncmp(at->d_name, ADMIN_PREFIX, strlen(ADMIN_PREFIX)))
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, at->d_name);
        rc = visit(arg, path, e);
    }
    if (d)
        closedir(d);
    return rc;
}

int admin_list_init(struct admin_list *list, struct err *e)
{
    *list = (struct admin_list){.of = calloc(ADMIN_MAX_MIGRATIONS, sizeof(*list->of))};
    return list->of ? 0 : err_sys(e, ERR_LOCAL, ENOMEM, "no memory");
}

void admin_list_free(struct admin_list *list)
{
    free(list->of);
    *list = (struct admin_list){0};
}

struct collection {
    struct admin_list *list;
    const struct log *log;
};

static int collect_one(void *arg, const char *path, struct err *e)
{
    const struct admin_request r = {.verb = ADMIN_STATUS};
    const struct collection *c = arg;
    struct admin_list *list = c->list;
    struct err one = ERR_INIT;
    json_t *o = admin_ask(path, &r, &one);

    (void)e;
    if (o && list->count < ADMIN_MAX_MIGRATIONS &&
        admin_status_read(json_object_get(o, "status"), &list->of[list->count]))
        list->count++;
    else if (err_is_set(&one))
        log_warn(c->log, "%s", one.text);
    json_decref(o);
    return 0;
}

int admin_collect(struct admin_list *list, const struct log *log, struct err *e)
{
    struct collection c = {list, log};
    const int rc = admin_list_init(list, e);

    return rc ? rc : admin_for_each(collect_one, &c, e);
}
