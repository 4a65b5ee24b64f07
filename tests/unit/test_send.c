/* SPDX-License-Identifier: MIT */
/*
 * The source's story and its hand-off: what is done to the guest, in which order, for every way in
 * which a move can end. libxl (xl_*, bring_back_guest) only writes down what it is asked for;
 * libxl's operation with the helper, and the destination, are played by threads. State files and
 * locks are the real ones, in a directory of this test.
 */
#include "base/deadline.h"
#include "base/io.h"
#include "cmd/device_model.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/handoff/bring_back.h"
#include "cmd/xmigrate/handoff/recover.h"
#include "cmd/xmigrate/peer_status.h"
#include "cmd/xmigrate/send.h"
#include "engine/probe/find_notes.h"
#include "engine/xen/suspend_ability.h"
#include "cmd/xmigrate/session/messages.h"
#include "cmd/xmigrate/libxl/config.h"
#include "crypto/peer.h"
#include "tests/unit/fake_libxl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { STATE_BYTES = JOURNAL_FILE_BYTES + 1 };

#define UUID     "01234567-89ab-cdef-0123-456789abcdef"
#define LIMIT_NS (5 * NS_PER_S)

static char state_path[128];

/* What one test sets and finds; threads of it are joined before it is read. */
static struct {
    struct xl_domain domain;
    bool shadow;
    bool no_drivers; /* the guest has no PV drivers */
    bool searched;   /* for its kernel's notes, which are: */
    struct kernel_notes notes;
    bool no_room;       /* the configuration cannot be moved */
    bool bad_away;      /* the new name exists */
    bool no_rescue;     /* the guest cannot be brought back */
    bool half_rescue;   /* it runs, and not all of it is as it was */
    unsigned cap;       /* the guest's own */
    unsigned first_cap; /* that the helper asks for; then it halves it down to 1 */
    bool throttle;      /* --on-stall throttle */
    bool no_cap;        /* the scheduler has none */
    bool bad_cap;       /* it cannot be set */
    int64_t suspend_ns;
    int64_t start_ns;
    void (*helper)(struct xl_async *op);
    void (*peer)(void);

    char done[512]; /* what was asked of libxl, in order */
    char state_at_go[STATE_BYTES];
    char state_at_cap[STATE_BYTES]; /* when it was first set */
    bool told_abort;
    atomic_bool helper_done;

    struct control control;
    pthread_t thread;
    bool connected;
} now;

/* The other end's thread notes things, too. */
static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    va_list ap;

    pthread_mutex_lock(&lock);

    const size_t len = strlen(now.done);

    va_start(ap, fmt);
    vsnprintf(now.done + len, sizeof(now.done) - len, fmt, ap);
    va_end(ap);
    pthread_mutex_unlock(&lock);
}

