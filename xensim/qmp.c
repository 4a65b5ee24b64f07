/* SPDX-License-Identifier: MIT */
#include "xensim/qmp.h"
#include "xensim/guest/emulator.h"
#include "xensim/proto.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/units.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 4096 };
#define LOOK_NS (100 * NS_PER_MS)

struct qmp {
    struct host *host;
    int sock;
    struct domain *domain;
    char line[LINE_BYTES];
};

static bool is_alive(struct domain *d)
{
    struct emulator_view v;

    return !emulator_query(d, &v) && v.status != EMULATOR_DEAD;
}

/* Into q->line, without its end. The connection of a device model that dies is closed. */
static int read_line(struct qmp *q)
{
    for (size_t n = 0; n < LINE_BYTES - 1;) {
        int rc = io_wait(q->sock, POLLIN, NULL, deadline_in(LOOK_NS));

        if (rc == -ETIMEDOUT && (!q->domain || is_alive(q->domain)))
            continue;
        if (rc || read(q->sock, &q->line[n], 1) != 1)
            return -EPIPE;
        if (q->line[n++] == '\n') {
            q->line[n - 1] = '\0';
            return 0;
        }
    }
    return -EMSGSIZE;
}

static int answer(struct qmp *q, const char *text)
{
    return io_write_full(q->sock, text, strlen(text), NULL, deadline_in(NS_PER_S));
}

static bool asks(const struct qmp *q, const char *command)
{
    char quoted[64];

    snprintf(quoted, sizeof(quoted), "\"%s\"", command);
    return strstr(q->line, quoted);
}

static int query_status(struct qmp *q)
{
    static const char *const names[] = {
        [EMULATOR_RUNNING] = "running",
        [EMULATOR_PAUSED] = "paused",
        [EMULATOR_WAITING] = "inmigrate",
    };
    struct emulator_view v;
    char text[128];

    if (emulator_query(q->domain, &v) || v.status == EMULATOR_DEAD)
        return -EPIPE;
    snprintf(text, sizeof(text),
        "{\"return\": {\"status\": \"%s\", \"singlestep\": false, \"running\": %s}}\r\n",
        names[v.status], v.status == EMULATOR_RUNNING ? "true" : "false");
    return answer(q, text);
}

/* An event precedes some answers, as with QEMU. */
static int obey(struct qmp *q)
{
    int rc = -ENOSYS;

    if (asks(q, "qmp_capabilities"))
        rc = 0;
    else if (asks(q, "query-status"))
        return query_status(q);
    else if (asks(q, "cont"))
        rc = emulator_continue(q->domain);
    else if (asks(q, "stop"))
        rc = emulator_pause(q->domain);
    else if (asks(q, "xen-set-global-dirty-log"))
        rc = emulator_log(q->domain, strstr(q->line, "true"));
    if (rc == -EPIPE || rc == -ESRCH)
        return rc;
    if (rc)
        return answer(q, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"refused\"}}\r\n");
    if (asks(q, "cont") &&
        answer(
            q, "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 0}, \"event\": \"RESUME\"}\r\n"))
        return -EPIPE;
    return answer(q, "{\"return\": {}}\r\n");
}

static int greet(struct qmp *q)
{
    uint64_t domid;
    int rc = read_line(q);

    if (rc || !parse_u64(q->line, 0, MAX_DOMAINS - 1, &domid))
        return -EPIPE;
    q->domain = domain_get(q->host, (uint16_t)domid);
    if (!q->domain || !is_alive(q->domain)) {
        answer(q, q->domain && q->domain->emulated ? QMP_DEAD : QMP_NONE);
        return -EPIPE;
    }
    rc = answer(q, QMP_ALIVE);
    return rc ? rc
              : answer(q, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, "
                          "\"major\": 7}, "
                          "\"package\": \"xensim\"}, \"capabilities\": [\"oob\"]}}\r\n");
}

static void *serve(void *arg)
{
    struct qmp *q = arg;
    int rc = greet(q);

    while (!rc && !(rc = read_line(q)))
        rc = obey(q);
    if (q->domain)
        domain_put(q->domain);
    close(q->sock);
    free(q);
    return NULL;
}

int qmp_start(struct host *h, int sock)
{
    struct qmp *q = calloc(1, sizeof(*q));
    pthread_attr_t attr;
    pthread_t thread;
    int rc = q ? 0 : -ENOMEM;

    if (!rc) {
        *q = (struct qmp){.host = h, .sock = sock};
        pthread_attr_init(&attr);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        rc = -pthread_create(&thread, &attr, serve, q);
        pthread_attr_destroy(&attr);
    }
    if (rc) {
        close(sock);
        free(q);
    }
    return rc;
}
