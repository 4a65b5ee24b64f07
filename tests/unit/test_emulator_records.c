/* SPDX-License-Identifier: MIT */
/* The device model's part of libxl's stream, taken apart in pieces of any size. */
#include "cmd/xmigrate/session/emulator_records.h"

#include "base/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { XENSTORE = 2, CONTEXT = 3, QEMU = 2, ROOM = 256 };

struct stream {
    uint8_t bytes[ROOM];
    size_t len;
};

static struct emulator_records r;
static char got[ROOM];
static size_t got_bytes;

static int take(void *arg, const uint8_t *data, size_t len_bytes, struct err *e)
{
    (void)arg, (void)e;
    memcpy(got + got_bytes, data, len_bytes);
    got_bytes += len_bytes;
    return 0;
}

static int refuse(void *arg, const uint8_t *data, size_t len_bytes, struct err *e)
{
    (void)arg, (void)data, (void)len_bytes;
    return err_set(e, ERR_LOCAL, EPIPE, "nobody reads");
}

static void put_u32(struct stream *s, uint32_t value)
{
    put_le32(s->bytes + s->len, value);
    s->len += sizeof(value);
}

static void put_front(struct stream *s, uint32_t type, size_t length)
{
    put_u32(s, type);
    put_u32(s, (uint32_t)length);
}

static void put_record(struct stream *s, uint32_t type, uint32_t id, const char *body)
{
    const size_t len = strlen(body);

    put_front(s, type, 8 + len);
    put_front(s, id, 0);
    memcpy(s->bytes + s->len, body, len);
    s->len += (len + 7) / 8 * 8;
}

static int feed(const struct stream *s, size_t piece, struct err *e)
{
    int rc = 0;

    r = (struct emulator_records){.type = 0};
    got_bytes = 0;
    for (size_t at = 0; at < s->len && !rc; at += piece)
        rc = emulator_records_feed(
            &r, s->bytes + at, s->len - at < piece ? s->len - at : piece, take, NULL, e);
    return rc;
}

static void assert_refused(const struct stream *s, enum err_class class, const char *words)
{
    for (size_t piece = 1; piece <= s->len; piece++) {
        struct err e = ERR_INIT;

        assert_true(feed(s, piece, &e) < 0);
        assert_int_equal(e.class, class);
        assert_non_null(strstr(e.text, words));
    }
}

static void a_state_of_any_length_is_handed_on(void **arg)
{
    static const char text[] = "QEVM and what follows it";

    (void)arg;
    for (size_t len = 0; len < sizeof(text); len++) {
        struct stream s = {.len = 0};
        char body[sizeof(text)] = "";

        memcpy(body, text, len);
        put_record(&s, XENSTORE, QEMU, "");
        put_record(&s, CONTEXT, QEMU, body);
        put_front(&s, 0, 0);
        for (size_t piece = 1; piece <= s.len; piece++) {
            struct err e = ERR_INIT;

            assert_int_equal(feed(&s, piece, &e), 0);
            assert_true(r.ended);
            assert_int_equal(got_bytes, len);
            assert_memory_equal(got, text, len);
        }
    }
}

static void less_is_not_the_end(void **arg)
{
    struct stream s = {.len = 0};
    struct err e = ERR_INIT;

    (void)arg;
    put_record(&s, CONTEXT, QEMU, "state");
    put_front(&s, 0, 0);
    while (s.len-- > 1) {
        assert_int_equal(feed(&s, s.len, &e), 0);
        assert_false(r.ended);
    }
}

static void nothing_may_follow(void **arg)
{
    struct stream s = {.len = 0};

    (void)arg;
    put_record(&s, CONTEXT, QEMU, "state");
    put_front(&s, 0, 0);
    s.len++;
    assert_refused(&s, ERR_PEER, "more behind its END");
}

static void the_state_comes_once(void **arg)
{
    struct stream none = {.len = 0}, twice = {.len = 0};

    (void)arg;
    put_front(&none, 0, 0);
    assert_refused(&none, ERR_PEER, "without the device model's state");
    put_record(&twice, CONTEXT, QEMU, "a");
    put_record(&twice, CONTEXT, QEMU, "b");
    assert_refused(&twice, ERR_PEER, "second state");
}

/* It would have had to be there when the device model was started. */
static void entries_in_xenstore_are_refused(void **arg)
{
    struct stream s = {.len = 0};

    (void)arg;
    put_record(&s, XENSTORE, QEMU, "physmap/f0000000/size");
    assert_refused(&s, ERR_GUEST, "in xenstore");
}

static void others_have_no_place(void **arg)
{
    struct stream unknown = {.len = 0}, old = {.len = 0}, small = {.len = 0}, end = {.len = 0};

    (void)arg;
    put_record(&unknown, 4, QEMU, "x");
    assert_refused(&unknown, ERR_PEER, "does not belong");
    put_record(&old, CONTEXT, 1, "x");
    assert_refused(&old, ERR_PEER, "not QEMU's");
    put_front(&small, CONTEXT, 7);
    assert_refused(&small, ERR_PEER, "without a front");
    put_front(&end, 0, 8);
    assert_refused(&end, ERR_PEER, "has a body");
}

static void a_reader_that_fails_is_heard(void **arg)
{
    struct stream s = {.len = 0};
    struct err e = ERR_INIT;

    (void)arg;
    put_record(&s, CONTEXT, QEMU, "state");
    r = (struct emulator_records){.type = 0};
    assert_int_equal(emulator_records_feed(&r, s.bytes, s.len, refuse, NULL, &e), -EPIPE);
    assert_string_equal(e.text, "nobody reads");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_of_any_length_is_handed_on),
        cmocka_unit_test(less_is_not_the_end),
        cmocka_unit_test(nothing_may_follow),
        cmocka_unit_test(the_state_comes_once),
        cmocka_unit_test(entries_in_xenstore_are_refused),
        cmocka_unit_test(others_have_no_place),
        cmocka_unit_test(a_reader_that_fails_is_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
