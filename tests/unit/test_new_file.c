/* SPDX-License-Identifier: MIT */
/* A file that appears whole or not at all, and what is refused as one. */
#include "cmd/xmigrate/image/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static bool no_dir_sync;

int fsync(int fd)
{
    struct stat st;

    if (no_dir_sync && !fstat(fd, &st) && S_ISDIR(st.st_mode)) {
        errno = EIO;
        return -1;
    }
    return 0;
}

static char dir[] = "/tmp/new_file.XXXXXX";

static int enter(void **arg)
{
    (void)arg;
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    return !mkdtemp(dir) || chdir(dir);
}

static int leave(void **arg)
{
    char command[64];

    (void)arg;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

static void has_text(const char *path, const char *text)
{
    char got[32] = "";
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    assert_non_null(fgets(got, sizeof(got), f));
    fclose(f);
    assert_string_equal(got, text);
}

static void the_old_file_is_there_until_the_new_one_is(void **arg)
{
    struct err e = ERR_INIT;
    struct new_file f;
    struct stat st;
    uint64_t inode;

    (void)arg;
    write_text("image", "old");
    assert_int_equal(new_file_find(&f, "image", 77, &e), 0);
    assert_int_equal(new_file_create(&f, &e), 0);
    assert_string_equal(f.part, ".image.77.part");
    assert_int_equal(write(f.fd, "new", 3), 3);
    assert_int_equal(new_file_sync(&f, &inode, &e), 0);
    has_text("image", "old");
    assert_int_equal(new_file_publish(&f, inode, &e), 0);
    has_text("image", "new");
    assert_int_equal(access(f.part, F_OK), -1);
    assert_int_equal(stat("image", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    /* Somebody who finds it done finishes it again. */
    assert_int_equal(new_file_publish(&f, inode, &e), 0);
    has_text("image", "new");
    new_file_close(&f);
}

/* Its name may be gone after a power loss: the guest runs on, and the file must not be taken for
 * it. */
static void a_directory_that_cannot_be_synced_has_the_old_file(void **arg)
{
    for (int there = 0; there < 2; there++) {
        struct err e = ERR_INIT;
        struct new_file f;
        uint64_t inode;

        (void)arg;
        if (there)
            write_text("image", "old");
        assert_int_equal(new_file_find(&f, "image", 77, &e), 0);
        assert_int_equal(new_file_create(&f, &e), 0);
        assert_int_equal(write(f.fd, "new", 3), 3);
        assert_int_equal(new_file_sync(&f, &inode, &e), 0);
        no_dir_sync = true;
        assert_int_equal(new_file_publish(&f, inode, &e), -EIO);
        no_dir_sync = false;
        if (there)
            has_text("image", "old");
        else
            assert_int_equal(access("image", F_OK), -1);
        has_text(f.part, "new");
        /* Another try finds it. */
        assert_int_equal(new_file_publish(&f, inode, &e), 0);
        has_text("image", "new");
        assert_int_equal(access(f.part, F_OK), -1);
        unlink("image");
        new_file_close(&f);
    }
}

static void what_was_dropped_leaves_nothing(void **arg)
{
    struct err e = ERR_INIT;
    struct new_file f, again;

    (void)arg;
    assert_int_equal(new_file_find(&f, "./image", 77, &e), 0);
    assert_int_equal(new_file_create(&f, &e), 0);
    /* Not followed, and not taken over. */
    assert_int_equal(new_file_find(&again, "image", 77, &e), 0);
    assert_int_equal(new_file_create(&again, &e), -EEXIST);
    new_file_drop(&again);
    assert_int_equal(access(".image.77.part", F_OK), -1);
    assert_int_equal(access("image", F_OK), -1);
    new_file_close(&again);
    new_file_close(&f);
}

static void refused(const char *path, const char *words)
{
    struct err e = ERR_INIT;
    struct new_file f;

    assert_int_not_equal(new_file_find(&f, path, 77, &e), 0);
    assert_int_equal(e.class, ERR_REFUSED);
    if (!strstr(e.text, words))
        fail_msg("%s: \"%s\" does not say \"%s\"", path, e.text, words);
    new_file_close(&f);
}

static void what_is_no_file_is_refused(void **arg)
{
    char longest[NEW_FILE_PATH_BYTES + 8], name[NEW_FILE_NAME_BYTES];

    (void)arg;
    assert_int_equal(mkdir("dir", 0700) | mkfifo("fifo", 0600) | symlink("image", "link"), 0);
    refused("dir", "is a directory");
    refused("dir/", "is a directory");
    refused(".", "is a directory");
    refused("", "is a directory");
    refused("fifo", "is a FIFO");
    refused("link", "is a symbolic link");
    refused("/dev/null", "is a device");
    refused("none/image", "none/: No such file");
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    refused(name, "too long");
    memset(longest, '/', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    refused(longest, "is a directory");
}

static void a_name_that_is_taken_meanwhile_is_left_alone(void **arg)
{
    struct err e = ERR_INIT;
    struct new_file f;
    uint64_t inode;

    (void)arg;
    assert_int_equal(new_file_find(&f, "image", 77, &e), 0);
    assert_int_equal(new_file_create(&f, &e), 0);
    assert_int_equal(new_file_sync(&f, &inode, &e), 0);
    assert_int_equal(mkdir("image", 0700), 0);
    assert_int_not_equal(new_file_publish(&f, inode, &e), 0);
    assert_non_null(strstr(e.text, "is a directory"));
    new_file_drop(&f);
    new_file_close(&f);
}

/* What is written is not under any name then, and nobody may rely on it. */
static void a_part_that_was_removed_is_not_published(void **arg)
{
    struct err e = ERR_INIT;
    struct new_file f;
    uint64_t inode;

    (void)arg;
    write_text("image", "old");
    assert_int_equal(new_file_find(&f, "image", 77, &e), 0);
    assert_int_equal(new_file_create(&f, &e), 0);
    assert_int_equal(new_file_sync(&f, &inode, &e), 0);
    assert_int_equal(unlink(f.part), 0);
    assert_int_equal(new_file_publish(&f, inode, &e), -ENOENT);
    has_text("image", "old");
    /* Nor is another file of that name. */
    write_text(f.part, "other");
    e = (struct err)ERR_INIT;
    assert_int_equal(new_file_publish(&f, inode, &e), -ENOENT);
    has_text("image", "old");
    new_file_close(&f);
}

static void room_is_looked_for(void **arg)
{
    struct err e = ERR_INIT;
    struct new_file f;

    (void)arg;
    assert_int_equal(new_file_find(&f, "image", 77, &e), 0);
    assert_int_equal(new_file_check_room(&f, 1, &e), 0);
    assert_int_equal(new_file_check_room(&f, UINT64_MAX, &e), -ENOSPC);
    assert_int_equal(e.class, ERR_REFUSED);
    new_file_close(&f);
}

/* A process that is killed leaves nothing, where the file system can do that. */
static void one_without_a_name_gets_it_when_it_is_whole(void **arg)
{
    struct err e = ERR_INIT;
    struct new_file f;
    uint64_t inode;

    (void)arg;
    for (int published = 0; published < 2; published++) {
        write_text("image", "old");
        assert_int_equal(new_file_find(&f, "image", 79, &e), 0);
        assert_int_equal(new_file_create_unnamed(&f, &e), 0);
        assert_int_equal(write(f.fd, "new", 3), 3);
        if (f.unnamed)
            assert_int_not_equal(access(f.part, F_OK), 0);
        assert_int_equal(new_file_sync(&f, &inode, &e), 0);
        if (published)
            assert_int_equal(new_file_publish(&f, inode, &e), 0);
        else
            new_file_drop(&f);
        assert_int_not_equal(access(f.part, F_OK), 0);
        has_text("image", published ? "new" : "old");
        new_file_close(&f);
    }
    assert_int_equal(unlink("image"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_old_file_is_there_until_the_new_one_is, enter, leave),
        cmocka_unit_test_setup_teardown(
            a_directory_that_cannot_be_synced_has_the_old_file, enter, leave),
        cmocka_unit_test_setup_teardown(what_was_dropped_leaves_nothing, enter, leave),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_refused, enter, leave),
        cmocka_unit_test_setup_teardown(a_name_that_is_taken_meanwhile_is_left_alone, enter, leave),
        cmocka_unit_test_setup_teardown(a_part_that_was_removed_is_not_published, enter, leave),
        cmocka_unit_test_setup_teardown(room_is_looked_for, enter, leave),
        cmocka_unit_test_setup_teardown(one_without_a_name_gets_it_when_it_is_whole, enter, leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
