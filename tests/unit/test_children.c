/* SPDX-License-Identifier: MIT */
/* Compact files that others beside them stand on. */
#include "cmd/xmigrate/image/children.h"
#include "tests/unit/compact_file.h"
#include "transport/v3.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/children.XXXXXX";

static int enter(void **arg)
{
    (void)arg;
    return !mkdtemp(dir) || chdir(dir);
}

static int leave(void **arg)
{
    char command[64];

    (void)arg;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static void keep_as(int from, const char *name)
{
    const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct stat st;
    off_t at = 0;

    assert_true(fd >= 0);
    assert_int_equal(fstat(from, &st), 0);
    assert_int_equal(sendfile(fd, from, &at, (size_t)st.st_size), st.st_size);
    close(fd);
}

static void a_parent_is_found_to_be_one(void **arg)
{
    static struct tiny_guest g;
    const struct file_secret none = {.len_bytes = 0};
    const struct tiny_file whole = {.codec = CODEC_LZ4};
    const int parent = tiny_write(&whole, &g);
    struct compact_chain chain = {.count = 0};
    char child[NAME_MAX + 1] = "";
    struct err e = ERR_INIT;

    (void)arg;
    assert_int_equal(compact_chain_add(&chain, parent, "g.1", &none, NULL, &e), 0);

    const struct tiny_file on = {NULL, &chain, "g.1", CODEC_LZ4};
    const int incremental = tiny_write(&on, &g);

    keep_as(parent, "g.1");
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_false(children_find(AT_FDCWD, "g.1", child));
    assert_int_equal(children_check("g.1", &e), 0);
    assert_int_equal(children_check("none", &e), 0);
    keep_as(incremental, "other name");
    assert_true(children_find(AT_FDCWD, "g.1", child));
    assert_string_equal(child, "other name");
    assert_false(children_find(AT_FDCWD, "other name", child));
    assert_int_equal(children_check("./g.1", &e), -EEXIST);
    assert_non_null(strstr(e.text, "is needed by other name beside it"));
    compact_chain_close(&chain);
    close(parent);
    close(incremental);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_parent_is_found_to_be_one)};

    return cmocka_run_group_tests(tests, enter, leave);
}