/* The record, and in its last sector what has changed since. */
static void read_state(char text[static STATE_BYTES])
{
    const int fd = open(state_path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? 0 : read(fd, text, STATE_BYTES - 1);

    for (ssize_t i = 0; i < n; i++)
        text[i] = text[i] ? text[i] : ' ';
    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

/* --- libxl --- */

int xl_prepare_process(struct err *e)
{
    (void)e;
    return 0;
}

int xl_open(struct xl *xl, const struct log *log, int64_t deadline_ns, struct err *e)
{
    (void)deadline_ns;
    (void)e;
    xl->log = log;
    return 0;
}

void xl_close(struct xl *xl)
{
    (void)xl;
}

int suspend_facts_read(uint32_t domid, bool hvm, struct suspend_facts *f, struct err *e)
{
    (void)domid, (void)hvm, (void)e;
    *f = (struct suspend_facts){.has_drivers = !now.no_drivers};
    return 0;
}

int suspend_ability_refuse(uint32_t domid, struct err *e)
{
    return err_set(e, ERR_REFUSED, EOPNOTSUPP, "domain %u cannot", domid);
}

int device_model_open(struct device_model *m, uint32_t domid, struct err *e)
{
    (void)domid, (void)e;
    *m = (struct device_model){.sock = -1, .version = {7, 2}};
    return 0;
}

int device_model_is_paused(struct device_model *m, bool *paused, struct err *e)
{
    (void)m, (void)e;
    *paused = false;
    return 0;
}

void device_model_close(struct device_model *m)
{
    (void)m;
}

void find_notes(const struct find_notes_params *p, struct kernel_notes *n)
{
    (void)p;
    now.searched = true;
    *n = now.notes;
}

int xl_find(struct xl *xl, const char *name_or_domid, struct xl_domain *d, struct err *e)
{
    (void)xl;
    if (strcmp(name_or_domid, "g"))
        return err_set(e, ERR_REFUSED, ESRCH, "no domain \"%s\"", name_or_domid);
    *d = now.domain;
    return 0;
}

int xl_look_at(struct xl *xl, uint32_t domid, const char *uuid, struct xl_domain *d, struct err *e)
{
    (void)xl;
    (void)domid;
    (void)uuid;
    (void)e;
    *d = now.domain;
    return 0;
}

int xl_host(struct xl *xl, struct xl_host *h, struct err *e)
{
    (void)xl;
    (void)e;
    *h = (struct xl_host){.shadow = now.shadow, .xen = {4, 20}};
    return 0;
}

int xl_rename(struct xl *xl, uint32_t domid, const char *from, const char *to, int64_t deadline_ns,
    struct err *e)
{
    (void)xl;
    (void)domid;
    if (now.bad_away)
        return err_set(e, ERR_LOCAL, EEXIST, "cannot rename");
    (void)deadline_ns;
    note("rename %s %s;", from, to);
    return 0;
}

int xl_destroy(struct xl *xl, uint32_t domid, struct err *e)
{
    (void)xl;
    (void)e;
    note("destroy %u;", domid);
    return 0;
}

int xl_cap(struct xl *xl, uint32_t domid, unsigned *percent, struct err *e)
{
    (void)xl;
    if (now.no_cap)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP, "domain %u: no cap", domid);
    *percent = now.cap;
    return 0;
}

/* What is on disk by then is what a crash would find. */
int xl_set_cap(struct xl *xl, uint32_t domid, unsigned percent, struct err *e)
{
    (void)xl;
    note("cap %u;", percent);
    if (now.bad_cap)
        return err_set(e, ERR_LOCAL, EIO, "cannot cap domain %u", domid);
    if (!now.state_at_cap[0])
        read_state(now.state_at_cap);
    return 0;
}

const char *xl_type_name(libxl_domain_type type)
{
    return type == LIBXL_DOMAIN_TYPE_PV ? "pv" : "pvh";
}

int peer_status_has(const struct options *o, const char *uuid, bool *has, struct err *e)
{
    (void)o;
    (void)uuid;
    (void)has;
    return err_set(e, ERR_PEER, EHOSTUNREACH, "no other host in a test");
}

int xl_config_parse(
    struct xl *xl, const char *text, size_t len_bytes, libxl_domain_config *config, struct err *e)
{
    (void)xl;
    (void)text;
    (void)len_bytes;
    (void)config;
    return err_set(e, ERR_PEER, EBADMSG, "no configuration in a test");
}

int xl_config_adopt(libxl_domain_config *config, const libxl_domain_config *real, struct err *e)
{
    (void)config;
    (void)real;
    (void)e;
    return 0;
}

int xl_config_rename(libxl_domain_config *config, const char *name, struct err *e)
{
    (void)config;
    (void)name;
    (void)e;
    return 0;
}

int xl_config_retrieve(struct xl *xl, uint32_t domid, libxl_domain_config *config, struct err *e)
{
    (void)xl;
    (void)domid;
    (void)e;
    config->c_info.type = now.domain.type;
    return 0;
}

bool xl_config_builds_early(const libxl_domain_config *config, enum early_disks early,
    const struct log *log, const char **why)
{
    (void)early, (void)log;
    *why = "not in this test";
    (void)config;
    return false;
}

struct xl_devices xl_config_devices(const libxl_domain_config *config)
{
    (void)config;
    return (struct xl_devices){0};
}

int xl_config_check_movable(const libxl_domain_config *config, struct err *e)
{
    (void)config;
    return now.no_room ? err_set(e, ERR_REFUSED, EOPNOTSUPP, "it has a PCI device") : 0;
}

int xl_config_text(struct xl *xl, libxl_domain_config *config, char **text, struct err *e)
{
    (void)xl;
    (void)config;
    (void)e;
    *text = strdup("{}");
    return 0;
}

void xl_config_dispose(libxl_domain_config *config)
{
    (void)config;
}

void recover_pass_on(
    const struct log *log, const char *uuid, const char *session, const char *where)
{
    (void)session;
    (void)log;
    (void)where;
    assert_string_equal(uuid, UUID);
}

int bring_back_guest(struct xl *xl, const struct journal_record *left,
    const struct domain_lock *lock, enum brought_back *found, struct err *e)
{
    (void)xl;
    assert_true(lock->fd >= 0);
    note("recover %u %s%s%s;", left->domid, left->name, left->logging ? " log-dirty" : "",
        left->cap == JOURNAL_NO_CAP ? "" : " cap");
    *found = now.no_rescue ? BACK_UNKNOWN : BACK_RESUMED;
    return now.no_rescue || now.half_rescue
               ? err_set(e, ERR_LOCAL, EIO, "cannot put domain %u right", left->domid)
               : 0;
}

/* --- libxl's operation and the helper in it --- */

static void note_suspend(const struct xl_async *op)
{
    note("suspend %u%s;", op->domid, op->live ? " live" : "");
}

static void play(struct xl_async *op)
{
    now.helper(op);
}

static int take_job(struct xl_async *op)
{
    struct link_message m;
    const int sock = fake_take_job(op, &m);

    assert_true(sock >= 0);
    assert_int_equal(m.job.domid, 7);
    assert_int_equal(m.job.lanes, 2);
    assert_false(m.job.verbose);
    assert_true(m.job.costs.receiver_ns > 0);
    assert_true(m.job.costs.high_ns > m.job.costs.low_ns);
    link_message_clear(&m);
    return sock;
}

/* Its head, and END. */
static void write_stream(const struct xl_async *op)
{
    static const uint8_t stream[24 + 8] = "LibxlFmt\0\0\0\2\0\0\0\0\1\0\0\0\0\0\0";

    assert_int_equal(write(op->fd, stream, sizeof(stream)), sizeof(stream));
}

static void helper_is_well(struct xl_async *op)
{
    struct err e = ERR_INIT;
    const int sock = take_job(op);

    for (unsigned cap = now.first_cap; cap; cap /= 2)
        link_send_cap(sock, cap, &e);
    link_send_event(sock, json_pack("{s:s}", "event", "suspending"), &e);
    link_send_event(sock, json_pack("{s:s}", "event", "suspended"), &e);
    link_send_done(sock, fake_totals(), &e);
    now.helper_done = true;
    close(sock);
    write_stream(op);
}

static void refuse(struct xl_async *op, bool suspending)
{
    struct err e = ERR_INIT, why = ERR_INIT;
    const int sock = take_job(op);

    if (suspending)
        link_send_event(sock, json_pack("{s:s}", "event", "suspending"), &e);
    err_set(&why, ERR_REFUSED, EBUSY, "log-dirty is on already");
    link_send_failed(sock, &why, &e);
    close(sock);
    err_set(&op->e, ERR_LOCAL, EIO, "libxl: failed");
}

static void helper_refuses(struct xl_async *op)
{
    refuse(op, false);
}

static void helper_refuses_late(struct xl_async *op)
{
    refuse(op, true);
}

static void helper_dies(struct xl_async *op)
{
    close(take_job(op));
    err_set(&op->e, ERR_LOCAL, EIO, "libxl: killed");
}

static void helper_logs_and_dies(struct xl_async *op)
{
    struct err e = ERR_INIT;
    const int sock = take_job(op);
    struct link_message m;
    char on_disk[sizeof(now.state_at_go)];

    link_send_logging(sock, &e);
    /* The answer comes when --recover would know of it. */
    assert_int_equal(link_recv(sock, &m, NULL, deadline_in(LIMIT_NS), &e), 0);
    assert_int_equal(m.kind, LINK_NOTED);
    link_message_clear(&m);
    read_state(on_disk);
    assert_non_null(strstr(on_disk, "\"logging\": true"));
    close(sock);
    err_set(&op->e, ERR_LOCAL, EIO, "libxl: killed");
}

static void helper_caps_and_dies(struct xl_async *op)
{
    struct err e = ERR_INIT;
    const int sock = take_job(op);

    link_send_logging(sock, &e);
    link_send_cap(sock, 40, &e);
    close(sock);
    err_set(&op->e, ERR_LOCAL, EIO, "libxl: killed");
}

static void helper_caps_and_refuses(struct xl_async *op)
{
    struct err e = ERR_INIT, why = ERR_INIT;
    const int sock = take_job(op);

    link_send_cap(sock, 40, &e);
    err_set(&why, ERR_REFUSED, EBUSY, "refused late");
    link_send_failed(sock, &why, &e);
    close(sock);
    err_set(&op->e, ERR_LOCAL, EIO, "libxl: failed");
}

/* As libxl does: its own patience with the guest is longer. */
static void helper_waits_for_the_guest(struct xl_async *op)
{
    struct err e = ERR_INIT, why = ERR_INIT;
    const int sock = take_job(op);

    link_send_event(sock, json_pack("{s:s}", "event", "suspending"), &e);
    sleep_until_ns(deadline_in(400 * NS_PER_MS));
    err_set(&why, ERR_GUEST, ETIMEDOUT, "libxl could not suspend the guest");
    link_send_failed(sock, &why, &e);
    close(sock);
    err_set(&op->e, ERR_LOCAL, EIO, "libxl: failed");
}

static void helper_until_signal(struct xl_async *op)
{
    struct link_message m;
    struct err e = ERR_INIT;
    const int sock = take_job(op);

    kill(getpid(), SIGTERM);
    assert_int_equal(link_recv(sock, &m, NULL, deadline_in(LIMIT_NS), &e), 0);
    assert_int_equal(m.kind, LINK_ABORT);
    /* A second one does not cut the cleanup short. */
    kill(getpid(), SIGINT);
    link_send_failed(sock, &m.failed, &e);
    link_message_clear(&m);
    close(sock);
    err_set(&op->e, ERR_LOCAL, EIO, "libxl: failed");
}

/* --- the destination --- */

static enum control_type hear_one(void)
{
    static uint8_t body[CONTROL_BODY_BYTES];
    struct err e = ERR_INIT;
    enum control_type type;
    size_t len;

    if (control_recv(&now.control, &type, body, &len, deadline_in(LIMIT_NS), &e))
        return 0;
    now.told_abort |= type == CONTROL_ABORT;
    return type;
}

static enum control_type hear(void)
{
    enum control_type type;

    do {
        type = hear_one();
    } while (type == CONTROL_PING || type == CONTROL_LIBXL_DATA || type == CONTROL_LIBXL_END ||
             type == CONTROL_SUSPENDED);
    return type;
}

static void send_error(enum control_type type, enum err_class class, const char *text)
{
    struct err e = ERR_INIT, why = ERR_INIT;

    err_set(&why, class, EEXIST, "%s", text);
    message_send_error(&now.control, type, &why, &e);
}

static void greet(void)
{
    struct err e = ERR_INIT;

    assert_int_equal(message_send_hello(&now.control, &e), 0);
    assert_int_equal(hear(), CONTROL_HELLO);
    assert_int_equal(hear(), CONTROL_OFFER);
}

static void accept_offer(void)
{
    const struct message_accept accept = {
        .lanes = 2, .finish = {12345, 1234, 123456}, .journal = "0123456789abcdef0123456789abcdef"};
    struct err e = ERR_INIT;

    greet();
    message_send_accept(&now.control, &accept, &e);
}

static void peer_refuses(void)
{
    greet();
    send_error(CONTROL_REFUSE, ERR_REFUSED, "a domain of that name exists");
    while (hear())
        ;
}

static void peer_wants_too_many_lanes(void)
{
    const struct message_accept accept = {
        .lanes = 3, .journal = "0123456789abcdef0123456789abcdef"};
    struct err e = ERR_INIT;

    greet();
    message_send_accept(&now.control, &accept, &e);
    while (hear())
        ;
}

static void peer_waits(void)
{
    accept_offer();
    while (hear())
        ;
}

/* True when GO came. What the state file says at that moment is what a crash would find. */
static bool become_ready(void)
{
    const struct message_ready ready = {.domid = 3,
        .mark = {.journal = "0123456789abcdef0123456789abcdef", .boot = UUID, .clock_ns = 77}};
    struct err e = ERR_INIT;

    accept_offer();
    /* RESULT was said, and heard. Of libxl's stream it waits for no more. */
    while (!now.helper_done)
        if (!io_wait(now.control.ch->fd, POLLIN, NULL, deadline_in(5 * NS_PER_MS)) && !hear_one())
            return false;
    message_send_ready(&now.control, &ready, &e);
    if (hear() != CONTROL_GO)
        return false;
    read_state(now.state_at_go);
    note("go;");
    return true;
}

static void peer_starts(void)
{
    const struct message_started started = {.domid = 3};
    struct err e = ERR_INIT;

    if (become_ready())
        message_send_started(&now.control, &started, &e);
    while (hear())
        ;
}

static void peer_gives_back(void)
{
    if (become_ready())
        send_error(CONTROL_FAILED, ERR_LOCAL, "cannot unpause");
    while (hear())
        ;
}

static void peer_goes_after_go(void)
{
    become_ready();
    channel_shutdown(now.control.ch);
}

static void *run_peer(void *arg)
{
    (void)arg;
    now.peer();
    return NULL;
}

int peer_connect_patiently(const struct tcp_address *a, const struct peer_params *p,
    struct channel **ch, struct tls_peer *peer, struct err *e)
{
    struct channel *far;
    int fds[2];

    if (!now.peer)
        return err_set(e, ERR_PEER, ECONNREFUSED, "nobody listens on %s", a->host);
    *peer = (struct tls_peer){.name = ""};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(tcp_channel(fds[0], "control", p->cancel, LIMIT_NS, ch, e), 0);
    assert_int_equal(tcp_channel(fds[1], "peer", NULL, LIMIT_NS, &far, e), 0);
    control_init(&now.control, far);
    now.connected = true;
    assert_int_equal(pthread_create(&now.thread, NULL, run_peer, NULL), 0);
    return p->speak(p->speak_arg, *ch, e);
}

/* --- the stage --- */

static int set_up(void **state)
{
    (void)state;
    memset(&now, 0, sizeof(now));
    now.domain = (struct xl_domain){
        .domid = 7, .uuid = UUID, .name = "g", .type = LIBXL_DOMAIN_TYPE_PVH, .vcpus = 1};
    now.helper = helper_is_well;
    now.peer = peer_starts;
    now.suspend_ns = now.start_ns = LIMIT_NS;
    unlink(state_path);
    return 0;
}

static int move(enum mode mode)
{
    const struct options o = {.mode = mode,
        .address = {.host = "there", .port = 8002},
        .domain = "g",
        .lanes = 2,
        .limits = {.on_stall = now.throttle ? ON_STALL_THROTTLE : ON_STALL_SUSPEND},
        .connect_ns = LIMIT_NS,
        .silent_ns = 2 * LIMIT_NS,
        .suspend_ns = now.suspend_ns,
        .start_ns = now.start_ns,
        .insecure = true,
        .log_level = LOG_ERROR};
    const int code = send_main(&o);

    if (now.connected) {
        pthread_join(now.thread, NULL);
        control_close(&now.control);
    }
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    return code;
}

static bool state_is_left(void)
{
    return !access(state_path, F_OK);
}

/* --- the tests --- */

static void the_guest_is_given_on_disk_before_go_and_destroyed_after_started(void **state)
{
    (void)state;
    assert_int_equal(move(MODE_LIVE), EXIT_DONE);
    assert_string_equal(now.done, "suspend 7 live;go;rename g g--migratedaway;destroy 7;");
    assert_non_null(strstr(now.state_at_go, "given"));
    assert_false(state_is_left());
}

static void offline_goes_the_same_way(void **state)
{
    (void)state;
    assert_int_equal(move(MODE_OFFLINE), EXIT_DONE);
    assert_string_equal(now.done, "suspend 7;go;rename g g--migratedaway;destroy 7;");
}

static void failed_after_go_brings_the_guest_back(void **state)
{
    (void)state;
    now.peer = peer_gives_back;
    assert_int_equal(move(MODE_LIVE), EXIT_FAILED);
    assert_string_equal(now.done, "suspend 7 live;go;recover 7 g;");
    assert_false(state_is_left());
}

static void silence_after_go_leaves_the_guest_as_it_is(void **state)
{
    (void)state;
    now.peer = peer_goes_after_go;
    assert_int_equal(move(MODE_LIVE), EXIT_DOUBT);
    assert_string_equal(now.done, "suspend 7 live;go;rename g g--migratedaway;");

    char text[STATE_BYTES];

    read_state(text);
    assert_non_null(strstr(text, "given"));
}

/* It runs there. Another tool may hold the domain's lock for as long as it likes. */
static void a_rename_that_fails_stops_nothing(void **state)
{
    (void)state;
    now.bad_away = true;
    assert_int_equal(move(MODE_LIVE), EXIT_DONE);
    assert_string_equal(now.done, "suspend 7 live;go;destroy 7;");
    assert_false(state_is_left());
}

static void a_dead_helper_means_recovery(void **state)
{
    (void)state;
    now.helper = helper_dies;
    now.peer = peer_waits;
    assert_int_equal(move(MODE_LIVE), EXIT_FAILED);
    assert_string_equal(now.done, "suspend 7 live;recover 7 g;");
    assert_true(now.told_abort);
}

/* Only what the helper may have switched on is switched off. */
static void a_helper_that_died_while_logging_leaves_log_dirty_to_us(void **state)
{
    (void)state;
    now.helper = helper_logs_and_dies;
    now.peer = peer_waits;
    assert_int_equal(move(MODE_LIVE), EXIT_FAILED);
    assert_string_equal(now.done, "suspend 7 live;recover 7 g log-dirty;");
}

static void a_signal_brings_the_guest_back(void **state)
{
    (void)state;
    now.helper = helper_until_signal;
    now.peer = peer_waits;
    assert_int_equal(move(MODE_LIVE), EXIT_FAILED);
    assert_string_equal(now.done, "suspend 7 live;recover 7 g;");
    assert_true(now.told_abort);
}

/* Log-dirty that somebody else has switched on must not be switched off. */
static void a_helper_that_refuses_leaves_the_guest_untouched(void **state)
{
    (void)state;
    now.helper = helper_refuses;
    now.peer = peer_waits;
    assert_int_equal(move(MODE_LIVE), EXIT_REFUSED);
    assert_string_equal(now.done, "suspend 7 live;");
    assert_false(state_is_left());
}

static void a_refusal_after_the_suspend_is_a_failure(void **state)
{
    (void)state;
    now.helper = helper_refuses_late;
    now.peer = peer_waits;
    assert_int_equal(move(MODE_LIVE), EXIT_FAILED);
    assert_string_equal(now.done, "suspend 7 live;recover 7 g;");
}

static void a_guest_that_does_not_suspend_is_brought_back(void **state)
{
    (void)state;
    now.helper = helper_waits_for_the_guest;
    now.peer = peer_waits;
    now.suspend_ns = 200 * NS_PER_MS;
    assert_int_equal(move(MODE_LIVE), EXIT_FAILED);
    assert_string_equal(now.done, "suspend 7 live;recover 7 g;");
}

static void a_guest_that_cannot_be_brought_back_is_not_said_to_run(void **state)
{
    (void)state;
    now.helper = helper_dies;
    now.peer = peer_waits;
    now.no_rescue = true;
    assert_int_equal(move(MODE_LIVE), EXIT_DOUBT);
    assert_true(state_is_left());
}

/* What is left to do --recover does. */
static void a_guest_that_runs_is_said_to_though_not_all_is_put_right(void **state)
{
    (void)state;
    now.helper = helper_dies;
    now.peer = peer_waits;
    now.half_rescue = true;
    assert_int_equal(move(MODE_LIVE), EXIT_FAILED);
    assert_true(state_is_left());
}

static void refusals_change_nothing(void **state)
{
    (void)state;
    void (*const peers[])(void) = {NULL, peer_refuses, peer_wants_too_many_lanes};

    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        set_up(NULL);
        now.peer = peers[i];
        assert_int_equal(move(MODE_LIVE), EXIT_REFUSED);
        assert_string_equal(now.done, "");
        assert_false(state_is_left());
    }
}

