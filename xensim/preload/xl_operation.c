/* SPDX-License-Identifier: MIT */
/*
 * libxl's long operations, suspend and restore: they frame the stream as libxl does and run the
 * save helper with libxl's protocol. One with an ao_how runs in a thread of its own.
 */
#include "xensim/client.h"
#include "xensim/helper.h"
#include "xensim/preload/host.h"
#include "xensim/preload/interpose.h"
#include "xensim/preload/xl_device.h"
#include "xensim/preload/xl_domain.h"
#include "xensim/preload/xl_event.h"

#include "base/deadline.h"
#include "base/io.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAM_IDENT   0x4c6962786c466d74ull /* "LibxlFmt" */
#define STREAM_VERSION 2
enum {
    RECORD_END = 0,
    RECORD_LIBXC_CONTEXT = 1,
    RECORD_EMULATOR_XENSTORE_DATA = 2,
    RECORD_EMULATOR_CONTEXT = 3,
};
enum { EMULATOR_QEMU_UPSTREAM = 2, DEVICE_STATE_BYTES = 256 };

/* What libxl adds to a domain's memory limit, in KiB. */
enum { MAXMEM_SLACK_KIB = 1024 };

/* A suspend or a restore. */
struct operation {
    struct xl_op async; /* what its context knows of it */
    struct xl *xl;
    bool save;
    uint32_t domid;
    int fd, flags;
    libxl_domain_config *config;
    uint32_t *domid_out;
    bool guest_responded;
    bool emulated; /* it has a device model, whose state is: */
    char device[DEVICE_STATE_BYTES];
    char physmap[DEVICE_STATE_BYTES]; /* and whose entries in xenstore are: */
    int rc;
};

static void helper_log(
    void *arg, unsigned level, int errno_value, const char *context, const char *text)
{
    struct operation *op = arg;

    (void)context;
    xl_log(op->xl, (xentoollog_level)level, errno_value, "%s", text);
}

/* The host's answer, unless the helper ends or the operation is aborted first. */
static int await_answer(struct operation *op, int sock, int helper_fd, struct err *e)
{
    struct pollfd fds[3] = {{.fd = sock, .events = POLLIN}, {.fd = helper_fd, .events = 0},
        {.fd = op->async.cancel.event_fd, .events = POLLIN}};
    char *text = NULL;
    int rc;

    while (poll(fds, 3, -1) < 0 && errno == EINTR)
        ;
    if (!fds[0].revents)
        return err_set(e, ERR_CANCELLED, ECANCELED, "%s",
            fds[1].revents ? "the save helper ended" : "aborted");
    rc = client_receive(sock, &text, e);
    free(text);
    return rc;
}

/* When the vCPUs have stopped it is told to stop, and for its state. */
static int save_device(struct operation *op)
{
    char id[12];
    char *text = NULL;
    int rc = ASK(op->xl, NULL, "dm", xl_id_text(op->domid, id), "stop");

    if (!rc)
        rc = ASK(op->xl, &text, "dm", id, "state");
    if (!rc)
        snprintf(op->device, sizeof(op->device), "%s\n", text);
    free(text);
    text = NULL;
    if (!rc)
        rc = ASK(op->xl, &text, "dm", id, "physmap");
    if (!rc)
        snprintf(op->physmap, sizeof(op->physmap), "%s", text);
    free(text);
    return rc;
}

/* As libxl: 60 s for the guest to answer. */
static bool suspend_domain(void *arg, int helper_fd)
{
    struct operation *op = arg;
    struct err e = ERR_INIT;
    char words[64];
    int n = snprintf(words, sizeof(words), "suspend%c%u%c60s", 0, op->domid, 0) + 1;
    int sock = host_connect(&e);
    int rc = sock < 0 ? sock : client_send(sock, words, (size_t)n, &e);

    if (!rc)
        rc = await_answer(op, sock, helper_fd, &e);
    if (sock >= 0)
        close(sock);
    if (rc)
        xl_log(op->xl, XTL_ERROR, -1, "suspend: %s", e.text);
    else
        op->guest_responded = true;
    return rc == 0 && (!op->emulated || !save_device(op));
}

