/*
 * libxl's part, for the programs that `xensim run` runs: the functions of libxl that xmigrate
 * calls and that would need xenstore, device models or a kernel to boot. Types, their
 * constructors and JSON are the real library's, and so is the context; get_physinfo and
 * get_version_info are the real functions on our hypercalls.
 *
 * Domains' names and configurations are kept by the daemon. A suspend or restore runs in a thread
 * of its own: it frames the stream as libxl does and starts the save helper with libxl's protocol.
 * Events queue on their context (`struct xl`), found by its libxl_ctx.
 *
 * Locks: xls_lock guards the list of contexts, xl->lock a context's events and operations.
 */
#include "xensim/client.h"
#include "xensim/helper.h"
#include "xensim/xen.h"

#include "base/deadline.h"
#include "base/io.h"

#include <dlfcn.h>
#include <endian.h>
#include <errno.h>
#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

#define STREAM_IDENT   0x4c6962786c466d74ull /* "LibxlFmt" */
#define STREAM_VERSION 2
enum { RECORD_END = 0, RECORD_LIBXC_CONTEXT = 1 };

/* What libxl adds to a domain's memory limit, in KiB. */
enum { MAXMEM_SLACK_KIB = 1024 };

struct event {
    struct event *next;
    libxl_event *event;
};

struct op {
    struct op *next;
    struct xl *xl;
    libxl_asyncop_how how;
    bool synchronous, aborted;
    struct cancel cancel;
    bool save;
    uint32_t domid;
    int fd, flags;
    libxl_domain_config *config;
    uint32_t *domid_out;
    bool guest_responded;
    int rc;
};

/* A watch on a domain's death: its thread waits on a command of its own. */
struct libxl__evgen_domain_death {
    struct xl *xl;
    uint32_t domid;
    libxl_ev_user user;
    int sock;
    atomic_bool over; /* nobody wants to know any more */
    pthread_t thread;
};

struct xl {
    struct xl *next;
    libxl_ctx *ctx;
    xentoollog_logger *lg;
    const libxl_childproc_hooks *hooks; /* or NULL; for fork_replacement alone */
    void *hooks_user;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct event *events;
    struct op *ops;
};

static pthread_mutex_t xls_lock = PTHREAD_MUTEX_INITIALIZER;
static struct xl *xls;

/* The function that we stand before. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static struct xl *xl_of(libxl_ctx *ctx)
{
    struct xl *xl;

    pthread_mutex_lock(&xls_lock);
    for (xl = xls; xl && xl->ctx != ctx; xl = xl->next)
        ;
    pthread_mutex_unlock(&xls_lock);
    return xl;
}

static void lg_message(struct xl *xl, xentoollog_level level, int errnoval, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void lg_message(struct xl *xl, xentoollog_level level, int errnoval, const char *fmt, ...)
{
    va_list args;

    if (!xl || !xl->lg)
        return;
    va_start(args, fmt);
    xl->lg->vmessage(xl->lg, level, errnoval, "libxl", fmt, args);
    va_end(args);
}

EXPORT int libxl_ctx_alloc(libxl_ctx **pctx, int version, unsigned flags, xentoollog_logger *lg)
{
    struct xl *xl = calloc(1, sizeof(*xl));
    int rc = xl ? REAL(libxl_ctx_alloc)(pctx, version, flags, lg) : ERROR_NOMEM;

    if (rc) {
        free(xl);
        return rc;
    }
    xl->ctx = *pctx;
    xl->lg = lg;
    pthread_mutex_init(&xl->lock, NULL);
    pthread_cond_init(&xl->changed, NULL);
    pthread_mutex_lock(&xls_lock);
    xl->next = xls;
    xls = xl;
    pthread_mutex_unlock(&xls_lock);
    return 0;
}

EXPORT int libxl_ctx_free(libxl_ctx *ctx)
{
    struct xl *xl = ctx ? xl_of(ctx) : NULL;

    if (xl) {
        pthread_mutex_lock(&xls_lock);
        for (struct xl **p = &xls; *p; p = &(*p)->next)
            if (*p == xl) {
                *p = xl->next;
                break;
            }
        pthread_mutex_unlock(&xls_lock);
        /* An operation that still runs has nobody to tell, but uses the context. */
        pthread_mutex_lock(&xl->lock);
        for (struct op *op = xl->ops; op; op = op->next)
            cancel_fire(&op->cancel);
        while (xl->ops)
            pthread_cond_wait(&xl->changed, &xl->lock);
        while (xl->events) {
            struct event *e = xl->events;

            xl->events = e->next;
            libxl_event_free(ctx, e->event);
            free(e);
        }
        pthread_mutex_unlock(&xl->lock);
        pthread_mutex_destroy(&xl->lock);
        pthread_cond_destroy(&xl->changed);
        free(xl);
    }
    return REAL(libxl_ctx_free)(ctx);
}

