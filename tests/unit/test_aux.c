/* SPDX-License-Identifier: MIT */
/* Auxiliary data: what stands on the wire, and what a destination takes of it. */
#include "base/bytes.h"
#include "base/deadline.h"
#include "engine/aux/in.h"
#include "engine/out/compact_aux.h"
#include "tests/unit/memory_channel.h"
#include "tests/unit/wire_peer.h"
#include "transport/record.h"
#include "transport/trunk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- a source that keeps count ---- */

static struct {
    unsigned begun, applied, withdrawn, completed, ended;
    bool refuses;
} seen;

static int fake_begin(
    struct xen *x, uint32_t domid, const struct aux_source *s, void **state, struct err *e)
{
    (void)x, (void)domid, (void)s;
    if (seen.refuses)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP, "not on this host");
    seen.begun++;
    *state = &seen;
    return 0;
}

static int fake_apply(void *state, const struct aux_batch *b, struct err *e)
{
    (void)state, (void)e;
    for (unsigned i = 0; i < b->count; i++)
        seen.applied += !b->entries[i].withdrawn;
    return 0;
}

static int fake_withdraw(void *state, const struct aux_batch *b, struct err *e)
{
    (void)state, (void)e;
    for (unsigned i = 0; i < b->count; i++)
        seen.withdrawn += b->entries[i].withdrawn;
    return 0;
}

static int fake_complete(void *state, struct err *e)
{
    (void)state, (void)e;
    seen.completed++;
    return 0;
}

static void fake_end(void *state)
{
    (void)state;
    seen.ended++;
}

static const struct aux_in_ops fake = {
    .name = "fake",
    .version = 1,
    .most_entries = 100,
    .most_bytes = 100 * 4096,
    .begin = fake_begin,
    .apply = fake_apply,
    .withdraw = fake_withdraw,
    .complete = fake_complete,
    .end = fake_end,
};
static const struct aux_in_ops *const known[] = {&fake, NULL};

static struct aux_in a;
static struct err e;
static char lines[512];

static void take_line(void *arg, enum log_level level, const char *line)
{
    (void)arg, (void)level;
    snprintf(lines, sizeof(lines), "%s", line);
}

static const struct log log_ = {LOG_INFO, take_line, NULL};

static int begin(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    e = (struct err)ERR_INIT;
    lines[0] = '\0';
    aux_in_init(&a, 7, known, &log_);
    a.xen.xch = (void *)&a; /* so that no handle is opened */
    return 0;
}

static int end(void **state)
{
    (void)state;
    a.xen.xch = NULL;
    aux_in_close(&a);
    return 0;
}

static struct aux_source source_of(const char *name)
{
    struct aux_source s = {.version = 1, .most_entries = 3, .most_bytes = 3 * 4096};

    strcpy(s.name, name);
    return s;
}

static int announce(struct aux_source s)
{
    return aux_in_announce(&a, &s, &e);
}

static const uint8_t content[4096] = {1, 2, 3};

static int give_entry(uint32_t round, uint8_t key, bool withdrawn, uint32_t bytes)
{
    struct aux_batch b = {.count = 1};

    b.entries[0] = (struct aux_entry){
        .key = {key}, .withdrawn = withdrawn, .bytes = bytes, .content = content};
    return aux_in_take(&a, round, &b, &e);
}

static int set(uint32_t round, uint8_t key)
{
    return give_entry(round, key, false, 100);
}

static int withdraw(uint32_t round, uint8_t key)
{
    return give_entry(round, key, true, 0);
}

static void assert_says(int rc, const char *words)
{
    assert_int_not_equal(rc, 0);
    if (!strstr(e.text, words))
        fail_msg("it says: %s", e.text);
    assert_null(strchr(e.text, '\n'));
}

/* ---- on the wire ---- */