static void unfit_domains_are_refused_before_the_network(void **state)
{
    (void)state;
    static const struct xl_domain unfit[] = {
        {.domid = 7, .uuid = UUID, .name = "g", .dying = true},
        {.domid = 7, .uuid = UUID, .name = "g", .paused = true},
        {.domid = 7, .uuid = UUID, .name = ""},
        {.domid = 7, .uuid = UUID, .name = "caf\xe9"},
        {.domid = 7, .uuid = UUID, .name = "g", .shut_down = true},
        {.domid = 7,
            .uuid = UUID,
            .name = "g",
            .shut_down = true,
            .reason = LIBXL_SHUTDOWN_REASON_SUSPEND},
        {.domid = 7, .uuid = UUID, .name = "g", .type = LIBXL_DOMAIN_TYPE_PV},
    };

    for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
        set_up(NULL);
        now.domain = unfit[i];
        assert_int_equal(move(MODE_LIVE), EXIT_REFUSED);
        assert_false(now.connected);
    }
    set_up(NULL);
    now.no_room = true;
    assert_int_equal(move(MODE_LIVE), EXIT_REFUSED);
    assert_false(now.connected);
}

/* Its suspend could be cancelled only by letting it crash. */
static void a_kernel_that_cannot_run_on_is_not_moved(void **state)
{
    (void)state;
    now.notes = (struct kernel_notes){.origin = NOTES_MEMORY, .os = "netbsd"};
    assert_int_equal(move(MODE_LIVE), EXIT_REFUSED);
    assert_false(now.connected);
    assert_string_equal(now.done, "");
    set_up(NULL);
    now.notes = (struct kernel_notes){
        .origin = NOTES_MEMORY, .os = "linux", .suspend_cancel = true};
    assert_int_equal(move(MODE_LIVE), EXIT_DONE);
}