/* Our children are reaped by their own threads. */
EXPORT void libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *hooks, void *user)
{
    struct xl *xl = xl_of(ctx);

    if (xl) {
        xl->hooks = hooks;
        xl->hooks_user = user;
    }
}

/* One command to the host; its line is logged on failure, as libxl would log its own. */
static int host_socket(struct err *e)
{
    const char *path = getenv("XENSIM_SOCKET"), *host = getenv("XENSIM_HOST");

    if (!path)
        return err_set(e, ERR_LOCAL, ENODEV, "XENSIM_SOCKET is not set");
    return client_connect(path, host ? host : path, e);
}

static int error_from_errno(int code)
{
    switch (code) {
    case ENOENT:
    case ESRCH:
        return ERROR_DOMAIN_NOTFOUND;
    case EEXIST:
    case EINVAL:
        return ERROR_INVAL;
    case ENOMEM:
        return ERROR_NOMEM;
    case ETIMEDOUT:
        return ERROR_GUEST_TIMEDOUT;
    default:
        return ERROR_FAIL;
    }
}

/* words[0..count). *text may be NULL if no answer is wanted. */
static int ask(struct xl *xl, xentoollog_level level, char **text, const char *const *words)
{
    static const size_t max_bytes = 60000;
    struct err e = ERR_INIT;
    char *buf = malloc(max_bytes), *answer = NULL;
    size_t used = 0;
    int sock = -1, rc = 0;

    for (unsigned i = 0; buf && words[i] && !rc; i++) {
        size_t n = strlen(words[i]) + 1;

        if (used + n > max_bytes) {
            rc = err_set(&e, ERR_LOCAL, E2BIG, "%s: too long", words[0]);
            break;
        }
        memcpy(buf + used, words[i], n);
        used += n;
    }
    if (!buf)
        rc = err_sys(&e, ERR_LOCAL, ENOMEM, "%s", words[0]);
    if (!rc) {
        sock = host_socket(&e);
        rc = sock < 0 ? sock : client_command(sock, buf, used, &answer, &e);
    }
    if (sock >= 0)
        close(sock);
    free(buf);
    if (e.code == EHOSTDOWN) /* nobody has asked in vain, and nobody is quiet about that */
        lg_message(xl, XTL_ERROR, -1, "%s", e.text);
    else if (rc)
        lg_message(xl, level, -1, "%s: %s", words[0], e.text);
    if (text && !rc)
        *text = answer;
    else
        free(answer);
    return rc ? error_from_errno(e.code) : 0;
}

#define ASK(xl, text, ...) ask(xl, XTL_ERROR, text, (const char *const[]){__VA_ARGS__, NULL})
#define ASK_QUIETLY(xl, text, ...)                                                                 \
    ask(xl, XTL_DEBUG, text, (const char *const[]){__VA_ARGS__, NULL})

struct dominfo {
    uint32_t domid;
    char type[8];
    unsigned vcpus;
    unsigned long long max_kib, current_kib, guest_kib, cpu_ns;
    int paused, shut_down, dying;
    unsigned code;
    char uuid[40], name[80];
};

