/* SPDX-License-Identifier: MIT */
/*
 * --recover and --resume: what is done to the guest for every state that a dead migration may have
 * left and everything that Xen may say of it then. libxl and Xen only write down what they are
 * asked for; the journal is real.
 */
#include "cmd/device_model.h"
#include "cmd/handoff/journal.h"
#include "cmd/paths.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/handoff/recover.h"
#include "cmd/xmigrate/handoff/resume.h"
#include "cmd/xmigrate/libxl/monitor.h"
#include "engine/xen/rescue.h"
#include "engine/xen/suspend.h"
#include "tests/unit/temp_dir.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define UUID "01234567-89ab-cdef-0123-456789abcdef"

static char run_dir[TEMP_DIR_BYTES];

static struct {
    bool starts_late; /* when its copy is held */
    bool gone, suspended, paused, has_run, no_resume, no_list;
    bool xenstored_hangs; /* and so does libxl, whatever it is asked */
    bool no_xenstored;    /* it is dead: libxl cannot be opened */
    bool no_destroy;      /* libxl's fails */
    unsigned told;        /* how often xenstored was to hear again that it runs */
    enum { NO_MODEL, MODEL_RUNS, MODEL_PAUSED, MODEL_DEAD, MODEL_HANGS } model;
    bool will_suspend, will_go; /* when that it is asked to suspend is settled */
    const char *name;           /* of our copy */
    bool bad_rename;
    uint32_t number;   /* what it is found as by name; 0: 7 */
    const char *other; /* of another domain */
    bool twin, dying;  /* which has the guest's UUID */
    char done[512];
    char said[4096];
} now;

/* A thread that is left behind notes things, too. */
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

/* --- libxl and Xen --- */

int xl_prepare_process(struct err *e)
{
    (void)e;
    return 0;
}

int xl_open(struct xl *xl, const struct log *log, int64_t deadline_ns, struct err *e)
{
    (void)deadline_ns;
    *xl = (struct xl){.log = log};
    return now.no_xenstored ? err_set(e, ERR_REFUSED, ENODEV, "is xenstored running?") : 0;
}

/* What a call to libxl fails with while xenstored does. */
static int stuck(struct err *e)
{
    return now.xenstored_hangs || now.no_xenstored
               ? err_set(e, ERR_LOCAL, ETIMEDOUT, "libxl does not answer")
               : 0;
}

void xl_close(struct xl *xl)
{
    (void)xl;
}

int xl_look_at(struct xl *xl, uint32_t domid, const char *uuid, struct xl_domain *d, struct err *e)
{
    (void)xl;
    assert_string_equal(uuid, UUID);
    if (stuck(e))
        return -e->code;
    if (now.no_list)
        return err_set(e, ERR_LOCAL, EIO, "Xen does not answer");
    if (now.gone || (now.number && now.number != domid))
        return err_set(e, ERR_REFUSED, ESRCH, "no domain %u", domid);
    *d = (struct xl_domain){.domid = domid,
        .uuid = UUID,
        .paused = now.paused,
        .cpu_ns = now.has_run,
        .shut_down = now.suspended,
        .reason = now.suspended ? LIBXL_SHUTDOWN_REASON_SUSPEND : 0};
    snprintf(d->name, sizeof(d->name), "%s", now.name);
    return 0;
}

int xl_by_name(struct xl *xl, const char *name, struct xl_domain *d, struct err *e)
{
    if (now.other && !strcmp(name, now.other)) {
        *d = (struct xl_domain){.domid = 40, .uuid = "11111111-2222-3333-4444-555555555555"};
        return 0;
    }
    if (strcmp(name, now.name))
        return err_set(e, ERR_REFUSED, ESRCH, "no domain \"%s\"", name);
    return xl_look_at(xl, now.number ?: 7, UUID, d, e);
}

int xl_twin_of(struct xl *xl, const char *uuid, uint32_t domid, struct xl_domain *d, struct err *e)
{
    (void)xl;
    (void)e;
    assert_string_equal(uuid, UUID);
    if (!now.twin)
        return -ESRCH;
    *d = (struct xl_domain){
        .domid = domid + 1, .uuid = UUID, .paused = now.paused, .dying = now.dying};
    snprintf(d->name, sizeof(d->name), "%s", now.other);
    return 0;
}

int xl_unpause(struct xl *xl, uint32_t domid, int64_t deadline_ns, struct err *e)
{
    (void)xl;
    (void)deadline_ns;
    (void)e;
    note("unpause %u;", domid);
    return 0;
}

int xl_unrun_by_uuid(struct xl *xl, const char *uuid, struct xl_domain *d, struct err *e)
{
    return now.paused && !now.has_run ? xl_look_at(xl, now.number ?: 7, uuid, d, e) : -ESRCH;
}

int xl_find(struct xl *xl, const char *name_or_domid, struct xl_domain *d, struct err *e)
{
    return xl_by_name(xl, name_or_domid, d, e);
}

int xl_rename(struct xl *xl, uint32_t domid, const char *from, const char *to, int64_t deadline_ns,
    struct err *e)
{
    (void)xl;
    (void)domid;
    (void)deadline_ns;
    note("rename %s %s;", from, to);
    if (stuck(e))
        return -e->code;
    return now.bad_rename ? err_set(e, ERR_LOCAL, EEXIST, "the name is taken") : 0;
}

int xl_destroy(struct xl *xl, uint32_t domid, struct err *e)
{
    (void)xl;
    (void)e;
    note("destroy %u;", domid);
    return 0;
}