static void batches_read_as_the_page_says(void **state)
{
    static const uint32_t lengths[] = {4096, 0, 13, 0, 8};
    static struct memory_channel m;
    struct aux_batch b = {.source = 5, .count = 5}, got;
    struct peer_record r;
    struct peer_aux peer;
    size_t at = 0;

    (void)state;
    memory_channel_init(&m);
    for (unsigned i = 0; i < 5; i++) {
        b.entries[i] = (struct aux_entry){
            .key = {[0] = (uint8_t)i, [31] = 9}, .bytes = lengths[i], .content = content};
        b.entries[i].withdrawn = i == 3;
    }
    assert_int_equal(aux_send_batch(&m.ch, &b, &e), 0);
    assert_true(peer_next_record(m.bytes, m.len_bytes, &at, &r));
    assert_int_equal(at, m.len_bytes);
    assert_int_equal(r.type, 0x16);
    assert_null(peer_read_aux(r.body, r.len_bytes, &peer));
    assert_null(aux_decode_batch(r.body, r.len_bytes, &got));
    assert_int_equal(peer.source, 5);
    assert_int_equal(peer.count, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_memory_equal(peer.entry[i].key, b.entries[i].key, 32);
        assert_int_equal(peer.entry[i].withdrawn, i == 3);
        assert_int_equal(peer.entry[i].bytes, lengths[i]);
        assert_memory_equal(peer.entry[i].content, content, lengths[i]);
        assert_memory_equal(got.entries[i].content, content, lengths[i]);
        assert_int_equal(got.entries[i].withdrawn, i == 3);
    }
    for (size_t cut = 0; cut < r.len_bytes; cut += cut < 220 ? 1 : 97)
        assert_non_null(aux_decode_batch(r.body, cut, &got));
    memory_channel_destroy(&m);
}

static void sources_and_totals_come_back_from_the_trunk(void **state)
{
    static struct memory_channel m;
    static struct trunk_message got;
    struct aux_source s = source_of("a-name-of-15-ch");
    const struct aux_totals totals = {1, 2, 3, 4};
    struct trunk_reader r;

    (void)state;
    s.number = 3;
    s.optional = true;
    s.head_bytes = 5;
    memcpy(s.head, "head!", 5);
    memory_channel_init(&m);
    assert_int_equal(aux_send_source(&m.ch, &s, &e), 0);
    assert_int_equal(aux_send_done(&m.ch, 3, &totals, &e), 0);
    assert_int_equal(m.len_bytes, 8 + 48 + 5 + 8 + 40);
    assert_int_equal(trunk_reader_init(&r, &m.ch, &e), 0);
    assert_int_equal(trunk_recv(&r, &got, DEADLINE_NEVER, &e), 0);
    assert_int_equal(got.type, RECORD_AUX_SOURCE);
    assert_int_equal(got.aux_source.number, 3);
    assert_true(got.aux_source.optional);
    assert_string_equal(got.aux_source.name, s.name);
    assert_int_equal(got.aux_source.most_entries, 3);
    assert_int_equal(got.aux_source.most_bytes, 3 * 4096);
    assert_int_equal(got.aux_source.head_bytes, 5);
    assert_memory_equal(got.aux_source.head, "head!", 5);
    assert_int_equal(trunk_recv(&r, &got, DEADLINE_NEVER, &e), 0);
    assert_int_equal(got.type, RECORD_AUX_DONE);
    assert_int_equal(got.aux_done.source, 3);
    assert_memory_equal(&got.aux_done.totals, &totals, sizeof(totals));
    trunk_reader_destroy(&r);
    memory_channel_destroy(&m);
}