static int parse_dominfo(const char *line, struct dominfo *i)
{
    return sscanf(line, "%u %7s %u %llu %llu %d %d %u %d %llu %llu %39s %79s", &i->domid, i->type,
               &i->vcpus, &i->max_kib, &i->current_kib, &i->paused, &i->shut_down, &i->code,
               &i->dying, &i->guest_kib, &i->cpu_ns, i->uuid, i->name) == 13
               ? 0
               : ERROR_FAIL;
}

static const char *id_text(uint32_t domid, char buf[12])
{
    snprintf(buf, 12, "%u", domid);
    return buf;
}

static int look(struct xl *xl, const char *who, struct dominfo *info)
{
    char *text = NULL;
    int rc = ASK_QUIETLY(xl, &text, "dominfo", who);

    if (!rc)
        rc = parse_dominfo(text, info);
    free(text);
    return rc;
}

static libxl_domain_type type_of(const struct dominfo *i)
{
    return strcmp(i->type, "pvh") ? LIBXL_DOMAIN_TYPE_PV : LIBXL_DOMAIN_TYPE_PVH;
}

static void fill_uuid(libxl_uuid *uuid, const char *hex)
{
    uint8_t *bytes = libxl_uuid_bytearray(uuid);

    for (unsigned i = 0; i < 16; i++)
        sscanf(hex + 2 * i, "%2hhx", &bytes[i]);
}

static void fill_dominfo(libxl_dominfo *out, const struct dominfo *i)
{
    fill_uuid(&out->uuid, i->uuid);
    out->domid = i->domid;
    out->running = !i->shut_down && !i->paused && !i->dying;
    out->paused = i->paused;
    out->shutdown = i->shut_down;
    out->dying = i->dying;
    out->cpu_time = i->cpu_ns;
    out->shutdown_reason = i->shut_down ? (libxl_shutdown_reason)i->code
                                        : LIBXL_SHUTDOWN_REASON_UNKNOWN;
    out->current_memkb = i->current_kib;
    out->max_memkb = i->max_kib;
    out->vcpu_max_id = i->vcpus - 1;
    out->vcpu_online = i->vcpus;
    out->domain_type = type_of(i);
}

EXPORT int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info_r, uint32_t domid)
{
    struct dominfo i;
    char id[12];
    int rc = look(xl_of(ctx), id_text(domid, id), &i);

    /* A domain whose name looks like this number is not it. */
    if (!rc && i.domid != domid)
        rc = ERROR_DOMAIN_NOTFOUND;
    if (!rc && info_r)
        fill_dominfo(info_r, &i);
    return rc;
}

EXPORT libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *nb_domain_out)
{
    struct xl *xl = xl_of(ctx);
    char *text = NULL;
    libxl_dominfo *list = NULL;
    int n = 0;

    if (ASK(xl, &text, "dominfo"))
        return NULL;
    for (char *line = text; line && *line; n++) {
        libxl_dominfo *bigger = realloc(list, ((size_t)n + 1) * sizeof(*list));
        char *end = strchr(line, '\n');
        struct dominfo i;

        if (!bigger || !end || parse_dominfo(line, &i))
            break;
        list = bigger;
        REAL(libxl_dominfo_init)(&list[n]);
        fill_dominfo(&list[n], &i);
        line = end + 1;
    }
    free(text);
    *nb_domain_out = n;
    return list ? list : calloc(1, sizeof(*list));
}

EXPORT int libxl_name_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid)
{
    struct dominfo i;
    int rc = look(xl_of(ctx), name, &i);

    /* A number finds a domain by id: that is not its name. */
    if (rc || strcmp(i.name, name))
        return ERROR_INVAL;
    *domid = i.domid;
    return 0;
}

EXPORT char *libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid)
{
    struct dominfo i;
    char id[12];

    return look(xl_of(ctx), id_text(domid, id), &i) ? NULL : strdup(i.name);
}

