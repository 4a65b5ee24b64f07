#include "cmd/xmigrate/xl_ctx.h"

#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <libxl_utils.h>
#include <libxl_uuid.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xentoollog.h>

/* vtable must come first: libxl knows nothing else of it. */
struct xl_logger {
    xentoollog_logger vtable;
    const struct log *log;
    pthread_mutex_t lock; /* guards first */
    char first[LOG_LINE_BYTES];
};

/* libxl begins with "libxl_x.c:123:function: ", which tells a reader nothing. */
static const char *skip_place(const char *line)
{
    int skip = 0;

    sscanf(line, "%*[A-Za-z0-9_].c:%*u:%*[A-Za-z0-9_]: %n", &skip);
    return line + skip;
}

static void keep_first(struct xl_logger *lg, const char *line)
{
    pthread_mutex_lock(&lg->lock);
    if (!lg->first[0])
        snprintf(lg->first, sizeof(lg->first), "%s", skip_place(line));
    pthread_mutex_unlock(&lg->lock);
}

__attribute__((format(printf, 5, 0))) static void take_message(xentoollog_logger *base,
    xentoollog_level level, int errnoval, const char *context, const char *format, va_list al)
{
    struct xl_logger *lg = (struct xl_logger *)base;
    const int saved = errno;
    char line[LOG_LINE_BYTES];
    int n = vsnprintf(line, sizeof(line), format, al);

    if (n < 0)
        n = 0;
    if (n >= (int)sizeof(line))
        n = (int)sizeof(line) - 1;
    while (n && line[n - 1] == '\n')
        line[--n] = '\0';
    if (errnoval >= 0)
        snprintf(line + n, sizeof(line) - (size_t)n, ": %s", strerror(errnoval));
    if (level >= XTL_ERROR)
        keep_first(lg, line);
    /* How many buffers libxencall has had is of no interest even with -v. */
    if (!context || strncmp(context, "xencall", 7))
        log_debug(lg->log, "%s: %s", context ? context : "libxl", line);
    errno = saved;
}

static void destroy_logger(xentoollog_logger *base)
{
    struct xl_logger *lg = (struct xl_logger *)base;

    pthread_mutex_destroy(&lg->lock);
    free(lg);
}

static struct xl_logger *make_logger(const struct log *log)
{
    struct xl_logger *lg = calloc(1, sizeof(*lg));

    if (!lg)
        return NULL;
    lg->vtable.vmessage = take_message;
    lg->vtable.destroy = destroy_logger;
    lg->log = log;
    pthread_mutex_init(&lg->lock, NULL);
    return lg;
}

int xl_prepare_process(struct err *e)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return err_sys(e, ERR_LOCAL, errno, "cannot open /dev/null as descriptor %d", fd);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_sys(e, ERR_LOCAL, errno, "cannot ignore SIGPIPE");
    return 0;
}

int xl_open(struct xl *xl, const struct log *log, struct err *e)
{
    static const libxl_childproc_hooks reap_own_children = {
        .chldowner = libxl_sigchld_owner_libxl_always_selective_reap,
    };

    *xl = (struct xl){.log = log, .logger = make_logger(log)};
    if (!xl->logger)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for libxl's log");
    if (libxl_ctx_alloc(&xl->ctx, LIBXL_VERSION, 0, &xl->logger->vtable)) {
        err_set(e, ERR_REFUSED, geteuid() ? EPERM : ENODEV,
            geteuid() ? "cannot reach Xen: this needs root (%s)"
                      : "cannot reach Xen: is this dom0, and is xenstored running? (%s)",
            xl->logger->first[0] ? xl->logger->first : "libxl gives no reason");
        xl->ctx = NULL;
        xl_close(xl);
        return -e->code;
    }
    libxl_childproc_setmode(xl->ctx, &reap_own_children, NULL);
    return 0;
}

void xl_close(struct xl *xl)
{
    libxl_ctx_free(xl->ctx);
    if (xl->logger)
        destroy_logger(&xl->logger->vtable);
    *xl = (struct xl){0};
}

void xl_begin(struct xl *xl)
{
    pthread_mutex_lock(&xl->logger->lock);
    xl->logger->first[0] = '\0';
    pthread_mutex_unlock(&xl->logger->lock);
}