static void bad_sources_are_named(void **state)
{
    uint8_t good[48] = {[8] = 't'}, bad[48];
    struct aux_source s;
    static const struct {
        size_t at;
        uint8_t value;
        const char *wrong;
    } cases[] = {
        {0, 8, "the source's number"},
        {4, 2, "reserved bits are set"},
        {8, 'T', "the source's name"},
        {8, 0, "the source's name"},
        {10, 't', "the source's name"},
        {28, 1, "its length"},
    };

    (void)state;
    assert_null(aux_decode_source(good, sizeof(good), &s));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memcpy(bad, good, sizeof(bad));
        bad[cases[i].at] = cases[i].value;
        assert_string_equal(aux_decode_source(bad, sizeof(bad), &s), cases[i].wrong);
    }
    assert_string_equal(aux_decode_source(good, 47, &s), "its length");
}

/* ---- what is taken ---- */

static void entries_are_replaced_and_withdrawn(void **state)
{
    const struct aux_totals sent = {5, 4, 1, 400};

    (void)state;
    assert_int_equal(announce(source_of("fake")), 0);
    assert_int_equal(set(0, 1) | set(0, 2) | set(1, 1) | withdraw(1, 2) | set(2, 2), 0);
    assert_int_equal(a.parts[0].keys.entries, 2);
    assert_int_equal(a.parts[0].keys.bytes, 200);
    assert_int_equal(seen.applied, 4);
    assert_int_equal(seen.withdrawn, 1);
    assert_says(aux_in_complete(&a, &e), "the end came before AUX_DONE");
    assert_int_equal(aux_in_done(&a, 0, &sent, &e), 0);
    assert_int_equal(aux_in_complete(&a, &e), 0);
    assert_int_equal(seen.completed, 1);
}

static void a_source_that_is_not_known_is_refused_unless_it_is_optional(void **state)
{
    struct aux_source s = source_of("other");

    (void)state;
    assert_says(announce(s), "\"other\", which this xmigrate does not know");
    assert_int_equal(e.class, ERR_REFUSED);
    s.optional = true;
    assert_int_equal(announce(s), 0);
    assert_int_equal(set(0, 1), 0);
    assert_int_equal(seen.begun + seen.applied, 0);
    e = (struct err)ERR_INIT;
    assert_says(set(0, 1), "came twice");
}

static void a_version_that_is_not_known_is_refused(void **state)
{
    struct aux_source s = source_of("fake");

    (void)state;
    s.version = 2;
    assert_says(announce(s), "a version that");
    assert_int_equal(e.class, ERR_REFUSED);
    assert_int_equal(seen.begun, 0);
}

static void what_this_host_cannot_take_is_refused_or_left_out(void **state)
{
    struct aux_source s = source_of("fake");

    (void)state;
    seen.refuses = true;
    s.number = 1;
    s.optional = true;
    assert_int_equal(announce(s), 0);
    assert_string_equal(lines, "auxiliary data \"fake\" is left out: not on this host");
    s.number = 2;
    s.optional = false;
    assert_says(announce(s), "not on this host");
    assert_int_equal(e.class, ERR_REFUSED);
}

static void a_source_that_announces_too_much_gets_nothing(void **state)
{
    struct aux_source s = source_of("fake");

    (void)state;
    s.most_entries = 101;
    assert_says(announce(s), "101 entries of 12288 bytes are announced, 100 of 409600");
    assert_int_equal(e.class, ERR_REFUSED);
    s = source_of("fake");
    s.most_bytes = UINT64_MAX;
    e = (struct err)ERR_INIT;
    assert_says(announce(s), "are announced");
    assert_int_equal(seen.begun, 0);
    assert_null(a.parts[0].keys.slots);
}

static void a_source_that_sends_more_than_it_announced_is_stopped(void **state)
{
    struct aux_source s = source_of("fake");

    (void)state;
    assert_int_equal(announce(s), 0);
    assert_int_equal(set(0, 1) | set(0, 2) | set(0, 3), 0);
    assert_says(set(0, 4), "\"fake\": more came than was announced");
    assert_int_equal(seen.applied, 3);
    s.number = 1;
    s.most_bytes = 99;
    e = (struct err)ERR_INIT;
    assert_int_equal(announce(s), 0);

    struct aux_batch b = {.source = 1, .count = 1};

    b.entries[0].bytes = 100;
    assert_says(aux_in_take(&a, 0, &b, &e), "more came than was announced");
}