int xl_destroy_until(struct xl *xl, uint32_t domid, int64_t deadline_ns, int over_fd, struct err *e)
{
    /* The listener waits for 120 s. */
    assert_true(deadline_ns <= deadline_in(60 * NS_PER_S));
    if (now.no_destroy) {
        eventfd_write(over_fd, 1);
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "libxl hangs");
    }
    return xl_destroy(xl, domid, e);
}

int xl_set_cap(struct xl *xl, uint32_t domid, unsigned percent, struct err *e)
{
    (void)xl;
    (void)domid;
    note("cap %u;", percent);
    return stuck(e);
}

const char *xl_reason_name(libxl_shutdown_reason reason)
{
    return reason == LIBXL_SHUTDOWN_REASON_CRASH ? "crash" : "another";
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

int rescue_stop_noting(struct xen *x, uint32_t domid, struct err *e)
{
    (void)x, (void)domid, (void)e;
    return 0;
}

int rescue_log_dirty_off(struct xen *x, uint32_t domid, struct err *e)
{
    (void)x;
    (void)domid;
    (void)e;
    note("log-dirty off;");
    return 0;
}

int rescue_resume(struct xen *x, uint32_t domid, struct err *untold, struct err *e)
{
    (void)x;
    note("resume %u;", domid);
    if (now.no_resume)
        return err_set(e, ERR_LOCAL, EIO, "cannot resume");
    now.suspended = false;
    if (now.xenstored_hangs || now.no_xenstored)
        err_set(untold, ERR_LOCAL, ETIMEDOUT, "xenstored does not answer");
    return 0;
}

int rescue_tell_resumed(uint32_t domid, struct err *e)
{
    assert_int_equal(domid, 7);
    now.told++;
    return stuck(e);
}

int rescue_query(struct xen *x, uint32_t domid, const uint8_t uuid[static 16],
    enum rescue_status *status, struct err *e)
{
    static const uint8_t wanted[16] = {
        1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

    (void)x;
    assert_int_equal(domid, 7);
    assert_memory_equal(uuid, wanted, 16);
    if (now.no_list)
        return err_set(e, ERR_LOCAL, EIO, "Xen does not answer");
    *status = now.gone || (now.number && now.number != domid) ? RESCUE_GONE
              : now.suspended                                 ? RESCUE_SUSPENDED
                                                              : RESCUE_RUNNING;
    return 0;
}

int rescue_destroy(struct xen *x, uint32_t domid, struct err *e)
{
    (void)x;
    (void)e;
    note("destroy %u without libxl;", domid);
    return 0;
}

int device_model_open(struct device_model *m, uint32_t domid, struct err *e)
{
    *m = (struct device_model){.sock = -1, .domid = domid};
    if (now.model == NO_MODEL)
        return -ENOENT;
    if (now.model == MODEL_HANGS)
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "it does not answer");
    return now.model == MODEL_DEAD ? err_set(e, ERR_LOCAL, ECONNREFUSED, "it is dead") : 0;
}

void device_model_close(struct device_model *m)
{
    (void)m;
}

int device_model_is_paused(struct device_model *m, bool *paused, struct err *e)
{
    (void)m;
    (void)e;
    *paused = now.model == MODEL_PAUSED;
    return 0;
}

int device_model_continue(struct device_model *m, struct err *e)
{
    (void)m;
    (void)e;
    note("model continues;");
    now.model = MODEL_RUNS;
    return 0;
}

int device_model_log_off(struct device_model *m, struct err *e)
{
    (void)m;
    (void)e;
    note("model's log off;");
    return 0;
}

int suspend_end(uint32_t domid, int64_t wait_ns, struct err *e)
{
    (void)e;
    assert_int_equal(wait_ns, SUSPEND_ACKNOWLEDGED_NS);
    note("end suspend %u;", domid);
    now.suspended |= now.will_suspend;
    now.gone |= now.will_go;
    return 0;
}

int rescue_hold(struct xen *x, uint32_t domid, bool *has_run, struct err *e)
{
    (void)x;
    (void)e;
    note("hold %u;", domid);
    *has_run = now.starts_late;
    return 0;
}

int monitor_start(uint32_t domid, const char *uuid, struct err *e)
{
    (void)uuid;
    (void)e;
    note("monitor %u;", domid);
    return 0;
}

int open_run_dir(char path[static PATHS_BYTES], struct err *e)
{
    (void)e;
    strcpy(path, run_dir);
    return 0;
}

int open_state_dir(char path[static PATHS_BYTES], struct err *e)
{
    return open_run_dir(path, e);
}

/* --- the stage --- */

static void keep_line(void *arg, enum log_level level, const char *line)
{
    const size_t len = strlen(now.said);

    (void)arg;
    (void)level;
    snprintf(now.said + len, sizeof(now.said) - len, "%s\n", line);
}

static const struct log log_to_test = {.max = LOG_INFO, .write = keep_line};

static int set_up(void **state)
{
    (void)state;
    memset(&now, 0, sizeof(now));
    now.name = "g";
    return 0;
}

/* As a migration that was killed leaves it. */
static void left_as(enum handoff_state state, bool touched, uint32_t domid)
{
    struct journal_record first = {.role = handoff_role_of(state),
        .state = state,
        .cap = touched ? 150 : JOURNAL_NO_CAP,
        .logging = touched,
        .suspending = touched,
        .domid = domid,
        .uuid = UUID,
        .name = "g",
        .peer = "there"};
    struct err e = ERR_INIT;
    struct journal j;

    assert_int_equal(journal_begin(&j, &first, &e), 0);
    journal_keep(&j);
}

static void left(enum handoff_state state, bool touched)
{
    left_as(state, touched, 7);
}

static bool is_left(enum handoff_role role)
{
    return journal_exists(role, UUID);
}

/* At the destination. */
static const char *recorded(void)
{
    struct err e = ERR_INIT;
    struct journal j;

    if (journal_open(&j, HANDOFF_DESTINATION, UUID, &e))
        return "nothing";
    journal_keep(&j);
    return handoff_state_name(j.now.state);
}

static void forget(enum handoff_role role)
{
    struct err e = ERR_INIT;
    struct journal j;

    if (!journal_open(&j, role, UUID, &e))
        journal_remove(&j);
}

static int tear_down(void **state)
{
    (void)state;
    forget(HANDOFF_SOURCE);
    forget(HANDOFF_DESTINATION);
    return 0;
}

/* --- the tests --- */

static void a_guest_that_was_not_given_away_is_resumed(void **state)
{
    (void)state;
    left(HANDOFF_LIVE, true);
    now.suspended = true;
    now.name = "g--migratedaway";
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(
        now.done, "log-dirty off;resume 7;monitor 7;cap 150;rename g--migratedaway g;");
    assert_false(is_left(HANDOFF_SOURCE));
}

static void a_guest_that_runs_on_gets_its_monitor_back(void **state)
{
    (void)state;
    left(HANDOFF_LIVE, true);
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "log-dirty off;cap 150;monitor 7;");
    assert_false(is_left(HANDOFF_SOURCE));
}

