/* SPDX-License-Identifier: MIT */
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
    .session = "0123456789abcdef0123456789abcdef",
    .boot = "11111111-2222-3333-4444-555555555555",
    .host = "there.example",
    .port = 8002,
    .insecure = true,
    .peer_journal = "fedcba9876543210fedcba9876543210",
    .peer_key = "SHA256:abc",
    .moved_to = "yonder",
    .supervisor = 100,
    .helper = 101,
};

static char dir[] = "/tmp/xmigrate-state-XXXXXX";

static int make_dir(void **arg)
{
    (void)arg;
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    return mkdtemp(dir) && !setenv("XMIGRATE_STATE_DIR", dir, 1) ? 0 : -1;
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
    assert_string_equal(got.session, sample.session);
    assert_string_equal(got.boot, sample.boot);
    assert_string_equal(got.host, sample.host);
    assert_int_equal(got.port, sample.port);
    assert_true(got.insecure);
    assert_string_equal(got.peer_journal, sample.peer_journal);
    assert_string_equal(got.peer_key, sample.peer_key);
    assert_string_equal(got.moved_to, sample.moved_to);
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

static void a_file_comes_back(void **arg)
{
    struct journal_record s = sample, got;
    struct err e = ERR_INIT;

    (void)arg;
    snprintf(s.file, sizeof(s.file), "/srv/image");
    s.file_inode = 77;
    s.revive = true;
    snprintf(s.file_key, sizeof(s.file_key), "/etc/key");
    snprintf(s.file_parent, sizeof(s.file_parent), "/srv/parent");

    char *text = journal_text(&s);

    assert_int_equal(journal_parse(text, strlen(text), &got, &e), 0);
    assert_string_equal(got.file, "/srv/image");
    assert_int_equal(got.file_inode, 77);
    assert_true(got.revive);
    assert_string_equal(got.file_key, "/etc/key");
    assert_string_equal(got.file_parent, "/srv/parent");
    free(text);
}

static void a_uuid_is_sixteen_bytes(void **arg)
{
    static const uint8_t wanted[16] = {0, 1, 2, 3, 4, 5, 6, 7, 0xf8, 9, 10, 11, 12, 13, 14, 0xff};
    uint8_t bytes[16];

    (void)arg;
    assert_true(journal_uuid_bytes("00010203-0405-0607-f809-0a0b0c0d0eff", bytes));
    assert_memory_equal(bytes, wanted, 16);
    assert_false(journal_uuid_bytes("00010203-0405-0607-f809-0a0b0c0d0ef", bytes));
}

/* One field of a good text replaced. */
static void refuse_with(const char *from, const char *to)
{
    char *good = journal_text(&sample);
    char bad[2048];
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
    refuse_with("\"version\": 4", "\"version\": 1");
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
    refuse_with("\"session\": \"0123", "\"session\": \"../3"); /* it becomes a file's name */
    refuse_with("\"port\": 8002", "\"port\": 80020");
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

static bool is_there(const char *suffix)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/out-%s.%s", dir, sample.uuid, suffix);
    return !access(path, F_OK);
}

static void what_lies_beside_no_record_is_swept(void **arg)
{
    struct err e = ERR_INIT;
    struct journal f;

    (void)arg;
    assert_int_equal(journal_begin(&f, &sample, &e), 0);
    unlink(f.path);
    journal_sweep();
    assert_true(is_there("lock")); /* its owner lives */
    close(f.lock_fd);
    journal_sweep();
    assert_false(is_there("lock"));
    assert_false(is_there("new"));

    assert_int_equal(journal_begin(&f, &sample, &e), 0);
    journal_keep(&f);
    journal_sweep();
    assert_true(is_there("json") && is_there("lock"));
}

static void an_unsettled_arrival_names_who_left_it(void **arg)
{
    struct journal_record came = sample;
    struct err e = ERR_INIT;
    struct journal f;

    (void)arg;
    assert_false(journal_left_by(came.supervisor));
    came.role = HANDOFF_DESTINATION;
    came.state = HANDOFF_READY;
    assert_int_equal(journal_begin(&f, &came, &e), 0);
    assert_true(journal_left_by(came.supervisor));
    assert_false(journal_left_by(came.supervisor + 1));
    f.now.state = HANDOFF_STARTED;
    assert_int_equal(journal_save(&f, &e), 0);
    assert_false(journal_left_by(came.supervisor));
    journal_remove(&f);
}

static void only_what_nobody_is_in_charge_of_is_unsettled(void **arg)
{
    struct err e = ERR_INIT;
    struct journal f;

    (void)arg;
    assert_false(journal_any_unsettled());
    assert_int_equal(journal_begin(&f, &sample, &e), 0);
    f.now.state = HANDOFF_GIVEN;
    assert_int_equal(journal_save(&f, &e), 0);
    assert_false(journal_any_unsettled());
    journal_keep(&f);
    assert_true(journal_any_unsettled());
    assert_int_equal(journal_open(&f, HANDOFF_SOURCE, sample.uuid, &e), 0);
    assert_int_equal(f.now.state, HANDOFF_GIVEN);
    f.now.state = HANDOFF_MOVED;
    assert_int_equal(journal_save(&f, &e), 0);
    journal_keep(&f);
    assert_true(journal_any_unsettled());
    assert_int_equal(journal_open(&f, HANDOFF_SOURCE, sample.uuid, &e), 0);
    f.now.state = HANDOFF_LIVE;
    assert_int_equal(journal_save(&f, &e), 0);
    journal_keep(&f);
    assert_false(journal_any_unsettled());
    assert_int_equal(journal_open(&f, HANDOFF_SOURCE, sample.uuid, &e), 0);
    journal_remove(&f);
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
    assert_int_equal(journal_visit_orphans(&log, see, &seen, &e), 1);
    assert_int_equal(seen.count, 0);
    assert_int_equal(lines, 1);
    assert_int_equal(access(path, F_OK), 0);
}

/* What is written when the disk is full has its place already. */
static void a_record_has_its_place_before_it_is_needed(void **arg)
{
    struct journal f;
    struct err e = ERR_INIT;
    struct stat record, spare;
    char path[sizeof(f.path) + 8];

    (void)arg;
    assert_int_equal(journal_begin(&f, &sample, &e), 0);
    snprintf(path, sizeof(path), "%.*snew", (int)strlen(f.path) - 4, f.path);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(stat(f.path, &record), 0);
        assert_int_equal(stat(path, &spare), 0);
        assert_int_equal(record.st_size, spare.st_size);
        assert_true(spare.st_blocks * 512 >= spare.st_size);

        const ino_t next = spare.st_ino;

        f.now.domid = 8 + (uint32_t)i;
        assert_int_equal(i % 2 ? journal_note(&f, &e) : journal_save(&f, &e), 0);
        assert_int_equal(stat(f.path, &record), 0);
        assert_int_equal(record.st_ino, next);
    }
    journal_keep(&f);
    assert_int_equal(journal_open(&f, HANDOFF_SOURCE, sample.uuid, &e), 0);
    assert_int_equal(f.now.domid, 10);
    journal_remove(&f);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(journal_open(&f, HANDOFF_SOURCE, sample.uuid, &e), -ENOENT);
    assert_false(err_is_set(&e));
}