static void what_was_never_sent_cannot_be_withdrawn(void **state)
{
    (void)state;
    assert_int_equal(announce(source_of("fake")), 0);
    assert_says(withdraw(0, 9), "\"fake\": an entry is withdrawn that is not there");
    assert_int_equal(set(1, 1) | withdraw(2, 1), 0);
    e = (struct err)ERR_INIT;
    assert_says(withdraw(3, 1), "is not there");
    assert_int_equal(seen.withdrawn, 1);
}

static void an_entry_comes_once_in_a_round(void **state)
{
    (void)state;
    assert_int_equal(announce(source_of("fake")), 0);
    assert_int_equal(set(0, 1), 0);
    assert_says(set(0, 1), "\"fake\": an entry came twice in one round");
    e = (struct err)ERR_INIT;
    assert_says(withdraw(0, 1), "came twice");
    assert_int_equal(withdraw(1, 1), 0);
    e = (struct err)ERR_INIT;
    assert_says(set(1, 1), "came twice");
    assert_int_equal(seen.applied, 1);
}

static void nothing_comes_before_a_source_or_after_its_end(void **state)
{
    const struct aux_totals none = {0};

    (void)state;
    assert_says(set(0, 1), "source 0, which was not announced");
    e = (struct err)ERR_INIT;
    assert_says(aux_in_done(&a, 0, &none, &e), "AUX_DONE of source 0, which was not announced");
    assert_int_equal(announce(source_of("fake")), 0);
    e = (struct err)ERR_INIT;
    assert_says(announce(source_of("fake")), "announced twice");
    assert_int_equal(aux_in_done(&a, 0, &none, &e), 0);
    e = (struct err)ERR_INIT;
    assert_says(set(0, 1), "which is through");
    e = (struct err)ERR_INIT;
    assert_says(aux_in_done(&a, 0, &none, &e), "which is through");
    assert_int_equal(seen.applied, 0);
}

static void what_got_lost_is_noticed(void **state)
{
    const struct aux_totals sent = {2, 2, 0, 200};

    (void)state;
    assert_int_equal(announce(source_of("fake")), 0);
    assert_int_equal(set(0, 1), 0);
    assert_says(aux_in_done(&a, 0, &sent, &e),
        "counts 2 entries, 0 withdrawn, 200 bytes; 1, 0 and 100 arrived");
    assert_int_equal(seen.completed, 0);
}

/* Whoever sets and withdraws ever new entries does not make the table grow. */
static void the_table_follows_what_is_there(void **state)
{
    struct aux_keys k;

    (void)state;
    aux_keys_init(&k);
    for (uint32_t i = 0; i < 200000; i++) {
        const uint8_t key[AUX_KEY_BYTES] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16)};

        assert_int_equal(aux_keys_set(&k, key, 2 * i, 1), AUX_KEYS_FINE);
        assert_int_equal(aux_keys_withdraw(&k, key, 2 * i + 1), AUX_KEYS_FINE);
    }
    assert_int_equal(k.entries, 0);
    assert_int_equal(k.bytes, 0);
    assert_true(k.capacity <= 1024);
    for (uint32_t i = 0; i < 50000; i++) {
        const uint8_t key[AUX_KEY_BYTES] = {(uint8_t)i, (uint8_t)(i >> 8), 7};

        assert_int_equal(aux_keys_set(&k, key, 400001, 4096), AUX_KEYS_FINE);
    }
    assert_int_equal(k.entries, 50000);
    for (uint32_t i = 0; i < 50000; i++) {
        const uint8_t key[AUX_KEY_BYTES] = {(uint8_t)i, (uint8_t)(i >> 8), 7};

        assert_int_equal(aux_keys_set(&k, key, 400001, 1), AUX_KEYS_REPEATED);
        assert_int_equal(aux_keys_set(&k, key, 400002, 1), AUX_KEYS_FINE);
    }
    assert_int_equal(k.entries, 50000);
    assert_int_equal(k.bytes, 50000);
    assert_true(k.capacity <= 1 << 17);
    aux_keys_destroy(&k);
}