/* A configuration for a domain that `xensim create` made: what xl would have kept. */
static int default_config(libxl_ctx *ctx, const struct dominfo *i, libxl_domain_config *config)
{
    libxl_domain_build_info *b = &config->b_info;

    config->c_info.type = type_of(i);
    REAL(libxl_domain_build_info_init_type)(b, config->c_info.type);
    b->max_vcpus = (int)i->vcpus;
    if (REAL(libxl_cpu_bitmap_alloc)(ctx, &b->avail_vcpus, (int)i->vcpus))
        return ERROR_NOMEM;
    for (int v = 0; v < (int)i->vcpus; v++)
        REAL(libxl_bitmap_set)(&b->avail_vcpus, v);
    return 0;
}

EXPORT int libxl_retrieve_domain_configuration(
    libxl_ctx *ctx, uint32_t domid, libxl_domain_config *config, const libxl_asyncop_how *ao_how)
{
    struct xl *xl = xl_of(ctx);
    struct dominfo i;
    char id[12];
    char *json = NULL;
    int rc = look(xl, id_text(domid, id), &i);

    (void)ao_how; /* xmigrate passes none */
    if (!rc)
        rc = ASK(xl, &json, "config", id);
    if (!rc && json && json[0])
        rc = REAL(libxl_domain_config_from_json)(ctx, config, json);
    else if (!rc)
        rc = default_config(ctx, &i, config);
    free(json);
    if (rc) {
        lg_message(xl, XTL_ERROR, -1, "Domain %u: no configuration", domid);
        return rc;
    }
    /* What may have changed since: name, identity, memory. */
    free(config->c_info.name);
    config->c_info.name = strdup(i.name);
    fill_uuid(&config->c_info.uuid, i.uuid);
    if (i.guest_kib)
        config->b_info.target_memkb = config->b_info.max_memkb = i.guest_kib;
    REAL(libxl_domain_sched_params_dispose)(&config->b_info.sched_params);
    return REAL(libxl_domain_sched_params_get)(ctx, domid, &config->b_info.sched_params);
}

/* libxl's own sum: the guest, what its type costs on top, and its paging pool, in whole 2 MiB. */
EXPORT int libxl_domain_need_memory(
    libxl_ctx *ctx, libxl_domain_config *config, uint32_t domid_for_logging, uint64_t *need_memkb)
{
    const libxl_domain_build_info *b = &config->b_info;
    bool pvh = config->c_info.type == LIBXL_DOMAIN_TYPE_PVH;
    uint64_t need = b->max_memkb + (pvh ? 2048 : 1024);

    (void)ctx;
    (void)domid_for_logging;
    if (pvh)
        need += 4ull * (256ull * (unsigned)b->max_vcpus + 2 * (b->max_memkb / 1024));
    *need_memkb = (need + 2047) / 2048 * 2048;
    return 0;
}

EXPORT int libxl_domain_rename(
    libxl_ctx *ctx, uint32_t domid, const char *old_name, const char *new_name)
{
    struct xl *xl = xl_of(ctx);
    struct dominfo i;
    char id[12];
    int rc = look(xl, id_text(domid, id), &i);

    if (rc)
        return rc;
    if (old_name && strcmp(old_name, i.name)) {
        lg_message(xl, XTL_ERROR, -1, "domain %u is named %s, not %s", domid, i.name, old_name);
        return ERROR_FAIL;
    }
    return ASK(xl, NULL, "rename", id, new_name);
}

static int simple(libxl_ctx *ctx, const char *verb, uint32_t domid)
{
    struct xl *xl = xl_of(ctx);
    char id[12];

    return ASK(xl, NULL, verb, id_text(domid, id));
}

EXPORT int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    (void)ao_how;
    return simple(ctx, "unpause", domid);
}

EXPORT int libxl_domain_pause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    (void)ao_how;
    return simple(ctx, "pause", domid);
}

