/* SPDX-License-Identifier: MIT */
/*
 * Guests on their way here: who came first, that memory is promised once, that one that was killed
 * counts no more, and what dom0 is asked for. Files and locks are the real ones, in a directory of
 * this test; the host's memory is made up.
 */
#include "base/deadline.h"
#include "cmd/xmigrate/libxl/autoballoon.h"
#include "cmd/xmigrate/libxl/dom0.h"
#include "cmd/xmigrate/newcomer.h"
#include "engine/xen/build.h"
#include "engine/xen/domain.h"
#include "tests/unit/fake_libxl.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MIB = 1024, DOMAIN = 7 };

static struct {
    uint64_t need_kb, free_kb;
    bool no_dom0, may_balloon;
    uint64_t dom0_kb, target_kb;
    uint64_t claimed_pages, total_pages, max_pages;
    int claim_result;
} now;

static struct xl xl;
static struct xen xen;
static libxl_domain_config config;

/* --- the host --- */

int xl_host(struct xl *x, struct xl_host *h, struct err *e)
{
    (void)x;
    (void)e;
    *h = (struct xl_host){.free_kb = now.free_kb};
    return 0;
}

int xl_config_need_memory(
    struct xl *x, libxl_domain_config *c, const char *name, uint64_t *need_kb, struct err *e)
{
    (void)x;
    (void)c;
    (void)name;
    (void)e;
    *need_kb = now.need_kb;
    return 0;
}

int dom0_read(struct xl *x, struct dom0 *d, struct err *e)
{
    (void)x;
    *d = (struct dom0){now.may_balloon, now.dom0_kb, now.target_kb};
    return now.no_dom0 ? err_set(e, ERR_LOCAL, EIO, "no dom0") : 0;
}

int dom0_set(struct xl *x, uint64_t target_kb, struct err *e)
{
    (void)x;
    (void)e;
    now.target_kb = target_kb;
    return 0;
}

int domain_read(struct xen *x, uint32_t domid, struct domain *d, struct err *e)
{
    (void)x;
    (void)e;
    *d = (struct domain){
        .domid = domid, .total_pages = now.total_pages, .max_pages = now.max_pages};
    return 0;
}

int build_claim(struct xen *x, uint32_t domid, uint64_t pages, struct err *e)
{
    (void)x;
    assert_int_equal(domid, DOMAIN);
    now.claimed_pages = pages;
    return now.claim_result ? err_set(e, ERR_LOCAL, -now.claim_result, "not free any more") : 0;
}

static int set_up(void **state)
{
    (void)state;
    memset(&now, 0, sizeof(now));
    now.need_kb = 100 * MIB;
    now.free_kb = 150 * MIB;
    now.no_dom0 = true;
    now.max_pages = UINT32_MAX;
    config.b_info.max_memkb = 98 * MIB;
    return fake_run_dir_make();
}

static int tear_down(void **state)
{
    (void)state;
    return fake_run_dir_remove();
}

static struct newcomer join(void)
{
    struct newcomer n;
    struct err e = ERR_INIT;

    assert_int_equal(newcomer_join(&n, &e), 0);
    return n;
}

static unsigned ahead_of(const struct newcomer *n)
{
    struct err e = ERR_INIT;
    unsigned ahead;

    assert_int_equal(newcomer_ahead(n, &ahead, &e), 0);
    return ahead;
}

static int promise(struct newcomer *n, struct err *e)
{
    *e = (struct err)ERR_INIT;
    return newcomer_promise(n, &xl, &config, "g", e);
}