/* ---- in a compact file ---- */

static const char *bad_file(const struct iovec *head, uint64_t frames)
{
    static struct compact_aux aux;

    e = (struct err)ERR_INIT;
    assert_int_equal(compact_aux_read(&aux, head, frames, &e), -EBADMSG);
    assert_int_equal(aux.count, 0);
    return e.text;
}

/* A file's HEAD with two entries of three, after one was withdrawn and its frame taken again. */
static void write_head(int fd)
{
    struct aux_source s = source_of("fake");
    struct aux_entry entry = {.bytes = 100};
    struct aux_frames *f;
    struct v3_stream stream;
    uint64_t frames[4];

    v3_stream_init(&stream, fd, NULL, NS_PER_S, "head");
    assert_int_equal(v3_write_headers(&stream, &(struct v3_headers){3, 2, 4, 17}, &e), 0);
    assert_int_equal(v3_write_record(&stream, V3_STATIC_DATA_END, NULL, 0, &e), 0);
    assert_int_equal(aux_frames_create(&s, 512, &f, &e), 0);
    for (uint8_t key = 0; key < 3; key++) {
        entry.key[0] = key;
        assert_int_equal(aux_frames_find(f, &entry, &frames[key], &e), 0);
        assert_int_equal(frames[key], 512u + key);
    }
    entry.key[0] = 3;
    assert_says(aux_frames_find(f, &entry, &frames[3], &e), "more than was announced");
    entry.key[0] = 1;
    entry.withdrawn = true;
    assert_int_equal(aux_frames_find(f, &entry, &frames[3], &e), 0);
    assert_int_equal(frames[3], 513);
    e = (struct err)ERR_INIT;
    assert_says(aux_frames_find(f, &entry, &frames[3], &e), "is not there");
    entry = (struct aux_entry){.key = {7}, .bytes = 7};
    assert_int_equal(aux_frames_find(f, &entry, &frames[3], &e), 0);
    assert_int_equal(frames[3], 513);
    entry = (struct aux_entry){.key = {2}, .withdrawn = true};
    assert_int_equal(aux_frames_find(f, &entry, &frames[3], &e), 0);
    assert_int_equal(aux_frames_write(f, &stream, &e), 0);
    aux_frames_destroy(f);
    v3_stream_destroy(&stream);
}

/* Keys of frames 512 and 513: each has to have a page, and no other frame may. */
static void check_frames(const struct compact_aux *aux)
{
    struct compact_table t;
    struct compact_group *group;

    assert_int_equal(compact_table_init(&t, 515, &e), 0);
    group = compact_group_make(&t, 1);
    assert_non_null(group);
    group->pages[0].kind = COMPACT_ZERO;
    assert_int_equal(compact_aux_check(aux, &t, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "\"fake\": 2 keys, and pages for 1"));
    group->pages[1].kind = COMPACT_CONTENTS;
    assert_int_equal(compact_aux_check(aux, &t, &e), 0);
    e = (struct err)ERR_INIT;
    group->pages[1].type = V3_PAGE_L1TAB;
    assert_int_equal(compact_aux_check(aux, &t, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "frame 0x201 is neither the guest's nor auxiliary data"));
    group->pages[1].type = V3_PAGE_NOTAB;
    group->pages[2].kind = COMPACT_ZERO;
    e = (struct err)ERR_INIT;
    assert_int_equal(compact_aux_check(aux, &t, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "frame 0x202 is neither"));
    compact_table_destroy(&t);
    e = (struct err)ERR_INIT;
}