static bool switch_log(void *arg, bool enable)
{
    struct operation *op = arg;
    char id[12];

    return !op->emulated ||
           !ASK(op->xl, NULL, "dm", xl_id_text(op->domid, id), "log", enable ? "on" : "off");
}

static const struct helper_ops helper_ops = {
    .suspend = suspend_domain, .switch_log = switch_log, .log = helper_log};

struct stream_header {
    uint64_t ident;
    uint32_t version, options;
};

struct stream_record {
    uint32_t type, length;
};

static int write_stream(struct operation *op, const void *data, size_t bytes)
{
    int rc = io_write_full(op->fd, data, bytes, &op->async.cancel, DEADLINE_NEVER);

    if (rc)
        xl_log(op->xl, XTL_ERROR, -rc, "cannot write the stream");
    return rc ? ERROR_FAIL : 0;
}

static int read_stream(struct operation *op, void *data, size_t bytes)
{
    int rc = io_read_full(op->fd, data, bytes, &op->async.cancel, DEADLINE_NEVER);

    if (rc)
        xl_log(op->xl, XTL_ERROR, -1, "cannot read the stream: %s", io_strerror(rc));
    return rc ? ERROR_FAIL : 0;
}

/* xenstored and the console's daemon map the rings. */
static int introduce(struct operation *op, const struct helper_result *result)
{
    char id[12], store[24], console[24];

    snprintf(store, sizeof(store), "%llu", (unsigned long long)result->store_gfn);
    snprintf(console, sizeof(console), "%llu", (unsigned long long)result->console_gfn);
    return ASK(op->xl, NULL, "rings", xl_id_text(op->domid, id), store, console);
}

static int run_helper(struct operation *op)
{
    struct err e = ERR_INIT;
    struct helper_result result;
    struct helper_job job = {.path = helper_path(),
        .restore = !op->save,
        .io_fd = op->fd,
        .domid = (uint16_t)op->domid,
        .live = op->flags & LIBXL_SUSPEND_LIVE,
        .debug = op->flags & LIBXL_SUSPEND_DEBUG,
        .store_evtchn = 1,
        .console_evtchn = 2,
        .ops = &helper_ops,
        .arg = op};
    if (op->xl->hooks) {
        job.fork = op->xl->hooks->fork_replacement;
        job.fork_arg = op->xl->hooks_user;
    }

    int rc = helper_run(&job, &op->async.cancel, &result, &e);

    if (!rc)
        return op->save ? 0 : introduce(op, &result);
    if (op->emulated && result.unheard)
        xl_leave_unfinished(op->xl, op->domid);
    xl_log(op->xl, XTL_ERROR, -1, "%s", e.text);
    if (!result.completed || !op->save)
        return ERROR_FAIL;
    xl_log(op->xl, XTL_ERROR, result.errno_value, "saving domain: domain %s to suspend request",
        op->guest_responded ? "responded" : "did not respond");
    return op->guest_responded ? ERROR_FAIL : ERROR_GUEST_TIMEDOUT;
}

struct emulator {
    uint32_t id, index;
};

