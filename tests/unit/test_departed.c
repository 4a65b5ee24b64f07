/* SPDX-License-Identifier: MIT */
/* Which guests have gone where: the last word counts, and nonsense is nothing. */
#include "cmd/xmigrate/departed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define UUID_1 "00000000-0000-4000-8000-000000000001"
#define UUID_2 "00000000-0000-4000-8000-000000000002"

static char dir[32];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/test_departed_XXXXXX");
    return mkdtemp(dir) ? setenv("XMIGRATE_RUN_DIR", dir, 1) : -1;
}

static int drop_dir(void **state)
{
    static const char *const names[] = {"departed", "departed.lock"};
    char path[64];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static void note(const char *name, const char *uuid, const char *host)
{
    struct err e = ERR_INIT;

    if (departed_note(name, uuid, host, &e))
        fail_msg("%s", e.text);
}

static bool found(const char *dom, const char *host)
{
    struct departed d;

    return departed_find(dom, host, &d) && strlen(d.when) == strlen("2026-11-27T12:00:00Z");
}

static void the_last_departure_counts(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_false(found("g", "hostB"));
    note("g", UUID_1, "hostB");
    assert_true(found("g", "hostB"));
    assert_true(found(UUID_1, "hostB"));
    assert_false(found("g", "hostC"));
    assert_false(found("h", "hostB"));
    note("g", UUID_1, "hostC");
    assert_false(found("g", "hostB"));
    assert_true(found("g", "hostC"));
    /* Another guest of that name. */
    note("g", UUID_2, "hostB");
    assert_true(found("g", "hostB"));
    assert_false(found("g", "hostC"));
    assert_int_equal(departed_forget(UUID_2, &e), 0);
    assert_true(found("g", "hostC"));
    assert_int_equal(departed_forget(UUID_1, &e), 0);
    assert_false(found("g", "hostC"));
}

static void only_the_newest_are_remembered(void **state)
{
    char name[16], uuid[64];

    (void)state;
    for (int i = 0; i < DEPARTED_MOST + 5; i++) {
        snprintf(name, sizeof(name), "g%d", i);
        snprintf(uuid, sizeof(uuid), "00000000-0000-4000-8000-%012d", i);
        note(name, uuid, "hostB");
    }
    assert_false(found("g4", "hostB"));
    assert_true(found("g5", "hostB"));
    assert_true(found(name, "hostB"));
}

static void a_file_that_makes_no_sense_says_nothing(void **state)
{
    static const char *const texts[] = {"", "x", "[]", "{\"guests\":{}}", "{\"guests\":[1,{}]}"};
    char path[64];

    (void)state;
    snprintf(path, sizeof(path), "%s/departed", dir);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        FILE *f = fopen(path, "we");

        assert_non_null(f);
        fputs(texts[i], f);
        fclose(f);
        assert_false(found("g", "hostB"));
        note("g", UUID_1, "hostB");
        assert_true(found("g", "hostB"));
    }
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(the_last_departure_counts),
        IN_DIR(only_the_newest_are_remembered),
        IN_DIR(a_file_that_makes_no_sense_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