/* A process that has come, with what was promised to it; it lives until it is killed, or we end. */
static pid_t another(void)
{
    int pipe_fds[2];
    char word;

    assert_int_equal(pipe(pipe_fds), 0);

    const pid_t pid = fork();

    if (!pid) {
        struct newcomer n;
        struct err e = ERR_INIT;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (newcomer_join(&n, &e) || promise(&n, &e) || write(pipe_fds[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(pipe_fds[1]);
    assert_int_equal(read(pipe_fds[0], &word, 1), 1);
    close(pipe_fds[0]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* --- the tests --- */

static void they_come_in_order_and_one_that_left_is_not_ahead(void **state)
{
    (void)state;
    struct newcomer first = join(), second = join(), third = join();

    assert_int_equal(ahead_of(&first), 0);
    assert_int_equal(ahead_of(&second), 1);
    assert_int_equal(ahead_of(&third), 2);
    newcomer_leave(&first);
    assert_int_equal(ahead_of(&third), 1);
    newcomer_leave(&second);
    newcomer_leave(&third);
    newcomer_leave(&third);
}

static void memory_is_promised_once(void **state)
{
    struct newcomer first = join(), second = join();
    struct err e;

    (void)state;
    assert_int_equal(promise(&first, &e), 0);
    assert_int_equal(newcomer_has_room(&first, &xl, &e), 1);
    assert_int_equal(promise(&second, &e), -ENOMEM);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_non_null(strstr(e.text, "needs 100 MiB and 150 MiB are free"));
    assert_non_null(strstr(e.text, "100 MiB are promised"));
    newcomer_break(&first, &xl);
    assert_int_equal(promise(&second, &e), 0);
    newcomer_leave(&first);
    newcomer_leave(&second);
}

static void one_that_was_killed_counts_no_more(void **state)
{
    const pid_t other = another();
    struct newcomer n = join();
    struct err e;

    (void)state;
    assert_int_equal(ahead_of(&n), 1);
    assert_int_equal(promise(&n, &e), -ENOMEM);
    end(other);
    assert_int_equal(ahead_of(&n), 0);
    assert_int_equal(promise(&n, &e), 0);
    newcomer_leave(&n);
}

static void once_the_domain_has_claimed_it_the_promise_is_over(void **state)
{
    struct newcomer first = join(), second = join();
    struct err e;

    (void)state;
    assert_int_equal(promise(&first, &e), 0);
    assert_int_equal(newcomer_claim(&first, &xen, DOMAIN, &e), 0);
    assert_int_equal(now.claimed_pages, 98 * 256);
    now.free_kb -= 98 * MIB; /* as Xen says it then */
    assert_int_equal(promise(&second, &e), -ENOMEM);
    assert_null(strstr(e.text, "promised"));
    newcomer_unclaim(&first, &xen, NULL);
    assert_int_equal(now.claimed_pages, 0);
    newcomer_leave(&first);
    newcomer_leave(&second);
}

static void no_more_is_claimed_than_the_domain_may_have_or_lacks(void **state)
{
    struct newcomer n = join();
    struct err e;

    (void)state;
    assert_int_equal(promise(&n, &e), 0);
    now.max_pages = 5000;
    assert_int_equal(newcomer_claim(&n, &xen, DOMAIN, &e), 0);
    assert_int_equal(now.claimed_pages, 5000);
    now.claimed_pages = 77;
    now.total_pages = 5000;
    assert_int_equal(newcomer_claim(&n, &xen, DOMAIN, &e), 0);
    assert_int_equal(now.claimed_pages, 77);
    now.total_pages = 0;
    now.claim_result = -ENOMEM;
    assert_int_equal(newcomer_claim(&n, &xen, DOMAIN, &e), -ENOMEM);
    newcomer_leave(&n);
}

static void dom0_gives_what_is_missing(void **state)
{
    struct newcomer first = join(), second = join();
    struct err e;

    (void)state;
    now.no_dom0 = false;
    now.may_balloon = true;
    now.dom0_kb = now.target_kb = 300 * MIB;
    assert_int_equal(promise(&first, &e), 0);
    assert_int_equal(now.target_kb, 300 * MIB);
    assert_int_equal(promise(&second, &e), 0);
    assert_int_equal(now.target_kb, 250 * MIB);
    assert_int_equal(newcomer_has_room(&second, &xl, &e), 0);
    now.free_kb += 50 * MIB;
    assert_int_equal(newcomer_has_room(&second, &xl, &e), 1);
    newcomer_break(&second, &xl);
    assert_int_equal(now.target_kb, 300 * MIB);
    newcomer_leave(&first);
    newcomer_leave(&second);
}

static void one_that_is_measured_takes_nothing(void **state)
{
    struct newcomer n = join();
    struct err e;

    (void)state;
    now.no_dom0 = false;
    now.may_balloon = true;
    now.dom0_kb = now.target_kb = 200 * MIB;
    assert_int_equal(promise(&n, &e), 0);
    assert_int_equal(newcomer_check(&xl, &config, "h", &e), 0);
    assert_int_equal(now.target_kb, 200 * MIB);
    now.may_balloon = false;
    assert_int_equal(newcomer_check(&xl, &config, "h", &e), -ENOMEM);
    assert_non_null(strstr(e.text, "100 MiB are promised"));
    newcomer_leave(&n);
    assert_int_equal(ahead_of(&n), 0);
}

static void dom0_keeps_its_least(void **state)
{
    struct newcomer n = join();
    struct err e;

    (void)state;
    now.no_dom0 = false;
    now.may_balloon = true;
    now.free_kb = 0;
    now.dom0_kb = now.target_kb = 200 * MIB;
    assert_int_equal(promise(&n, &e), -ENOMEM);
    assert_int_equal(now.target_kb, 200 * MIB);
    assert_non_null(strstr(e.text, "keeps at least 128 MiB"));
    now.may_balloon = false;
    now.dom0_kb = now.target_kb = 400 * MIB;
    assert_int_equal(promise(&n, &e), -ENOMEM);
    assert_non_null(strstr(e.text, "xl mem-set 0 307200k"));
    newcomer_leave(&n);
}

static void what_dom0_gives_already_is_not_asked_for_again(void **state)
{
    const struct room r = {.need_kb = 100 * MIB,
        .promised_kb = 100 * MIB,
        .free_kb = 150 * MIB,
        .may_balloon = true,
        .dom0_kb = 300 * MIB,
        .dom0_target_kb = 270 * MIB};
    uint64_t dom0_kb;

    (void)state;
    assert_int_equal(room_plan(&r, &dom0_kb), 0);
    assert_int_equal(dom0_kb, 234 * MIB); /* 14 MiB surely come */
}

static void autoballoon_is_xls(void **state)
{
    (void)state;
    assert_true(autoballoon_is_on("", ""));
    assert_true(autoballoon_is_on("# autoballoon=\"off\"\n", "console=vga loglvl=all"));
    assert_false(autoballoon_is_on("", "placeholder dom0_mem=2G,max:4G loglvl=all"));
    assert_false(autoballoon_is_on("", "dom0_mem=max:4G"));
    assert_true(autoballoon_is_on("", "xdom0_mem=2G"));
    assert_false(autoballoon_is_on("vif.default.script=\"x\"\nautoballoon=\"off\"\n", ""));
    assert_false(autoballoon_is_on("autoballoon = 0", ""));
    assert_true(autoballoon_is_on("autoballoon=\"on\"\n", "dom0_mem=2G"));
    assert_true(autoballoon_is_on("autoballoon='auto'\n", ""));
    assert_false(autoballoon_is_on("autoballoon=\"auto\"\n", "dom0_mem=2G"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(they_come_in_order_and_one_that_left_is_not_ahead),
        TEST(memory_is_promised_once),
        TEST(one_that_was_killed_counts_no_more),
        TEST(once_the_domain_has_claimed_it_the_promise_is_over),
        TEST(no_more_is_claimed_than_the_domain_may_have_or_lacks),
        TEST(dom0_gives_what_is_missing),
        TEST(one_that_is_measured_takes_nothing),
        TEST(dom0_keeps_its_least),
        TEST(what_dom0_gives_already_is_not_asked_for_again),
        TEST(autoballoon_is_xls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
