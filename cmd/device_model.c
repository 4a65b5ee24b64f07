/* SPDX-License-Identifier: MIT */
#include "cmd/device_model.h"

#include "base/deadline.h"
#include "base/io.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* As long as libxl waits. */
#define ANSWER_NS (10 * NS_PER_S)

enum { LINE_BYTES = 8192 };

static int failed(const struct device_model *m, int rc, const char *what, struct err *e)
{
    return err_set(e, ERR_LOCAL, -rc, "the device model (QEMU) of domain %u, %s: %s", m->domid,
        what, rc == -ECONNREFUSED ? "it is dead" : io_strerror(rc));
}

/* Of what has come, as much as belongs to the line. */
static int read_part(
    const struct device_model *m, char *at, size_t room, size_t *len_bytes, int64_t deadline_ns)
{
    const int rc = io_wait(m->sock, POLLIN, NULL, deadline_ns);
    const ssize_t n = rc ? 0 : recv(m->sock, at, room, MSG_PEEK);

    if (rc || n <= 0)
        return rc ? rc : n ? -errno : -ENODATA;

    const char *const end = memchr(at, '\n', (size_t)n);

    *len_bytes = end ? (size_t)(end + 1 - at) : (size_t)n;
    return io_read_full(m->sock, at, *len_bytes, NULL, deadline_ns);
}

/* One object, or NULL; owned by the caller. */
static json_t *read_object(const struct device_model *m, int64_t deadline_ns, int *rc)
{
    char line[LINE_BYTES];
    size_t n = 0, part = 0;

    do {
        *rc = n < sizeof(line) ? read_part(m, line + n, sizeof(line) - n, &part, deadline_ns)
                               : -EMSGSIZE;
        n += *rc ? 0 : part;
    } while (!*rc && line[n - 1] != '\n');
    if (*rc)
        return NULL;

    json_t *o = json_loadb(line, n, 0, NULL);

    if (!o)
        *rc = -EBADMSG;
    return o;
}

/* What QEMU answers, events aside: the value of "return", owned by the caller. */
static int ask(const struct device_model *m, const char *command, json_t **value, const char *what,
    struct err *e)
{
    const int64_t deadline_ns = deadline_in(ANSWER_NS);
    int rc = io_write_full(m->sock, command, strlen(command), NULL, deadline_ns);

    while (!rc) {
        json_t *o = read_object(m, deadline_ns, &rc);
        json_t *found = json_object_get(o, "return");
        const char *refusal = json_string_value(
            json_object_get(json_object_get(o, "error"), "desc"));

        if (found && value)
            *value = json_incref(found);
        if (refusal)
            rc = err_set(e, ERR_LOCAL, EIO, "the device model (QEMU) of domain %u, %s: %s",
                m->domid, what, refusal);
        json_decref(o);
        if (found || refusal)
            return rc;
    }
    return failed(m, rc, what, e);
}

int device_model_greet(struct device_model *m, struct err *e)
{
    const char *what = "greeted";
    json_int_t major, minor;
    int rc;
    json_t *greeting = read_object(m, deadline_in(ANSWER_NS), &rc);

    if (!rc && json_unpack(greeting, "{s:{s:{s:{s:I, s:I}}}}", "QMP", "version", "qemu", "major",
                   &major, "minor", &minor))
        rc = -EBADMSG;
    json_decref(greeting);
    if (!rc)
        m->version = (struct device_model_version){(unsigned)major, (unsigned)minor};
    if (rc)
        return failed(m, rc, what, e);
    return ask(m, "{\"execute\":\"qmp_capabilities\"}\n", NULL, what, e);
}

static int reached(struct device_model *m, int rc, struct err *e)
{
    if (rc)
        device_model_close(m);
    /* EAGAIN: so many wait for it already. */
    if (rc == -EAGAIN)
        rc = -ETIMEDOUT;
    return !rc || rc == -ENOENT || err_is_set(e) ? rc : failed(m, rc, "reached", e);
}

int device_model_connect(struct device_model *m, uint32_t domid, struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    *m = (struct device_model){.sock = -1, .domid = domid};
    snprintf(a.sun_path, sizeof(a.sun_path), "/var/run/xen/qmp-libxenstat-%u", domid);

    const int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (sock < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot make a socket");
    m->sock = sock;
    return reached(m, connect(sock, (struct sockaddr *)&a, sizeof(a)) ? -errno : 0, e);
}

int device_model_open(struct device_model *m, uint32_t domid, struct err *e)
{
    const int rc = device_model_connect(m, domid, e);

    return rc ? rc : reached(m, device_model_greet(m, e), e);
}

void device_model_close(struct device_model *m)
{
    if (m->sock >= 0)
        close(m->sock);
    m->sock = -1;
}

bool device_model_is_gone(const struct device_model *m)
{
    struct pollfd p = {.fd = m->sock};

    return m->sock >= 0 && poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

static const char query_status[] = "{\"execute\":\"query-status\"}\n", how[] = "asked how it is";

/* What it answers to that; false: it is something else. */
static bool read_run(const json_t *answer, enum device_model_run *run)
{
    const char *status = json_string_value(json_object_get(answer, "status"));

    if (status)
        *run = !strcmp(status, "inmigrate") ? DEVICE_MODEL_INCOMING
               : !strcmp(status, "running") ? DEVICE_MODEL_RUNNING
                                            : DEVICE_MODEL_STILL;
    return status;
}

int device_model_ask_run(const struct device_model *m, struct err *e)
{
    const int rc = io_write_full(
        m->sock, query_status, strlen(query_status), NULL, deadline_in(ANSWER_NS));

    return rc ? failed(m, rc, how, e) : 0;
}

int device_model_hear_run(const struct device_model *m, enum device_model_run *run, struct err *e)
{
    int rc;
    json_t *o = read_object(m, deadline_in(ANSWER_NS), &rc);
    const bool heard = read_run(json_object_get(o, "return"), run);

    json_decref(o);
    return rc ? failed(m, rc, how, e) : heard;
}

int device_model_query_run(struct device_model *m, enum device_model_run *run, struct err *e)
{
    json_t *answer = NULL;
    int rc = ask(m, query_status, &answer, how, e);

    if (!rc && !read_run(answer, run))
        rc = failed(m, -EBADMSG, how, e);
    json_decref(answer);
    return rc;
}

int device_model_is_paused(struct device_model *m, bool *paused, struct err *e)
{
    enum device_model_run run;
    const int rc = device_model_query_run(m, &run, e);

    if (!rc)
        *paused = run != DEVICE_MODEL_RUNNING;
    return rc;
}

int device_model_continue(struct device_model *m, struct err *e)
{
    return ask(m, "{\"execute\":\"cont\"}\n", NULL, "told to run on", e);
}

/* QEMU dies of an assertion when it is told to switch off what is off, and cannot be asked. Since
 * 7.2 it may be told to switch on what is on. */
int device_model_log_off(struct device_model *m, struct err *e)
{
    const int rc = ask(m,
        "{\"execute\":\"xen-set-global-dirty-log\",\"arguments\":{\"enable\":true}}\n", NULL,
        "told to switch its log-dirty on", e);

    return rc ? rc
              : ask(m,
                    "{\"execute\":\"xen-set-global-dirty-log\",\"arguments\":{\"enable\":false}}\n",
                    NULL, "told to switch its log-dirty off", e);
}
