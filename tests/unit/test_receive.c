/* SPDX-License-Identifier: MIT */
/*
 * The destination's story: which offers are taken, how the domain is built, and that every way in
 * which it can fail ends with no domain here and the source told, or with a state file for
 * --recover. libxl (xl_*) only writes down what it is asked for; libxl's operation with the helper
 * (fake_libxl.h), the router and the source are played by threads. State files and locks are the
 * real ones, in a directory of this test.
 */
#include "base/deadline.h"
#include "base/io.h"
#include "base/packet.h"
#include "cmd/exit_codes.h"
#include "cmd/signals.h"
#include "cmd/xmigrate/announce.h"
#include "cmd/xmigrate/answer.h"
#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/early_model.h"
#include "cmd/xmigrate/emulator.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/libxl/config.h"
#include "cmd/xmigrate/libxl/monitor.h"
#include "cmd/xmigrate/newcomer.h"
#include "cmd/xmigrate/receive.h"
#include "cmd/xmigrate/session/measured.h"
#include "cmd/xmigrate/session/messages.h"
#include "crypto/token.h"
#include "engine/xen/domain.h"
#include "engine/xen/rescue.h"
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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define UUID       "01234567-89ab-cdef-0123-456789abcdef"
#define OTHER_UUID "01234567-89ab-cdef-0123-456789abcdee"
#define LIMIT_NS   (5 * NS_PER_S)
#define SHORT_NS   (300 * NS_PER_MS)

enum { COPY = 5, STRANGE_LANE = 7 };

static char state_path[128];

/* What one test sets and finds; threads of it are joined before it is read. */
static struct {
    struct message_offer offer;
    const char *config_uuid, *config_name;
    libxl_domain_type type;
    struct xl_host host;
    bool unmovable;
    bool unwelcome; /* by the policy */
    bool no_room, claim_fails;
    uint32_t unclaimed;
    unsigned ahead, max_incoming; /* more than three stay */
    bool number_is_taken, number_is_taken_later;
    unsigned dom0_is_slow; /* so many times it has not given up enough */
    const char *taken;     /* a domain of that name is here already */
    const char *taken_uuid;
    bool runs;        /* the copy, when libxl is through */
    bool bad_destroy; /* it cannot be destroyed */
    bool bad_unpause;
    bool model_may_wait; /* a device model may be started early */
    const char *model_fails;
    int64_t silent_ns, start_ns;
    enum log_level log_level;
    void (*helper)(struct xl_async *op);
    void (*source)(void);

    atomic_bool built; /* libxl is through */
    atomic_bool accepted;
    atomic_bool heard_prepared;

    bool copy; /* there is one */
    char copy_name[64];
    uint32_t copy_number;       /* that libxl was to give it */
    char done[512];             /* what was asked of libxl and of the helper, in order */
    char phase[32];             /* in the state file, when it was unpaused */
    char error[ERR_TEXT_BYTES]; /* the last line logged as one */
    uint32_t monitored;
    unsigned measured; /* lanes */
    struct message_accept accept;
    struct message_ready ready;
    struct err told; /* by REFUSE or FAILED */
    enum control_type told_by;

