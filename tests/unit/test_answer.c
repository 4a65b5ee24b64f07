/* SPDX-License-Identifier: MIT */
/*
 * What a source is told that asks what became of a guest, and what is remembered afterwards. The
 * journal and the control connection are real; what Xen says of the copy is not asked here.
 */
#include "base/deadline.h"
#include "cmd/exit_codes.h"
#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/answer.h"
#include "cmd/xmigrate/handoff/recover.h"
#include "transport/tcp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define UUID     "01234567-89ab-cdef-0123-456789abcdef"
#define SESSION  "00112233445566778899aabbccddeeff"
#define LIMIT_NS (5 * NS_PER_S)

static char state_dir[64];

static struct {
    bool unheard;   /* HEARD does not come */
    int recover_rc; /* of asking Xen */
    bool asked_xen, refused;
    enum handoff_state was; /* what Xen's word makes of the record */

    struct incoming in;
    struct control far;
} now;

int open_state_dir(char path[static PATHS_BYTES], struct err *e)
{
    (void)e;
    strcpy(path, state_dir);
    return 0;
}

int recover_answer(struct xl *xl, const struct log *log, struct journal *j, struct err *e)
{
    (void)xl;
    (void)log;
    now.asked_xen = true;
    j->now.state = now.was;
    return now.recover_rc ? err_set(e, ERR_LOCAL, -now.recover_rc, "Xen does not answer") : 0;
}

int recover_heard(struct xl *xl, const struct log *log, struct journal *j, struct err *e)
{
    (void)xl, (void)log, (void)e;
    assert_false(now.unheard);
    journal_remove(j);
    return 0;
}

bool incoming_await_heard(struct incoming *in)
{
    (void)in;
    return !now.unheard;
}

bool incoming_tell_failure(struct incoming *in, enum control_type type, struct err *why)
{
    (void)in;
    (void)why;
    assert_int_equal(type, CONTROL_REFUSE);
    now.refused = true;
    return true;
}

