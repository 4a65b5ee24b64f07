/* SPDX-License-Identifier: MIT */
/* The process that brings the guest back when its supervisor is dead: here one that answers late
 * and then hangs must not hold up its supervisor. */
#include "cmd/xmigrate/handoff/rescuer.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A rescuer of our own making, which sends those words and then hangs. */
static void begin_hanging(struct bystander *r, const char *words, size_t count)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    r->sock = pair[0];
    r->pid = fork();
    if (!r->pid) {
        close(pair[0]);
        for (size_t i = 0; i < count; i++)
            send(pair[1], words + i, 1, MSG_NOSIGNAL);
        for (;;)
            pause();
    }
    close(pair[1]);
}

static void one_that_answers_late_and_hangs_is_ended(void **state)
{
    struct bystander r;

    (void)state;
    begin_hanging(&r, "d", 1);

    const pid_t pid = r.pid;

    rescuer_end(&r);
    assert_int_equal(r.sock, -1);
    assert_int_equal(waitpid(pid, NULL, 0), -1); /* it was waited for */
}

static void one_that_hangs_does_not_count_as_disarmed(void **state)
{
    struct bystander r;
    struct err e = ERR_INIT;

    (void)state;
    begin_hanging(&r, "", 0);
    rescuer_begin_disarm(&r);
    assert_int_equal(rescuer_disarm(&r, &e), -ETIMEDOUT);
    rescuer_end(&r);
}

static void one_that_is_dead_resumes_nothing(void **state)
{
    struct bystander r;
    struct err e = ERR_INIT;

    (void)state;
    begin_hanging(&r, "", 0);
    kill(r.pid, SIGKILL);
    rescuer_begin_disarm(&r);
    assert_int_equal(rescuer_disarm(&r, &e), 0);
    rescuer_end(&r);
}

static void one_that_was_told_ahead_has_answered(void **state)
{
    struct bystander r;
    struct err e = ERR_INIT;

    (void)state;
    begin_hanging(&r, "d", 1);
    rescuer_begin_disarm(&r);
    assert_int_equal(rescuer_disarm(&r, &e), 0);
    rescuer_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_answers_late_and_hangs_is_ended),
        cmocka_unit_test(one_that_hangs_does_not_count_as_disarmed),
        cmocka_unit_test(one_that_is_dead_resumes_nothing),
        cmocka_unit_test(one_that_was_told_ahead_has_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
