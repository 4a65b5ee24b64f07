/* SPDX-License-Identifier: MIT */
/* What is kept in memory comes out as it went in, whatever the pieces; and whether there is room
 * for it. */
#include "base/deadline.h"
#include "cmd/xmigrate/frozen_room.h"
#include "engine/out/held.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LARGE = HELD_CHUNK_BYTES + 12345 };

static uint8_t byte_of(uint64_t at)
{
    return (uint8_t)(at * 7 + (at >> 12));
}

static void send_bytes(struct held *h, uint64_t *at, size_t len_bytes)
{
    uint8_t *bytes = malloc(len_bytes + 1);
    struct err e = ERR_INIT;

    assert_non_null(bytes);
    for (size_t i = 0; i < len_bytes; i++)
        bytes[i] = byte_of(*at + i);
    *at += len_bytes;

    /* In two parts, one of which may be empty. */
    struct iovec iov[] = {
        {bytes, len_bytes / 3}, {bytes + len_bytes / 3, len_bytes - len_bytes / 3}};

    assert_int_equal(channel_send(&h->ch, iov, 2, &e), 0);
    free(bytes);
}

static void receive_bytes(struct held *h, uint64_t *at, size_t len_bytes)
{
    uint8_t *bytes = malloc(len_bytes + 1);
    struct err e = ERR_INIT;

    assert_non_null(bytes);
    assert_int_equal(channel_recv(&h->ch, bytes, len_bytes, DEADLINE_NEVER, &e), 0);
    for (size_t i = 0; i < len_bytes; i++)
        if (bytes[i] != byte_of(*at + i))
            fail_msg("byte %llu is wrong", (unsigned long long)*at + i);
    *at += len_bytes;
    free(bytes);
}

static void what_was_sent_is_received_of(struct held_pool *pool)
{
    static const size_t sent[] = {1, 0, 4096, LARGE, 3, 2 * LARGE, 77};
    static const size_t received[] = {2, 4095, 1, LARGE + 1, LARGE, 9};
    uint64_t in = 0, out = 0;
    struct err e = ERR_INIT;
    struct held h;
    uint8_t more[2];

    held_init(&h, pool, NULL);
    assert_int_equal(channel_recv(&h.ch, more, 1, DEADLINE_NEVER, &e), -ENODATA);
    assert_false(err_is_set(&e));
    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++)
        send_bytes(&h, &in, sent[i]);
    for (size_t i = 0; i < sizeof(received) / sizeof(received[0]); i++)
        receive_bytes(&h, &out, received[i]);
    receive_bytes(&h, &out, in - out - 1);
    assert_int_equal(channel_recv(&h.ch, more, 2, DEADLINE_NEVER, &e), -EBADMSG);
    receive_bytes(&h, &out, 1);
    assert_int_equal(h.left_bytes, 0);
    send_bytes(&h, &in, 5);
    receive_bytes(&h, &out, 5);
    send_bytes(&h, &in, LARGE);
    held_clear(&h);
}

static void what_was_sent_is_received(void **state)
{
    (void)state;
    what_was_sent_is_received_of(NULL);
}

/* Of which some is used, all, and too little is there. */
static void memory_that_was_got_before_is_used(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    for (unsigned chunks = 1; chunks <= 16; chunks *= 4) {
        struct held_pool pool;

        held_pool_init(&pool);
        assert_int_equal(
            held_pool_fill(&pool, (uint64_t)chunks * HELD_CHUNK_BYTES - 1, NULL, &e), 0);
        what_was_sent_is_received_of(&pool);
        if (chunks < 16)
            assert_null(pool.first);
        else
            assert_non_null(pool.first);
        held_pool_destroy(&pool);
    }
}

static void to_get_memory_can_be_stopped(void **state)
{
    struct err e = ERR_INIT;
    struct held_pool pool;
    struct cancel cancel;

    (void)state;
    held_pool_init(&pool);
    assert_int_equal(cancel_init(&cancel, &e), 0);
    cancel_fire(&cancel);
    assert_int_equal(held_pool_fill(&pool, UINT64_MAX, &cancel, &e), -ECANCELED);
    cancel_destroy(&cancel);
    held_pool_destroy(&pool);
}

static void a_copy_that_does_not_fit_is_refused_with_both_numbers(void **state)
{
    struct err e = ERR_INIT;
    uint64_t available;

    (void)state;
    assert_int_equal(frozen_room_check("g", 1ull << 30, 2ull << 30, &e), 0);
    assert_int_equal(frozen_room_check("g", 1ull << 30, 1ull << 30, &e), -ENOMEM);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_non_null(strstr(e.text, " GiB of this domain"));
    assert_non_null(strstr(e.text, "of which 1"));
    assert_non_null(strstr(e.text, "--offline"));
    assert_int_equal(frozen_room_read(&available, &e), 0);
    assert_true(available > 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sent_is_received),
        cmocka_unit_test(memory_that_was_got_before_is_used),
        cmocka_unit_test(to_get_memory_can_be_stopped),
        cmocka_unit_test(a_copy_that_does_not_fit_is_refused_with_both_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
