/* SPDX-License-Identifier: MIT */
/* Moves from one host share its bandwidth, and notice who comes and goes. */
#include "cmd/xmigrate/budget.h"
#include "sched/bucket.h"

#include "tests/unit/hosts.h"
#include "tests/unit/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define M UINT64_C(1000000)

struct scene {
    struct host h; /* its policy */
    char run[TEMP_DIR_BYTES];
    int64_t policy_s; /* of the policy's latest version */
    struct log log;
    char said[512];
};

static void listen_to(void *arg, enum log_level level, const char *text)
{
    struct scene *s = arg;

    if (level < LOG_DEBUG)
        snprintf(s->said, sizeof(s->said), "%s", text);
}

/* Versions of the file are told apart by their times, however soon they follow. */
static void set_policy(struct scene *s, const char *text)
{
    char path[128];
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = ++s->policy_s}};

    put_file(&s->h, "policy", text, 0644);
    snprintf(path, sizeof(path), "%s/policy", s->h.dir);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static struct scene *begin(const char *policy)
{
    struct scene *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    make_host_dir(&s->h);
    s->policy_s = 1000;
    s->log = (struct log){LOG_DEBUG, listen_to, s};
    assert_int_equal(temp_dir_make(s->run), 0);
    setenv("XMIGRATE_RUN_DIR", s->run, 1);
    if (policy)
        set_policy(s, policy);
    return s;
}

/* All have left, and nothing is left of them. */
static void end(struct scene *s)
{
    assert_int_equal(rmdir(s->run), 0);
    drop_host(&s->h);
    free(s);
}

static void join(struct scene *s, struct budget *b, uint64_t own_bits_per_s)
{
    struct err e = ERR_INIT;

    assert_int_equal(budget_read(b, s->h.dir, &s->log, &e), 0);
    assert_int_equal(budget_join(b, own_bits_per_s, &e), 0);
}

/* Both have a half of 64 Mbit/s. */
static struct scene *begin_two(struct budget *a, struct budget *b)
{
    struct scene *s = begin("bandwidth 64M\n");

    join(s, a, 0);
    join(s, b, 0);
    return s;
}

static void end_two(struct scene *s, struct budget *a, struct budget *b)
{
    budget_leave(a);
    budget_leave(b);
    end(s);
}

/* Its next look is due. */
static uint64_t look(struct budget *b)
{
    b->look_ns = now_ns();
    budget_look(b);
    return budget_bits_per_s(b);
}

static void look_at_policy(struct budget *b)
{
    b->policy_ns = now_ns();
    look(b);
}

static void without_a_limit_a_move_has_its_own(void **state)
{
    struct scene *s = begin(NULL);
    struct budget a, b;

    (void)state;
    join(s, &a, 0);
    join(s, &b, 5 * M);
    assert_int_equal(look(&a), 0);
    assert_int_equal(look(&b), 5 * M);
    budget_come_first(&a, true);
    budget_note_sent(&a, 1000);
    assert_int_equal(look(&a), 0);
    budget_leave(&a);
    budget_leave(&b);
    budget_leave(&b);
    end(s);
}

static void shares_follow_who_comes_and_goes(void **state)
{
    struct scene *s = begin("bandwidth 12M\n");
    struct budget a, b, c;

    (void)state;
    join(s, &a, 0);
    assert_int_equal(budget_bits_per_s(&a), 12 * M);
    join(s, &b, 0);
    assert_int_equal(budget_bits_per_s(&b), 6 * M);
    assert_int_equal(look(&a), 6 * M);
    join(s, &c, 0);
    assert_int_equal(look(&a), 4 * M);
    assert_int_equal(look(&b), 4 * M);
    assert_int_equal(look(&c), 4 * M);
    budget_leave(&b);
    /* More is taken when the others have seen it, too. */
    assert_int_equal(look(&a), 4 * M);
    assert_int_equal(look(&a), 6 * M);
    budget_leave(&a);
    look(&c);
    assert_int_equal(look(&c), 12 * M);
    budget_leave(&c);
    end(s);
}

static pid_t join_elsewhere(struct scene *s)
{
    const pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid) {
        struct budget other;

        join(s, &other, 0);
        raise(SIGSTOP);
        _exit(1);
    }
    return pid;
}

static void one_that_was_killed_does_not_count(void **state)
{
    struct scene *s = begin("bandwidth 12M\n");
    struct budget a;
    pid_t pid;
    int status;

    (void)state;
    join(s, &a, 0);
    pid = join_elsewhere(s);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(look(&a), 6 * M);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    look(&a);
    assert_int_equal(look(&a), 12 * M);
    budget_leave(&a);
    end(s);
}

/* As if it had sent so much in the last second. */
static void use(struct budget *b, uint64_t bits)
{
    b->counted_ns = now_ns() - NS_PER_S;
    b->counted_bytes = 1000;
    budget_note_sent(b, 1000 + bits / 8);
}