EXPORT int libxl_domain_resume(
    libxl_ctx *ctx, uint32_t domid, int suspend_cancel, const libxl_asyncop_how *ao_how)
{
    (void)ao_how;
    return simple(ctx, suspend_cancel ? "resume" : "resume-slowly", domid);
}

EXPORT int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    (void)ao_how;
    return simple(ctx, "destroy", domid);
}

/* Events. */

EXPORT void libxl_event_free(libxl_ctx *ctx, libxl_event *event)
{
    (void)ctx;
    if (event)
        REAL(libxl_event_dispose)(event);
    free(event);
}

/* Caller holds xl->lock. */
static void queue_event(struct xl *xl, const libxl_event *what)
{
    struct event *e = calloc(1, sizeof(*e));
    struct event **at = &xl->events;

    if (e)
        e->event = malloc(sizeof(*e->event));
    if (!e || !e->event) {
        free(e);
        return;
    }
    *e->event = *what;
    while (*at)
        at = &(*at)->next;
    *at = e;
    pthread_cond_broadcast(&xl->changed);
}

static libxl_event *take_event(
    struct xl *xl, uint64_t typemask, libxl_event_predicate *predicate, void *user)
{
    for (struct event **at = &xl->events; *at; at = &(*at)->next) {
        struct event *e = *at;

        if (!(typemask & 1ull << e->event->type) || (predicate && !predicate(e->event, user)))
            continue;

        libxl_event *event = e->event;

        *at = e->next;
        free(e);
        return event;
    }
    return NULL;
}

EXPORT int libxl_event_check(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
    libxl_event_predicate *predicate, void *user)
{
    struct xl *xl = xl_of(ctx);

    pthread_mutex_lock(&xl->lock);
    *event_r = take_event(xl, typemask, predicate, user);
    pthread_mutex_unlock(&xl->lock);
    return *event_r ? 0 : ERROR_NOT_READY;
}

EXPORT int libxl_event_wait(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
    libxl_event_predicate *predicate, void *user)
{
    struct xl *xl = xl_of(ctx);

    pthread_mutex_lock(&xl->lock);
    while (!(*event_r = take_event(xl, typemask, predicate, user)))
        pthread_cond_wait(&xl->changed, &xl->lock);
    pthread_mutex_unlock(&xl->lock);
    return 0;
}

static void *watch_death(void *arg)
{
    struct libxl__evgen_domain_death *w = arg;
    libxl_event event = {.domid = (libxl_domid)w->domid, .for_user = w->user};
    struct err e = ERR_INIT;
    char *text = NULL;
    char id[12];
    unsigned code = 0;
    int rc = client_commandl(w->sock, &text, &e, "await", id_text(w->domid, id), NULL);

    pthread_mutex_lock(&w->xl->lock);
    if (!rc && sscanf(text, "shutdown %u", &code) == 1) {
        event.type = LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN;
        event.u.domain_shutdown.shutdown_reason = (uint8_t)code;
        queue_event(w->xl, &event);
    } else if ((rc && !w->over) || (!rc && !strncmp(text, "dead", 4))) {
        /* Also when the host went away: nobody may wait for ever for a domain of it. */
        event.type = LIBXL_EVENT_TYPE_DOMAIN_DEATH;
        queue_event(w->xl, &event);
    }
    pthread_mutex_unlock(&w->xl->lock);
    free(text);
    return NULL;
}

EXPORT int libxl_evenable_domain_death(
    libxl_ctx *ctx, uint32_t domid, libxl_ev_user user, libxl_evgen_domain_death **evgen_out)
{
    struct libxl__evgen_domain_death *w = calloc(1, sizeof(*w));
    struct err e = ERR_INIT;

    if (!w)
        return ERROR_NOMEM;
    w->xl = xl_of(ctx);
    w->domid = domid;
    w->user = user;
    w->sock = host_socket(&e);
    if (w->sock >= 0 && !pthread_create(&w->thread, NULL, watch_death, w)) {
        *evgen_out = w;
        return 0;
    }
    if (w->sock >= 0)
        close(w->sock);
    free(w);
    return ERROR_FAIL;
}

