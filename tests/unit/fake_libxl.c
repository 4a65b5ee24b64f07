/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_libxl.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/paths.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_NS (20 * NS_PER_S)

void (*fake_play)(struct xl_async *op);
void (*fake_begun)(const struct xl_async *op);
unsigned fake_freed;
char fake_run_dir[TEMP_DIR_BYTES];

/* --- where things are --- */

int fake_run_dir_make(void)
{
    return temp_dir_make(fake_run_dir);
}

int fake_run_dir_remove(void)
{
    return temp_dir_remove(fake_run_dir);
}

int open_run_dir(char path[static PATHS_BYTES], struct err *e)
{
    (void)e;
    strcpy(path, fake_run_dir);
    return 0;
}

int open_state_dir(char path[static PATHS_BYTES], struct err *e)
{
    return open_run_dir(path, e);
}

int find_program(const char *name, char path[static PATHS_BYTES], struct err *e)
{
    (void)e;
    snprintf(path, PATHS_BYTES, "/%s", name);
    return 0;
}

/* --- libxl --- */

static void *run(void *arg)
{
    struct xl_async *op = arg;

    fake_play(op);
    eventfd_write(op->event_fd, 1);
    return NULL;
}

static int start(struct xl_async **out, const struct xl_async *what, struct err *e)
{
    struct xl_async *op = malloc(sizeof(*op));

    assert_non_null(op);
    *op = *what;
    assert_int_equal(cancel_init(&op->abort, e), 0);
    op->event_fd = eventfd(0, EFD_CLOEXEC);
    if (fake_begun)
        fake_begun(op);
    *out = op;
    return -pthread_create(&op->thread, NULL, run, op);
}

int xl_async_suspend(
    struct xl_async **op, const struct log *log, uint32_t domid, int fd, bool live, struct err *e)
{
    (void)log;
    return start(op, &(struct xl_async){.domid = domid, .fd = fd, .live = live}, e);
}

int xl_async_restore(
    struct xl_async **op, const struct log *log, libxl_domain_config *config, int fd, struct err *e)
{
    (void)log;
    return start(op, &(struct xl_async){.restore = true, .config = config, .fd = fd}, e);
}

int xl_async_event_fd(const struct xl_async *op)
{
    return op->event_fd;
}

void xl_async_hide(struct xl_async *op, int fd)
{
    (void)op;
    (void)fd;
}

void xl_async_abort(struct xl_async *op)
{
    cancel_fire(&op->abort);
}

int xl_async_finish(struct xl_async *op, uint32_t *domid, struct err *e)
{
    pthread_join(op->thread, NULL);

    const int rc = err_is_set(&op->e) ? err_take(e, &op->e) : 0;

    if (!rc && domid)
        *domid = op->domid;
    return rc;
}

void xl_async_free(struct xl_async *op)
{
    if (!op)
        return;
    close(op->event_fd);
    cancel_destroy(&op->abort);
    free(op);
    fake_freed++;
}

/* --- for players --- */

int fake_take_job(struct xl_async *op, struct link_message *m)
{
    struct err e = ERR_INIT;
    const int sock = link_connect(getenv(LINK_ENV), &e);
    const int rc = sock < 0 ? sock : link_recv(sock, m, &op->abort, deadline_in(LIMIT_NS), &e);

    if (!rc && m->kind == LINK_JOB)
        return sock;
    if (!rc)
        link_message_clear(m);
    if (sock >= 0)
        close(sock);
    err_set(&op->e, ERR_CANCELLED, ECANCELED, "libxl: aborted");
    return -1;
}

int fake_join(struct xl_async *op)
{
    struct link_message m;
    const int sock = fake_take_job(op, &m);

    if (sock >= 0)
        link_message_clear(&m);
    return sock;
}

void fake_send_event(int sock, const char *event)
{
    struct err e = ERR_INIT;

    link_send_event(sock, json_pack("{s:s}", "event", event), &e);
}

json_t *fake_totals(void)
{
    return json_pack(
        "{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i}, "
        "s:{s:i, s:i, s:i, s:i, s:i, s:i}}",
        "rounds", 2, "data_pages", 10, "zero_pages", 1, "delta_pages", 3, "delta_saved_bytes",
        12000, "wire_bytes", 4096, "aux_entries", 2, "aux_bytes", 8192, "total_ns", 5, "encryption",
        "", "predicted", "downtime_ns", 6, "low_ns", 5, "high_ns", 7, "suspend_ns", 1,
        "last_round_ns", 2, "finish_ns", 3, "network_ns", 0, "downtime", "suspend_ns", 1,
        "clean_ns", 1, "last_round_ns", 2, "state_ns", 3, "receiver_ns", 4, "disks_ns", 0);
}

void fake_libxl_fails(struct xl_async *op)
{
    err_set(&op->e, ERR_LOCAL, EIO, "libxl: it failed");
}

void fake_obey(struct xl_async *op, int sock)
{
    struct link_message m;
    struct err e = ERR_INIT;

    assert_int_equal(link_recv(sock, &m, NULL, deadline_in(LIMIT_NS), &e), 0);
    assert_int_equal(m.kind, LINK_ABORT);
    link_send_failed(sock, &m.failed, &e);
    link_message_clear(&m);
    close(sock);
    fake_libxl_fails(op);
}

void fake_await_abort(struct xl_async *op)
{
    io_wait(op->abort.event_fd, POLLIN, NULL, deadline_in(60 * NS_PER_S));
    err_set(&op->e, ERR_CANCELLED, ECANCELED, "libxl: aborted");
}