static void a_device_model_that_was_left_paused_runs_on(void **state)
{
    (void)state;
    left(HANDOFF_LIVE, true);
    now.model = MODEL_PAUSED;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(
        now.done, "log-dirty off;model's log off;model continues;cap 150;monitor 7;");
    assert_non_null(strstr(now.said, "its device model was left paused"));
    assert_false(is_left(HANDOFF_SOURCE));
}

static void a_device_model_and_its_guest_are_resumed_past_libxl(void **state)
{
    (void)state;
    left(HANDOFF_LIVE, true);
    now.suspended = true;
    now.model = MODEL_PAUSED;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(
        now.done, "log-dirty off;model continues;resume 7;model's log off;monitor 7;cap 150;");
    assert_false(is_left(HANDOFF_SOURCE));
}

static void a_guest_is_resumed_though_its_device_model_is_dead(void **state)
{
    (void)state;
    left(HANDOFF_LIVE, true);
    now.suspended = true;
    now.model = MODEL_DEAD;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "log-dirty off;resume 7;monitor 7;cap 150;");
    assert_non_null(strstr(now.said, "emulated devices do nothing"));
    assert_false(is_left(HANDOFF_SOURCE));
}

static void a_guest_is_resumed_though_its_device_model_does_not_answer(void **state)
{
    (void)state;
    left(HANDOFF_LIVE, true);
    now.suspended = true;
    now.model = MODEL_HANGS;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "log-dirty off;resume 7;monitor 7;cap 150;");
    assert_non_null(strstr(now.said, "it does not answer; resuming it all the same"));
    assert_non_null(strstr(now.said, "try xmigrate --resume g"));
}

static void resume_lets_a_paused_device_model_run_on(void **state)
{
    (void)state;
    now.model = MODEL_PAUSED;
    assert_int_equal(resume_main("g", false, &log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "log-dirty off;model's log off;model continues;");
    assert_non_null(strstr(now.said, "runs again"));
}

/* Everybody who held the lock was killed. */
static void left_asked(void)
{
    struct domain_lock lock;
    struct err e = ERR_INIT;

    left(HANDOFF_LIVE, false);
    assert_int_equal(domain_lock_take(&lock, 7, &e), 0);
    domain_lock_note_asked(&lock, true);
    domain_lock_release(&lock);
}

static bool is_asked(void)
{
    struct domain_lock lock;
    struct err e = ERR_INIT;

    assert_int_equal(domain_lock_take(&lock, 7, &e), 0);

    const bool asked = domain_lock_is_asked(&lock);

    domain_lock_release(&lock);
    return asked;
}

static void a_request_to_suspend_that_is_taken_back_leaves_the_guest_running(void **state)
{
    (void)state;
    left_asked();
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "end suspend 7;");
    assert_false(is_asked());
    assert_false(is_left(HANDOFF_SOURCE));
}

static void a_guest_that_suspends_late_is_resumed(void **state)
{
    (void)state;
    left_asked();
    now.will_suspend = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "end suspend 7;resume 7;monitor 7;");
    assert_false(is_asked());
}

static void a_guest_that_ends_instead_of_suspending_leaves_nothing(void **state)
{
    (void)state;
    left_asked();
    now.will_go = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_non_null(strstr(now.said, "is gone"));
    assert_false(is_left(HANDOFF_SOURCE));
}

/* Nothing is waited for. */
static void a_guest_that_is_suspended_already_is_resumed_at_once(void **state)
{
    (void)state;
    left_asked();
    now.suspended = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "resume 7;monitor 7;");
    assert_false(is_asked());
}

static void a_guest_that_ended_leaves_nothing(void **state)
{
    (void)state;
    left(HANDOFF_LIVE, true);
    now.gone = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "");
    assert_false(is_left(HANDOFF_SOURCE));
}

