/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/admin_socket.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/paths.h"
#include "cmd/xmigrate/metrics.h"
#include "cmd/xmigrate/ui/events.h"
#include "cmd/xmigrate/ui/limits.h"
#include "cmd/xmigrate/ui/meter.h"
#include "cmd/xmigrate/ui/options.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLIENTS = 8, BACKLOG = 64, REQUEST_BYTES = 1024 };

/* To send its line. */
#define CLIENT_NS (2 * NS_PER_S)

struct client {
    int fd; /* -1: free */
    int64_t deadline_ns;
    size_t used_bytes;
    char line[REQUEST_BYTES];
};

struct admin_socket {
    struct cancel *cancel;
    struct cancel stop; /* ends the thread */
    pthread_t thread;
    int listen_fd;
    int tune_fd;
    char path[PATHS_BYTES + 32];
    int64_t begun_ns;
    struct client clients[CLIENTS]; /* the thread's */

    pthread_mutex_t lock; /* guards all below */
    struct admin_status now;
    struct decide_limits limits; /* what now.tune stands among */
    bool tuned, cancelled, given, stands_still;
    struct meter meter;
};

/* --- what the migration says --- */

static void note_bytes(struct admin_socket *admin)
{
    admin->now.wire_bytes = admin->meter.wire_bytes;
    admin->now.wire_bits_per_s = (uint64_t)admin->meter.wire_bits_per_s;
}

static void note_progress(struct admin_socket *admin, const struct progress_report *r)
{
    meter_note_progress(&admin->meter, r, now_ns());
    admin->now.percent = meter_percent(&admin->meter);
    admin->now.round = r->round;
    admin->now.predicted_downtime_ns = r->predicted_downtime_ns;
    admin->now.eta_ns = admin->meter.eta_ns;
    note_bytes(admin);
}

static void note_received(struct admin_socket *admin, const json_t *event)
{
    const json_int_t bytes = json_integer_value(json_object_get(event, "wire_bytes"));

    meter_note_bytes(&admin->meter, (uint64_t)bytes, now_ns());
    note_bytes(admin);
}

static void set_phase(struct admin_socket *admin, const char *phase)
{
    snprintf(admin->now.phase, sizeof(admin->now.phase), "%s", phase);
}

void admin_note(struct admin_socket *admin, const json_t *event)
{
    static const char *const phases[][2] = {{"start", "copying"}, {"suspending", "suspending"},
        {"suspended", "suspended"}, {"ready", "ready"}, {"go", "given"}};
    const char *name = event_name(event);
    struct progress_report r;

    if (!admin)
        return;
    pthread_mutex_lock(&admin->lock);
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
        if (!strcmp(name, phases[i][0]))
            set_phase(admin, phases[i][1]);
    admin->stands_still |= !strcmp(name, "suspending");
    if (!strcmp(name, "progress") && event_read_progress(event, &r))
        note_progress(admin, &r);
    else if (!strcmp(name, "received")) /* which says nothing of how much will be */
        note_received(admin, event);
    pthread_mutex_unlock(&admin->lock);
}

void admin_note_phase(struct admin_socket *admin, const char *phase)
{
    if (!admin)
        return;
    pthread_mutex_lock(&admin->lock);
    set_phase(admin, phase);
    pthread_mutex_unlock(&admin->lock);
}

void admin_note_share(struct admin_socket *admin, uint64_t bits_per_s)
{
    if (!admin)
        return;
    pthread_mutex_lock(&admin->lock);
    admin->now.share_bits_per_s = bits_per_s;
    pthread_mutex_unlock(&admin->lock);
}

int admin_fd(const struct admin_socket *admin)
{
    return admin ? admin->tune_fd : -1;
}

bool admin_take_tune(struct admin_socket *admin, struct link_tune *tune)
{
    uint64_t count;
    bool tuned;

    if (!admin)
        return false;
    pthread_mutex_lock(&admin->lock);
    tuned = admin->tuned && read(admin->tune_fd, &count, sizeof(count)) > 0;
    admin->tuned = false;
    *tune = admin->now.tune;
    pthread_mutex_unlock(&admin->lock);
    return tuned;
}

bool admin_may_give(struct admin_socket *admin)
{
    bool may = true;

    if (!admin)
        return may;
    pthread_mutex_lock(&admin->lock);
    may = !admin->cancelled;
    admin->given = may;
    pthread_mutex_unlock(&admin->lock);
    return may;
}

const char *admin_why_stopped(struct admin_socket *admin)
{
    bool cancelled = false;

    if (admin) {
        pthread_mutex_lock(&admin->lock);
        cancelled = admin->cancelled;
        pthread_mutex_unlock(&admin->lock);
    }
    return cancelled ? "cancelled with xmigrate --cancel" : "stopped by a signal";
}