static int code_of(int rc)
{
    switch (rc) {
    case ERROR_NOMEM:
        return ENOMEM;
    case ERROR_INVAL:
        return EINVAL;
    case ERROR_DOMAIN_NOTFOUND:
        return ESRCH;
    case ERROR_GUEST_TIMEDOUT:
    case ERROR_TIMEDOUT:
        return ETIMEDOUT;
    case ERROR_ABORTED:
        return ECANCELED;
    default:
        return EIO;
    }
}

int xl_failed(struct xl *xl, int rc, enum err_class class, struct err *e, const char *fmt, ...)
{
    char what[256], first[LOG_LINE_BYTES];
    va_list al;

    va_start(al, fmt);
    vsnprintf(what, sizeof(what), fmt, al);
    va_end(al);
    pthread_mutex_lock(&xl->logger->lock);
    memcpy(first, xl->logger->first, sizeof(first));
    pthread_mutex_unlock(&xl->logger->lock);
    if (!first[0])
        snprintf(first, sizeof(first), "libxl error %d", rc);
    return err_set(e, class, code_of(rc), "%s: %s", what, first);
}

void xl_uuid_text(const libxl_uuid *uuid, char text[static XL_UUID_TEXT_BYTES])
{
    snprintf(text, XL_UUID_TEXT_BYTES, LIBXL_UUID_FMT, LIBXL_UUID_BYTES((*uuid)));
}

const char *xl_type_name(libxl_domain_type type)
{
    switch (type) {
    case LIBXL_DOMAIN_TYPE_PV:
        return "pv";
    case LIBXL_DOMAIN_TYPE_PVH:
        return "pvh";
    case LIBXL_DOMAIN_TYPE_HVM:
        return "hvm";
    default:
        return "unknown";
    }
}

int xl_look(struct xl *xl, uint32_t domid, struct xl_domain *d, struct err *e)
{
    libxl_dominfo info;

    xl_begin(xl);
    libxl_dominfo_init(&info);

    const int rc = libxl_domain_info(xl->ctx, &info, domid);

    if (rc == ERROR_DOMAIN_NOTFOUND)
        err_set(e, ERR_REFUSED, ESRCH, "there is no domain %u", domid);
    else if (rc)
        xl_failed(xl, rc, ERR_LOCAL, e, "cannot ask Xen about domain %u", domid);
    if (rc) {
        libxl_dominfo_dispose(&info);
        return rc == ERROR_DOMAIN_NOTFOUND ? -ESRCH : -code_of(rc);
    }

    char *name = libxl_domid_to_name(xl->ctx, domid);

    *d = (struct xl_domain){
        .domid = domid,
        .type = info.domain_type,
        .paused = info.paused,
        .shut_down = info.shutdown,
        .dying = info.dying,
        .reason = info.shutdown_reason,
        .vcpus = info.vcpu_online,
        .memory_kb = info.current_memkb,
        .max_memory_kb = info.max_memkb,
    };
    snprintf(d->name, sizeof(d->name), "%s", name ? name : "");
    xl_uuid_text(&info.uuid, d->uuid);
    free(name);
    libxl_dominfo_dispose(&info);
    return 0;
}

int xl_look_at(struct xl *xl, uint32_t domid, const char *uuid, struct xl_domain *d, struct err *e)
{
    const int rc = xl_look(xl, domid, d, e);

    if (!rc && strcmp(d->uuid, uuid))
        return err_set(e, ERR_REFUSED, ESRCH, "domain %u is another domain now", domid);
    return rc;
}

int xl_by_name(struct xl *xl, const char *name, struct xl_domain *d, struct err *e)
{
    uint32_t domid;

    xl_begin(xl);

    const int rc = libxl_name_to_domid(xl->ctx, name, &domid);

    /* libxl answers "invalid" for a name that nobody has, whatever its page says. */
    if (rc == ERROR_INVAL || rc == ERROR_DOMAIN_NOTFOUND)
        return -ESRCH;
    if (rc)
        return xl_failed(xl, rc, ERR_LOCAL, e, "cannot look for domain \"%s\"", name);
    return xl_look(xl, domid, d, e);
}