static void what_could_not_be_done_is_kept_for_the_next_time(void **state)
{
    (void)state;
    left(HANDOFF_LIVE, true);
    now.suspended = now.no_resume = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_FAILED);
    assert_true(is_left(HANDOFF_SOURCE));
    now.no_resume = false;
    now.no_list = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_FAILED);
    assert_true(is_left(HANDOFF_SOURCE));
}

/* It is asked for nothing before the guest runs, and what it could not do is left for the next
 * time. */
static void a_xenstored_that_hangs_keeps_no_guest_suspended(void **state)
{
    (void)state;
    left(HANDOFF_LIVE, true);
    now.suspended = now.xenstored_hangs = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_FAILED);
    assert_string_equal(now.done, "log-dirty off;resume 7;monitor 7;cap 150;");
    assert_non_null(strstr(now.said, "xenstored does not answer"));
    assert_true(is_left(HANDOFF_SOURCE));
    now.xenstored_hangs = false;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_false(is_left(HANDOFF_SOURCE));
}

static void a_dead_xenstored_keeps_no_guest_suspended(void **state)
{
    (void)state;
    left(HANDOFF_LIVE, false);
    now.suspended = now.no_xenstored = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_FAILED);
    assert_string_equal(now.done, "resume 7;monitor 7;");
    assert_non_null(strstr(now.said, "is xenstored running?"));
    assert_true(is_left(HANDOFF_SOURCE));
}

/* Nobody would hear when the guest ends. */
static void xenstored_is_told_later_that_the_guest_runs(void **state)
{
    struct err e = ERR_INIT;
    struct journal j;

    (void)state;
    left(HANDOFF_LIVE, false);
    assert_int_equal(journal_open(&j, HANDOFF_SOURCE, UUID, &e), 0);
    j.now.suspending = true;
    assert_int_equal(journal_save(&j, &e), 0);
    journal_keep(&j);
    now.no_xenstored = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_FAILED);
    assert_true(is_left(HANDOFF_SOURCE));
    now.no_xenstored = false;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_int_equal(now.told, 2);
    assert_false(is_left(HANDOFF_SOURCE));
}

static void a_move_within_one_host_passes_nothing_on(void **state)
{
    (void)state;
    left(HANDOFF_TAKEN, false);
    recover_pass_on(&log_to_test, UUID, "", "here");
    assert_string_equal(recorded(), "taken");
    recover_pass_on(&log_to_test, UUID, "another", "there");
    assert_string_equal(recorded(), "moved_on");
}

static void a_guest_that_was_given_away_is_left_as_it_is(void **state)
{
    (void)state;
    left(HANDOFF_GIVEN, false);
    now.suspended = true;
    now.name = "g--migratedaway";
    assert_int_equal(recover_main(&log_to_test), EXIT_DOUBT);
    assert_string_equal(now.done, "");
    assert_non_null(strstr(now.said, "there"));
    assert_true(is_left(HANDOFF_SOURCE));
}

/* Its supervisor was killed before it could. */
static void a_given_guest_is_called_so(void **state)
{
    (void)state;
    left(HANDOFF_GIVEN, false);
    now.suspended = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DOUBT);
    assert_string_equal(now.done, "rename g g--migratedaway;");
    assert_true(is_left(HANDOFF_SOURCE));
}

static void a_given_guest_that_runs_or_is_gone_is_settled(void **state)
{
    (void)state;
    left(HANDOFF_GIVEN, false);
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "");
    assert_false(is_left(HANDOFF_SOURCE));
    left(HANDOFF_GIVEN, false);
    now.gone = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_false(is_left(HANDOFF_SOURCE));
}

static void what_was_half_built_is_destroyed(void **state)
{
    (void)state;
    left(HANDOFF_COMING, false);
    now.name = "g--incoming";
    now.paused = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "destroy 7;");
    assert_false(is_left(HANDOFF_DESTINATION));
}

/* Within one host the guest itself has that UUID; and a name may be somebody else's. */
static void only_our_own_half_built_copy_is_destroyed(void **state)
{
    (void)state;
    left(HANDOFF_COMING, false);
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    left(HANDOFF_COMING, false);
    now.other = "g--incoming";
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "");
}

/* GO may have been sent to it: the source may ask. */
static void what_was_ready_is_destroyed_and_that_is_remembered(void **state)
{
    (void)state;
    left(HANDOFF_READY, false);
    now.name = "g--incoming";
    now.paused = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "destroy 7;");
    assert_string_equal(recorded(), "gone");
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(recorded(), "gone");
}

static void a_taken_guest_that_runs_gets_a_monitor_and_is_remembered(void **state)
{
    (void)state;
    left(HANDOFF_TAKEN, false);
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "monitor 7;");
    assert_string_equal(recorded(), "started");
}

/* And its name, if nobody has given it another one. */
static void a_taken_guest_that_runs_gets_its_name(void **state)
{
    (void)state;
    left(HANDOFF_TAKEN, false);
    now.name = "g--incoming";
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "rename g--incoming g;monitor 7;");
    now.done[0] = '\0';
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE); /* started by now */
    assert_string_equal(now.done, "rename g--incoming g;monitor 7;");
    now.done[0] = '\0';
    now.name = "h";
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "monitor 7;");
}

static void a_name_that_is_taken_stops_nothing(void **state)
{
    (void)state;
    left(HANDOFF_TAKEN, false);
    now.name = "g--incoming";
    now.bad_rename = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "rename g--incoming g;monitor 7;");
    assert_non_null(strstr(now.said, "is still called \"g--incoming\": the name is taken"));
    assert_string_equal(recorded(), "started");
}