EXPORT void libxl_evdisable_domain_death(libxl_ctx *ctx, libxl_evgen_domain_death *evgen)
{
    struct libxl__evgen_domain_death *w = evgen;

    (void)ctx;
    if (!w)
        return;
    w->over = true;
    shutdown(w->sock, SHUT_RDWR);
    pthread_join(w->thread, NULL);
    close(w->sock);
    free(w);
}

/* Save and restore. */

static void helper_log(
    void *arg, unsigned level, int errno_value, const char *context, const char *text)
{
    struct op *op = arg;

    (void)context;
    lg_message(op->xl, (xentoollog_level)level, errno_value, "%s", text);
}

/* The host's answer, unless the helper ends or the operation is aborted before. */
static int await_answer(struct op *op, int sock, int helper_fd, struct err *e)
{
    struct pollfd fds[3] = {{.fd = sock, .events = POLLIN}, {.fd = helper_fd, .events = 0},
        {.fd = op->cancel.event_fd, .events = POLLIN}};
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

/* As libxl: 60 s for the guest to answer. */
static bool suspend_domain(void *arg, int helper_fd)
{
    struct op *op = arg;
    struct err e = ERR_INIT;
    char words[64];
    int n = snprintf(words, sizeof(words), "suspend%c%u%c60s", 0, op->domid, 0) + 1;
    int sock = host_socket(&e);
    int rc = sock < 0 ? sock : client_send(sock, words, (size_t)n, &e);

    if (!rc)
        rc = await_answer(op, sock, helper_fd, &e);
    if (sock >= 0)
        close(sock);
    if (rc)
        lg_message(op->xl, XTL_ERROR, -1, "suspend: %s", e.text);
    else
        op->guest_responded = true;
    return rc == 0;
}

static const struct helper_ops helper_ops = {.suspend = suspend_domain, .log = helper_log};

struct stream_header {
    uint64_t ident;
    uint32_t version, options;
};

struct stream_record {
    uint32_t type, length;
};

static int write_stream(struct op *op, const void *data, size_t bytes)
{
    int rc = io_write_full(op->fd, data, bytes, &op->cancel, DEADLINE_NEVER);

    if (rc)
        lg_message(op->xl, XTL_ERROR, -rc, "cannot write the stream");
    return rc ? ERROR_FAIL : 0;
}

static int read_stream(struct op *op, void *data, size_t bytes)
{
    int rc = io_read_full(op->fd, data, bytes, &op->cancel, DEADLINE_NEVER);

    if (rc)
        lg_message(op->xl, XTL_ERROR, -1, "cannot read the stream: %s", io_strerror(rc));
    return rc ? ERROR_FAIL : 0;
}

static int run_helper(struct op *op)
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

    int rc = helper_run(&job, &op->cancel, &result, &e);

    if (!rc)
        return 0;
    lg_message(op->xl, XTL_ERROR, -1, "%s", e.text);
    if (!result.completed || !op->save)
        return ERROR_FAIL;
    lg_message(op->xl, XTL_ERROR, result.errno_value, "saving domain: domain %s to suspend request",
        op->guest_responded ? "responded" : "did not respond");
    return op->guest_responded ? ERROR_FAIL : ERROR_GUEST_TIMEDOUT;
}

static int save_domain(struct op *op)
{
    struct stream_header header = {htobe64(STREAM_IDENT), htobe32(STREAM_VERSION), 0};
    struct stream_record context = {RECORD_LIBXC_CONTEXT, 0}, end = {RECORD_END, 0};
    int rc = write_stream(op, &header, sizeof(header));

    if (!rc)
        rc = write_stream(op, &context, sizeof(context));
    if (!rc)
        rc = run_helper(op);
    return rc ? rc : write_stream(op, &end, sizeof(end));
}