/* Xen suspends it, and it notices nothing: its memory is not searched. */
static void without_pv_drivers_the_kernel_does_not_matter(void **state)
{
    (void)state;
    now.domain.type = LIBXL_DOMAIN_TYPE_HVM;
    now.no_drivers = true;
    assert_int_equal(move(MODE_OFFLINE), EXIT_DONE);
    assert_false(now.searched);
    set_up(NULL);
    now.domain.type = LIBXL_DOMAIN_TYPE_HVM;
    assert_int_equal(move(MODE_OFFLINE), EXIT_DONE);
    assert_true(now.searched);
}

static void pv_moves_live_with_shadow_paging_and_offline_without(void **state)
{
    (void)state;
    now.domain.type = LIBXL_DOMAIN_TYPE_PV;
    now.shadow = true;
    assert_int_equal(move(MODE_LIVE), EXIT_DONE);
    set_up(NULL);
    now.domain.type = LIBXL_DOMAIN_TYPE_PV;
    assert_int_equal(move(MODE_OFFLINE), EXIT_DONE);
}

static void what_an_old_move_left_is_not_run_over(void **state)
{
    (void)state;
    now.peer = peer_goes_after_go;
    assert_int_equal(move(MODE_LIVE), EXIT_DOUBT);

    const bool left = state_is_left();

    assert_true(left);
    memset(&now, 0, sizeof(now));
    now.domain = (struct xl_domain){.domid = 7, .uuid = UUID, .name = "g"};
    now.peer = peer_starts;
    now.helper = helper_is_well;
    assert_int_equal(move(MODE_OFFLINE), EXIT_REFUSED);
    assert_string_equal(now.done, "");
    assert_true(state_is_left());
}

