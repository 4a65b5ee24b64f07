/* SPDX-License-Identifier: MIT */
/*
 * The destination's half of the hand-off: what is done to the copy, what is on disk and what the
 * source is told, in which order, for every way in which it can end. libxl and Xen only write down
 * what they are asked for; the journal and the control connection are real.
 */
#include "base/deadline.h"
#include "cmd/paths.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/announce.h"
#include "cmd/xmigrate/receive_private.h"
#include "engine/xen/domain.h"
#include "engine/xen/rescue.h"
#include "tests/unit/temp_dir.h"
#include "transport/tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define UUID     "01234567-89ab-cdef-0123-456789abcdef"
#define LIMIT_NS (5 * NS_PER_S)

static char run_dir[TEMP_DIR_BYTES];

static struct {
    bool not_paused, no_rename, no_unpause, unpause_hangs, op_stuck;
    bool destroy_hangs; /* in libxl */
    bool no_destroy;    /* by Xen either */
    pthread_t late;     /* the call that hangs, when it comes back */
    int over_fd;
    bool has_run;    /* when it is held after an unpause that hangs */
    bool no_hold;    /* it cannot be held */
    bool vanished;   /* the copy */
    bool renamed;    /* the copy, by somebody */
    int expect_rc;   /* of the wait for GO */
    int other_ready; /* GO answers another READY */
    int64_t within_ns;
    bool unheard; /* HEARD does not come */

    char done[512];
    struct receive r;
    struct listen_options options;
    struct control far;
} now;

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a late call of libxl's notes, too */
    va_list ap;

    va_start(ap, fmt);
    pthread_mutex_lock(&lock);
    const size_t len = strlen(now.done);

    vsnprintf(now.done + len, sizeof(now.done) - len, fmt, ap);
    pthread_mutex_unlock(&lock);
    va_end(ap);
}

/* What is on disk, as a crash would find it. */
static const char *recorded(void)
{
    static struct journal_record found;
    char path[128], text[16384];
    struct err e = ERR_INIT;

    snprintf(path, sizeof(path), "%s/in-%s.json", run_dir, UUID);

    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return "nothing";

    const ssize_t n = read(fd, text, sizeof(text));

    close(fd);
    assert_int_equal(journal_parse(text, (size_t)n, &found, &e), 0);
    return handoff_state_name(found.state);
}

/* --- libxl and Xen --- */

int xl_look_at(struct xl *xl, uint32_t domid, const char *uuid, struct xl_domain *d, struct err *e)
{
    (void)xl;
    (void)uuid;
    if (now.vanished)
        return err_set(e, ERR_REFUSED, ESRCH, "no domain %u", domid);
    *d = (struct xl_domain){.domid = domid, .uuid = UUID, .paused = !now.not_paused};
    return 0;
}

int xl_by_name(struct xl *xl, const char *name, struct xl_domain *d, struct err *e)
{
    (void)name;
    return now.renamed ? -ESRCH : xl_look_at(xl, 9, UUID, d, e);
}

int xl_rename(struct xl *xl, uint32_t domid, const char *from, const char *to, int64_t deadline_ns,
    struct err *e)
{
    (void)xl;
    (void)domid;
    (void)deadline_ns;
    note("rename %s %s (%s);", from, to, recorded());
    return now.no_rename ? err_set(e, ERR_LOCAL, EEXIST, "cannot rename") : 0;
}

int xl_unpause(struct xl *xl, uint32_t domid, int64_t deadline_ns, struct err *e)
{
    (void)xl;
    (void)deadline_ns;
    note("unpause %u (%s);", domid, recorded());
    if (now.unpause_hangs)
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "libxl does not answer");
    return now.no_unpause ? err_set(e, ERR_LOCAL, EIO, "cannot unpause") : 0;
}

int domain_unpause(struct xen *x, uint32_t domid, struct err *e)
{
    (void)x;
    note("unpause %u by Xen (%s);", domid, recorded());
    return now.no_unpause ? err_set(e, ERR_LOCAL, EIO, "cannot unpause") : 0;
}

