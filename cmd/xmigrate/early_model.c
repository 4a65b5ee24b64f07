/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/early_model.h"

#include "base/deadline.h"
#include "base/io.h"
#include "engine/xen/emulator_nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* While libxl starts it. */
#define START_LOOK_NS (20 * NS_PER_MS)
/* The guest stands still. */
#define LOAD_LOOK_NS NS_PER_MS
/* The source waits no longer than five seconds without a word, and meanwhile it hears none. */
#define WRITE_LIMIT_NS (4 * NS_PER_S)
/* As long as libxl waits for an answer of QEMU's. */
#define LOAD_LIMIT_NS (10 * NS_PER_S)

/* Most states fit, and nobody waits for their reader then. */
enum { FIFO_BYTES = 1 << 20, FIFO_PATH_BYTES = 64 };

static void fifo_path(const struct early_model *m, char path[static FIFO_PATH_BYTES])
{
    snprintf(path, FIFO_PATH_BYTES, "/var/lib/xen/qemu-resume.%u", m->domid);
}

static int failed(const struct early_model *m, const char *what, struct err *e)
{
    return err_set(e, ERR_LOCAL, EPIPE,
        "the device model (QEMU) of domain %u, started early, %s: see its log, "
        "/var/log/xen/qemu-dm-*--incoming.log",
        m->domid, what);
}

void early_model_init(struct early_model *m)
{
    *m = (struct early_model){.fifo_fd = -1, .qmp = {.sock = -1}};
}

int early_model_begin(struct early_model *m, uint32_t domid, struct err *e)
{
    char path[FIFO_PATH_BYTES];

    m->domid = domid;
    fifo_path(m, path);
    unlink(path); /* left behind by a domain of that number */
    if (mkfifo(path, 0600))
        return err_sys(e, ERR_LOCAL, errno, "cannot make %s", path);
    m->phase = EARLY_MODEL_STARTING;
    m->fifo_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (m->fifo_fd < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot open %s", path);
    fcntl(m->fifo_fd, F_SETPIPE_SZ, FIFO_BYTES); /* as it is, it would do, too */
    m->look_ns = now_ns();
    return 0;
}

struct pollfd early_model_pollfd(const struct early_model *m)
{
    return (struct pollfd){
        .fd = m->phase == EARLY_MODEL_LOADED ? -1 : m->qmp.sock, .events = POLLIN};
}

int64_t early_model_wake_ns(const struct early_model *m)
{
    switch (m->phase) {
    case EARLY_MODEL_STARTING:
        return m->qmp.sock < 0 ? m->look_ns : DEADLINE_NEVER;
    case EARLY_MODEL_LOADING:
        return m->asked ? m->limit_ns : m->look_ns;
    default:
        return DEADLINE_NEVER;
    }
}

/* There may be no socket yet, or nobody behind it. */
static void reach(struct early_model *m)
{
    struct err ignored = ERR_INIT;

    if (!deadline_passed(m->look_ns))
        return;
    m->look_ns = deadline_in(START_LOOK_NS);
    device_model_connect(&m->qmp, m->domid, &ignored);
}

/* Its devices are there, since it answers. One that has died meanwhile libxl misses, too. */
static int hear_first(struct early_model *m, struct err *e)
{
    enum device_model_run run = DEVICE_MODEL_STILL;
    struct err why = ERR_INIT;
    int rc = device_model_greet(&m->qmp, &why);

    if (!rc)
        rc = device_model_query_run(&m->qmp, &run, &why);
    if (rc) {
        device_model_close(&m->qmp);
        return 0;
    }
    if (run != DEVICE_MODEL_INCOMING)
        return failed(m, "does not wait for its state", e);
    m->phase = EARLY_MODEL_WAITING;
    return emulator_say_running(m->domid, e);
}

static int ask(struct early_model *m, struct err *e)
{
    m->asked = true;
    return device_model_ask_run(&m->qmp, e);
}

static int hear(struct early_model *m, struct err *e)
{
    const char *died = m->phase == EARLY_MODEL_LOADING ? "did not load its state and has ended"
                                                       : "has died before its state came";
    enum device_model_run run;
    struct err why = ERR_INIT;
    const int rc = device_model_hear_run(&m->qmp, &run, &why);

    m->gone = rc < 0;
    if (m->gone)
        return failed(m, died, e);
    if (!rc)
        return 0;
    m->asked = false;
    m->look_ns = deadline_in(LOAD_LOOK_NS);
    if (run == DEVICE_MODEL_INCOMING)
        return 0;
    if (run != DEVICE_MODEL_RUNNING)
        return failed(m, "has its state and does not run", e);
    m->phase = EARLY_MODEL_LOADED;
    return 0;
}

int early_model_check(const struct early_model *m, struct err *e)
{
    return m->phase == EARLY_MODEL_LOADED && device_model_is_gone(&m->qmp)
               ? failed(m, "has died after it had loaded its state", e)
               : 0;
}

int early_model_serve(struct early_model *m, const struct pollfd *fd, struct err *e)
{
    int rc = 0;

    if (m->phase == EARLY_MODEL_STARTING && m->qmp.sock < 0)
        reach(m);
    else if (fd->fd >= 0 && fd->revents)
        rc = m->phase == EARLY_MODEL_STARTING ? hear_first(m, e) : hear(m, e);
    if (rc || m->phase != EARLY_MODEL_LOADING)
        return rc;
    if (deadline_passed(m->limit_ns))
        return failed(m, "does not load its state in time", e);
    return !m->asked && deadline_passed(m->look_ns) ? ask(m, e) : 0;
}

static int write_state(void *arg, const uint8_t *data, size_t len_bytes, struct err *e)
{
    const struct early_model *m = arg;
    const int rc = io_write_full(m->fifo_fd, data, len_bytes, NULL, deadline_in(WRITE_LIMIT_NS));

    return rc == -ETIMEDOUT ? failed(m, "does not take its state", e)
           : rc             ? err_sys(e, ERR_LOCAL, -rc, "handing the device model its state")
                            : 0;
}

int early_model_take(struct early_model *m, const uint8_t *data, size_t len_bytes, struct err *e)
{
    if (m->phase != EARLY_MODEL_WAITING)
        return err_set(
            e, ERR_PEER, EPROTO, "the device model's state came where it was not waited for");
    return emulator_records_feed(&m->records, data, len_bytes, write_state, m, e);
}

int early_model_take_end(struct early_model *m, struct err *e)
{
    if (!m->records.ended)
        return err_set(e, ERR_PEER, EPROTO, "libxl's stream ended within the device model's part");
    close(m->fifo_fd);
    m->fifo_fd = -1;
    m->phase = EARLY_MODEL_LOADING;
    m->limit_ns = deadline_in(LOAD_LIMIT_NS);
    return ask(m, e);
}

void early_model_clear(struct early_model *m)
{
    char path[FIFO_PATH_BYTES];

    if (m->phase == EARLY_MODEL_STARTING) {
        fifo_path(m, path);
        unlink(path);
    }
    device_model_close(&m->qmp);
    if (m->fifo_fd >= 0)
        close(m->fifo_fd);
    early_model_init(m);
}