/* It is recorded before it is changed for the first time, and lifted before the guest suspends. */
static void the_guests_cap_is_put_back_when_it_suspends(void **state)
{
    (void)state;
    now.throttle = true;
    now.cap = 150;
    now.first_cap = 3;
    assert_int_equal(move(MODE_LIVE), EXIT_DONE);
    assert_string_equal(
        now.done, "suspend 7 live;cap 3;cap 1;cap 150;go;rename g g--migratedaway;destroy 7;");
    assert_non_null(strstr(now.state_at_cap, "\"cap\": 150"));
    assert_non_null(strstr(now.state_at_go, "\"cap\": -1"));
}

static void a_failure_puts_the_cap_back(void **state)
{
    (void)state;
    void (*const helpers[])(struct xl_async * op) = {helper_caps_and_dies, helper_caps_and_refuses};

    for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++) {
        set_up(NULL);
        now.throttle = true;
        now.helper = helpers[i];
        now.peer = peer_waits;
        assert_true(move(MODE_LIVE) != EXIT_DONE);
        assert_memory_equal(now.done, "suspend 7 live;cap 40;cap 0;", 28);
        assert_null(strstr(now.done + 28, "cap"));
        assert_false(state_is_left());
    }
}

/* What could not be put back at once is tried again, and not forgotten. */
static void a_cap_that_cannot_be_put_back_is_left_to_recovery(void **state)
{
    (void)state;
    now.throttle = now.bad_cap = true;
    now.helper = helper_caps_and_refuses;
    now.peer = peer_waits;
    now.no_rescue = true;
    assert_int_equal(move(MODE_LIVE), EXIT_DOUBT);
    assert_string_equal(now.done, "suspend 7 live;cap 40;cap 0;recover 7 g cap;");
    assert_true(state_is_left());
}