static int make_domain(struct op *op)
{
    const libxl_domain_config *config = op->config;
    const uint8_t *uuid = libxl_uuid_bytearray_const(&config->c_info.uuid);
    char vcpus[12], kib[24], hex[33];
    char *text = NULL;
    int rc;

    if (config->c_info.type != LIBXL_DOMAIN_TYPE_PV &&
        config->c_info.type != LIBXL_DOMAIN_TYPE_PVH) {
        lg_message(op->xl, XTL_ERROR, -1, "xensim has PV and PVH guests only");
        return ERROR_INVAL;
    }
    snprintf(vcpus, sizeof(vcpus), "%d", config->b_info.max_vcpus ? config->b_info.max_vcpus : 1);
    snprintf(
        kib, sizeof(kib), "%llu", (unsigned long long)config->b_info.max_memkb + MAXMEM_SLACK_KIB);
    for (unsigned i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", uuid[i]);
    rc = ASK(op->xl, &text, "create-empty",
        config->c_info.type == LIBXL_DOMAIN_TYPE_PVH ? "pvh" : "pv", vcpus, kib,
        config->c_info.name, hex);
    if (!rc)
        op->domid = (uint32_t)atoi(text);
    free(text);
    return rc;
}

/* Up to where the helper takes over. */
static int read_preamble(struct op *op)
{
    struct stream_header header;
    struct stream_record record;
    int rc = read_stream(op, &header, sizeof(header));

    if (rc)
        return rc;
    if (be64toh(header.ident) != STREAM_IDENT || be32toh(header.version) != STREAM_VERSION) {
        lg_message(op->xl, XTL_ERROR, -1, "not a libxl stream of version %d", STREAM_VERSION);
        return ERROR_FAIL;
    }
    rc = read_stream(op, &record, sizeof(record));
    if (!rc && (record.type != RECORD_LIBXC_CONTEXT || record.length)) {
        lg_message(op->xl, XTL_ERROR, -1, "record type %u where the libxc context was expected",
            record.type);
        rc = ERROR_FAIL;
    }
    return rc;
}

static int read_end(struct op *op)
{
    struct stream_record record;
    int rc = read_stream(op, &record, sizeof(record));

    if (!rc && (record.type != RECORD_END || record.length)) {
        lg_message(op->xl, XTL_ERROR, -1, "record type %u where the end was expected", record.type);
        rc = ERROR_FAIL;
    }
    return rc;
}

static int keep_config(struct op *op)
{
    char *json = REAL(libxl_domain_config_to_json)(op->xl->ctx, op->config);
    char id[12];
    int rc = json ? ASK(op->xl, NULL, "set-config", id_text(op->domid, id), json) : ERROR_NOMEM;

    free(json);
    return rc;
}

static int restore_domain(struct op *op)
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
        rc = keep_config(op);
    if (rc && made)
        ASK(op->xl, NULL, "destroy", id_text(op->domid, id));
    *op->domid_out = rc ? (uint32_t)INVALID_DOMID : op->domid;
    return rc;
}

static void finish(struct op *op)
{
    struct xl *xl = op->xl;
    libxl_event event = {.type = LIBXL_EVENT_TYPE_OPERATION_COMPLETE,
        .domid = (libxl_domid)op->domid,
        .for_user = op->how.u.for_event};

    event.u.operation_complete.rc = op->rc;
    if (!op->synchronous && op->how.callback)
        op->how.callback(xl->ctx, op->rc, op->how.u.for_callback);
    pthread_mutex_lock(&xl->lock);
    if (!op->synchronous && !op->how.callback)
        queue_event(xl, &event);
    for (struct op **p = &xl->ops; *p; p = &(*p)->next)
        if (*p == op) {
            *p = op->next;
            break;
        }
    pthread_cond_broadcast(&xl->changed);
    pthread_mutex_unlock(&xl->lock);
}

static void *run_op(void *arg)
{
    struct op *op = arg;

    op->rc = op->save ? save_domain(op) : restore_domain(op);
    if (op->rc && cancel_is_fired(&op->cancel))
        op->rc = ERROR_ABORTED;
    finish(op);
    cancel_destroy(&op->cancel);
    if (!op->synchronous)
        free(op);
    return NULL;
}