/* A domain that is called as our half-built copy would be, but has another number, is none. */
static void a_half_built_copy_is_known_by_its_number(void **state)
{
    (void)state;
    left(HANDOFF_COMING, false);
    now.name = "g--incoming";
    now.number = 8;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "");
}

/* Whatever somebody calls it. */
static void a_half_built_copy_with_another_name_is_destroyed(void **state)
{
    (void)state;
    left(HANDOFF_COMING, false);
    now.name = "h";
    now.paused = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "destroy 7;");
    assert_false(is_left(HANDOFF_DESTINATION));
}

/* Even as the guest itself: only what comes from a file is whole then. */
static void a_half_built_copy_with_the_guests_name_is_destroyed(void **state)
{
    (void)state;
    for (int moves = 0; moves < 2; moves++) {
        struct err e = ERR_INIT;
        struct journal j;

        left(HANDOFF_COMING, false);
        assert_int_equal(journal_open(&j, HANDOFF_DESTINATION, UUID, &e), 0);
        if (moves)
            strcpy(j.now.session, "0123456789abcdef0123456789abcdef");
        assert_int_equal(journal_save(&j, &e), 0);
        journal_keep(&j);
        now.paused = true;
        assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
        assert_string_equal(now.done, moves ? "destroy 7;" : "");
        assert_false(is_left(HANDOFF_DESTINATION));
    }
}

/* Before its number is on record nothing else tells it from the guest itself than that it never
 * ran. */
static void a_half_built_copy_without_a_number_is_known_by_its_uuid(void **state)
{
    (void)state;
    left_as(HANDOFF_COMING, false, JOURNAL_NO_DOMID);
    now.name = "h";
    now.paused = true;
    now.number = 9;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "destroy 9;");
    now.done[0] = '\0';
    left_as(HANDOFF_COMING, false, JOURNAL_NO_DOMID);
    now.has_run = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    left_as(HANDOFF_COMING, false, JOURNAL_NO_DOMID);
    now.has_run = false;
    now.name = "g";
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "");
}

/* Numbers are given anew: the guest itself may have it. */
static void what_an_earlier_boot_had_half_built_is_gone(void **state)
{
    char command[128];

    (void)state;
    left(HANDOFF_COMING, false);
    now.name = "g--incoming";
    now.paused = true;
    snprintf(command, sizeof(command),
        "sed -i 's/\"boot\": \"[^\"]*/\"boot\": \"another/' %s/in-*.json", run_dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "");
    assert_string_equal(recorded(), "gone");
}

/* The source may wait for our word, and its guest with it. */
static void a_libxl_that_does_not_destroy_it_keeps_nobody_waiting(void **state)
{
    (void)state;
    left(HANDOFF_READY, false);
    now.name = "g--incoming";
    now.paused = now.no_destroy = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "destroy 7 without libxl;");
    assert_non_null(strstr(now.said, "its devices may be left"));
    assert_string_equal(recorded(), "gone");
}

static void the_source_that_has_heard_frees_the_name(void **state)
{
    (void)state;
    struct journal j;
    struct xl xl = {.log = &log_to_test};
    struct err e = ERR_INIT;

    left(HANDOFF_STARTED, false);
    now.name = "g--incoming";
    assert_int_equal(journal_open(&j, HANDOFF_DESTINATION, UUID, &e), 0);
    assert_int_equal(recover_heard(&xl, &log_to_test, &j, &e), 0);
    assert_string_equal(now.done, "rename g--incoming g;");
    assert_false(is_left(HANDOFF_DESTINATION));
}

/* Somebody paused it later. */
static void a_taken_guest_that_has_run_was_started(void **state)
{
    (void)state;
    left(HANDOFF_TAKEN, false);
    now.paused = now.has_run = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(recorded(), "started");
}

static void a_taken_guest_that_is_no_more_counts_as_having_run(void **state)
{
    (void)state;
    left(HANDOFF_TAKEN, false);
    now.gone = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(recorded(), "ended");
}

static void a_started_guest_that_is_no_more_has_ended(void **state)
{
    (void)state;
    left(HANDOFF_STARTED, false);
    now.gone = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "");
    assert_string_equal(recorded(), "ended");
    assert_non_null(strstr(now.said, "must be destroyed"));
}

static void a_taken_guest_that_never_started_is_left_as_it_is(void **state)
{
    (void)state;
    left(HANDOFF_TAKEN, false);
    now.paused = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DOUBT);
    assert_string_equal(now.done, "");
    assert_string_equal(recorded(), "taken");
}

/* STARTED came, and then everybody died before the copy was destroyed. */
static void a_copy_of_a_guest_that_has_moved_is_destroyed_and_never_resumed(void **state)
{
    (void)state;
    left(HANDOFF_MOVED, false);
    now.suspended = true;
    now.name = "g--migratedaway";
    assert_int_equal(resume_main("g--migratedaway", true, &log_to_test), EXIT_REFUSED);
    assert_string_equal(now.done, "");
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "destroy 7;");
    assert_false(is_left(HANDOFF_SOURCE));
}