    struct control control; /* the source's end */
    int router_sock;        /* the router's end */
    pthread_t thread;
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

static void read_phase(void)
{
    char text[16384];
    const int fd = open(state_path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    struct journal_record s;
    struct err e = ERR_INIT;

    strcpy(now.phase,
        n > 0 && !journal_parse(text, (size_t)n, &s, &e) ? handoff_state_name(s.state) : "none");
    if (fd >= 0)
        close(fd);
}

static bool state_is_left(void)
{
    return !access(state_path, F_OK);
}

/* --- libxl --- */

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

int xl_guests(struct xl *xl, struct xl_domain **list, unsigned *count, struct err *e)
{
    (void)xl, (void)e;
    *list = NULL;
    *count = 0;
    return 0;
}

static void fill_copy(struct xl_domain *d)
{
    *d = (struct xl_domain){.domid = COPY, .paused = !now.runs};
    strcpy(d->uuid, UUID);
    strcpy(d->name, now.copy_name);
}

int xl_by_name(struct xl *xl, const char *name, struct xl_domain *d, struct err *e)
{
    (void)xl;
    (void)e;
    if (now.copy && !strcmp(name, now.copy_name)) {
        fill_copy(d);
        return 0;
    }
    if (!now.taken || strcmp(name, now.taken))
        return -ESRCH;
    *d = (struct xl_domain){.domid = 3};
    strcpy(d->uuid, now.taken_uuid);
    return 0;
}

int xl_look_at(struct xl *xl, uint32_t domid, const char *uuid, struct xl_domain *d, struct err *e)
{
    (void)xl;
    (void)e;
    if (!now.copy || domid != COPY || strcmp(uuid, UUID))
        return -ESRCH;
    fill_copy(d);
    return 0;
}

int xl_look(struct xl *xl, uint32_t domid, struct xl_domain *d, struct err *e)
{
    const bool taken = now.number_is_taken;

    (void)xl;
    (void)domid;
    (void)d;
    (void)e;
    now.number_is_taken = now.number_is_taken_later;
    return taken ? 0 : -ESRCH;
}

int xl_host(struct xl *xl, struct xl_host *h, struct err *e)
{
    (void)xl;
    (void)e;
    *h = now.host;
    return 0;
}

int xl_rename(struct xl *xl, uint32_t domid, const char *from, const char *to, int64_t deadline_ns,
    struct err *e)
{
    (void)xl;
    (void)domid;
    (void)deadline_ns;
    (void)e;
    note("rename %s %s;", from, to);
    return 0;
}

int xl_unpause(struct xl *xl, uint32_t domid, int64_t deadline_ns, struct err *e)
{
    (void)xl;
    (void)deadline_ns;
    read_phase();
    if (now.bad_unpause)
        return err_set(e, ERR_LOCAL, EIO, "cannot unpause");
    note("unpause %u;", domid);
    return 0;
}

int xen_open(struct xen *x, const struct log *log, struct err *e)
{
    (void)x;
    (void)log;
    (void)e;
    return 0;
}

void xen_close(struct xen *x)
{
    (void)x;
}

int announce_prepare(uint32_t domid, const libxl_domain_config *config, int *go_fd, struct err *e)
{
    (void)domid;
    (void)config;
    (void)go_fd;
    (void)e;
    fail(); /* it is switched off */
    return 0;
}

int announce_now(int go_fd, struct err *e)
{
    (void)go_fd;
    (void)e;
    fail();
    return 0;
}

int domain_check_paused(struct xen *x, uint32_t domid, struct err *e)
{
    (void)x;
    (void)domid;
    (void)e;
    return 0;
}

int domain_unpause(struct xen *x, uint32_t domid, struct err *e)
{
    (void)x;
    read_phase();
    if (now.bad_unpause)
        return err_set(e, ERR_LOCAL, EIO, "cannot unpause");
    note("unpause %u by Xen;", domid);
    return 0;
}

int rescue_hold(struct xen *x, uint32_t domid, bool *has_run, struct err *e)
{
    (void)x;
    (void)e;
    note("hold %u;", domid);
    *has_run = false;
    return 0;
}

int xl_unrun_by_uuid(struct xl *xl, const char *uuid, struct xl_domain *d, struct err *e)
{
    (void)xl;
    (void)uuid;
    (void)d;
    (void)e;
    return -ESRCH;
}

int rescue_query(struct xen *x, uint32_t domid, const uint8_t uuid[static 16],
    enum rescue_status *status, struct err *e)
{
    (void)x;
    (void)domid;
    (void)uuid;
    (void)e;
    *status = now.copy ? RESCUE_RUNNING : RESCUE_GONE;
    return 0;
}

int rescue_destroy(struct xen *x, uint32_t domid, struct err *e)
{
    (void)x;
    return err_set(e, ERR_LOCAL, EIO, "cannot destroy domain %u", domid);
}

int xl_destroy(struct xl *xl, uint32_t domid, struct err *e)
{
    (void)xl;
    note("destroy %u;", domid);
    if (now.bad_destroy)
        return err_set(e, ERR_LOCAL, EIO, "cannot destroy domain %u", domid);
    now.copy = false;
    return 0;
}

int xl_destroy_until(struct xl *xl, uint32_t domid, int64_t deadline_ns, int over_fd, struct err *e)
{
    (void)over_fd;
    (void)deadline_ns;
    return xl_destroy(xl, domid, e);
}

const char *xl_type_name(libxl_domain_type type)
{
    return type == LIBXL_DOMAIN_TYPE_PV ? "pv" : "pvh";
}

void xl_uuid_text(const libxl_uuid *uuid, char text[static XL_UUID_TEXT_BYTES])
{
    (void)uuid;
    strcpy(text, now.config_uuid);
}

void xl_config_init(libxl_domain_config *config)
{
    memset(config, 0, sizeof(*config));
}

void xl_config_dispose(libxl_domain_config *config)
{
    free(config->c_info.name);
}

int xl_config_parse(
    struct xl *xl, const char *text, size_t len_bytes, libxl_domain_config *config, struct err *e)
{
    (void)xl;
    if (len_bytes != 2 || memcmp(text, "{}", 2))
        return err_set(e, ERR_PEER, EBADMSG, "no configuration");
    config->c_info.name = strdup(now.config_name);
    config->c_info.type = now.type;
    return 0;
}

int xl_config_check_movable(const libxl_domain_config *config, struct err *e)
{
    (void)config;
    return now.unmovable ? err_set(e, ERR_REFUSED, EOPNOTSUPP, "it has a PCI device") : 0;
}

int xl_config_text(struct xl *xl, libxl_domain_config *config, char **text, struct err *e)
{
    (void)xl, (void)config, (void)e;
    *text = strdup(now.unwelcome ? "{\"p9s\":[{\"path\":\"/\"}]}" : "{}");
    return 0;
}

int xl_config_for_restore(libxl_domain_config *config, const char *name, struct err *e)
{
    (void)e;
    free(config->c_info.name);
    config->c_info.name = strdup(name);
    return 0;
}

bool xl_config_builds_early(const libxl_domain_config *config, enum early_disks early,
    const struct log *log, const char **why)
{
    (void)early, (void)log;
    *why = "not in this test";
    return config->c_info.type == LIBXL_DOMAIN_TYPE_PVH || now.model_may_wait;
}

/* --- a device model that is started early --- */

void early_model_init(struct early_model *m)
{
    *m = (struct early_model){.fifo_fd = -1, .qmp = {.sock = -1}};
}

int early_model_begin(struct early_model *m, uint32_t domid, struct err *e)
{
    (void)e;
    assert_int_equal(domid, COPY);
    m->phase = EARLY_MODEL_WAITING;
    note("model waits;");
    return 0;
}

struct pollfd early_model_pollfd(const struct early_model *m)
{
    (void)m;
    return (struct pollfd){.fd = -1};
}

int64_t early_model_wake_ns(const struct early_model *m)
{
    return m->phase == EARLY_MODEL_LOADING ? m->limit_ns : DEADLINE_NEVER;
}

int early_model_serve(struct early_model *m, const struct pollfd *fd, struct err *e)
{
    (void)fd;
    if (m->phase != EARLY_MODEL_LOADING || !deadline_passed(m->limit_ns))
        return 0;
    if (now.model_fails)
        return err_set(e, ERR_LOCAL, EPIPE, "%s", now.model_fails);
    m->phase = EARLY_MODEL_LOADED;
    note("loaded;");
    return 0;
}

int early_model_take(struct early_model *m, const uint8_t *data, size_t len_bytes, struct err *e)
{
    (void)m, (void)e;
    note("%.*s;", (int)len_bytes - 8, (const char *)data + 8);
    return 0;
}

/* The engine is through long before. */
int early_model_take_end(struct early_model *m, struct err *e)
{
    (void)e;
    m->phase = EARLY_MODEL_LOADING;
    m->limit_ns = deadline_in(SHORT_NS);
    return 0;
}

int early_model_check(const struct early_model *m, struct err *e)
{
    (void)m;
    (void)e;
    return 0;
}

void early_model_clear(struct early_model *m)
{
    if (m->phase != EARLY_MODEL_NONE && m->phase != EARLY_MODEL_LOADED)
        note("model let go;");
    early_model_init(m);
}

unsigned xl_config_bridged_vifs(
    const libxl_domain_config *config, uint32_t domid, struct xl_vif vifs[static XL_MAX_VIFS])
{
    (void)config, (void)domid, (void)vifs;
    return 0;
}

struct xl_devices xl_config_devices(const libxl_domain_config *config)
{
    (void)config;
    return (struct xl_devices){.nics = 2};
}

/* --- the others on their way here --- */

int newcomer_check(struct xl *xl, libxl_domain_config *config, const char *name, struct err *e)
{
    (void)xl;
    (void)config;
    (void)name;
    (void)e;
    return 0;
}

int newcomer_join(struct newcomer *n, struct err *e)
{
    (void)e;
    n->fd = 1000000;
    return 0;
}

int newcomer_ahead(const struct newcomer *n, unsigned *ahead, struct err *e)
{
    (void)n;
    (void)e;
    *ahead = now.ahead > 3 ? now.ahead : now.ahead ? now.ahead-- : 0;
    return 0;
}

void newcomer_leave(struct newcomer *n)
{
    n->fd = -1;
}

int newcomer_promise(
    struct newcomer *n, struct xl *xl, libxl_domain_config *config, const char *name, struct err *e)
{
    (void)n;
    (void)xl;
    (void)config;
    return now.no_room ? err_set(e, ERR_REFUSED, ENOMEM, "too little memory for %s", name) : 0;
}

int newcomer_has_room(struct newcomer *n, struct xl *xl, struct err *e)
{
    (void)n;
    (void)xl;
    (void)e;
    return now.dom0_is_slow && now.dom0_is_slow-- ? 0 : 1;
}

void newcomer_break(struct newcomer *n, struct xl *xl)
{
    (void)n;
    (void)xl;
}

int newcomer_claim(struct newcomer *n, struct xen *x, uint32_t domid, struct err *e)
{
    (void)x;
    n->claimed = domid;
    return now.claim_fails ? err_set(e, ERR_LOCAL, ENOMEM, "not free any more") : 0;
}

void newcomer_unclaim(struct newcomer *n, struct xen *x, const struct log *log)
{
    (void)x;
    (void)log;
    now.unclaimed = n->claimed;
    n->claimed = 0;
}

int monitor_become(uint32_t domid, const char *uuid, struct err *e)
{
    assert_string_equal(uuid, UUID);
    now.monitored = domid;
    return err_set(e, ERR_LOCAL, ENOENT, "no monitor in a test");
}

int answer_question(struct incoming *in, struct xl *xl)
{
    (void)in;
    (void)xl;
    note("answer;");
    return EXIT_DONE;
}

int measured_lanes(const struct measured_params *p, struct err *e)
{
    (void)e;
    now.measured = p->session->lanes;
    return 0;
}

/* --- libxl's operation and the helper in it --- */

/* libxl makes the domain before it starts the helper. */
static void make_copy(struct xl_async *op)
{
    assert_true(op->restore);
    snprintf(now.copy_name, sizeof(now.copy_name), "%s", op->config->c_info.name);
    now.copy_number = op->config->c_info.domid;
    note("restore %s;", now.copy_name);
    now.copy = true;
}

static int take_job(struct xl_async *op)
{
    struct link_message m;
    int sock;

    make_copy(op);
    while (!now.accepted) /* libxl begins as soon as that is sent */
        sleep_until_ns(deadline_in(NS_PER_MS));
    sock = fake_take_job(op, &m);
    if (sock < 0)
        return -1;
    assert_int_equal(m.job.role, LINK_DESTINATION);
    assert_int_equal(m.job.domid, COPY);
    assert_int_equal(m.job.lanes, 2);
    assert_int_equal(m.job.verbose, now.log_level == LOG_DEBUG);
    assert_memory_equal(m.job.key, now.accept.key, sizeof(m.job.key));
    assert_true(m.fd >= 0);
    link_message_clear(&m);
    return sock;
}

static void send_done(int sock)
{
    struct err e = ERR_INIT;

    link_send_done(sock,
        json_pack("{s:i, s:i, s:i}", "populated_pages", 10, "wire_bytes", 11, "finish_ns", 12), &e);
}

static void take_lane(int sock)
{
    struct link_message m;
    struct err e = ERR_INIT;

    assert_int_equal(link_recv(sock, &m, NULL, deadline_in(LIMIT_NS), &e), 0);
    assert_int_equal(m.kind, LINK_CONN);
    assert_true(m.fd >= 0);
    note(m.lane == LANE_TRUNK ? "trunk;" : "lane %u;", m.lane);
    link_message_clear(&m);
}

/* That much of its stream, or less when it ends. */
static size_t read_stream(const struct xl_async *op, uint8_t *data, size_t len_bytes)
{
    size_t have = 0;

    while (have < len_bytes) {
        const ssize_t n = io_wait(op->fd, POLLIN, &op->abort, deadline_in(LIMIT_NS))
                              ? 0
                              : read(op->fd, data + have, len_bytes - have);

        if (n <= 0)
            break;
        have += (size_t)n;
    }
    return have;
}

/* libxl wants END before it goes on. */
static void helper_is_well(struct xl_async *op)
{
    uint8_t stream[24 + 8];
    const int sock = take_job(op);

    send_done(sock);
    close(sock);
    if (read_stream(op, stream, sizeof(stream)) < sizeof(stream)) {
        fake_libxl_fails(op);
        return;
    }
    assert_memory_equal(stream, "LibxlFmt", 8);
    assert_memory_equal(stream + 24, "\0\0\0\0\0\0\0", 8);
    op->domid = COPY;
    now.built = true;
}

/* libxl goes on when its helper says so, and is through before the engine is. */
static void build_early(struct xl_async *op, void *(*engine)(void *sock))
{
    const int sock = take_job(op);
    struct err e = ERR_INIT;
    uint8_t stream[24 + 8];
    pthread_t thread;

    assert_int_equal(link_send_build(sock, &e), 0);
    assert_int_equal(read_stream(op, stream, sizeof(stream)), sizeof(stream));
    assert_memory_equal(stream + 24, "\0\0\0\0\0\0\0", 8);
    op->domid = COPY;
    assert_int_equal(pthread_create(&thread, NULL, engine, (void *)(intptr_t)sock), 0);
    pthread_detach(thread);
}

static int await_prepared(void *arg)
{
    while (!now.heard_prepared)
        sleep_until_ns(deadline_in(5 * NS_PER_MS));
    return (int)(intptr_t)arg;
}

static void *engine_is_well(void *arg)
{
    const int sock = await_prepared(arg);

    send_done(sock);
    close(sock);
    return NULL;
}

static void *engine_dies(void *arg)
{
    close(await_prepared(arg));
    return NULL;
}

static void *engine_fails(void *arg)
{
    struct err e = ERR_INIT, why = ERR_INIT;
    const int sock = await_prepared(arg);

    err_set(&why, ERR_PEER, EPIPE, "lane 1: closed");
    link_send_failed(sock, &why, &e);
    close(sock);
    return NULL;
}

static void *engine_obeys(void *arg)
{
    struct link_message m;
    struct err e = ERR_INIT;
    const int sock = await_prepared(arg);

    if (!link_recv(sock, &m, NULL, deadline_in(LIMIT_NS), &e) && m.kind == LINK_ABORT)
        note("obeyed;");
    link_send_failed(sock, &m.failed, &e);
    link_message_clear(&m);
    close(sock);
    return NULL;
}

static void helper_builds_early(struct xl_async *op)
{
    build_early(op, engine_is_well);
}

static void helper_dies_when_prepared(struct xl_async *op)
{
    build_early(op, engine_dies);
}

static void helper_fails_when_prepared(struct xl_async *op)
{
    build_early(op, engine_fails);
}

static void helper_obeys_when_prepared(struct xl_async *op)
{
    build_early(op, engine_obeys);
}

#define MODEL_RECORD "\4\0\0\0\10\0\0\0devmodel"

static void libxl_has_a_device_model(struct xl_async *op)
{
    uint8_t stream[24 + sizeof(MODEL_RECORD) - 1 + 8 + 1];
    const int sock = take_job(op);

    send_done(sock);
    close(sock);
    assert_int_equal(read_stream(op, stream, sizeof(stream)), sizeof(stream) - 1);
    assert_memory_equal(stream + 24, MODEL_RECORD, sizeof(MODEL_RECORD) - 1);
    op->domid = COPY;
}

static void helper_takes_lanes(struct xl_async *op)
{
    int sock;

    sleep_until_ns(deadline_in(SHORT_NS)); /* they are there before it */
    sock = take_job(op);
    for (int i = 0; i < 3; i++)
        take_lane(sock);
    send_done(sock);
    close(sock);
    op->domid = COPY;
}

/* Strangers' connections before those of the source, as many as there is room for in all. */
static void helper_takes_a_crowd(struct xl_async *op)
{
    struct link_message m;
    struct err e = ERR_INIT;
    int sock;

    sleep_until_ns(deadline_in(SHORT_NS)); /* they are there before it */
    sock = take_job(op);
    for (int i = 0; i < SESSION_LANES_WAITING - 3; i++) {
        assert_int_equal(link_recv(sock, &m, NULL, deadline_in(LIMIT_NS), &e), 0);
        assert_int_equal(m.lane, STRANGE_LANE);
        link_message_clear(&m);
    }
    for (int i = 0; i < 3; i++)
        take_lane(sock);
    send_done(sock);
    close(sock);
    op->domid = COPY;
}

/* libxl undoes what it could not finish. */
static void libxl_undoes(struct xl_async *op)
{
    now.copy = false;
    fake_libxl_fails(op);
}

static void libxl_makes_nothing(struct xl_async *op)
{
    fake_take_job(op, &(struct link_message){.fd = -1});
    fake_libxl_fails(op);
}

static void helper_dies(struct xl_async *op)
{
    close(take_job(op));
    fake_libxl_fails(op);
}

static void helper_says_why(struct xl_async *op)
{
    struct err e = ERR_INIT, why = ERR_INIT;
    const int sock = take_job(op);

    err_set(&why, ERR_LOCAL, ENOMEM, "no memory for page 7");
    link_send_failed(sock, &why, &e);
    close(sock);
    libxl_undoes(op);
}

static void helper_obeys(struct xl_async *op)
{
    const int sock = take_job(op);

    if (sock < 0)
        return;
    fake_obey(op, sock);
}

/* Of the two limits that begin at the same moment, its own is not the first to pass. */
static void helper_lives_and_obeys(struct xl_async *op)
{
    const int sock = take_job(op);
    struct err e = ERR_INIT;

    if (sock < 0)
        return;
    sleep_until_ns(deadline_in(NS_PER_S));
    assert_int_equal(link_send_alive(sock, &e), 0);
    fake_obey(op, sock);
}

static void libxl_fails_after_the_helper(struct xl_async *op)
{
    const int sock = take_job(op);

    send_done(sock);
    close(sock);
    fake_libxl_fails(op);
}

static void libxl_uses_another_helper(struct xl_async *op)
{
    make_copy(op);
    op->domid = COPY;
}

/* --- the source --- */

/* The next frame but pings; 0 when the connection is over. */
static enum control_type hear(void)
{
    static uint8_t body[CONTROL_BODY_BYTES];
    struct err e = ERR_INIT;
    enum control_type type;
    size_t len;

    do {
        if (control_recv(&now.control, &type, body, &len, deadline_in(2 * LIMIT_NS), &e))
            return 0;
    } while (type == CONTROL_PING);
    if (type == CONTROL_ACCEPT)
        now.accepted = !message_parse_accept(body, len, &now.accept, &e);
    if (type == CONTROL_READY)
        assert_int_equal(message_parse_ready(body, len, &now.ready, &e), 0);
    if (type == CONTROL_REFUSE || type == CONTROL_FAILED) {
        now.told_by = type;
        message_parse_error(body, len, &now.told);
    }
    return type;
}

/* Until the answer, and goodbye. */
static void hear_out(void)
{
    struct err e = ERR_INIT;

    while (!now.told_by && hear())
        ;
    if (now.told_by == CONTROL_FAILED)
        message_send_empty(&now.control, CONTROL_HEARD, &e);
    channel_shutdown(now.control.ch);
}

/* True when it is accepted. */
static bool offer(void)
{
    struct err e = ERR_INIT;

    message_send_hello(&now.control, &e);
    assert_int_equal(hear(), CONTROL_HELLO);
    message_send_offer(&now.control, &now.offer, &e);
    return hear() == CONTROL_ACCEPT;
}

static void send_head(void)
{
    static const uint8_t head[24] = "LibxlFmt\0\0\0\2\0\0\0\0\1\0\0\0\0\0\0";
    struct err e = ERR_INIT;

    /* In two pieces, as it may come. */
    control_send(&now.control, CONTROL_LIBXL_DATA, head, 10, &e);
    control_send(&now.control, CONTROL_LIBXL_DATA, head + 10, sizeof(head) - 10, &e);
}

static void send_end(const void *data, size_t len_bytes)
{
    struct err e = ERR_INIT;

    control_send(&now.control, CONTROL_LIBXL_DATA, data, len_bytes / 2, &e);
    control_send(&now.control, CONTROL_LIBXL_DATA, (const uint8_t *)data + len_bytes / 2,
        len_bytes - len_bytes / 2, &e);
    message_send_empty(&now.control, CONTROL_LIBXL_END, &e);
}

static const uint8_t end_record[8];

static void send_abort(const char *text)
{
    struct err e = ERR_INIT, why = ERR_INIT;

    err_set(&why, ERR_GUEST, ETIMEDOUT, "%s", text);
    message_send_error(&now.control, CONTROL_ABORT, &why, &e);
}

static void go(void)
{
    const struct message_go go = {.mark = now.ready.mark, .within_ns = LIMIT_NS};
    struct err e = ERR_INIT;

    message_send_go(&now.control, &go, &e);
    note(hear() == CONTROL_STARTED ? "started;" : "not started;");
    message_send_empty(&now.control, CONTROL_HEARD, &e);
    channel_shutdown(now.control.ch);
}

static void source_only_offers(void)
{
    offer();
    hear_out();
}

static void source_hands_over(void)
{
    if (offer()) {
        send_head();
        if (hear() == CONTROL_READY) {
            go();
            return;
        }
    }
    hear_out();
}

static bool await_built(void)
{
    const int64_t deadline_ns = deadline_in(LIMIT_NS);

    while (!now.built && !deadline_passed(deadline_ns))
        sleep_until_ns(deadline_in(10 * NS_PER_MS));
    return now.built;
}

static void source_sends_more_than_the_head(void)
{
    struct err e = ERR_INIT;

    offer();
    send_head();
    control_send(&now.control, CONTROL_LIBXL_DATA, end_record, sizeof(end_record), &e);
    hear_out();
}

static void source_ends_its_stream(void)
{
    struct err e = ERR_INIT;

    offer();
    send_head();
    message_send_empty(&now.control, CONTROL_LIBXL_END, &e);
    hear_out();
}

/* The engine, which waits for that, may go on. */
static bool hear_prepared(void)
{
    const bool prepared = offer() && (send_head(), hear()) == CONTROL_PREPARED;

    note(prepared ? "prepared;" : "not prepared;");
    now.heard_prepared = true;
    return prepared;
}

static void source_prepares(void)
{
    if (hear_prepared() && hear() == CONTROL_READY)
        go();
    else
        hear_out();
}

static void source_prepares_a_device_model(void)
{
    struct err e = ERR_INIT;

    if (hear_prepared()) {
        control_send(&now.control, CONTROL_LIBXL_DATA, MODEL_RECORD, sizeof(MODEL_RECORD) - 1, &e);
        control_send(&now.control, CONTROL_LIBXL_END, NULL, 0, &e);
    }
    if (hear() == CONTROL_READY)
        go();
    else
        hear_out();
}

static void source_gives_up_when_prepared(void)
{
    if (hear_prepared())
        send_abort("an HVM parameter changed");
    hear_out();
}

static void source_goes_when_prepared(void)
{
    const struct message_go go = {
        .mark = {.journal = "0123456789abcdef0123456789abcdef", .boot = UUID, .clock_ns = 1},
        .within_ns = LIMIT_NS};
    struct err e = ERR_INIT;

    if (hear_prepared())
        message_send_go(&now.control, &go, &e);
    hear_out();
}

static void source_fails_after_result(void)
{
    offer();
    send_head();
    await_built();
    send_abort("libxl failed here");
    hear_out();
}

static void source_has_a_device_model(void)
{
    struct err e = ERR_INIT;

    offer();
    send_head();
    control_send(&now.control, CONTROL_LIBXL_DATA, MODEL_RECORD, sizeof(MODEL_RECORD) - 1, &e);
    send_end(end_record, sizeof(end_record));
    if (hear() == CONTROL_READY)
        go();
    else
        hear_out();
}

static void source_sends_stream(void)
{
    if (offer())
        send_head();
    hear_out();
}

/* It lives, and sends nothing else. */
static void source_only_pings(void)
{
    struct err e = ERR_INIT;

    offer();
    for (int i = 0; i < 10; i++) {
        message_send_empty(&now.control, CONTROL_PING, &e);
        sleep_until_ns(deadline_in(SHORT_NS / 3));
    }
    hear_out();
}

static void source_is_content(void)
{
    offer();
    channel_shutdown(now.control.ch);
}

static void source_sends_nonsense(void)
{
    struct err e = ERR_INIT;

    offer();
    control_send(&now.control, CONTROL_LIBXL_DATA, "LibxlFmt and then something else", 32, &e);
    hear_out();
}

static void source_changes_its_mind(void)
{
    offer();
    send_head();
    send_abort("the guest did not suspend");
    hear_out();
}

static void source_gives_no_class(void)
{
    static const char body[] = "{\"class\":\"none\",\"side\":\"source\",\"text\":\"x\",\"code\":5}";
    struct err e = ERR_INIT;

    offer();
    send_head();
    control_send(&now.control, CONTROL_ABORT, body, sizeof(body) - 1, &e);
    hear_out();
}

static void source_goes_too_early(void)
{
    struct err e = ERR_INIT;

    offer();
    send_head();
    message_send_empty(&now.control, CONTROL_GO, &e);
    hear_out();
}

static void source_vanishes(void)
{
    offer();
    send_head();
    channel_shutdown(now.control.ch);
}

static void source_aborts_after_ready(void)
{
    offer();
    send_head();
    assert_int_equal(hear(), CONTROL_READY);
    send_abort("stopped by a signal");
    hear_out();
}

static void source_never_says_go(void)
{
    offer();
    send_head();
    assert_int_equal(hear(), CONTROL_READY);
    hear_out();
}

static void source_has_us_signalled(void)
{
    offer();
    send_head();
    kill(getpid(), SIGTERM);
    hear_out();
}

/* As the router passes them on. */
static void open_lane(uint16_t lane)
{
    struct preamble p = {.major = WIRE_MAJOR, .lane = lane};
    uint8_t bytes[PREAMBLE_BYTES];
    struct err e = ERR_INIT;
    int pair[2];

    assert_int_equal(lane_token(now.accept.key, now.accept.session, lane, p.token, &e), 0);
    preamble_encode(&p, bytes);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    packet_send(now.router_sock, bytes, sizeof(bytes), pair[0], NULL, deadline_in(LIMIT_NS));
    close(pair[0]);
    close(pair[1]);
}

static void source_opens_its_lanes(void)
{
    open_lane(LANE_TRUNK);
    open_lane(0);
    open_lane(1);
    /* No more will come; that is no reason to fail. */
    close(now.router_sock);
    now.router_sock = -1;
    send_head();
    assert_int_equal(hear(), CONTROL_READY);
    send_abort("enough");
    hear_out();
}

static void source_opens_lanes_early(void)
{
    uint8_t said[1 + 4 * PREAMBLE_TOKEN_BYTES], token[PREAMBLE_TOKEN_BYTES];
    struct err e = ERR_INIT;
    int none;

    offer();
    /* Which connections are its own. */
    assert_int_equal(
        packet_recv(now.router_sock, said, sizeof(said), &none, NULL, deadline_in(LIMIT_NS)),
        1 + 3 * sizeof(token));
    assert_int_equal(lane_token(now.accept.key, now.accept.session, LANE_TRUNK, token, &e), 0);
    assert_memory_equal(said + 1 + 2 * sizeof(token), token, sizeof(token));
    source_opens_its_lanes();
}

static void source_is_in_a_crowd(void)
{
    offer();
    for (unsigned i = 0; i < SESSION_LANES_WAITING + 2; i++)
        open_lane(STRANGE_LANE);
    source_opens_its_lanes();
}

static void *run_source(void *arg)
{
    (void)arg;
    now.source();
    return NULL;
}

/* --- the stage --- */

static void play(struct xl_async *op)
{
    now.helper(op);
}

static int set_up(void **state)
{
    (void)state;
    memset(&now, 0, sizeof(now));
    now.offer = (struct message_offer){
        .name = "g", .uuid = UUID, .type = "pvh", .live = true, .lanes = 2, .config = "{}"};
    now.config_uuid = UUID;
    now.config_name = "g";
    now.type = LIBXL_DOMAIN_TYPE_PVH;
    now.host = (struct xl_host){.hvm = true};
    now.silent_ns = now.start_ns = LIMIT_NS;
    now.log_level = LOG_INFO;
    now.helper = helper_is_well;
    now.source = source_hands_over;
    unlink(state_path);
    return 0;
}

static void keep_error(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    if (level == LOG_ERROR)
        snprintf(now.error, sizeof(now.error), "%s", line);
}

/* The exit code. */
static int receive(void)
{
    static struct policy policy;
    const struct listen_options o = {
        .config_dir = "/nonexistent",
        .policy = &policy,
        .insecure = true,
        .silent_ns = now.silent_ns,
        .start_ns = now.start_ns,
        .max_incoming = now.max_incoming,
    };
    const struct log log = {now.log_level, keep_error, NULL};
    const struct caller caller = {.peer = {.name = "there"}, .from = "source"};
    struct err e = ERR_INIT;
    struct channel *ch;
    int control[2], router[2], code;

    policy_init(&policy, "/etc/xmigrate/policy");
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, control), 0);
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, router), 0);
    assert_int_equal(tcp_channel(control[0], "source", NULL, LIMIT_NS, &ch, &e), 0);
    control_init(&now.control, ch);
    now.router_sock = router[0];
    assert_int_equal(pthread_create(&now.thread, NULL, run_source, NULL), 0);
    code = receive_main(&o, &log, control[1], &caller, router[1]);
    pthread_join(now.thread, NULL);
    control_close(&now.control);
    if (now.router_sock >= 0)
        close(now.router_sock);
    assert_null(getenv(LINK_ENV));
    return code;
}

