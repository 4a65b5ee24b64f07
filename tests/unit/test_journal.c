/* State files: what is written is read back, garbage is refused, nobody else's is touched. */
#include "cmd/handoff/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct journal_record sample = {
    .role = HANDOFF_SOURCE,
    .state = HANDOFF_LIVE,
    .logging = true,
    .suspending = true,
    .cap = 150,
    .domid = 7,
    .uuid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
    .name = "web \"1\"",
    .peer = "[::1]:8002",
    .supervisor = 100,
    .helper = 101,
};

static char dir[] = "/tmp/xmigrate-state-XXXXXX";

static int make_dir(void **arg)
{
    (void)arg;
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    return mkdtemp(dir) && !setenv("XMIGRATE_RUN_DIR", dir, 1) ? 0 : -1;
}

static int remove_dir(void **arg)
{
    char path[512];
    DIR *d = opendir(dir);

    (void)arg;
    for (const struct dirent *entry; d && (entry = readdir(d));) {
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        unlink(path);
    }
    if (d)
        closedir(d);
    return rmdir(dir);
}

static void text_comes_back(void **arg)
{
    char *text = journal_text(&sample);
    struct err e = ERR_INIT;
    struct journal_record got;

    (void)arg;
    assert_non_null(text);
    assert_int_equal(journal_parse(text, strlen(text), &got, &e), 0);
    assert_memory_equal(&got.uuid, &sample.uuid, sizeof(got.uuid));
    assert_string_equal(got.name, sample.name);
    assert_string_equal(got.peer, sample.peer);
    assert_int_equal(got.role, sample.role);
    assert_int_equal(got.state, sample.state);
    assert_true(got.logging);
    assert_true(got.suspending);
    assert_int_equal(got.cap, sample.cap);
    assert_int_equal(got.domid, sample.domid);
    assert_int_equal(got.supervisor, sample.supervisor);
    assert_int_equal(got.helper, sample.helper);
    free(text);
}

static void unknown_domid_comes_back(void **arg)
{
    struct journal_record s = sample, got;
    struct err e = ERR_INIT;

    (void)arg;
    s.role = HANDOFF_DESTINATION;
    s.state = HANDOFF_COMING;
    s.domid = JOURNAL_NO_DOMID;

    char *text = journal_text(&s);

    assert_int_equal(journal_parse(text, strlen(text), &got, &e), 0);
    assert_int_equal(got.domid, JOURNAL_NO_DOMID);
    free(text);
}