/* The file has its name, and the guest is to be built again from it. */
static void left_in_file(void)
{
    char path[128];
    struct err e = ERR_INIT;
    struct journal j;
    struct stat st;

    snprintf(path, sizeof(path), "%s/image", run_dir);
    fclose(fopen(path, "w"));
    assert_int_equal(stat(path, &st), 0);
    left(HANDOFF_MOVED, false);
    assert_int_equal(journal_open(&j, HANDOFF_SOURCE, UUID, &e), 0);
    snprintf(j.now.file, sizeof(j.now.file), "%s", path);
    j.now.file_inode = st.st_ino;
    j.now.revive = true;
    snprintf(j.now.file_key, sizeof(j.now.file_key), "/etc/key");
    snprintf(j.now.file_parent, sizeof(j.now.file_parent), "/srv/parent");
    assert_int_equal(journal_save(&j, &e), 0);
    journal_keep(&j);
}

static void a_revived_guest_that_was_not_started_is(void **state)
{
    (void)state;
    for (int started = 0; started < 2; started++) {
        left_in_file();
        now.gone = now.twin = true;
        now.other = "g";
        now.paused = !started;
        now.done[0] = '\0';
        assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
        assert_string_equal(now.done, started ? "monitor 8;" : "unpause 8;monitor 8;");
        assert_false(is_left(HANDOFF_SOURCE));
    }
}

/* It has the UUID, is paused and never ran, just as one that is whole. */
static void a_half_built_guest_is_not_started_as_a_revived_one(void **state)
{
    (void)state;
    left_in_file();
    now.gone = now.twin = now.paused = true;
    now.other = "g--incoming";
    assert_int_equal(recover_main(&log_to_test), EXIT_DOUBT);
    assert_string_equal(now.done, "");
    assert_non_null(strstr(now.said, "has its UUID without its name"));
    assert_true(is_left(HANDOFF_SOURCE));
    now.other = "g";
    now.dying = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DOUBT);
    assert_string_equal(now.done, "");
    assert_true(is_left(HANDOFF_SOURCE));
}

/* --resolve does not look at arrivals. */
static void a_guest_is_not_revived_before_its_arrival_is_settled(void **state)
{
    const struct recover_peer peer = {0};

    (void)state;
    left_in_file();
    left(HANDOFF_COMING, false);
    now.gone = now.twin = now.paused = true;
    now.other = "g";
    assert_int_equal(recover_given(&peer, NULL, &log_to_test), EXIT_DOUBT);
    assert_string_equal(now.done, "");
    assert_non_null(strstr(now.said, "xmigrate --recover first"));
    assert_true(is_left(HANDOFF_SOURCE));
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "unpause 8;monitor 8;");
    assert_false(is_left(HANDOFF_SOURCE));
}