static void expect_told(enum control_type type, enum err_class class, const char *word)
{
    if (now.told_by != type || now.told.class != class || !strstr(now.told.text, word))
        fail_msg("%s: class %s, text \"%s\"", control_type_name(now.told_by),
            err_class_name(now.told.class), now.told.text);
}

/* Nothing was changed, nothing is left. */
static void expect_refused(enum err_class class, const char *word)
{
    assert_int_equal(receive(), EXIT_REFUSED);
    expect_told(CONTROL_REFUSE, class, word);
    assert_int_equal(now.told.side, SIDE_DESTINATION);
    assert_string_equal(now.done, "");
    assert_non_null(strstr(now.error, "refused"));
    assert_false(state_is_left());
}

/* It was begun, and no copy and no state are left. */
static void expect_failed(enum err_class class, const char *word)
{
    assert_int_equal(receive(), EXIT_FAILED);
    expect_told(CONTROL_FAILED, class, word);
    assert_non_null(strstr(now.error, word));
    assert_false(now.copy);
    assert_false(state_is_left());
    assert_int_equal(now.monitored, 0);
}

/* --- the tests --- */

static void a_guest_arrives(void **state)
{
    (void)state;
    receive();
    assert_string_equal(now.done, "restore g--incoming;unpause 5;started;rename g--incoming g;");
    assert_string_equal(now.phase, "taken");
    assert_string_equal(now.error, "no monitor in a test");
    assert_int_equal(now.accept.lanes, 2);
    assert_int_equal(now.monitored, COPY);
    assert_false(state_is_left());
}