/* What is on disk under the record's own name. */
static struct journal_record on_disk(const struct journal *f)
{
    struct journal_record s;
    struct err e = ERR_INIT;
    char text[16384];
    const int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = read(fd, text, sizeof(text));

    close(fd);
    assert_true(n > 0);
    assert_int_equal(journal_parse(text, (size_t)n, &s, &e), 0);
    return s;
}

static ino_t record_inode(const struct journal *f)
{
    struct stat st;

    assert_int_equal(stat(f->path, &st), 0);
    return st.st_ino;
}

static void a_state_alone_is_amended_in_place(void **arg)
{
    struct journal f;
    struct err e = ERR_INIT;

    (void)arg;
    assert_int_equal(journal_begin(&f, &sample, &e), 0);

    const ino_t inode = record_inode(&f);

    f.now.state = HANDOFF_GIVEN;
    assert_int_equal(journal_save(&f, &e), 0);
    assert_int_equal(on_disk(&f).state, HANDOFF_GIVEN);
    f.now.state = HANDOFF_LIVE;
    f.now.suspending = f.now.logging = false;
    assert_int_equal(journal_note(&f, &e), 0);
    assert_int_equal(on_disk(&f).state, HANDOFF_LIVE);
    assert_false(on_disk(&f).suspending);
    assert_false(on_disk(&f).logging);
    assert_string_equal(on_disk(&f).name, sample.name);
    assert_int_equal(record_inode(&f), inode);
    journal_keep(&f);
    assert_int_equal(journal_open(&f, HANDOFF_SOURCE, sample.uuid, &e), 0);
    assert_int_equal(f.now.state, HANDOFF_LIVE);
    assert_false(f.now.suspending);
    journal_remove(&f);
}

