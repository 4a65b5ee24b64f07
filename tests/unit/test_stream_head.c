/* SPDX-License-Identifier: MIT */
/* libxl's stream is let through only with the head that libxl survives. */
#include "cmd/xmigrate/session/stream_head.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t good[STREAM_HEAD_BYTES] = "LibxlFmt\0\0\0\2\0\0\0\0\1\0\0\0\0\0\0";

static void head_may_come_in_pieces(void **arg)
{
    struct stream_head h = {{0}, 0};
    struct err e = ERR_INIT;

    (void)arg;
    for (size_t i = 0; i < sizeof(good); i++) {
        assert_false(stream_head_complete(&h));
        assert_int_equal(stream_head_take(&h, good + i, 1), 1);
    }
    assert_true(stream_head_complete(&h));
    assert_int_equal(stream_head_check(&h, &e), 0);
}

static void what_follows_is_left(void **arg)
{
    struct stream_head h = {{0}, 0};
    uint8_t more[STREAM_HEAD_BYTES + 10] = {0};

    (void)arg;
    memcpy(more, good, sizeof(good));
    assert_int_equal(stream_head_take(&h, more, sizeof(more)), STREAM_HEAD_BYTES);
    assert_int_equal(stream_head_take(&h, more, sizeof(more)), 0);
}

static void any_other_byte_is_refused(void **arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof(good); i++) {
        struct stream_head h = {{0}, 0};
        struct err e = ERR_INIT;

        stream_head_take(&h, good, sizeof(good));
        h.bytes[i] ^= 0x10;
        assert_int_equal(stream_head_check(&h, &e), -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_may_come_in_pieces),
        cmocka_unit_test(what_follows_is_left),
        cmocka_unit_test(any_other_byte_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
