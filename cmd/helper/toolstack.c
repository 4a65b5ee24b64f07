/* SPDX-License-Identifier: MIT */
#include "cmd/helper/toolstack.h"

#include "base/bytes.h"
#include "base/deadline.h"
#include "base/io.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum message {
    MSG_LOG = 1,
    MSG_SUSPEND = 3,
    MSG_SWITCH_QEMU_LOGDIRTY = 7,
    MSG_STATIC_DATA_DONE = 8,
    MSG_RESTORE_RESULTS = 9,
    MSG_COMPLETE = 10,
};

enum { MESSAGE_BYTES = 2048, XTL_DEBUG = 1, XTL_INFO = 5, XTL_WARN = 7, XTL_ERROR = 8 };

#define SEND_LIMIT_NS (30 * NS_PER_S)
/* libxl gives a guest 60 s to acknowledge and 60 s to suspend, then answers. */
#define REPLY_LIMIT_NS (150 * NS_PER_S)

int toolstack_open(struct toolstack *t, uint32_t callbacks, struct err *e)
{
    *t = (struct toolstack){.in_fd = STDIN_FILENO, .out_fd = STDOUT_FILENO, .callbacks = callbacks};
    pthread_mutex_init(&t->lock, NULL);

    int rc = io_set_nonblocking(t->in_fd, true);

    if (!rc)
        rc = io_set_nonblocking(t->out_fd, true);
    return rc ? err_sys(e, ERR_INTERNAL, -rc, "libxl's pipes") : 0;
}

static struct bytes_out begin_message(uint8_t *buf, enum message number)
{
    struct bytes_out o = bytes_out_init(buf, MESSAGE_BYTES);

    bytes_out_u16(&o, 0); /* the length, when it is known */
    bytes_out_u16(&o, number);
    return o;
}

static int send_message(struct toolstack *t, struct bytes_out *o)
{
    if (o->overflow)
        return -EMSGSIZE;
    put_le16(o->buf, (uint16_t)(o->len_bytes - 2));
    pthread_mutex_lock(&t->lock);
    const int rc = io_write_full(t->out_fd, o->buf, o->len_bytes, NULL, deadline_in(SEND_LIMIT_NS));
    pthread_mutex_unlock(&t->lock);
    return rc;
}

/* Send and wait for libxl's int. */
static int ask(
    struct toolstack *t, struct bytes_out *o, int *reply, const char *what, struct err *e)
{
    int rc = send_message(t, o);

    if (!rc)
        rc = io_read_full(t->in_fd, reply, sizeof(*reply), NULL, deadline_in(REPLY_LIMIT_NS));
    return rc ? err_set(e, ERR_LOCAL, -rc, "libxl, asked to %s: %s", what, io_strerror(rc)) : 0;
}

static bool answers(const struct toolstack *t, enum message number)
{
    return t->callbacks >> number & 1;
}

static void put_string(struct bytes_out *o, const char *text)
{
    const uint32_t len = (uint32_t)strlen(text) + 1;

    bytes_out_u32(o, len);
    bytes_out_copy(o, text, len);
}

void toolstack_log(void *arg, enum log_level level, const char *line)
{
    static const uint32_t levels[] = {XTL_ERROR, XTL_WARN, XTL_INFO, XTL_DEBUG};
    uint8_t buf[MESSAGE_BYTES];
    struct bytes_out o = begin_message(buf, MSG_LOG);
    struct toolstack *t = arg;

    if (atomic_load(&t->ended)) {
        log_to_stderr("xmigrate-save-helper", level, line);
        return;
    }
    bytes_out_u32(&o, levels[level]);
    bytes_out_u32(&o, UINT32_MAX); /* errno -1: none */
    put_string(&o, "xmigrate");
    put_string(&o, line);
    /* A libxl that is gone is noticed where it matters. */
    send_message(t, &o);
}

void toolstack_end(struct toolstack *t)
{
    atomic_store(&t->ended, true);
}

int toolstack_suspend(void *arg, struct err *e)
{
    uint8_t buf[MESSAGE_BYTES];
    struct bytes_out o = begin_message(buf, MSG_SUSPEND);
    int reply = 0;
    const int rc = ask(arg, &o, &reply, "suspend the guest", e);

    if (!rc && !reply)
        return err_set(e, ERR_GUEST, ETIMEDOUT, "the guest did not suspend");
    return rc;
}

int toolstack_switch_qemu_logdirty(void *arg, uint32_t domid, bool enable, struct err *e)
{
    struct toolstack *t = arg;
    uint8_t buf[MESSAGE_BYTES];
    struct bytes_out o = begin_message(buf, MSG_SWITCH_QEMU_LOGDIRTY);
    int reply = 0;

    if (!answers(t, MSG_SWITCH_QEMU_LOGDIRTY))
        return 0;
    bytes_out_u32(&o, domid);
    bytes_out_u32(&o, enable);

    const int rc = ask(t, &o, &reply, "switch the device model's log-dirty", e);

    if (!rc && reply)
        return err_set(e, ERR_LOCAL, EIO, "the device model did not switch its log-dirty %s",
            enable ? "on" : "off");
    return rc;
}

int toolstack_static_data_done(void *arg, unsigned missing, struct err *e)
{
    struct toolstack *t = arg;
    uint8_t buf[MESSAGE_BYTES];
    struct bytes_out o = begin_message(buf, MSG_STATIC_DATA_DONE);
    int reply = 0;

    if (!answers(t, MSG_STATIC_DATA_DONE))
        return 0;
    bytes_out_u32(&o, missing);

    const int rc = ask(t, &o, &reply, "take the static data", e);

    if (!rc && reply)
        return err_set(e, ERR_LOCAL, EIO, "libxl refused the domain's static data (CPU policy)");
    return rc;
}

int toolstack_restore_results(
    struct toolstack *t, uint64_t store_gfn, uint64_t console_gfn, struct err *e)
{
    uint8_t buf[MESSAGE_BYTES];
    struct bytes_out o = begin_message(buf, MSG_RESTORE_RESULTS);

    bytes_out_u64(&o, store_gfn);
    bytes_out_u64(&o, console_gfn);

    const int rc = send_message(t, &o);

    return rc ? err_set(e, ERR_LOCAL, -rc, "telling libxl the results: %s", io_strerror(rc)) : 0;
}

int toolstack_complete(struct toolstack *t, int retval, int errnoval, struct err *e)
{
    uint8_t buf[MESSAGE_BYTES];
    struct bytes_out o = begin_message(buf, MSG_COMPLETE);
    int reply;

    bytes_out_u32(&o, (uint32_t)retval);
    bytes_out_u32(&o, (uint32_t)errnoval);
    return ask(t, &o, &reply, "complete", e);
}