static void what_else_has_changed_makes_a_new_record(void **arg)
{
    struct journal f;
    struct err e = ERR_INIT;

    (void)arg;
    assert_int_equal(journal_begin(&f, &sample, &e), 0);
    f.now.state = HANDOFF_GIVEN;
    assert_int_equal(journal_save(&f, &e), 0);

    const ino_t amended = record_inode(&f);

    f.now.state = HANDOFF_LIVE;
    f.now.cap = 77;
    assert_int_equal(journal_save(&f, &e), 0);
    assert_int_equal(on_disk(&f).state, HANDOFF_LIVE);
    assert_int_equal(on_disk(&f).cap, 77);
    assert_int_not_equal(record_inode(&f), amended);
    journal_remove(&f);
}

/* It is on disk under its name: the power does not bring the old file back. */
static void a_note_that_makes_a_new_record_is_amended(void **arg)
{
    struct journal f;
    struct err e = ERR_INIT;

    (void)arg;
    assert_int_equal(journal_begin(&f, &sample, &e), 0);
    f.now.domid = 99;
    assert_int_equal(journal_note(&f, &e), 0);

    const ino_t noted = record_inode(&f);

    f.now.state = HANDOFF_GIVEN;
    assert_int_equal(journal_save(&f, &e), 0);
    assert_int_equal(on_disk(&f).state, HANDOFF_GIVEN);
    assert_int_equal(on_disk(&f).domid, 99);
    assert_int_equal(record_inode(&f), noted);
    journal_remove(&f);
}

static int parse_amended(const char *amendment, struct journal_record *s)
{
    char text[JOURNAL_FILE_BYTES];
    struct err e = ERR_INIT;

    assert_int_equal(journal_file_text(&sample, text, &e), 0);
    memcpy(text + JOURNAL_AMENDMENT_AT, amendment, strlen(amendment));
    return journal_parse(text, sizeof(text), s, &e);
}

static void an_amendment_makes_sense_or_the_record_does_not(void **arg)
{
    static const char *const bad[] = {"x", "{}", "[]", "{\"phase\": \"given\"}", "\n{",
        "{\"phase\": \"taken\", \"logging\": true, \"suspending\": true}",
        "{\"phase\": \"given\", \"logging\": 1, \"suspending\": true}"};
    char amendment[JOURNAL_AMENDMENT_BYTES + 1] = "";
    struct journal_record s = sample, got;

    (void)arg;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(parse_amended(bad[i], &got), -EBADMSG);
    assert_int_equal(parse_amended("", &got), 0);
    assert_int_equal(got.state, HANDOFF_LIVE);
    s.state = HANDOFF_MOVED;
    s.logging = false;
    journal_amendment(&s, amendment);
    assert_int_equal(parse_amended(amendment, &got), 0);
    assert_int_equal(got.state, HANDOFF_MOVED);
    assert_false(got.logging);
    assert_true(got.suspending);
}

static void a_record_that_is_too_long_is_refused(void **arg)
{
    char text[JOURNAL_FILE_BYTES];
    struct journal_record s = sample;
    struct err e = ERR_INIT;

    (void)arg;
    memset(s.name, 1, sizeof(s.name) - 1); /* six bytes each */
    memset(s.peer, 1, sizeof(s.peer) - 1);
    memset(s.host, 1, sizeof(s.host) - 1);
    memset(s.moved_to, 1, sizeof(s.moved_to) - 1);
    assert_int_equal(journal_file_text(&s, text, &e), -E2BIG);
}