/* Each of the helper's lines is a message to libxl, most of them in the pause. */
static void debug_lines_are_only_wanted_when_they_are_shown(void **state)
{
    (void)state;
    now.log_level = LOG_DEBUG;
    receive();
    assert_int_equal(now.monitored, COPY);
}

/* --- offers --- */

static void names_in_use_are_refused(void **state)
{
    (void)state;
    now.source = source_only_offers;
    now.taken = "g";
    now.taken_uuid = OTHER_UUID;
    expect_refused(ERR_REFUSED, "\"g\" exists");
    set_up(NULL);
    now.source = source_only_offers;
    now.taken = "g--incoming";
    now.taken_uuid = OTHER_UUID;
    expect_refused(ERR_REFUSED, "\"g--incoming\" exists");
    /* The guest itself, but nobody is moving it away from here. */
    set_up(NULL);
    now.source = source_only_offers;
    now.taken = "g";
    now.taken_uuid = UUID;
    expect_refused(ERR_REFUSED, "\"g\" exists");
}

static void a_guest_may_move_within_one_host(void **state)
{
    struct journal source = {.lock_fd = -1};
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(
        journal_begin(&source,
            &(struct journal_record){
                .role = HANDOFF_SOURCE, .cap = JOURNAL_NO_CAP, .uuid = UUID, .name = "g"},
            &e),
        0);
    now.taken = "g";
    now.taken_uuid = UUID;
    receive();
    assert_int_equal(now.monitored, COPY);
    journal_remove(&source);
}