/* --- what is asked --- */

static json_t *refusal(const char *code, const char *text)
{
    return json_pack("{s:b, s:s, s:s}", "ok", 0, "code", code, "text", text);
}

static json_t *tell_status(struct admin_socket *admin)
{
    admin->now.elapsed_ns = now_ns() - admin->begun_ns;
    return json_pack("{s:b, s:o}", "ok", 1, "status", admin_status_pack(&admin->now));
}

static json_t *refuse_too_late(const struct admin_socket *admin)
{
    char text[ERR_TEXT_BYTES];

    if (admin->now.role == LINK_SOURCE)
        snprintf(text, sizeof(text),
            "too late: the guest was given to %s and may run there already; xmigrate --status here "
            "tells how the move ends, and nothing here may run it until then",
            admin->now.peer);
    else
        snprintf(
            text, sizeof(text), "too late: %s has given the guest to this host", admin->now.peer);
    return refusal("too-late", text);
}

static json_t *cancel_it(struct admin_socket *admin)
{
    if (admin->given)
        return refuse_too_late(admin);
    admin->cancelled = true;
    cancel_fire(admin->cancel);
    return json_pack("{s:b}", "ok", 1);
}

/* All of --offline goes while the guest stands still: its bandwidth may change as any. */
static json_t *set(struct admin_socket *admin, const struct admin_request *r)
{
    const uint64_t one = 1;
    struct decide_limits limits = admin->limits;
    struct link_tune tune = admin->now.tune;
    struct err e = ERR_INIT;

    if (admin->now.role != LINK_SOURCE)
        return refusal("wrong-end", "the host that the guest comes from decides about that");
    if (admin->stands_still && (r->max_downtime || r->on_stall))
        return refusal("too-late", "too late: the guest was asked to suspend");
    admin_apply(r, &tune);
    limits.max_downtime_ns = tune.max_downtime_ns;
    limits.on_stall = tune.on_stall;
    if (limits_check(&limits, &e))
        return refusal("usage", e.text);
    admin->now.tune = tune;
    admin->tuned = true;
    if (write(admin->tune_fd, &one, sizeof(one)) < 0)
        return refusal("internal", "the migration cannot be told");
    return tell_status(admin);
}

/* Of this host, with this migration among those under way. */
static json_t *tell_metrics(struct admin_socket *admin)
{
    struct admin_status now;
    struct err e = ERR_INIT;
    struct metrics m;
    json_t *o = NULL;
    char *text;

    pthread_mutex_lock(&admin->lock);
    now = admin->now;
    pthread_mutex_unlock(&admin->lock);
    if (metrics_load(&m, &e))
        return refusal("internal", e.text);
    text = metrics_text(&m, &now, 1);
    if (text)
        o = json_pack("{s:b, s:s}", "ok", 1, "text", text);
    free(text);
    return o;
}

static json_t *answer(struct admin_socket *admin, const char *line, size_t len_bytes)
{
    struct admin_request r;
    struct err e = ERR_INIT;
    json_t *o;

    if (admin_request_parse(line, len_bytes, &r, &e))
        return refusal("usage", e.text);
    if (r.verb == ADMIN_METRICS)
        return tell_metrics(admin);
    pthread_mutex_lock(&admin->lock);
    o = r.verb == ADMIN_STATUS   ? tell_status(admin)
        : r.verb == ADMIN_CANCEL ? cancel_it(admin)
                                 : set(admin, &r);
    pthread_mutex_unlock(&admin->lock);
    return o;
}

/* --- clients --- */

static void drop(struct client *c)
{
    close(c->fd);
    c->fd = -1;
}