static void quiet(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static int begin_record(struct journal *j)
{
    struct journal_record first = {.role = HANDOFF_DESTINATION,
        .state = HANDOFF_STARTED,
        .cap = JOURNAL_NO_CAP,
        .domid = 9,
        .uuid = UUID,
        .name = "g",
        .peer = "there",
        .session = SESSION,
        .peer_key = "SHA256:there",
        .moved_to = "elsewhere"};
    struct err e = ERR_INIT;

    return journal_begin(j, &first, &e);
}

static int set_up(void **state)
{
    struct err e = ERR_INIT;
    struct journal j;
    struct channel *ch;
    int fds[2];

    (void)state;
    memset(&now, 0, sizeof(now));
    now.was = HANDOFF_STARTED;
    now.in = (struct incoming){.log = {.max = LOG_ERROR, .write = quiet},
        .who = "there",
        .peer = {.fingerprint = "SHA256:there"},
        .ask = {.session = SESSION, .uuid = UUID}};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(tcp_channel(fds[0], "control", NULL, LIMIT_NS, &ch, &e), 0);
    control_init(&now.in.control, ch);
    assert_int_equal(tcp_channel(fds[1], "far", NULL, LIMIT_NS, &ch, &e), 0);
    control_init(&now.far, ch);
    assert_int_equal(journal_id(now.in.ask.journal, &e), 0);
    assert_int_equal(begin_record(&j), 0);
    journal_keep(&j);
    return 0;
}

static int tear_down(void **state)
{
    struct err none = ERR_INIT;
    struct journal j;

    (void)state;
    if (!journal_open(&j, HANDOFF_DESTINATION, UUID, &none))
        journal_remove(&j);
    control_close(&now.in.control);
    control_close(&now.far);
    return 0;
}

static void expect_answer(enum answer wanted)
{
    static uint8_t body[CONTROL_BODY_BYTES];
    struct message_answer answer;
    struct err e = ERR_INIT;
    enum control_type type;
    size_t len;

    assert_int_equal(answer_question(&now.in, NULL), EXIT_DONE);
    assert_int_equal(control_recv(&now.far, &type, body, &len, deadline_in(LIMIT_NS), &e), 0);
    assert_int_equal(type, CONTROL_ANSWER);
    assert_int_equal(message_parse_answer(body, len, &answer, &e), 0);
    assert_int_equal(answer.answer, wanted);
    assert_string_equal(answer.moved_to, wanted == ANSWER_MOVED_ON ? "elsewhere" : "");
}

static bool is_remembered(void)
{
    return journal_exists(HANDOFF_DESTINATION, UUID);
}

static void what_was_heard_is_forgotten(void **state)
{
    (void)state;
    expect_answer(ANSWER_STARTED);
    assert_false(is_remembered());
}

static void what_was_not_heard_is_remembered(void **state)
{
    (void)state;
    now.unheard = true;
    now.was = HANDOFF_MOVED_ON;
    expect_answer(ANSWER_MOVED_ON);
    assert_true(is_remembered());
}

/* Another host learns nothing, and what it claims to have heard is not forgotten. */
static void only_the_host_that_the_guest_came_from_is_told(void **state)
{
    (void)state;
    strcpy(now.in.peer.fingerprint, "SHA256:elsewhere");
    expect_answer(ANSWER_UNKNOWN);
    assert_false(now.asked_xen);
    assert_true(is_remembered());
}

static void another_journal_knows_nothing(void **state)
{
    (void)state;
    memset(now.in.ask.journal, 'f', JOURNAL_ID_BYTES - 1);
    expect_answer(ANSWER_UNKNOWN);
    assert_true(is_remembered());
}

static void another_session_is_unknown(void **state)
{
    (void)state;
    now.in.ask.session[0] = 'f';
    expect_answer(ANSWER_UNKNOWN);
    assert_true(is_remembered());
}

static void a_record_in_somebodys_hands_is_in_doubt(void **state)
{
    struct err e = ERR_INIT;
    struct journal j;

    (void)state;
    assert_int_equal(journal_open(&j, HANDOFF_DESTINATION, UUID, &e), 0);
    expect_answer(ANSWER_IN_DOUBT);
    journal_keep(&j);
    assert_true(is_remembered());
}

/* Not every state is one that a source may act on. */
static void a_copy_that_may_still_run_is_in_doubt(void **state)
{
    (void)state;
    now.was = HANDOFF_TAKEN;
    expect_answer(ANSWER_IN_DOUBT);
    assert_true(is_remembered());
}

static void without_xens_word_nothing_is_answered(void **state)
{
    (void)state;
    now.recover_rc = -EIO;
    assert_int_equal(answer_question(&now.in, NULL), EXIT_FAILED);
    assert_true(now.refused);
    assert_true(is_remembered());
}

#define ON_A_RECORD(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_RECORD(what_was_heard_is_forgotten),
        ON_A_RECORD(what_was_not_heard_is_remembered),
        ON_A_RECORD(only_the_host_that_the_guest_came_from_is_told),
        ON_A_RECORD(another_journal_knows_nothing),
        ON_A_RECORD(another_session_is_unknown),
        ON_A_RECORD(a_record_in_somebodys_hands_is_in_doubt),
        ON_A_RECORD(a_copy_that_may_still_run_is_in_doubt),
        ON_A_RECORD(without_xens_word_nothing_is_answered),
    };
    char path[80];

    strcpy(state_dir, "/tmp/xmigrate-answer-XXXXXX");
    if (!mkdtemp(state_dir))
        return 1;

    const int failed = cmocka_run_group_tests(tests, NULL, NULL);

    snprintf(path, sizeof(path), "%s/id", state_dir);
    unlink(path);
    return rmdir(state_dir) ? 1 : failed;
}