static void offers_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    now.source = source_only_offers;
    now.config_uuid = OTHER_UUID;
    expect_refused(ERR_PEER, "different domains");
    set_up(NULL);
    now.source = source_only_offers;
    now.config_name = "h";
    expect_refused(ERR_PEER, "different domains");
    set_up(NULL);
    now.source = source_only_offers;
    now.offer.config = "[]";
    expect_refused(ERR_PEER, "no configuration");
    set_up(NULL);
    now.source = source_only_offers;
    strcpy(now.offer.name, "../g");
    expect_refused(ERR_PEER, "OFFER");
    set_up(NULL);
    now.source = source_only_offers;
    strcpy(now.offer.uuid, "not one");
    expect_refused(ERR_PEER, "OFFER");
}

static void what_cannot_be_built_here_is_refused(void **state)
{
    (void)state;
    now.source = source_only_offers;
    now.unmovable = true;
    expect_refused(ERR_REFUSED, "PCI");
    set_up(NULL);
    now.source = source_only_offers;
    now.unwelcome = true;
    expect_refused(ERR_REFUSED, "allow p9s");
    set_up(NULL);
    now.source = source_only_offers;
    now.no_room = true;
    expect_refused(ERR_REFUSED, "too little memory");
    set_up(NULL);
    now.source = source_only_offers;
    now.type = LIBXL_DOMAIN_TYPE_PV;
    expect_refused(ERR_REFUSED, "cannot run pv guests");
    set_up(NULL);
    now.source = source_only_offers;
    now.host = (struct xl_host){.pv = true};
    expect_refused(ERR_REFUSED, "cannot run pvh guests");
}