static void a_journal_keeps_its_id(void **arg)
{
    char id[JOURNAL_ID_BYTES], again[JOURNAL_ID_BYTES], other[JOURNAL_ID_BYTES];
    struct err e = ERR_INIT;

    (void)arg;
    assert_int_equal(journal_id(id, &e), 0);
    assert_int_equal(strlen(id), JOURNAL_ID_BYTES - 1);
    assert_int_equal(journal_id(again, &e), 0);
    assert_string_equal(id, again);
    remove_dir(NULL);
    make_dir(NULL);
    assert_int_equal(journal_id(other, &e), 0);
    assert_string_not_equal(id, other);
}

static void arrive(struct journal *f, const char *peer_key, const char *session)
{
    struct journal_record s = sample;
    struct err e = ERR_INIT;

    s.role = HANDOFF_DESTINATION;
    s.state = HANDOFF_COMING;
    snprintf(s.peer_key, sizeof(s.peer_key), "%s", peer_key);
    snprintf(s.session, sizeof(s.session), "%s", session);
    assert_int_equal(journal_begin(f, &s, &e), 0);
    f->now.state = HANDOFF_ENDED;
    assert_int_equal(journal_save(f, &e), 0);
    journal_keep(f);
}

/* Another host may still ask about its own. */
static void what_is_not_acknowledged_is_set_aside_for_another_source(void **arg)
{
    static const char one[] = "11111111111111111111111111111111",
                      two[] = "22222222222222222222222222222222",
                      three[] = "33333333333333333333333333333333";
    char path[512];
    struct journal f;

    (void)arg;
    arrive(&f, "SHA256:a", one);
    arrive(&f, "SHA256:b", two);
    snprintf(path, sizeof(path), "%s/past-%s.json", dir, one);
    assert_int_equal(access(path, F_OK), 0);
    arrive(&f, "SHA256:b", three);
    snprintf(path, sizeof(path), "%s/past-%s.json", dir, two);
    assert_int_equal(access(path, F_OK), -1);
}

/* READY is only noted: after a power loss "incoming" does not mean that it was never said. */
static void incoming_of_another_boot_may_have_been_ready(void **arg)
{
    struct journal f;
    struct journal_record s = sample;
    struct err e = ERR_INIT;

    (void)arg;
    s.role = HANDOFF_DESTINATION;
    s.state = HANDOFF_COMING;
    assert_int_equal(journal_begin(&f, &s, &e), 0);
    journal_keep(&f);
    assert_int_equal(journal_open(&f, HANDOFF_DESTINATION, s.uuid, &e), 0);
    assert_int_equal(f.now.state, HANDOFF_COMING);

    char *text = journal_text(&s); /* sample's boot */
    const int fd = open(f.path, O_WRONLY | O_TRUNC);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    free(text);
    journal_keep(&f);
    assert_int_equal(journal_open(&f, HANDOFF_DESTINATION, s.uuid, &e), 0);
    assert_int_equal(f.now.state, HANDOFF_READY);
    journal_keep(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(unknown_domid_comes_back),
        cmocka_unit_test(a_file_comes_back),
        cmocka_unit_test(a_uuid_is_sixteen_bytes),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test_setup_teardown(second_owner_is_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(file_in_doubt_is_refused, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            only_a_file_of_a_guest_not_touched_is_replaced, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            a_record_has_its_place_before_it_is_needed, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_journal_keeps_its_id, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            what_is_not_acknowledged_is_set_aside_for_another_source, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            incoming_of_another_boot_may_have_been_ready, make_dir, remove_dir),
        cmocka_unit_test(an_amendment_makes_sense_or_the_record_does_not),
        cmocka_unit_test(a_record_that_is_too_long_is_refused),
        cmocka_unit_test_setup_teardown(a_state_alone_is_amended_in_place, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            what_else_has_changed_makes_a_new_record, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            a_note_that_makes_a_new_record_is_amended, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(only_orphans_are_visited, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(senseless_file_is_left_alone, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(what_lies_beside_no_record_is_swept, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            an_unsettled_arrival_names_who_left_it, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            only_what_nobody_is_in_charge_of_is_unsettled, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