/* Who has a limit does not do it. */
static void a_guest_stays_in_its_file_where_time_is_short(void **state)
{
    const struct recover_peer peer = {0};

    (void)state;
    left_in_file();
    now.gone = now.twin = now.paused = true;
    now.other = "g";
    assert_int_equal(recover_briefly(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "");
    assert_true(is_left(HANDOFF_SOURCE));
    assert_int_equal(recover_given(&peer, NULL, &log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "unpause 8;monitor 8;");
    assert_false(is_left(HANDOFF_SOURCE));
}

/* It may have run from its disks since. */
static void a_guest_is_not_revived_after_a_boot(void **state)
{
    char command[128];

    (void)state;
    left_in_file();
    snprintf(command, sizeof(command),
        "sed -i 's/\"boot\": \"[^\"]*/\"boot\": \"another/' %s/out-*.json", run_dir);
    assert_int_equal(system(command), 0);
    now.gone = true;
    assert_int_equal(recover_main(&log_to_test), EXIT_DOUBT);
    assert_string_equal(now.done, "");
    assert_non_null(strstr(now.said, "Only if it has not run since: xmigrate --restore "
                                     "--disks-as-they-are --key /etc/key --parent /srv/parent /"));
    assert_true(is_left(HANDOFF_SOURCE));
    now.twin = true; /* somebody has started it */
    now.other = "g";
    assert_int_equal(recover_main(&log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "");
    assert_false(is_left(HANDOFF_SOURCE));
}

/* --- asked by the source --- */

static int answer(void)
{
    struct err e = ERR_INIT;
    struct xl xl = {.log = &log_to_test};
    struct journal j;
    int rc;

    assert_int_equal(journal_open(&j, HANDOFF_DESTINATION, UUID, &e), 0);
    rc = recover_answer(&xl, &log_to_test, &j, &e);
    journal_keep(&j);
    return rc;
}

/* It is on disk before it is said. */
static void a_taken_guest_that_never_started_is_gone_once_the_source_asks(void **state)
{
    (void)state;
    left(HANDOFF_TAKEN, false);
    now.paused = true;
    assert_int_equal(answer(), 0);
    assert_string_equal(now.done, "hold 7;destroy 7;");
    assert_string_equal(recorded(), "gone");
}

static void a_copy_that_starts_just_then_is_not_gone(void **state)
{
    (void)state;
    left(HANDOFF_TAKEN, false);
    now.paused = now.starts_late = true;
    assert_int_equal(answer(), -EBUSY);
    assert_string_equal(now.done, "hold 7;");
    assert_string_equal(recorded(), "taken");
}

static void what_xen_says_is_the_answer(void **state)
{
    (void)state;
    left(HANDOFF_TAKEN, false);
    assert_int_equal(answer(), 0);
    assert_string_equal(recorded(), "started");
    now.gone = true;
    assert_int_equal(answer(), 0);
    assert_string_equal(recorded(), "ended");
}

/* Who asks has heard READY. */
static void what_was_incoming_is_gone_and_that_is_remembered(void **state)
{
    (void)state;
    left(HANDOFF_COMING, false);
    now.gone = true;
    assert_int_equal(answer(), 0);
    assert_string_equal(recorded(), "gone");
}

/* --- asking --- */

static enum handoff_event ask(void *arg, const struct journal_record *s)
{
    assert_string_equal(s->uuid, UUID);
    note("ask;");
    return *(enum handoff_event *)arg;
}

static void heard(void *arg)
{
    (void)arg;
    note("heard (%s);", is_left(HANDOFF_SOURCE) ? "recorded" : "forgotten");
}

static int resolve(enum handoff_event event, const char *dom)
{
    const struct recover_peer peer = {ask, heard, &event};

    return recover_given(&peer, dom, &log_to_test);
}

static void what_ran_there_is_destroyed_here(void **state)
{
    (void)state;
    left(HANDOFF_GIVEN, false);
    now.suspended = true;
    now.name = "g--migratedaway";
    assert_int_equal(resolve(HANDOFF_STARTED_CAME, "g"), EXIT_DONE);
    assert_string_equal(now.done, "ask;heard (recorded);destroy 7;");
    assert_false(is_left(HANDOFF_SOURCE));
}

/* Within one host the other end gets that name when it hears. */
static void its_name_is_free_before_the_other_end_hears(void **state)
{
    (void)state;
    left(HANDOFF_GIVEN, false);
    now.suspended = true;
    assert_int_equal(resolve(HANDOFF_STARTED_CAME, "g"), EXIT_DONE);
    assert_string_equal(now.done, "ask;rename g g--migratedaway;heard (recorded);destroy 7;");
}

static void what_never_ran_there_runs_on_here(void **state)
{
    (void)state;
    left(HANDOFF_GIVEN, false);
    now.suspended = true;
    now.name = "g--migratedaway";
    assert_int_equal(resolve(HANDOFF_FAILED_CAME, "7"), EXIT_DONE);
    assert_string_equal(
        now.done, "ask;resume 7;monitor 7;rename g--migratedaway g;heard (recorded);");
    assert_false(is_left(HANDOFF_SOURCE));
}

static void without_an_answer_nothing_is_done(void **state)
{
    (void)state;
    left(HANDOFF_GIVEN, false);
    now.suspended = true;
    now.name = "g--migratedaway";
    assert_int_equal(resolve(HANDOFF_NO_ANSWER, NULL), EXIT_DOUBT);
    assert_string_equal(now.done, "ask;");
    assert_non_null(strstr(now.said, "xmigrate --resolve 7"));
    assert_true(is_left(HANDOFF_SOURCE));
}

static void only_what_is_in_doubt_is_asked_about(void **state)
{
    (void)state;
    left(HANDOFF_LIVE, false);
    now.suspended = true;
    assert_int_equal(resolve(HANDOFF_STARTED_CAME, NULL), EXIT_DONE);
    assert_string_equal(now.done, "resume 7;monitor 7;");
    left(HANDOFF_GIVEN, false);
    assert_int_equal(resolve(HANDOFF_STARTED_CAME, "h"), EXIT_REFUSED);
    assert_true(is_left(HANDOFF_SOURCE));
}

static void resume_takes_what_no_migration_remembers_by_force(void **state)
{
    (void)state;
    now.suspended = true;
    assert_int_equal(resume_main("g", false, &log_to_test), EXIT_REFUSED);
    assert_non_null(strstr(now.said, "xmigrate --resume --force 7"));
    assert_string_equal(now.done, "");
    assert_int_equal(resume_main("g", true, &log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "log-dirty off;resume 7;monitor 7;");
}

static void resume_forgets_what_was_left(void **state)
{
    (void)state;
    left(HANDOFF_LIVE, true);
    now.suspended = true;
    assert_int_equal(resume_main("g", false, &log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "log-dirty off;resume 7;monitor 7;cap 150;");
    assert_false(is_left(HANDOFF_SOURCE));
}

static void resume_refuses_a_guest_that_was_given_away(void **state)
{
    (void)state;
    left(HANDOFF_GIVEN, false);
    now.suspended = true;
    now.name = "g--migratedaway";
    assert_int_equal(resume_main("g--migratedaway", false, &log_to_test), EXIT_REFUSED);
    assert_string_equal(now.done, "");
    assert_non_null(strstr(now.said, "--force"));
    assert_true(is_left(HANDOFF_SOURCE));
}

static void resume_refuses_a_given_guest_without_a_record(void **state)
{
    (void)state;
    now.suspended = true;
    now.name = "g--migratedaway";
    assert_int_equal(resume_main("g--migratedaway", false, &log_to_test), EXIT_REFUSED);
    assert_string_equal(now.done, "");
    assert_int_equal(resume_main("g--migratedaway", true, &log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "log-dirty off;resume 7;monitor 7;rename g--migratedaway g;");
}

static void resume_by_force_gives_a_given_guest_its_name_back(void **state)
{
    (void)state;
    left(HANDOFF_GIVEN, false);
    now.suspended = true;
    now.name = "g--migratedaway";
    assert_int_equal(resume_main("g--migratedaway", true, &log_to_test), EXIT_DONE);
    assert_string_equal(now.done, "log-dirty off;resume 7;monitor 7;rename g--migratedaway g;");
    assert_false(is_left(HANDOFF_SOURCE));
}

/* It moved within this host, or has come back. */
static void resume_refuses_a_guest_that_is_here_twice_even_by_force(void **state)
{
    (void)state;
    left(HANDOFF_GIVEN, false);
    now.suspended = now.twin = true;
    now.name = "g--migratedaway";
    now.other = "h";
    assert_int_equal(resume_main("g--migratedaway", true, &log_to_test), EXIT_REFUSED);
    assert_non_null(strstr(now.said, "is the same guest as domain 8 (\"h\"), which runs here"));
    assert_string_equal(now.done, "");
    assert_true(is_left(HANDOFF_SOURCE));
}

static void resume_refuses_what_is_not_suspended_or_lives_under_its_name(void **state)
{
    (void)state;
    assert_int_equal(resume_main("g", false, &log_to_test), EXIT_REFUSED);
    now.suspended = true;
    now.name = "g--migratedaway";
    now.other = "g";
    assert_int_equal(resume_main("g--migratedaway", false, &log_to_test), EXIT_REFUSED);
    assert_string_equal(now.done, "");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        TEST(a_guest_that_was_not_given_away_is_resumed),
        TEST(a_guest_that_runs_on_gets_its_monitor_back),
        TEST(a_device_model_that_was_left_paused_runs_on),
        TEST(a_device_model_and_its_guest_are_resumed_past_libxl),
        TEST(a_guest_is_resumed_though_its_device_model_is_dead),
        TEST(a_guest_is_resumed_though_its_device_model_does_not_answer),
        TEST(resume_lets_a_paused_device_model_run_on),
        TEST(a_request_to_suspend_that_is_taken_back_leaves_the_guest_running),
        TEST(a_guest_that_suspends_late_is_resumed),
        TEST(a_guest_that_ends_instead_of_suspending_leaves_nothing),
        TEST(a_guest_that_is_suspended_already_is_resumed_at_once),
        TEST(a_guest_that_ended_leaves_nothing),
        TEST(what_could_not_be_done_is_kept_for_the_next_time),
        TEST(a_xenstored_that_hangs_keeps_no_guest_suspended),
        TEST(a_dead_xenstored_keeps_no_guest_suspended),
        TEST(xenstored_is_told_later_that_the_guest_runs),
        TEST(a_move_within_one_host_passes_nothing_on),
        TEST(a_guest_that_was_given_away_is_left_as_it_is),
        TEST(a_given_guest_is_called_so),
        TEST(a_given_guest_that_runs_or_is_gone_is_settled),
        TEST(what_was_half_built_is_destroyed),
        TEST(only_our_own_half_built_copy_is_destroyed),
        TEST(what_was_ready_is_destroyed_and_that_is_remembered),
        TEST(a_taken_guest_that_runs_gets_a_monitor_and_is_remembered),
        TEST(a_taken_guest_that_runs_gets_its_name),
        TEST(a_name_that_is_taken_stops_nothing),
        TEST(a_half_built_copy_is_known_by_its_number),
        TEST(a_half_built_copy_with_another_name_is_destroyed),
        TEST(a_half_built_copy_with_the_guests_name_is_destroyed),
        TEST(a_half_built_copy_without_a_number_is_known_by_its_uuid),
        TEST(what_an_earlier_boot_had_half_built_is_gone),
        TEST(a_libxl_that_does_not_destroy_it_keeps_nobody_waiting),
        TEST(the_source_that_has_heard_frees_the_name),
        TEST(a_taken_guest_that_has_run_was_started),
        TEST(a_taken_guest_that_is_no_more_counts_as_having_run),
        TEST(a_started_guest_that_is_no_more_has_ended),
        TEST(a_taken_guest_that_never_started_is_left_as_it_is),
        TEST(a_copy_of_a_guest_that_has_moved_is_destroyed_and_never_resumed),
        TEST(a_revived_guest_that_was_not_started_is),
        TEST(a_half_built_guest_is_not_started_as_a_revived_one),
        TEST(a_guest_is_not_revived_before_its_arrival_is_settled),
        TEST(a_guest_stays_in_its_file_where_time_is_short),
        TEST(a_guest_is_not_revived_after_a_boot),
        TEST(a_taken_guest_that_never_started_is_gone_once_the_source_asks),
        TEST(a_copy_that_starts_just_then_is_not_gone),
        TEST(what_xen_says_is_the_answer),
        TEST(what_was_incoming_is_gone_and_that_is_remembered),
        TEST(what_ran_there_is_destroyed_here),
        TEST(its_name_is_free_before_the_other_end_hears),
        TEST(what_never_ran_there_runs_on_here),
        TEST(without_an_answer_nothing_is_done),
        TEST(only_what_is_in_doubt_is_asked_about),
        TEST(resume_takes_what_no_migration_remembers_by_force),
        TEST(resume_forgets_what_was_left),
        TEST(resume_refuses_a_guest_that_was_given_away),
        TEST(resume_refuses_a_given_guest_without_a_record),
        TEST(resume_by_force_gives_a_given_guest_its_name_back),
        TEST(resume_refuses_a_guest_that_is_here_twice_even_by_force),
        TEST(resume_refuses_what_is_not_suspended_or_lives_under_its_name),
    };

    if (temp_dir_make(run_dir))
        return 1;
    setenv("XMIGRATE_RUN_DIR", run_dir, 1);
    setenv("XMIGRATE_STATE_DIR", run_dir, 1);

    const int failed = cmocka_run_group_tests(tests, NULL, NULL);

    return temp_dir_remove(run_dir) ? 1 : failed;
}