/* A socket that is new takes all of it at once. */
static void reply(struct admin_socket *admin, struct client *c, size_t line_bytes)
{
    json_t *o = answer(admin, c->line, line_bytes);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

    if (text) {
        const size_t len = strlen(text);

        text[len] = '\n'; /* in the NUL's place */
        send(c->fd, text, len + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    free(text);
    json_decref(o);
    drop(c);
}

static void hear(struct admin_socket *admin, struct client *c)
{
    const ssize_t n = io_read_some(c->fd, c->line + c->used_bytes, sizeof(c->line) - c->used_bytes);
    const char *end;

    if (n == -EAGAIN)
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    c->used_bytes += (size_t)n;
    end = memchr(c->line, '\n', c->used_bytes);
    if (end || c->used_bytes == sizeof(c->line))
        reply(admin, c, end ? (size_t)(end - c->line) : c->used_bytes);
}

/* The oldest makes room. */
static struct client *find_room(struct admin_socket *admin)
{
    struct client *oldest = &admin->clients[0];

    for (int i = 0; i < CLIENTS; i++) {
        if (admin->clients[i].fd < 0)
            return &admin->clients[i];
        if (admin->clients[i].deadline_ns < oldest->deadline_ns)
            oldest = &admin->clients[i];
    }
    drop(oldest);
    return oldest;
}

static void welcome(struct admin_socket *admin)
{
    const int fd = accept4(admin->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred peer;
    socklen_t len = sizeof(peer);
    struct client *c;

    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) || peer.uid != geteuid()) {
        close(fd);
        return;
    }
    c = find_room(admin);
    c->fd = fd;
    c->used_bytes = 0;
    c->deadline_ns = deadline_in(CLIENT_NS);
}

static bool serve_once(struct admin_socket *admin)
{
    struct pollfd fds[2 + CLIENTS] = {
        {.fd = admin->stop.event_fd, .events = POLLIN},
        {.fd = admin->listen_fd, .events = POLLIN},
    };
    int64_t wake_ns = DEADLINE_NEVER;

    for (int i = 0; i < CLIENTS; i++) {
        fds[2 + i] = (struct pollfd){.fd = admin->clients[i].fd, .events = POLLIN};
        if (admin->clients[i].fd >= 0)
            wake_ns = deadline_earlier(wake_ns, admin->clients[i].deadline_ns);
    }
    poll(fds, 2 + CLIENTS, deadline_poll_ms(wake_ns));
    if (cancel_is_fired(&admin->stop))
        return false;
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &admin->clients[i];

        if (c->fd >= 0 && fds[2 + i].revents)
            hear(admin, c);
        else if (c->fd >= 0 && deadline_passed(c->deadline_ns))
            drop(c);
    }
    if (fds[1].revents)
        welcome(admin);
    return true;
}

static void *serve(void *arg)
{
    struct admin_socket *admin = arg;

    while (serve_once(admin))
        ;
    for (int i = 0; i < CLIENTS; i++)
        if (admin->clients[i].fd >= 0)
            drop(&admin->clients[i]);
    return NULL;
}

/* --- its life --- */

static int listen_at(struct admin_socket *admin, struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char dir[PATHS_BYTES];
    int rc = open_run_dir(dir, e);

    if (rc)
        return rc;
    snprintf(admin->path, sizeof(admin->path), "%s/" ADMIN_PREFIX "%d", dir, (int)getpid());
    if (strlen(admin->path) >= sizeof(a.sun_path))
        return err_set(
            e, ERR_LOCAL, ENAMETOOLONG, "the socket's path is too long: %s", admin->path);
    strcpy(a.sun_path, admin->path);
    admin->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(admin->path);
    if (admin->listen_fd < 0 || bind(admin->listen_fd, (struct sockaddr *)&a, sizeof(a)) ||
        chmod(admin->path, 0600) || listen(admin->listen_fd, BACKLOG))
        return err_sys(e, ERR_LOCAL, errno, "cannot listen on %s", admin->path);
    return 0;
}

static int start(struct admin_socket *admin, struct err *e)
{
    sigset_t all, before;
    int rc = listen_at(admin, e);

    if (rc)
        return rc;
    admin->tune_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (admin->tune_fd < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot make an eventfd");
    rc = cancel_init(&admin->stop, e);
    if (rc)
        return rc;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&admin->thread, NULL, serve, admin);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!rc)
        return 0;
    cancel_destroy(&admin->stop);
    return err_sys(e, ERR_LOCAL, rc, "cannot start a thread");
}

static void release(struct admin_socket *admin)
{
    if (admin->listen_fd >= 0) {
        unlink(admin->path);
        close(admin->listen_fd);
    }
    if (admin->tune_fd >= 0)
        close(admin->tune_fd);
    pthread_mutex_destroy(&admin->lock);
    free(admin);
}

int admin_open(struct admin_socket **admin, const struct admin_status *first,
    const struct decide_limits *limits, struct cancel *cancel, struct err *e)
{
    struct admin_socket *o = calloc(1, sizeof(*o));
    int rc;

    *admin = NULL;
    if (!o)
        return err_sys(e, ERR_LOCAL, ENOMEM, "no memory");
    *o = (struct admin_socket){.cancel = cancel,
        .listen_fd = -1,
        .tune_fd = -1,
        .now = *first,
        .limits = *limits,
        .begun_ns = now_ns()};
    o->now.pid = (uint32_t)getpid();
    pthread_mutex_init(&o->lock, NULL);
    for (int i = 0; i < CLIENTS; i++)
        o->clients[i].fd = -1;
    rc = start(o, e);
    if (rc)
        release(o);
    else
        *admin = o;
    return rc;
}

void admin_close(struct admin_socket *admin)
{
    if (!admin)
        return;
    cancel_fire(&admin->stop);
    pthread_join(admin->thread, NULL);
    cancel_destroy(&admin->stop);
    release(admin);
}