static void a_file_says_which_frames_are_whose(void **state)
{
    static struct compact_aux aux;
    static uint8_t bytes[4096];
    const int fd = memfd_create("head", MFD_CLOEXEC);
    const uint8_t *key;
    uint32_t len;

    (void)state;
    write_head(fd);
    struct iovec head = {bytes, (size_t)pread(fd, bytes, sizeof(bytes), 0)};
    close(fd);
    e = (struct err)ERR_INIT;
    assert_int_equal(compact_aux_read(&aux, &head, 515, &e), 0);
    assert_int_equal(aux.count, 1);
    assert_int_equal(aux.states_bytes, 24 + 16 + 8);
    assert_int_equal(compact_aux_guest_frames(&aux, 515), 512);
    assert_int_equal(aux.parts[0].key_count, 2);
    assert_ptr_equal(compact_aux_find(&aux, 512, &key, &len), &aux.parts[0]);
    assert_int_equal(key[0], 0);
    assert_int_equal(len, 100);
    assert_ptr_equal(compact_aux_find(&aux, 513, &key, &len), &aux.parts[0]);
    assert_int_equal(key[0], 7);
    assert_int_equal(len, 7);
    assert_null(compact_aux_find(&aux, 514, &key, &len));
    assert_null(compact_aux_find(&aux, 511, &key, &len));
    assert_null(compact_aux_find(&aux, 515, &key, &len));
    check_frames(&aux);
    compact_aux_destroy(&aux);

    uint8_t *source = bytes + 48 + 8, *keys = source + 56 + 8;

    assert_non_null(strstr(bad_file(&head, 514), "\"fake\" would be in 3 frames from 0x200"));
    put_le64(source, 511);
    assert_non_null(strstr(bad_file(&head, 1 << 20), "would be in 3 frames"));
    put_le64(source, 512);
    put_le32(keys + 32, 1); /* as the next */
    assert_non_null(strstr(bad_file(&head, 515), "an entry of 7 bytes in frame 1"));
    put_le32(keys + 32, 3);
    assert_non_null(strstr(bad_file(&head, 515), "an entry of 100 bytes in frame 3"));
    put_le32(keys + 32, 0);
    put_le32(keys + 36, 4097);
    assert_non_null(strstr(bad_file(&head, 515), "an entry of 4097 bytes"));
    put_le32(keys + 36, 100);
    put_le32(keys - 4, 79);
    assert_non_null(strstr(bad_file(&head, 515), "keys of auxiliary data, of 79 bytes"));
    put_le32(keys - 4, 80);
    put_le32(source + 8, 1);
    assert_non_null(strstr(bad_file(&head, 515), "comes as number 0"));
    put_le32(source + 8, 0);
    put_le32(bytes + 48, V3_AUX_KEYS);
    assert_non_null(strstr(bad_file(&head, 515), "keys of auxiliary data"));
    put_le32(bytes + 48, V3_AUX_SOURCE);
    head.iov_len -= 8;
    assert_non_null(strstr(bad_file(&head, 515), "ends within a record"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(batches_read_as_the_page_says),
        TEST(sources_and_totals_come_back_from_the_trunk),
        TEST(bad_sources_are_named),
        TEST(entries_are_replaced_and_withdrawn),
        TEST(a_source_that_is_not_known_is_refused_unless_it_is_optional),
        TEST(a_version_that_is_not_known_is_refused),
        TEST(what_this_host_cannot_take_is_refused_or_left_out),
        TEST(a_source_that_announces_too_much_gets_nothing),
        TEST(a_source_that_sends_more_than_it_announced_is_stopped),
        TEST(what_was_never_sent_cannot_be_withdrawn),
        TEST(an_entry_comes_once_in_a_round),
        TEST(nothing_comes_before_a_source_or_after_its_end),
        TEST(what_got_lost_is_noticed),
        TEST(the_table_follows_what_is_there),
        TEST(a_file_says_which_frames_are_whose),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