static unsigned waits;

/* Told whenever fewer are ahead, and then accepted. */
static void source_waits(void)
{
    struct err e = ERR_INIT;

    message_send_hello(&now.control, &e);
    assert_int_equal(hear(), CONTROL_HELLO);
    message_send_offer(&now.control, &now.offer, &e);
    while (hear() == CONTROL_WAIT)
        waits++;
    send_head();
    if (hear() == CONTROL_READY)
        go();
    else
        hear_out();
}

static void source_gives_up_waiting(void)
{
    struct err e = ERR_INIT;

    message_send_hello(&now.control, &e);
    assert_int_equal(hear(), CONTROL_HELLO);
    message_send_offer(&now.control, &now.offer, &e);
    assert_int_equal(hear(), CONTROL_WAIT);
    send_abort("cancelled");
    hear_out();
}

static void others_come_first(void **state)
{
    (void)state;
    waits = 0;
    now.ahead = 3;
    now.max_incoming = 1;
    now.dom0_is_slow = 2;
    now.source = source_waits;
    receive();
    assert_int_equal(waits, 3);
    assert_int_equal(now.unclaimed, COPY);
    assert_non_null(strstr(now.done, "started;"));
}

static void a_number_that_is_taken_meanwhile_is_not_asked_for(void **state)
{
    (void)state;
    now.offer.domid = 9;
    now.source = source_waits;
    receive();
    assert_int_equal(now.copy_number, 9);
    set_up(NULL);
    now.offer.domid = 9;
    now.ahead = 1;
    now.max_incoming = 1;
    now.number_is_taken_later = true;
    now.source = source_waits;
    receive();
    assert_int_equal(now.copy_number, (uint32_t)INVALID_DOMID);
    assert_non_null(strstr(now.done, "started;"));
}

static void who_waits_may_give_up(void **state)
{
    (void)state;
    now.ahead = 5;
    now.max_incoming = 2;
    now.source = source_gives_up_waiting;
    expect_refused(ERR_GUEST, "cancelled");
}

static void memory_that_somebody_else_took_is_said_before_anything_comes(void **state)
{
    (void)state;
    now.claim_fails = true;
    now.source = source_hands_over;
    expect_failed(ERR_LOCAL, "not free any more");
}

static void what_an_old_move_left_is_not_run_over(void **state)
{
    struct journal old = {.lock_fd = -1};
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(journal_begin(&old,
                         &(struct journal_record){.role = HANDOFF_DESTINATION,
                             .state = HANDOFF_TAKEN,
                             .cap = JOURNAL_NO_CAP,
                             .domid = COPY,
                             .uuid = UUID,
                             .name = "g"},
                         &e),
        0);
    journal_keep(&old);
    now.source = source_only_offers;
    assert_int_equal(receive(), EXIT_REFUSED);
    assert_int_equal(now.told_by, CONTROL_REFUSE);
    assert_string_equal(now.done, "");
    assert_true(state_is_left());
}

static void source_asks(void)
{
    const struct message_ask ask = {
        .session = "0123456789abcdef0123456789abcdef",
        .uuid = UUID,
        .journal = "fedcba9876543210fedcba9876543210",
    };
    struct err e = ERR_INIT;

    message_send_hello(&now.control, &e);
    assert_int_equal(hear(), CONTROL_HELLO);
    message_send_ask(&now.control, &ask, &e);
    while (hear())
        ;
}

static void a_question_is_answered_and_begins_nothing(void **state)
{
    (void)state;
    now.source = source_asks;
    assert_int_equal(receive(), EXIT_DONE);
    assert_string_equal(now.done, "answer;");
    assert_int_equal(now.monitored, 0);
    assert_false(state_is_left());
}

