/* SPDX-License-Identifier: MIT */
/* The only end of libxl's stream that may be said before the source says it. */
#include "cmd/xmigrate/session/stream_end.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t end[STREAM_END_BYTES];

static void end_may_come_in_pieces(void **arg)
{
    struct err e = ERR_INIT;
    size_t have = 0;

    (void)arg;
    for (size_t i = 0; i < sizeof(end); i++) {
        assert_int_equal(stream_end_check(have, &(struct err){0}), -EBADMSG);
        assert_int_equal(stream_end_feed(&have, end + i, 1, &e), 0);
    }
    assert_int_equal(stream_end_check(have, &e), 0);
}

static void any_other_byte_is_refused(void **arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof(end); i++) {
        uint8_t other[STREAM_END_BYTES] = {0};
        struct err e = ERR_INIT;
        size_t have = 0;

        other[i] = 1;
        assert_int_equal(stream_end_feed(&have, other, sizeof(other), &e), -EBADMSG);
    }
}

static void nothing_may_follow(void **arg)
{
    const uint8_t more[STREAM_END_BYTES + 1] = {0};
    struct err e = ERR_INIT;
    size_t have = 0;

    (void)arg;
    assert_int_equal(stream_end_feed(&have, more, sizeof(more), &e), -EBADMSG);
    e = (struct err)ERR_INIT;
    assert_int_equal(stream_end_feed(&have, end, sizeof(end), &e), 0);
    assert_int_equal(stream_end_feed(&have, more, 1, &e), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(end_may_come_in_pieces),
        cmocka_unit_test(any_other_byte_is_refused),
        cmocka_unit_test(nothing_may_follow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