/* One field of a good text replaced. */
static void refuse_with(const char *from, const char *to)
{
    char *good = journal_text(&sample);
    char bad[1024];
    struct err e = ERR_INIT;
    struct journal_record got;
    char *at = strstr(good, from);

    assert_non_null(at);
    snprintf(bad, sizeof(bad), "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    assert_int_equal(journal_parse(bad, strlen(bad), &got, &e), -EBADMSG);
    free(good);
}

static void garbage_is_refused(void **arg)
{
    static const char *const bad[] = {"", "{", "[]", "null", "{}", "\xff\xfe"};
    struct err e = ERR_INIT;
    struct journal_record got;

    (void)arg;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(journal_parse(bad[i], strlen(bad[i]), &got, &e), -EBADMSG);
    refuse_with("\"version\": 3", "\"version\": 1");
    refuse_with("\"domid\": 7", "\"domid\": 70000");
    refuse_with("\"domid\": 7", "\"domid\": \"7\"");
    refuse_with("\"live\"", "\"lively\"");
    refuse_with("\"logging\": true", "\"logging\": \"yes\"");
    refuse_with("\"suspending\": true", "\"suspending\": 1");
    refuse_with("\"live\"", "\"taken\""); /* a source never takes */
    refuse_with("\"source\"", "1");
    refuse_with("0f1e2d3c-4b5a", "../../../etc");
    refuse_with("\"helper\": 101", "\"helper\": -1");
    refuse_with("\"name\"", "\"nom\"");
}

static void second_owner_is_refused(void **arg)
{
    struct journal one, two;
    struct err e = ERR_INIT, busy = ERR_INIT;

    (void)arg;
    assert_int_equal(journal_begin(&one, &sample, &e), 0);
    assert_int_equal(journal_begin(&two, &sample, &busy), -EBUSY);
    assert_int_equal(busy.class, ERR_REFUSED);
    journal_remove(&one);
    assert_int_equal(journal_begin(&two, &sample, &e), 0);
    journal_remove(&two);
}

static void file_in_doubt_is_refused(void **arg)
{
    struct journal f;
    struct err e = ERR_INIT, doubt = ERR_INIT;

    (void)arg;
    assert_int_equal(journal_begin(&f, &sample, &e), 0);
    f.now.state = HANDOFF_GIVEN;
    assert_int_equal(journal_save(&f, &e), 0);
    journal_keep(&f);
    assert_int_equal(journal_begin(&f, &sample, &doubt), -EBUSY);
    assert_non_null(strstr(doubt.text, "given"));
}

/* What the processes of an old move left when they died: of use only if they had touched the guest.
 */
static void only_a_file_of_a_guest_not_touched_is_replaced(void **arg)
{
    struct journal_record first = sample;
    struct journal f;
    struct err e = ERR_INIT, busy = ERR_INIT;

    (void)arg;
    first.logging = first.suspending = false;
    first.cap = JOURNAL_NO_CAP;
    assert_int_equal(journal_begin(&f, &first, &e), 0);
    journal_keep(&f);
    first.supervisor = 200;
    assert_int_equal(journal_begin(&f, &first, &e), 0);
    f.now.logging = true;
    assert_int_equal(journal_save(&f, &e), 0);
    journal_keep(&f);
    assert_int_equal(journal_begin(&f, &first, &busy), -EBUSY);
    assert_non_null(strstr(busy.text, "xmigrate --recover"));
    busy = (struct err)ERR_INIT;

    first.role = HANDOFF_DESTINATION;
    first.state = HANDOFF_COMING;
    assert_int_equal(journal_begin(&f, &first, &e), 0);
    journal_keep(&f);
    assert_int_equal(journal_begin(&f, &first, &busy), -EBUSY);
}

struct seen {
    int count;
    struct journal_record last;
    bool remove;
};

static void see(void *arg, struct journal *f)
{
    struct seen *seen = arg;

    seen->count++;
    seen->last = f->now;
    if (seen->remove)
        journal_remove(f);
    else
        journal_keep(f);
}

static void ignore_line(void *arg, enum log_level level, const char *line)
{
    (void)level;
    (void)line;
    ++*(int *)arg;
}

static void only_orphans_are_visited(void **arg)
{
    struct journal_record other = sample;
    struct journal dead, alive;
    struct seen seen = {0};
    struct err e = ERR_INIT;
    int lines = 0;
    const struct log log = {.max = LOG_WARN, .write = ignore_line, .arg = &lines};

    (void)arg;
    strcpy(other.uuid, "11111111-2222-3333-4444-555555555555");
    assert_int_equal(journal_begin(&dead, &sample, &e), 0);
    assert_int_equal(journal_begin(&alive, &other, &e), 0);
    dead.now.state = HANDOFF_GIVEN;
    assert_int_equal(journal_save(&dead, &e), 0);
    journal_keep(&dead);
    assert_int_equal(journal_visit_orphans(&log, see, &seen, &e), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.last.state, HANDOFF_GIVEN);
    seen.remove = true;
    assert_int_equal(journal_visit_orphans(&log, see, &seen, &e), 0);
    assert_int_equal(journal_visit_orphans(&log, see, &seen, &e), 0);
    assert_int_equal(seen.count, 2);
    assert_int_equal(lines, 0);
    journal_remove(&alive);
}

static void senseless_file_is_left_alone(void **arg)
{
    struct seen seen = {.remove = true};
    struct err e = ERR_INIT;
    char path[512];
    int lines = 0;
    const struct log log = {.max = LOG_WARN, .write = ignore_line, .arg = &lines};

    (void)arg;
    snprintf(path, sizeof(path), "%s/in-garbage.json", dir);

    const int fd = open(path, O_WRONLY | O_CREAT, 0600);

    assert_int_equal(write(fd, "garbage", 7), 7);
    close(fd);
    assert_int_equal(journal_visit_orphans(&log, see, &seen, &e), 0);
    assert_int_equal(seen.count, 0);
    assert_int_equal(lines, 1);
    assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(unknown_domid_comes_back),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test_setup_teardown(second_owner_is_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(file_in_doubt_is_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            only_a_file_of_a_guest_not_touched_is_replaced, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(only_orphans_are_visited, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(senseless_file_is_left_alone, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