static void a_scheduler_without_a_cap_is_refused_before_the_network(void **state)
{
    (void)state;
    now.throttle = now.no_cap = true;
    assert_int_equal(move(MODE_LIVE), EXIT_REFUSED);
    assert_false(now.connected);
    set_up(NULL);
    now.no_cap = true;
    assert_int_equal(move(MODE_LIVE), EXIT_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            the_guest_is_given_on_disk_before_go_and_destroyed_after_started, set_up),
        cmocka_unit_test_setup(offline_goes_the_same_way, set_up),
        cmocka_unit_test_setup(failed_after_go_brings_the_guest_back, set_up),
        cmocka_unit_test_setup(silence_after_go_leaves_the_guest_as_it_is, set_up),
        cmocka_unit_test_setup(a_rename_that_fails_stops_nothing, set_up),
        cmocka_unit_test_setup(a_dead_helper_means_recovery, set_up),
        cmocka_unit_test_setup(a_helper_that_died_while_logging_leaves_log_dirty_to_us, set_up),
        cmocka_unit_test_setup(a_signal_brings_the_guest_back, set_up),
        cmocka_unit_test_setup(a_helper_that_refuses_leaves_the_guest_untouched, set_up),
        cmocka_unit_test_setup(a_refusal_after_the_suspend_is_a_failure, set_up),
        cmocka_unit_test_setup(a_guest_that_does_not_suspend_is_brought_back, set_up),
        cmocka_unit_test_setup(a_guest_that_cannot_be_brought_back_is_not_said_to_run, set_up),
        cmocka_unit_test_setup(a_guest_that_runs_is_said_to_though_not_all_is_put_right, set_up),
        cmocka_unit_test_setup(refusals_change_nothing, set_up),
        cmocka_unit_test_setup(unfit_domains_are_refused_before_the_network, set_up),
        cmocka_unit_test_setup(a_kernel_that_cannot_run_on_is_not_moved, set_up),
        cmocka_unit_test_setup(without_pv_drivers_the_kernel_does_not_matter, set_up),
        cmocka_unit_test_setup(pv_moves_live_with_shadow_paging_and_offline_without, set_up),
        cmocka_unit_test_setup(what_an_old_move_left_is_not_run_over, set_up),
        cmocka_unit_test_setup(the_guests_cap_is_put_back_when_it_suspends, set_up),
        cmocka_unit_test_setup(a_failure_puts_the_cap_back, set_up),
        cmocka_unit_test_setup(a_cap_that_cannot_be_put_back_is_left_to_recovery, set_up),
        cmocka_unit_test_setup(a_scheduler_without_a_cap_is_refused_before_the_network, set_up),
    };

    fake_play = play;
    fake_begun = note_suspend;
    if (fake_run_dir_make())
        return 1;
    snprintf(state_path, sizeof(state_path), "%s/out-%s.json", fake_run_dir, UUID);

    const int failed = cmocka_run_group_tests(tests, NULL, NULL);

    return fake_run_dir_remove() ? 1 : failed;
}