void newcomer_unclaim(struct newcomer *a, struct xen *x, const struct log *log)
{
    (void)a;
    (void)x;
    (void)log;
}

static void *end_late(void *over_fd)
{
    sleep_until_ns(deadline_in(200 * NS_PER_MS));
    note("libxl is through;");
    eventfd_write(*(int *)over_fd, 1);
    return NULL;
}

int xl_destroy_until(struct xl *xl, uint32_t domid, int64_t deadline_ns, int over_fd, struct err *e)
{
    (void)xl;
    note("destroy %u%s (%s);", domid, deadline_ns > deadline_in(5 * NS_PER_S) ? " in peace" : "",
        recorded());
    if (!now.destroy_hangs)
        return 0;
    now.over_fd = over_fd;
    if (over_fd >= 0 && !now.no_destroy)
        assert_int_equal(pthread_create(&now.late, NULL, end_late, &now.over_fd), 0);
    return err_set(e, ERR_LOCAL, ETIMEDOUT, "libxl does not answer");
}

int xl_unrun_by_uuid(struct xl *xl, const char *uuid, struct xl_domain *d, struct err *e)
{
    return now.not_paused ? -ESRCH : xl_look_at(xl, 9, uuid, d, e);
}

int rescue_query(struct xen *x, uint32_t domid, const uint8_t uuid[static 16],
    enum rescue_status *status, struct err *e)
{
    (void)x;
    (void)domid;
    (void)uuid;
    (void)e;
    *status = !now.vanished ? RESCUE_RUNNING : RESCUE_GONE;
    return 0;
}

int rescue_destroy(struct xen *x, uint32_t domid, struct err *e)
{
    (void)x;
    note("destroy %u by Xen;", domid);
    return now.no_destroy ? err_set(e, ERR_LOCAL, EIO, "cannot destroy") : 0;
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
    (void)config;
    (void)e;
    *go_fd = (int)domid;
    return 0;
}

int announce_now(int go_fd, struct err *e)
{
    (void)e;
    note("announce %d (%s);", go_fd, recorded());
    return 0;
}

int domain_check_paused(struct xen *x, uint32_t domid, struct err *e)
{
    (void)x;
    return now.not_paused ? err_set(e, ERR_LOCAL, EBUSY, "domain %u was unpaused", domid) : 0;
}

int rescue_hold(struct xen *x, uint32_t domid, bool *has_run, struct err *e)
{
    (void)x;
    note("hold %u;", domid);
    *has_run = now.has_run;
    return now.no_hold ? err_set(e, ERR_LOCAL, EIO, "cannot pause") : 0;
}

int open_state_dir(char path[static PATHS_BYTES], struct err *e)
{
    (void)e;
    strcpy(path, run_dir);
    return 0;
}

int open_run_dir(char path[static PATHS_BYTES], struct err *e)
{
    return open_state_dir(path, e);
}

int expect_learn_finish(const struct expect_guest *g, int64_t took_ns, struct err *e)
{
    (void)g;
    (void)took_ns;
    (void)e;
    return 0;
}

/* --- the conversation, and libxl's operation --- */

int build_await_go(
    struct build *b, const void **body, size_t *len_bytes, int64_t deadline_ns, struct err *e)
{
    static char text[512];
    const struct receive *r = &now.r;

    (void)b;
    (void)deadline_ns;
    note("wait for GO (%s);", recorded());
    snprintf(text, sizeof(text),
        "{\"journal\": \"%s\", \"boot\": \"%s\", \"clock_ns\": %lld, \"within_ns\": %lld}",
        r->mark.journal, r->mark.boot, (long long)r->mark.clock_ns + now.other_ready,
        (long long)now.within_ns);
    *body = text;
    *len_bytes = strlen(text);
    return now.expect_rc ? err_set(e, ERR_PEER, -now.expect_rc, "no GO") : 0;
}