int xl_find(struct xl *xl, const char *name_or_domid, struct xl_domain *d, struct err *e)
{
    uint64_t domid;
    int rc = xl_by_name(xl, name_or_domid, d, e);

    if (rc == -ESRCH && !err_is_set(e)) {
        if (!parse_u64(name_or_domid, 0, 0x7fef, &domid))
            return err_set(e, ERR_REFUSED, ESRCH,
                "there is no domain \"%s\" on this host (xl list shows them)", name_or_domid);
        rc = xl_look(xl, (uint32_t)domid, d, e);
    }
    if (!rc && d->domid == 0)
        return err_set(e, ERR_REFUSED, ESRCH, "Domain-0 is this host itself");
    return rc;
}

int xl_host(struct xl *xl, struct xl_host *h, struct err *e)
{
    libxl_physinfo info;

    xl_begin(xl);
    libxl_physinfo_init(&info);

    const int rc = libxl_get_physinfo(xl->ctx, &info);

    if (rc) {
        libxl_physinfo_dispose(&info);
        return xl_failed(xl, rc, ERR_LOCAL, e, "cannot ask Xen about this host");
    }

    const uint64_t free_pages = info.free_pages + info.scrub_pages;

    *h = (struct xl_host){
        .free_kb = free_pages > info.outstanding_pages ? (free_pages - info.outstanding_pages) * 4
                                                       : 0,
        .total_kb = info.total_pages * 4,
        .hvm = info.cap_hvm,
        .pv = info.cap_pv,
        .shadow = info.cap_shadow,
    };
    libxl_physinfo_dispose(&info);
    return 0;
}

int xl_rename(struct xl *xl, uint32_t domid, const char *from, const char *to, struct err *e)
{
    xl_begin(xl);

    const int rc = libxl_domain_rename(xl->ctx, domid, from, to);

    return rc ? xl_failed(xl, rc, ERR_LOCAL, e, "cannot rename domain %u to \"%s\"", domid, to) : 0;
}

int xl_unpause(struct xl *xl, uint32_t domid, struct err *e)
{
    xl_begin(xl);

    const int rc = libxl_domain_unpause(xl->ctx, domid, NULL);

    return rc ? xl_failed(xl, rc, ERR_LOCAL, e, "cannot unpause domain %u", domid) : 0;
}

int xl_resume(struct xl *xl, uint32_t domid, struct err *e)
{
    xl_begin(xl);

    const int rc = libxl_domain_resume(xl->ctx, domid, 1, NULL);

    return rc ? xl_failed(xl, rc, ERR_LOCAL, e, "cannot resume domain %u", domid) : 0;
}

int xl_cap(struct xl *xl, uint32_t domid, unsigned *percent, struct err *e)
{
    libxl_domain_sched_params p;

    xl_begin(xl);
    libxl_domain_sched_params_init(&p);

    const int rc = libxl_domain_sched_params_get(xl->ctx, domid, &p);
    const libxl_scheduler sched = p.sched;
    const int cap = p.cap;

    libxl_domain_sched_params_dispose(&p);
    if (rc)
        return xl_failed(xl, rc, ERR_LOCAL, e, "cannot ask how domain %u is scheduled", domid);
    if ((sched != LIBXL_SCHEDULER_CREDIT && sched != LIBXL_SCHEDULER_CREDIT2) || cap < 0)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "domain %u is scheduled by \"%s\", which cannot cap its processor time: only credit "
            "and credit2 can",
            domid, libxl_scheduler_to_string(sched) ?: "?");
    *percent = (unsigned)cap;
    return 0;
}

int xl_set_cap(struct xl *xl, uint32_t domid, unsigned percent, struct err *e)
{
    libxl_domain_sched_params p;

    xl_begin(xl);
    libxl_domain_sched_params_init(&p); /* everything else: as it is */
    p.cap = (int)percent;

    const int rc = libxl_domain_sched_params_set(xl->ctx, domid, &p);

    libxl_domain_sched_params_dispose(&p);
    return rc ? xl_failed(xl, rc, ERR_LOCAL, e,
                    "cannot set the cap of domain %u's processor time to %u", domid, percent)
              : 0;
}

int xl_destroy(struct xl *xl, uint32_t domid, struct err *e)
{
    xl_begin(xl);

    const int rc = libxl_domain_destroy(xl->ctx, domid, NULL);

    if (!rc || rc == ERROR_DOMAIN_NOTFOUND)
        return 0;
    return xl_failed(xl, rc, ERR_LOCAL, e, "cannot destroy domain %u", domid);
}