static void a_measurement_touches_no_domain(void **state)
{
    (void)state;
    now.offer.measure = true;
    now.source = source_is_content;
    assert_int_equal(receive(), EXIT_DONE);
    assert_int_equal(now.measured, 2);
    assert_string_equal(now.done, "");
    assert_int_equal(now.monitored, 0);
    assert_false(state_is_left());
}

/* --- building --- */

static void lanes_that_come_before_the_helper_are_kept_for_it(void **state)
{
    (void)state;
    now.helper = helper_takes_lanes;
    now.source = source_opens_lanes_early;
    expect_failed(ERR_GUEST, "enough");
    assert_string_equal(now.done, "restore g--incoming;trunk;lane 0;lane 1;destroy 5;");
}

static void a_crowd_of_strangers_does_not_end_it(void **state)
{
    (void)state;
    now.helper = helper_takes_a_crowd;
    now.source = source_is_in_a_crowd;
    expect_failed(ERR_GUEST, "enough");
    assert_string_equal(now.done, "restore g--incoming;trunk;lane 0;lane 1;destroy 5;");
}

static void a_stream_that_makes_no_sense_leaves_no_copy(void **state)
{
    (void)state;
    now.source = source_sends_nonsense;
    now.helper = helper_obeys;
    expect_failed(ERR_PEER, "does not begin as");
    assert_string_equal(now.done, "restore g--incoming;destroy 5;");
}

static void a_stream_that_never_begins_is_given_up(void **state)
{
    (void)state;
    now.source = source_only_pings;
    now.helper = helper_lives_and_obeys;
    now.silent_ns = LINK_ALIVE_S * NS_PER_S + SHORT_NS; /* a helper has some of it */
    expect_failed(ERR_PEER, "did not go on with libxl's stream in time");
    assert_string_equal(now.done, "restore g--incoming;destroy 5;");
}

/* What follows is known, and what the source's libxl says is the source's business. */
static void no_more_than_the_head_of_the_stream_is_taken(void **state)
{
    (void)state;
    now.source = source_sends_more_than_the_head;
    expect_failed(ERR_PEER, "more of libxl's stream");
    set_up(NULL);
    now.source = source_ends_its_stream;
    expect_failed(ERR_PEER, "LIBXL_END");
}

/* --- when libxl builds while the guest still runs there --- */

static void a_prepared_guest_arrives(void **state)
{
    (void)state;
    now.helper = helper_builds_early;
    now.source = source_prepares;
    receive();
    assert_string_equal(
        now.done, "restore g--incoming;prepared;unpause 5 by Xen;started;rename g--incoming g;");
    assert_string_equal(now.phase, "taken");
    assert_int_equal(now.monitored, COPY);
    assert_false(state_is_left());
}

/* libxl is through, and would notice nothing. */
static void an_engine_that_dies_when_prepared_leaves_no_copy(void **state)
{
    (void)state;
    now.helper = helper_dies_when_prepared;
    now.source = source_prepares;
    expect_failed(ERR_LOCAL, "the save helper died");
    assert_string_equal(now.done, "restore g--incoming;prepared;destroy 5;");
}

static void an_engines_reason_counts_when_prepared(void **state)
{
    (void)state;
    now.helper = helper_fails_when_prepared;
    now.source = source_prepares;
    expect_failed(ERR_PEER, "lane 1: closed");
    assert_string_equal(now.done, "restore g--incoming;prepared;destroy 5;");
}

static void a_source_that_gives_up_when_prepared_leaves_no_copy(void **state)
{
    (void)state;
    now.helper = helper_obeys_when_prepared;
    now.source = source_gives_up_when_prepared;
    expect_failed(ERR_GUEST, "an HVM parameter changed");
    assert_string_equal(now.done, "restore g--incoming;prepared;obeyed;destroy 5;");
}

static void prepared_is_not_ready(void **state)
{
    (void)state;
    now.helper = helper_obeys_when_prepared;
    now.source = source_goes_when_prepared;
    expect_failed(ERR_PEER, "sent GO while");
    assert_string_equal(now.done, "restore g--incoming;prepared;obeyed;destroy 5;");
}

static void a_source_that_fails_after_result_leaves_no_copy(void **state)
{
    (void)state;
    now.source = source_fails_after_result;
    expect_failed(ERR_GUEST, "libxl failed here");
    assert_string_equal(now.done, "restore g--incoming;destroy 5;");
}

static void a_device_models_records_are_passed_on(void **state)
{
    (void)state;
    now.type = LIBXL_DOMAIN_TYPE_HVM;
    now.helper = libxl_has_a_device_model;
    now.source = source_has_a_device_model;
    receive();
    assert_string_equal(now.done, "restore g--incoming;unpause 5;started;rename g--incoming g;");
}

/* Its libxl got an END before; READY waits until it is loaded. */
static void a_device_model_that_waits_gets_its_state(void **state)
{
    (void)state;
    now.type = LIBXL_DOMAIN_TYPE_HVM;
    now.model_may_wait = true;
    now.helper = helper_builds_early;
    now.source = source_prepares_a_device_model;
    receive();
    assert_string_equal(now.done,
        "restore g--incoming;model waits;prepared;devmodel;loaded;unpause 5 by Xen;started;"
        "rename g--incoming g;");
}

static void a_device_model_that_fails_to_load_leaves_no_copy(void **state)
{
    (void)state;
    now.type = LIBXL_DOMAIN_TYPE_HVM;
    now.model_may_wait = true;
    now.model_fails = "did not load its state";
    now.helper = helper_builds_early;
    now.source = source_prepares_a_device_model;
    expect_failed(ERR_LOCAL, "did not load its state");
    assert_string_equal(
        now.done, "restore g--incoming;model waits;prepared;devmodel;model let go;destroy 5;");
}

static void a_dead_helper_is_the_cause(void **state)
{
    (void)state;
    now.helper = helper_dies;
    now.source = source_sends_stream;
    expect_failed(ERR_LOCAL, "the save helper died");
    assert_string_equal(now.done, "restore g--incoming;destroy 5;");
}

/* libxl has destroyed it. */
static void a_helpers_reason_is_the_cause(void **state)
{
    (void)state;
    now.helper = helper_says_why;
    now.source = source_sends_stream;
    expect_failed(ERR_LOCAL, "no memory for page 7");
    assert_string_equal(now.done, "restore g--incoming;");
}

static void a_helper_without_a_domain_gets_no_job(void **state)
{
    (void)state;
    now.helper = libxl_makes_nothing;
    now.source = source_sends_stream;
    expect_failed(ERR_LOCAL, "libxl made no domain");
    assert_string_equal(now.done, "");
}

static void libxls_failure_is_told(void **state)
{
    (void)state;
    now.helper = libxl_fails_after_the_helper;
    now.source = source_sends_stream;
    expect_failed(ERR_LOCAL, "it failed");
    assert_string_equal(now.done, "restore g--incoming;destroy 5;");
}

static void a_domain_that_our_helper_did_not_fill_is_not_taken(void **state)
{
    (void)state;
    now.helper = libxl_uses_another_helper;
    now.source = source_sends_stream;
    expect_failed(ERR_LOCAL, "LIBXL_SAVE_HELPER");
    assert_string_equal(now.done, "restore g--incoming;destroy 5;");
}