bool incoming_await_heard(struct incoming *in)
{
    (void)in;
    note("heard%s (%s);", now.unheard ? " nothing" : "", recorded());
    return !now.unheard;
}

bool incoming_tell_failure(struct incoming *in, enum control_type type, struct err *why)
{
    (void)in;
    (void)why;
    note("tell %s (%s);", control_type_name(type), recorded());
    return !now.unheard;
}

bool build_stop(struct build *b, const struct err *why)
{
    (void)b;
    (void)why;
    return !now.op_stuck;
}

/* --- the stage --- */

static void quiet(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static int set_up(void **state)
{
    const struct journal_record first = {.role = HANDOFF_DESTINATION,
        .state = HANDOFF_COMING,
        .cap = JOURNAL_NO_CAP,
        .domid = 9,
        .uuid = UUID,
        .name = "g",
        .peer = "there"};
    struct err e = ERR_INIT;
    struct channel *ch;
    int fds[2];

    (void)state;
    memset(&now, 0, sizeof(now));
    now.within_ns = LIMIT_NS;
    now.options = (struct listen_options){
        .silent_ns = LIMIT_NS, .start_ns = LIMIT_NS, .announce = true};
    now.r = (struct receive){.o = &now.options,
        .in = {.log = {.max = LOG_ERROR, .write = quiet},
            .who = "there",
            .offer = {.name = "g", .uuid = UUID}},
        .build = {.domid = 9, .announce_fd = -1},
        .admission = {.name = "g--incoming"},
        .accept = {.journal = "0123456789abcdef0123456789abcdef"},
        .xl = {.log = &now.r.in.log},
        .state = HANDOFF_COMING,
        .events = {.fd = -1},
        .late_fd = -1,
        .journal = {.lock_fd = -1}};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(tcp_channel(fds[0], "control", NULL, LIMIT_NS, &ch, &e), 0);
    control_init(&now.r.in.control, ch);
    assert_int_equal(tcp_channel(fds[1], "far", NULL, LIMIT_NS, &ch, &e), 0);
    control_init(&now.far, ch);
    return journal_begin(&now.r.journal, &first, &e);
}

static int tear_down(void **state)
{
    char path[128];

    (void)state;
    journal_keep(&now.r.journal);
    snprintf(path, sizeof(path), "%s/in-%s.json", run_dir, UUID);
    unlink(path);
    control_close(&now.r.in.control);
    control_close(&now.far);
    return 0;
}

/* The next frame that the source gets; 0: none. */
static enum control_type heard(void)
{
    static uint8_t body[CONTROL_BODY_BYTES];
    struct err e = ERR_INIT;
    enum control_type type;
    size_t len;

    return control_recv(&now.far, &type, body, &len, deadline_in(10 * NS_PER_MS), &e) ? 0 : type;
}

/* From READY to the end; an exit code. */
static int hand_over(void)
{
    struct err e = ERR_INIT;

    if (receive_await_go(&now.r, &e))
        return receive_give_up(&now.r, &e);
    assert_int_equal(heard(), CONTROL_READY);
    return receive_hand_over(&now.r, 0);
}

/* --- the tests --- */

#define BUILT   "wait for GO (ready);"
#define RENAMED "rename g--incoming g (taken);"

static void taken_is_on_disk_before_the_guest_runs(void **state)
{
    (void)state;
    assert_int_equal(hand_over(), EXIT_DONE);
    assert_string_equal(
        now.done, BUILT "unpause 9 (taken);announce 9 (taken);heard (taken);" RENAMED);
    assert_int_equal(heard(), CONTROL_STARTED);
    assert_int_equal(now.r.state, HANDOFF_STARTED);
    assert_string_equal(recorded(), "nothing");
}

/* Nobody could see otherwise that the source has let go of it. */
static void a_guest_that_is_left_paused_is_started_on_disk_before_that_is_said(void **state)
{
    (void)state;
    now.r.in.offer.paused = true;
    assert_int_equal(hand_over(), EXIT_DONE);
    assert_string_equal(now.done, BUILT "announce 9 (started);heard (started);"
                                        "rename g--incoming g (started);");
    assert_int_equal(heard(), CONTROL_STARTED);
    assert_string_equal(recorded(), "nothing");
}

/* It runs, and is known by its UUID. */
static void a_name_that_cannot_be_had_stops_nothing(void **state)
{
    (void)state;
    now.no_rename = true;
    assert_int_equal(hand_over(), EXIT_DONE);
    assert_non_null(strstr(now.done, "heard (taken);" RENAMED));
    assert_string_equal(recorded(), "nothing");
}

/* The source may be dead, or never have renamed its copy on this very host. */
static void an_unheard_guest_gets_its_name_too(void **state)
{
    (void)state;
    now.unheard = true;
    assert_int_equal(hand_over(), EXIT_DONE);
    assert_non_null(strstr(now.done, "rename g--incoming g (started);"));
    assert_string_equal(recorded(), "started");
}

static void the_network_is_told_only_if_that_is_wanted(void **state)
{
    (void)state;
    now.options.announce = false;
    assert_int_equal(hand_over(), EXIT_DONE);
    assert_null(strstr(now.done, "announce"));
}

/* It may have been sent and lost: the source may ask later. */
static void without_go_the_copy_is_destroyed_and_that_is_remembered(void **state)
{
    (void)state;
    now.expect_rc = -ETIMEDOUT;
    now.unheard = true;
    assert_int_equal(hand_over(), EXIT_FAILED);
    assert_string_equal(now.done, BUILT "destroy 9 (gone);tell FAILED (gone);");
    assert_string_equal(recorded(), "gone");
}

static void what_the_source_has_heard_is_forgotten(void **state)
{
    (void)state;
    now.expect_rc = -ETIMEDOUT;
    assert_int_equal(hand_over(), EXIT_FAILED);
    assert_string_equal(now.done, BUILT "destroy 9 (gone);tell FAILED (gone);");
    assert_string_equal(recorded(), "nothing");
}

static void a_copy_that_is_not_paused_is_never_said_to_be_ready(void **state)
{
    (void)state;
    now.not_paused = true;
    assert_int_equal(hand_over(), EXIT_FAILED);
    assert_int_equal(heard(), 0);
    assert_string_equal(now.done, "destroy 9 in peace (incoming);tell FAILED (nothing);");
}

/* READY was said already: that takes its time, and GO is not waited for. */
static void one_that_was_built_early_and_is_not_there_starts_nothing(void **state)
{
    (void)state;
    struct err e = ERR_INIT;

    now.r.build.op.built = true;
    now.vanished = true;
    assert_int_equal(receive_await_go(&now.r, &e), -EIO);
    assert_int_equal(heard(), CONTROL_READY);
    assert_string_equal(now.done, "");
    tear_down(NULL);
    set_up(NULL);
    now.r.build.op.built = true;
    now.not_paused = true;
    assert_int_equal(hand_over(), EXIT_FAILED);
    assert_null(strstr(now.done, "unpause"));
    assert_non_null(strstr(now.done, "(gone);tell FAILED (gone);"));
    assert_string_equal(recorded(), "nothing");
}

static void one_that_was_built_early_is_unpaused_without_libxl(void **state)
{
    (void)state;
    now.r.build.op.built = true;
    assert_int_equal(hand_over(), EXIT_DONE);
    assert_non_null(strstr(now.done, BUILT "unpause 9 by Xen (taken);"));
    tear_down(NULL);
    set_up(NULL);
    now.r.build.op.built = true;
    now.no_unpause = true;
    assert_int_equal(hand_over(), EXIT_FAILED);
    assert_non_null(strstr(now.done, "by Xen (taken);hold 9;destroy 9 (gone);tell FAILED (gone);"));
}

/* Its devices would be dead there, and the source's copy gone. */
static void one_whose_device_model_has_died_is_given_back(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    close(ends[1]);
    now.r.build.op.built = true;
    now.r.build.model = (struct early_model){.phase = EARLY_MODEL_LOADED, .qmp.sock = ends[0]};
    assert_int_equal(hand_over(), EXIT_FAILED);
    assert_null(strstr(now.done, "unpause"));
    assert_non_null(strstr(now.done, "hold 9;destroy 9 (gone);tell FAILED (gone);"));
    close(ends[0]);
}

static void a_go_that_answers_another_ready_starts_nothing(void **state)
{
    (void)state;
    now.other_ready = 1;
    assert_int_equal(hand_over(), EXIT_FAILED);
    assert_string_equal(now.done, BUILT "destroy 9 (gone);tell FAILED (gone);");
}

static void a_go_that_comes_too_late_starts_nothing(void **state)
{
    (void)state;
    now.within_ns = 0;
    assert_int_equal(hand_over(), EXIT_FAILED);
    assert_string_equal(now.done, BUILT "destroy 9 (gone);tell FAILED (gone);");
    tear_down(NULL);
    set_up(NULL);
    now.options.start_ns = 0; /* by this host's own limit */
    assert_int_equal(hand_over(), EXIT_FAILED);
    assert_null(strstr(now.done, "unpause"));
}

static void what_cannot_be_started_is_destroyed_and_given_back(void **state)
{
    (void)state;
    now.no_unpause = true;
    assert_int_equal(hand_over(), EXIT_FAILED);
    assert_string_equal(
        now.done, BUILT "unpause 9 (taken);hold 9;destroy 9 (gone);tell FAILED (gone);");
}

static void an_unpause_that_hangs_but_worked_is_a_start(void **state)
{
    (void)state;
    now.unpause_hangs = now.has_run = true;
    assert_int_equal(hand_over(), EXIT_DONE);
    assert_int_equal(heard(), CONTROL_STARTED);
    assert_null(strstr(now.done, "destroy"));
}

static void an_unpause_that_hangs_is_held_destroyed_and_given_back(void **state)
{
    (void)state;
    now.unpause_hangs = true;
    assert_int_equal(hand_over(), EXIT_FAILED);
    assert_non_null(strstr(now.done, "hold 9;destroy 9 (gone);tell FAILED (gone);"));
}

/* The guest stands still at the source until FAILED is said. Then what there is of the copy's
 * devices goes, too. */
static void a_libxl_that_does_not_destroy_the_copy_delays_failed_by_seconds(void **state)
{
    (void)state;
    now.unpause_hangs = now.destroy_hangs = true;
    assert_int_equal(hand_over(), EXIT_FAILED);
    assert_non_null(
        strstr(now.done, "hold 9;destroy 9 (gone);destroy 9 by Xen;tell FAILED (gone);libxl is "
                         "through;"));
    pthread_join(now.late, NULL);
}

/* Nobody waits for that: what is left of its devices would be left for ever. */
static void a_copy_that_was_not_ready_is_left_to_libxl(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    now.destroy_hangs = true;
    err_set(&e, ERR_LOCAL, EIO, "libxl failed");
    assert_int_equal(receive_give_up(&now.r, &e), EXIT_DOUBT);
    assert_string_equal(now.done, "destroy 9 in peace (incoming);");
    assert_string_equal(recorded(), "incoming");
}

/* libxl may have made it before the helper came and its number was known. */
static void a_copy_that_somebody_renamed_is_destroyed(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    now.renamed = true;
    now.r.build.domid = 0;
    err_set(&e, ERR_LOCAL, EIO, "libxl failed");
    assert_int_equal(receive_give_up(&now.r, &e), EXIT_FAILED);
    assert_string_equal(now.done, "destroy 9 in peace (incoming);tell FAILED (nothing);");
}

/* It may run here: the source must not hear FAILED. */
static void what_cannot_be_held_is_left_in_doubt(void **state)
{
    (void)state;
    now.unpause_hangs = now.no_hold = true;
    assert_int_equal(hand_over(), EXIT_DOUBT);
    assert_null(strstr(now.done, "destroy"));
    assert_null(strstr(now.done, "FAILED"));
    assert_string_equal(recorded(), "taken");
}

static void failed_is_not_said_of_a_copy_that_could_not_be_destroyed(void **state)
{
    (void)state;
    now.expect_rc = -ECONNRESET;
    now.destroy_hangs = now.no_destroy = true;
    assert_int_equal(hand_over(), EXIT_DOUBT);
    assert_null(strstr(now.done, "FAILED"));
    assert_string_equal(recorded(), "gone");
}

static void failed_is_not_said_while_libxl_still_builds(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    now.op_stuck = true;
    err_set(&e, ERR_PEER, ECONNRESET, "cut");
    assert_int_equal(receive_give_up(&now.r, &e), EXIT_FAILED);
    assert_string_equal(now.done, "");
    assert_string_equal(recorded(), "incoming");
}

static void a_copy_that_libxl_destroyed_itself_is_gone(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    now.vanished = true;
    err_set(&e, ERR_LOCAL, EIO, "libxl failed");
    assert_int_equal(receive_give_up(&now.r, &e), EXIT_FAILED);
    assert_string_equal(now.done, "tell FAILED (nothing);");
}

static void started_that_cannot_be_said_is_remembered(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(receive_await_go(&now.r, &e), 0);
    channel_shutdown(now.r.in.control.ch);
    assert_int_equal(receive_hand_over(&now.r, 0), EXIT_DONE);
    assert_null(strstr(now.done, "heard"));
    assert_string_equal(recorded(), "started");
}

static void started_that_nobody_acknowledges_is_remembered(void **state)
{
    (void)state;
    now.unheard = true;
    assert_int_equal(hand_over(), EXIT_DONE);
    assert_string_equal(recorded(), "started");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(taken_is_on_disk_before_the_guest_runs),
        TEST(a_guest_that_is_left_paused_is_started_on_disk_before_that_is_said),
        TEST(a_name_that_cannot_be_had_stops_nothing),
        TEST(an_unheard_guest_gets_its_name_too),
        TEST(the_network_is_told_only_if_that_is_wanted),
        TEST(without_go_the_copy_is_destroyed_and_that_is_remembered),
        TEST(what_the_source_has_heard_is_forgotten),
        TEST(a_copy_that_is_not_paused_is_never_said_to_be_ready),
        TEST(one_that_was_built_early_and_is_not_there_starts_nothing),
        TEST(one_that_was_built_early_is_unpaused_without_libxl),
        TEST(one_whose_device_model_has_died_is_given_back),
        TEST(a_go_that_answers_another_ready_starts_nothing),
        TEST(a_go_that_comes_too_late_starts_nothing),
        TEST(what_cannot_be_started_is_destroyed_and_given_back),
        TEST(an_unpause_that_hangs_but_worked_is_a_start),
        TEST(an_unpause_that_hangs_is_held_destroyed_and_given_back),
        TEST(a_libxl_that_does_not_destroy_the_copy_delays_failed_by_seconds),
        TEST(a_copy_that_was_not_ready_is_left_to_libxl),
        TEST(a_copy_that_somebody_renamed_is_destroyed),
        TEST(what_cannot_be_held_is_left_in_doubt),
        TEST(failed_is_not_said_of_a_copy_that_could_not_be_destroyed),
        TEST(failed_is_not_said_while_libxl_still_builds),
        TEST(a_copy_that_libxl_destroyed_itself_is_gone),
        TEST(started_that_cannot_be_said_is_remembered),
        TEST(started_that_nobody_acknowledges_is_remembered),
    };

    signal(SIGPIPE, SIG_IGN);
    if (temp_dir_make(run_dir))
        return 1;

    const int failed = cmocka_run_group_tests(tests, NULL, NULL);

    return temp_dir_remove(run_dir) ? 1 : failed;
}
