/* SPDX-License-Identifier: MIT */
/* Records of --insecure sessions: no flipped bit arrives as success, and what was not flipped does.
 */
#include "base/crc32c.h"
#include "base/deadline.h"
#include "transport/record.h"
#include "transport/tcp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { BODY_BYTES = 300, MAX_BYTES = 2048 };

/* A channel, and the other end of its socket. */
static struct channel *open_channel(int *other, bool summed)
{
    struct channel *ch;
    struct err e = ERR_INIT;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(tcp_channel(fds[0], "lane 0", NULL, NS_PER_S, &ch, &e), 0);
    ch->summed = summed;
    *other = fds[1];
    return ch;
}

/* Two PAGES of many parts, a LANE_END without body in between: what goes over the wire. */
static size_t write_records(uint8_t out[static MAX_BYTES], bool summed)
{
    uint8_t body[BODY_BYTES];
    struct iovec parts[] = {{body, 1}, {body + 1, 0}, {body + 1, 200}, {body + 201, 99}};
    struct err e = ERR_INIT;
    int other;
    struct channel *ch = open_channel(&other, summed);

    for (unsigned i = 0; i < BODY_BYTES; i++)
        body[i] = (uint8_t)(i * 7);
    assert_int_equal(record_send(ch, RECORD_PAGES, parts, 4, &e), 0);
    assert_int_equal(record_send(ch, RECORD_FILLER_END, NULL, 0, &e), 0);
    assert_int_equal(record_send(ch, RECORD_PAGES, parts, 4, &e), 0);

    const ssize_t n = read(other, out, MAX_BYTES);

    channel_close(ch);
    close(other);
    assert_true(n > 0);
    return (size_t)n;
}

/* How many of the three are received as if nothing were. */
static unsigned read_records(const uint8_t *bytes, size_t len_bytes, struct err *e)
{
    uint8_t body[BODY_BYTES];
    unsigned good = 0;
    uint32_t type;
    size_t len;
    int other;
    struct channel *ch = open_channel(&other, true);

    assert_int_equal(write(other, bytes, len_bytes), (ssize_t)len_bytes);
    close(other);
    while (good < 3 && !record_recv(ch, body, sizeof(body), &type, &len, DEADLINE_NEVER, e))
        good++;
    channel_close(ch);
    return good;
}

static void the_sum_is_that_of_iscsi(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

/* However it is cut: long pieces are summed in parts. */
static void the_sum_of_pieces_is_the_sum_of_the_whole(void **state)
{
    static uint8_t bytes[40000];
    uint32_t whole, by_seven = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * i >> 5 ^ i);
    whole = crc32c(0, bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i += 7)
        by_seven = crc32c(by_seven, bytes + i, i + 7 < sizeof(bytes) ? 7 : sizeof(bytes) - i);
    assert_int_equal(by_seven, whole);
    for (size_t i = 1; i < sizeof(bytes); i += 997)
        assert_int_equal(crc32c(crc32c(0, bytes, i), bytes + i, sizeof(bytes) - i), whole);
}

static void what_was_not_changed_arrives(void **state)
{
    uint8_t bytes[MAX_BYTES];
    const size_t n = write_records(bytes, true);
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(n, 3 * 8 + 2 * BODY_BYTES + 3 * 4);
    assert_int_equal(read_records(bytes, n, &e), 3);
    assert_false(err_is_set(&e));
    assert_int_equal(write_records(bytes, false), 3 * 8 + 2 * BODY_BYTES);
}

static void every_flipped_bit_is_noticed(void **state)
{
    uint8_t bytes[MAX_BYTES];
    const size_t n = write_records(bytes, true);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        struct err e = ERR_INIT;

        bytes[i] ^= (uint8_t)(1u << i % 8);
        if (read_records(bytes, n, &e) == 3)
            fail_msg("a flip in byte %zu arrived", i);
        bytes[i] ^= (uint8_t)(1u << i % 8);
    }
}

/* A record twice, or none where one was. */
static void order_is_part_of_it(void **state)
{
    uint8_t bytes[MAX_BYTES], changed[MAX_BYTES];
    const size_t n = write_records(bytes, true), one = 8 + BODY_BYTES + 4;
    struct err e = ERR_INIT;

    (void)state;
    memcpy(changed, bytes, one);
    memcpy(changed + one, bytes, n);
    assert_int_equal(read_records(changed, one + n, &e), 1);
    assert_non_null(strstr(e.text, "lane 0: a PAGES record was changed on its way"));
    e = (struct err)ERR_INIT;
    assert_int_equal(read_records(bytes + one, n - one, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_that_of_iscsi),
        cmocka_unit_test(the_sum_of_pieces_is_the_sum_of_the_whole),
        cmocka_unit_test(what_was_not_changed_arrives),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(order_is_part_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