static void what_a_move_does_not_use_is_lent(void **state)
{
    struct budget a, b;
    struct scene *s = begin_two(&a, &b);

    (void)state;
    use(&a, 4 * M);
    assert_in_range(look(&a), 5 * M, 8 * M);
    look(&b);
    assert_in_range(look(&b), 56 * M, 59 * M);
    use(&b, 57 * M);
    look(&b);
    assert_in_range(look(&b), 56 * M, 59 * M);
    /* It has come to need more. */
    use(&a, 8 * M);
    look(&a);
    assert_int_equal(look(&b), 32 * M);
    assert_int_equal(look(&a), 32 * M);
    /* It may not send more anyway. */
    a.own_bits_per_s = 10 * M;
    assert_int_equal(look(&a), 10 * M);
    look(&b);
    assert_int_equal(look(&b), 54 * M);
    end_two(s, &a, &b);
}

static void a_guest_that_stands_still_comes_first(void **state)
{
    struct budget a, b;
    struct scene *s = begin_two(&a, &b);

    (void)state;
    use(&a, 0);
    assert_true(look(&a) < 4 * M);
    look(&b);
    assert_true(look(&b) > 60 * M);
    /* It was observed, and had lent nearly all. */
    budget_come_first(&a, true);
    assert_int_equal(budget_bits_per_s(&a), 32 * M);
    assert_int_equal(look(&b), BUCKET_LEAST_BITS_PER_S);
    assert_int_equal(look(&a), 63 * M);
    use(&a, 0);
    assert_int_equal(look(&a), 63 * M);
    budget_come_first(&a, false);
    assert_int_equal(budget_bits_per_s(&a), 32 * M);
    look(&b);
    assert_int_equal(look(&b), 32 * M);
    end_two(s, &a, &b);
}

/* A process that was stopped as it came first. */
static void one_that_does_not_look_any_more_comes_first_no_more(void **state)
{
    const struct timespec long_ago[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000}};
    struct budget a, b;
    struct scene *s = begin_two(&a, &b);

    (void)state;
    budget_come_first(&a, true);
    assert_int_equal(look(&b), BUCKET_LEAST_BITS_PER_S);
    assert_int_equal(futimens(a.fd, long_ago), 0);
    look(&b);
    assert_int_equal(look(&b), 32 * M);
    end_two(s, &a, &b);
}

/* Nothing is sent meanwhile, and all it can get is wanted afterwards. */
static void a_guest_that_is_observed_lends_nothing(void **state)
{
    struct scene *s = begin("bandwidth 64M\n");
    struct budget a;

    (void)state;
    join(s, &a, 0);
    budget_note_sent(&a, 1000);
    a.counted_ns -= 2 * BUDGET_USE_NS;
    budget_note_watching(&a);
    budget_note_sent(&a, 1000);
    assert_int_equal(look(&a), 64 * M);
    budget_leave(&a);
    end(s);
}

static void the_limit_may_change_meanwhile(void **state)
{
    struct scene *s = begin("vcpus 8\n");
    struct budget a;

    (void)state;
    join(s, &a, 0);
    set_policy(s, "bandwidth 10M\n");
    look_at_policy(&a);
    assert_int_equal(budget_bits_per_s(&a), 10 * M);
    set_policy(s, "bandwidth 5M\n");
    look_at_policy(&a);
    assert_int_equal(budget_bits_per_s(&a), 5 * M);
    set_policy(s, "bandwidth all\n");
    look_at_policy(&a);
    assert_int_equal(budget_bits_per_s(&a), 5 * M);
    assert_non_null(strstr(s->said, "stays as it was"));
    assert_non_null(strstr(s->said, "policy line 1: bandwidth wants"));
    set_policy(s, "");
    look_at_policy(&a);
    assert_int_equal(budget_bits_per_s(&a), 0);
    assert_int_equal(rmdir(s->run), 0);
    assert_int_equal(mkdir(s->run, 0700), 0);
    budget_leave(&a);
    end(s);
}

static void a_policy_that_makes_no_sense_lets_none_begin(void **state)
{
    struct scene *s = begin("bandwidth much\n");
    struct budget a;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(budget_read(&a, s->h.dir, &s->log, &e), -EINVAL);
    assert_non_null(strstr(e.text, "bandwidth wants"));
    budget_leave(&a);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_a_move_has_its_own),
        cmocka_unit_test(shares_follow_who_comes_and_goes),
        cmocka_unit_test(one_that_was_killed_does_not_count),
        cmocka_unit_test(what_a_move_does_not_use_is_lent),
        cmocka_unit_test(a_guest_that_stands_still_comes_first),
        cmocka_unit_test(one_that_does_not_look_any_more_comes_first_no_more),
        cmocka_unit_test(a_guest_that_is_observed_lends_nothing),
        cmocka_unit_test(the_limit_may_change_meanwhile),
        cmocka_unit_test(a_policy_that_makes_no_sense_lets_none_begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