/* Bodies are filled up to 8 bytes. */
static size_t padded(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

static int write_emulator(struct operation *op, uint32_t type, const char *text)
{
    const size_t bytes = strlen(text);
    const struct stream_record record = {type, (uint32_t)(sizeof(struct emulator) + bytes)};
    const struct emulator emulator = {EMULATOR_QEMU_UPSTREAM, 0};
    char body[DEVICE_STATE_BYTES + 8] = "";
    int rc = write_stream(op, &record, sizeof(record));

    memcpy(body, text, bytes);
    if (!rc)
        rc = write_stream(op, &emulator, sizeof(emulator));
    return rc ? rc : write_stream(op, body, padded(bytes));
}

static int write_device(struct operation *op)
{
    int rc = write_emulator(op, RECORD_EMULATOR_XENSTORE_DATA, op->physmap);

    return rc ? rc : write_emulator(op, RECORD_EMULATOR_CONTEXT, op->device);
}

static int save_domain(struct operation *op)
{
    struct stream_header header = {htobe64(STREAM_IDENT), htobe32(STREAM_VERSION), 0};
    struct stream_record context = {RECORD_LIBXC_CONTEXT, 0}, end = {RECORD_END, 0};
    int rc = write_stream(op, &header, sizeof(header));

    if (!rc)
        rc = write_stream(op, &context, sizeof(context));
    if (!rc)
        rc = run_helper(op);
    if (!rc && op->emulated)
        rc = write_device(op);
    return rc ? rc : write_stream(op, &end, sizeof(end));
}

static int make_domain(struct operation *op)
{
    const libxl_domain_config *config = op->config;
    const uint8_t *uuid = libxl_uuid_bytearray_const(&config->c_info.uuid);
    const uint32_t wanted = config->c_info.domid == (uint32_t)INVALID_DOMID ? 0
                                                                            : config->c_info.domid;
    char vcpus[12], kib[24], hex[33], id[12];
    char *text = NULL;
    int rc;

    op->emulated = config->c_info.type == LIBXL_DOMAIN_TYPE_HVM;
    snprintf(vcpus, sizeof(vcpus), "%d", config->b_info.max_vcpus ? config->b_info.max_vcpus : 1);
    snprintf(kib, sizeof(kib), "%llu",
        (unsigned long long)config->b_info.target_memkb + MAXMEM_SLACK_KIB);
    for (unsigned i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", uuid[i]);
    rc = ASK(op->xl, &text, "create-empty", xl_type_word(config->c_info.type), vcpus, kib,
        config->c_info.name, hex, xl_id_text(wanted, id));
    if (!rc)
        op->domid = (uint32_t)atoi(text);
    free(text);
    return rc;
}

/* Up to where the helper takes over. */
static int read_preamble(struct operation *op)
{
    struct stream_header header;
    struct stream_record record;
    int rc = read_stream(op, &header, sizeof(header));

    if (rc)
        return rc;
    if (be64toh(header.ident) != STREAM_IDENT || be32toh(header.version) != STREAM_VERSION) {
        xl_log(op->xl, XTL_ERROR, -1, "not a libxl stream of version %d", STREAM_VERSION);
        return ERROR_FAIL;
    }
    rc = read_stream(op, &record, sizeof(record));
    if (!rc && (record.type != RECORD_LIBXC_CONTEXT || record.length)) {
        xl_log(op->xl, XTL_ERROR, -1, "record type %u where the libxc context was expected",
            record.type);
        rc = ERROR_FAIL;
    }
    return rc;
}

static int read_emulator(struct operation *op, const struct stream_record *record)
{
    struct emulator emulator;
    char body[DEVICE_STATE_BYTES + 8] = "";
    const size_t bytes = record->length - sizeof(emulator);
    int rc = record->length < sizeof(emulator) || bytes >= DEVICE_STATE_BYTES
                 ? ERROR_FAIL
                 : read_stream(op, &emulator, sizeof(emulator));

    if (!rc)
        rc = read_stream(op, body, padded(bytes));
    if (!rc && record->type == RECORD_EMULATOR_CONTEXT)
        snprintf(op->device, sizeof(op->device), "%.*s", (int)bytes, body);
    return rc;
}

/* What comes after the helper's part. */
static int read_end(struct operation *op)
{
    struct stream_record record;
    int rc;

    while (!(rc = read_stream(op, &record, sizeof(record)))) {
        if (record.type == RECORD_END && !record.length)
            return 0;
        if (op->emulated && (record.type == RECORD_EMULATOR_CONTEXT ||
                                record.type == RECORD_EMULATOR_XENSTORE_DATA)) {
            rc = read_emulator(op, &record);
        } else {
            xl_log(op->xl, XTL_ERROR, -1, "record type %u where the end was expected", record.type);
            rc = ERROR_FAIL;
        }
        if (rc)
            return rc;
    }
    return rc;
}

/* As libxl: until the device model is said to run in xenstore, 60 s at most. */
static int await_device(struct operation *op)
{
    const int64_t deadline_ns = deadline_in(60 * NS_PER_S);
    struct pollfd stop = {.fd = op->async.cancel.event_fd, .events = POLLIN};
    char id[12];

    xl_id_text(op->domid, id);
    while (!deadline_passed(deadline_ns)) {
        char *text = NULL;
        int rc = ASK(op->xl, &text, "dm", id, "says");
        const bool runs = !rc && !strcmp(text, "running");

        free(text);
        if (rc || runs)
            return rc;
        if (poll(&stop, 1, 5) > 0)
            return ERROR_ABORTED;
    }
    return ERROR_TIMEDOUT;
}

/* No state came: it waits for one from the file's place, which somebody else has made. */
static int start_waiting(struct operation *op)
{
    char id[12], path[64], own[HOST_PATH_BYTES];
    int rc;

    snprintf(path, sizeof(path), "/var/lib/xen/qemu-resume.%u", op->domid);
    rc = ASK(op->xl, NULL, "dm", xl_id_text(op->domid, id), "wait", host_path(path, own));
    if (!rc)
        rc = await_device(op);
    if (unlink(path) && !rc) {
        xl_log(op->xl, XTL_ERROR, errno, "failed to remove device-model state %s", path);
        rc = ERROR_FAIL;
    }
    return rc;
}

static int start_device(struct operation *op)
{
    char id[12];

    if (!op->emulated)
        return 0;
    if (!xl_device_model_starts(op->xl))
        return ERROR_FAIL;
    if (!op->device[0])
        return start_waiting(op);
    return ASK(op->xl, NULL, "dm", xl_id_text(op->domid, id), "start", op->device);
}

static int keep_config(struct operation *op)
{
    char *json = REAL(libxl_domain_config_to_json)(op->xl->ctx, op->config);
    char id[12];
    int rc = json ? ASK(op->xl, NULL, "set-config", xl_id_text(op->domid, id), json) : ERROR_NOMEM;

    free(json);
    return rc;
}

static int restore_domain(struct operation *op)
{
    char id[12];
    int rc = make_domain(op);
    bool made = rc == 0;

    if (!rc && op->config->b_info.sched_params.sched)
        rc = REAL(libxl_domain_sched_params_set)(
            op->xl->ctx, op->domid, &op->config->b_info.sched_params);
    if (!rc)
        rc = read_preamble(op);
    if (!rc)
        rc = run_helper(op);
    if (!rc)
        rc = read_end(op);
    if (!rc)
        rc = start_device(op);
    if (!rc)
        rc = xl_devices_attach(op->xl, op->domid, op->config, &op->async.cancel);
    if (!rc)
        rc = keep_config(op);
    if (rc && made)
        ASK(op->xl, NULL, "destroy", xl_id_text(op->domid, id));
    *op->domid_out = rc ? (uint32_t)INVALID_DOMID : op->domid;
    return rc;
}

/* Caller holds xl->lock. */
static void remove_op(struct xl *xl, const struct xl_op *op)
{
    for (struct xl_op **p = &xl->ops; *p; p = &(*p)->next)
        if (*p == op) {
            *p = op->next;
            break;
        }
}

static void add_op(struct xl *xl, struct xl_op *op)
{
    pthread_mutex_lock(&xl->lock);
    op->next = xl->ops;
    xl->ops = op;
    pthread_mutex_unlock(&xl->lock);
}

static void finish(struct operation *op)
{
    struct xl *xl = op->xl;
    libxl_event event = {.type = LIBXL_EVENT_TYPE_OPERATION_COMPLETE,
        .domid = (libxl_domid)op->domid,
        .for_user = op->async.how.u.for_event};

    event.u.operation_complete.rc = op->rc;
    if (!op->async.synchronous && op->async.how.callback)
        op->async.how.callback(xl->ctx, op->rc, op->async.how.u.for_callback);
    pthread_mutex_lock(&xl->lock);
    if (!op->async.synchronous && !op->async.how.callback)
        xl_event_queue(xl, &event);
    remove_op(xl, &op->async);
    pthread_cond_broadcast(&xl->changed);
    pthread_mutex_unlock(&xl->lock);
}

static void run(struct operation *op)
{
    op->rc = op->save ? save_domain(op) : restore_domain(op);
    if (op->rc && cancel_is_fired(&op->async.cancel))
        op->rc = ERROR_ABORTED;
    finish(op);
}

static void free_operation(struct operation *op)
{
    cancel_destroy(&op->async.cancel);
    free(op);
}

static void *thread_main(void *arg)
{
    run(arg);
    free_operation(arg);
    return NULL;
}

static int start_thread(struct operation *op)
{
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attr, thread_main, op);
    pthread_attr_destroy(&attr);
    return rc;
}

/* Run to the end, or in a thread if the caller gave an ao_how. */
static int start_operation(const struct operation *what, const libxl_asyncop_how *how)
{
    struct operation *op = malloc(sizeof(*op));
    struct err e = ERR_INIT;
    int rc;

    if (!op)
        return ERROR_NOMEM;
    *op = *what;
    op->async.synchronous = !how;
    if (how)
        op->async.how = *how;
    if (cancel_init(&op->async.cancel, &e)) {
        free(op);
        return ERROR_FAIL;
    }
    add_op(op->xl, &op->async);
    if (!how) {
        run(op);
        rc = op->rc;
        free_operation(op);
        return rc;
    }
    if (!start_thread(op))
        return 0;
    pthread_mutex_lock(&op->xl->lock);
    remove_op(op->xl, &op->async);
    pthread_mutex_unlock(&op->xl->lock);
    free_operation(op);
    return ERROR_FAIL;
}

EXPORT int libxl_domain_suspend(
    libxl_ctx *ctx, uint32_t domid, int fd, int flags, const libxl_asyncop_how *ao_how)
{
    struct operation op = {
        .xl = xl_of(ctx), .save = true, .domid = domid, .fd = fd, .flags = flags};
    int rc = xl_check_domain(op.xl, domid, &op.emulated);

    return rc ? rc : start_operation(&op, ao_how);
}

EXPORT int libxl_domain_create_restore(libxl_ctx *ctx, libxl_domain_config *config, uint32_t *domid,
    int restore_fd, int send_back_fd, const libxl_domain_restore_params *params,
    const libxl_asyncop_how *ao_how, const libxl_asyncprogress_how *console)
{
    struct operation op = {.xl = xl_of(ctx),
        .config = config,
        .domid = (uint32_t)INVALID_DOMID,
        .domid_out = domid,
        .fd = restore_fd};

    (void)send_back_fd;
    (void)console;
    if (params->stream_version != 2) {
        xl_log(op.xl, XTL_ERROR, -1, "stream version %u: xensim has no legacy converter",
            params->stream_version);
        return ERROR_INVAL;
    }
    return start_operation(&op, ao_how);
}

EXPORT int libxl_ao_abort(libxl_ctx *ctx, const libxl_asyncop_how *how)
{
    struct xl *xl = xl_of(ctx);
    int rc = ERROR_NOTFOUND;

    pthread_mutex_lock(&xl->lock);
    for (struct xl_op *op = xl->ops; op; op = op->next) {
        if (op->synchronous || op->how.callback != how->callback ||
            op->how.u.for_event != how->u.for_event)
            continue;
        rc = op->aborted ? ERROR_ABORTED : 0;
        op->aborted = true;
        cancel_fire(&op->cancel);
        break;
    }
    pthread_mutex_unlock(&xl->lock);
    return rc;
}