/* Run to the end, or in a thread if the caller wants to hear of it later. */
static int start_op(const struct op *what, const libxl_asyncop_how *how)
{
    struct op *op = malloc(sizeof(*op));
    struct err e = ERR_INIT;
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    if (!op)
        return ERROR_NOMEM;
    *op = *what;
    op->synchronous = !how;
    if (how)
        op->how = *how;
    if (cancel_init(&op->cancel, &e)) {
        free(op);
        return ERROR_FAIL;
    }
    pthread_mutex_lock(&op->xl->lock);
    op->next = op->xl->ops;
    op->xl->ops = op;
    pthread_mutex_unlock(&op->xl->lock);
    if (!how) {
        run_op(op);
        rc = op->rc;
        free(op);
        return rc;
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attr, run_op, op);
    pthread_attr_destroy(&attr);
    if (!rc)
        return 0;
    pthread_mutex_lock(&op->xl->lock);
    op->xl->ops = op->next;
    pthread_mutex_unlock(&op->xl->lock);
    cancel_destroy(&op->cancel);
    free(op);
    return ERROR_FAIL;
}

EXPORT int libxl_domain_suspend(
    libxl_ctx *ctx, uint32_t domid, int fd, int flags, const libxl_asyncop_how *ao_how)
{
    struct op op = {.xl = xl_of(ctx), .save = true, .domid = domid, .fd = fd, .flags = flags};
    struct dominfo i;
    char id[12];
    int rc = look(op.xl, id_text(domid, id), &i);

    return rc ? rc : start_op(&op, ao_how);
}

EXPORT int libxl_domain_create_restore(libxl_ctx *ctx, libxl_domain_config *config, uint32_t *domid,
    int restore_fd, int send_back_fd, const libxl_domain_restore_params *params,
    const libxl_asyncop_how *ao_how, const libxl_asyncprogress_how *console)
{
    struct op op = {.xl = xl_of(ctx),
        .config = config,
        .domid = (uint32_t)INVALID_DOMID,
        .domid_out = domid,
        .fd = restore_fd};

    (void)send_back_fd;
    (void)console;
    if (params->stream_version != 2) {
        lg_message(op.xl, XTL_ERROR, -1, "stream version %u: xensim has no legacy converter",
            params->stream_version);
        return ERROR_INVAL;
    }
    return start_op(&op, ao_how);
}

/* A new guest in place of one that rebooted: xensim boots no kernels, so it is one of its own. */
EXPORT int libxl_domain_create_new(libxl_ctx *ctx, libxl_domain_config *config, uint32_t *domid,
    const libxl_asyncop_how *ao_how, const libxl_asyncprogress_how *console)
{
    struct xl *xl = xl_of(ctx);
    char vcpus[12], kib[24];
    char *text = NULL;
    int rc;

    (void)ao_how;
    (void)console;
    snprintf(vcpus, sizeof(vcpus), "%d", config->b_info.max_vcpus ? config->b_info.max_vcpus : 1);
    snprintf(kib, sizeof(kib), "%lluK", (unsigned long long)config->b_info.max_memkb);
    rc = ASK(xl, &text, "create", "--paused", "--type",
        config->c_info.type == LIBXL_DOMAIN_TYPE_PVH ? "pvh" : "pv", "--vcpus", vcpus, "--memory",
        kib, "--name", config->c_info.name);
    if (!rc)
        *domid = (uint32_t)atoi(text);
    free(text);
    return rc;
}

EXPORT int libxl_ao_abort(libxl_ctx *ctx, const libxl_asyncop_how *how)
{
    struct xl *xl = xl_of(ctx);
    int rc = ERROR_NOTFOUND;

    pthread_mutex_lock(&xl->lock);
    for (struct op *op = xl->ops; op; op = op->next) {
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
