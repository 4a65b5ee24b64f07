/* SPDX-License-Identifier: MIT */
/* hooks.d: whose programs are run, in which order, for how long, and what of their words is kept.
 */
#include "cmd/xmigrate/hooks.h"

#include "base/deadline.h"
#include "tests/unit/temp_dir.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DIR_OF "/hooks.d/before-suspend"

static char config_dir[TEMP_DIR_BYTES];
static char said[16384];

static void keep(void *arg, enum log_level level, const char *line)
{
    const size_t len = strlen(said);

    (void)arg;
    (void)level;
    snprintf(said + len, sizeof(said) - len, "%s\n", line);
}

static const struct log log_kept = {LOG_DEBUG, keep, NULL};

static void path_of(const char *name, char path[static 256])
{
    snprintf(path, 256, "%s%s%s%s", config_dir, DIR_OF, name[0] ? "/" : "", name);
}

static void write_hook(const char *name, const char *script, mode_t mode)
{
    char path[256];
    FILE *f;

    path_of(name, path);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s\n", script);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static int set_up(void **state)
{
    char path[256];

    (void)state;
    said[0] = '\0';
    umask(022);
    if (temp_dir_make(config_dir))
        return -1;
    snprintf(path, sizeof(path), "%s/hooks.d", config_dir);
    mkdir(path, 0755);
    path_of("", path);
    return mkdir(path, 0755);
}

static int tear_down(void **state)
{
    (void)state;
    return temp_dir_remove(config_dir);
}

static int run(int64_t limit_ns, int64_t all_ns, struct err *e)
{
    const struct hooks h = {.when = HOOKS_BEFORE_SUSPEND,
        .config_dir = config_dir,
        .role = "source",
        .domain = "g",
        .limit_ns = limit_ns,
        .all_ns = all_ns,
        .log = &log_kept};

    *e = (struct err)ERR_INIT;
    return hooks_run(&h, NULL, e);
}

static void they_run_in_order_and_the_first_that_fails_ends_it(void **state)
{
    struct err e;

    (void)state;
    assert_false(hooks_any(config_dir, HOOKS_BEFORE_SUSPEND));
    write_hook("30-never", "echo never", 0755);
    write_hook("20-fails", "exit 3", 0755);
    write_hook("10-first", "echo $XMIGRATE_WHEN $XMIGRATE_ROLE $XMIGRATE_DOMAIN", 0755);
    write_hook("05-off", "exit 1", 0644);
    write_hook("00.dpkg-old", "exit 1", 0755);
    assert_true(hooks_any(config_dir, HOOKS_BEFORE_SUSPEND));
    assert_true(run(0, 0, &e) < 0);
    assert_string_equal(e.text, "hook before-suspend/20-fails: it ended with exit code 3");
    assert_string_equal(said, "hook before-suspend/10-first: before-suspend source g\n");
}

static void one_that_hangs_is_killed_with_its_group(void **state)
{
    char path[256], word[16] = "";
    struct err e;
    FILE *f;

    (void)state;
    write_hook("hangs", "trap '' TERM; sleep 100 & echo $! >$0.pid; sleep 100", 0755);
    assert_int_equal(run(500 * NS_PER_MS, 0, &e), -ETIMEDOUT);
    assert_non_null(strstr(e.text, "did not end within 500 ms"));
    path_of("hangs.pid", path);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(word, sizeof(word), f));
    fclose(f);
    for (int i = 0; i < 100 && !kill(atoi(word), 0); i++)
        usleep(20000); /* until init has seen it */
    assert_int_equal(kill(atoi(word), 0), -1);
}

static void together_they_have_a_limit_too(void **state)
{
    const int64_t begun_ns = now_ns();
    struct err e;

    (void)state;
    write_hook("1", "sleep 100", 0755);
    assert_int_equal(run(60 * NS_PER_S, 300 * NS_PER_MS, &e), -ETIMEDOUT);
    assert_true(now_ns() - begun_ns < 30 * NS_PER_S);
}

static void what_it_leaves_behind_is_not_waited_for(void **state)
{
    const int64_t begun_ns = now_ns();
    struct err e;

    (void)state;
    write_hook("1", "sleep 20 & echo done", 0755);
    assert_int_equal(run(0, 0, &e), 0);
    assert_true(now_ns() - begun_ns < 15 * NS_PER_S);
    assert_string_equal(said, "hook before-suspend/1: done\n");
}

static void of_very_many_words_some_are_kept(void **state)
{
    struct err e;
    unsigned lines = 0;

    (void)state;
    write_hook("1", "i=0; while [ $i -lt 2000 ]; do echo \"$i\tword\"; i=$((i + 1)); done", 0755);
    assert_int_equal(run(0, 0, &e), 0);
    for (const char *c = said; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 51);
    assert_non_null(strstr(said, "hook before-suspend/1: 0?word\n"));
    assert_non_null(strstr(said, "it says more, which is not shown\n"));
}

static void what_others_could_write_is_refused(void **state)
{
    char path[256], hooks_d[256];
    struct err e = ERR_INIT;

    (void)state;
    write_hook("1", "exit 0", 0755);
    assert_int_equal(hooks_check(config_dir, &e), 0);
    path_of("1", path);
    assert_int_equal(chmod(path, 0775), 0);
    assert_true(hooks_check(config_dir, &e) < 0);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_true(run(0, 0, &e) < 0);
    assert_int_equal(chmod(path, 0755), 0);

    snprintf(hooks_d, sizeof(hooks_d), "%s/hooks.d", config_dir);
    assert_int_equal(chmod(hooks_d, 0757), 0);
    e = (struct err)ERR_INIT;
    assert_true(hooks_check(config_dir, &e) < 0);
    assert_non_null(strstr(e.text, "writable by others"));
    assert_int_equal(chmod(hooks_d, 0755), 0);

    assert_int_equal(chown(path, 65534, 0), 0);
    e = (struct err)ERR_INIT;
    assert_true(hooks_check(config_dir, &e) < 0);
    assert_non_null(strstr(e.text, "user 65534's"));
    assert_int_equal(unlink(path), 0);

    assert_int_equal(symlink("/bin/true", path), 0);
    e = (struct err)ERR_INIT;
    assert_true(hooks_check(config_dir, &e) < 0);
    assert_non_null(strstr(e.text, "not a plain file"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(they_run_in_order_and_the_first_that_fails_ends_it),
        TEST(one_that_hangs_is_killed_with_its_group),
        TEST(together_they_have_a_limit_too),
        TEST(what_it_leaves_behind_is_not_waited_for),
        TEST(of_very_many_words_some_are_kept),
        TEST(what_others_could_write_is_refused),
    };

    /* Only root's may run. */
    return geteuid() ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}