static void the_source_may_change_its_mind(void **state)
{
    (void)state;
    now.helper = helper_obeys;
    now.source = source_changes_its_mind;
    expect_failed(ERR_GUEST, "did not suspend");
}

static void an_error_without_a_class_is_an_error(void **state)
{
    (void)state;
    now.helper = helper_obeys;
    now.source = source_gives_no_class;
    expect_failed(ERR_INTERNAL, "x");
}

static void a_frame_out_of_turn_ends_it(void **state)
{
    (void)state;
    now.helper = helper_obeys;
    now.source = source_goes_too_early;
    expect_failed(ERR_PEER, "GO while the domain was being built");
}

static void a_signal_ends_it(void **state)
{
    (void)state;
    now.helper = helper_obeys;
    now.source = source_has_us_signalled;
    expect_failed(ERR_CANCELLED, "told to stop");
}

/* Nobody is left to be told. */
static void a_source_that_vanishes_leaves_no_copy(void **state)
{
    (void)state;
    now.helper = helper_obeys;
    now.source = source_vanishes;
    assert_int_equal(receive(), EXIT_FAILED);
    assert_false(now.copy);
    assert_false(state_is_left());
}

/* --- after it is built --- */

static void a_domain_that_is_not_paused_is_not_offered(void **state)
{
    (void)state;
    now.runs = true;
    now.source = source_sends_stream;
    expect_failed(ERR_LOCAL, "not paused");
}

static void an_abort_instead_of_go_ends_it(void **state)
{
    (void)state;
    now.source = source_aborts_after_ready;
    expect_failed(ERR_GUEST, "stopped by a signal");
    assert_string_equal(now.done, "restore g--incoming;destroy 5;");
}

static void no_go_in_time_ends_it(void **state)
{
    (void)state;
    now.source = source_never_says_go;
    now.start_ns = SHORT_NS;
    expect_failed(ERR_PEER, "did not send GO in time");
}

static void a_guest_that_cannot_be_started_is_given_back(void **state)
{
    (void)state;
    now.bad_unpause = true;
    expect_failed(ERR_LOCAL, "cannot unpause");
    assert_string_equal(now.done, "restore g--incoming;hold 5;destroy 5;not started;");
}

/* FAILED would let it run at the source: it is said only when our copy is gone. */
static void a_copy_that_stays_is_left_to_recovery(void **state)
{
    (void)state;
    now.helper = helper_dies;
    now.bad_destroy = true;
    now.source = source_sends_stream;
    assert_int_equal(receive(), EXIT_DOUBT);
    assert_int_equal(now.told_by, 0);
    assert_non_null(strstr(now.error, "xmigrate --recover"));
    assert_true(state_is_left());
}

/* The test must not depend on a QEMU that this host may have. */
static int install_device_model(void)
{
    char path[sizeof(fake_run_dir) + 16];
    int rc;

    snprintf(path, sizeof(path), "%s/qemu", fake_run_dir);

    FILE *f = fopen(path, "we");

    if (!f)
        return -1;
    fputs("#!/bin/sh\necho QEMU emulator version 7.2.0\n", f);
    rc = fclose(f) || chmod(path, 0700);
    return rc ? -1 : setenv(EMULATOR_ENV, path, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_guest_arrives, set_up),
        cmocka_unit_test_setup(debug_lines_are_only_wanted_when_they_are_shown, set_up),
        cmocka_unit_test_setup(names_in_use_are_refused, set_up),
        cmocka_unit_test_setup(a_guest_may_move_within_one_host, set_up),
        cmocka_unit_test_setup(offers_that_make_no_sense_are_refused, set_up),
        cmocka_unit_test_setup(what_cannot_be_built_here_is_refused, set_up),
        cmocka_unit_test_setup(others_come_first, set_up),
        cmocka_unit_test_setup(a_number_that_is_taken_meanwhile_is_not_asked_for, set_up),
        cmocka_unit_test_setup(who_waits_may_give_up, set_up),
        cmocka_unit_test_setup(
            memory_that_somebody_else_took_is_said_before_anything_comes, set_up),
        cmocka_unit_test_setup(what_an_old_move_left_is_not_run_over, set_up),
        cmocka_unit_test_setup(a_question_is_answered_and_begins_nothing, set_up),
        cmocka_unit_test_setup(a_measurement_touches_no_domain, set_up),
        cmocka_unit_test_setup(lanes_that_come_before_the_helper_are_kept_for_it, set_up),
        cmocka_unit_test_setup(a_crowd_of_strangers_does_not_end_it, set_up),
        cmocka_unit_test_setup(a_stream_that_makes_no_sense_leaves_no_copy, set_up),
        cmocka_unit_test_setup(a_stream_that_never_begins_is_given_up, set_up),
        cmocka_unit_test_setup(no_more_than_the_head_of_the_stream_is_taken, set_up),
        cmocka_unit_test_setup(a_prepared_guest_arrives, set_up),
        cmocka_unit_test_setup(an_engine_that_dies_when_prepared_leaves_no_copy, set_up),
        cmocka_unit_test_setup(an_engines_reason_counts_when_prepared, set_up),
        cmocka_unit_test_setup(a_source_that_gives_up_when_prepared_leaves_no_copy, set_up),
        cmocka_unit_test_setup(prepared_is_not_ready, set_up),
        cmocka_unit_test_setup(a_source_that_fails_after_result_leaves_no_copy, set_up),
        cmocka_unit_test_setup(a_device_models_records_are_passed_on, set_up),
        cmocka_unit_test_setup(a_device_model_that_waits_gets_its_state, set_up),
        cmocka_unit_test_setup(a_device_model_that_fails_to_load_leaves_no_copy, set_up),
        cmocka_unit_test_setup(a_dead_helper_is_the_cause, set_up),
        cmocka_unit_test_setup(a_helpers_reason_is_the_cause, set_up),
        cmocka_unit_test_setup(a_helper_without_a_domain_gets_no_job, set_up),
        cmocka_unit_test_setup(libxls_failure_is_told, set_up),
        cmocka_unit_test_setup(a_domain_that_our_helper_did_not_fill_is_not_taken, set_up),
        cmocka_unit_test_setup(the_source_may_change_its_mind, set_up),
        cmocka_unit_test_setup(an_error_without_a_class_is_an_error, set_up),
        cmocka_unit_test_setup(a_frame_out_of_turn_ends_it, set_up),
        cmocka_unit_test_setup(a_signal_ends_it, set_up),
        cmocka_unit_test_setup(a_source_that_vanishes_leaves_no_copy, set_up),
        cmocka_unit_test_setup(a_domain_that_is_not_paused_is_not_offered, set_up),
        cmocka_unit_test_setup(an_abort_instead_of_go_ends_it, set_up),
        cmocka_unit_test_setup(no_go_in_time_ends_it, set_up),
        cmocka_unit_test_setup(a_guest_that_cannot_be_started_is_given_back, set_up),
        cmocka_unit_test_setup(a_copy_that_stays_is_left_to_recovery, set_up),
    };

    signal(SIGPIPE, SIG_IGN);
    fake_play = play;
    if (fake_run_dir_make() || install_device_model())
        return 1;
    snprintf(state_path, sizeof(state_path), "%s/in-%s.json", fake_run_dir, UUID);

    const int failed = cmocka_run_group_tests(tests, NULL, NULL);

    return fake_run_dir_remove() ? 1 : failed;
}
