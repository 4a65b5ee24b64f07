/* SPDX-License-Identifier: MIT */
/* Records of --insecure sessions: no flipped bit arrives as success, and what was not flipped does.
 */
#include "base/crc32c.h"
#include "base/deadline.h"
#include "transport/record.h"
#include "transport/tcp.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

/* Whatever the length, and wherever it lies. */
static void every_way_finds_the_same_sum_and_copies(void **state)
{
    enum { LONGEST = 9000, SLACK = 64 };
    static uint8_t from[LONGEST + SLACK], to[LONGEST + SLACK];

    (void)state;
    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (uint8_t)(i * i >> 3 ^ i * 5);
    for (const struct crc32c_way *way = crc32c_ways; way->sum; way++)
        for (size_t n = 0; n < LONGEST && way->is_there(); n += n < 600 ? 1 : 509) {
            const uint8_t *const at = from + n % SLACK;
            uint32_t bits = 0x1234567;

            for (size_t i = 0; i < n; i++)
                bits = ~crc32c(~bits, at + i, 1);
            assert_int_equal(way->sum(0x1234567, NULL, at, n), bits);
            memset(to, 0xa5, sizeof(to));
            assert_int_equal(way->sum(0x1234567, to + 1, at, n), bits);
            assert_memory_equal(to + 1, at, n);
            assert_int_equal(to[0], 0xa5);
            assert_int_equal(to[n + 1], 0xa5);
        }
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

/* ---- records longer than what is summed at once ---- */

enum { LONG_PARTS = 300, LONG_PART_BYTES = 4096, LONG_BYTES = LONG_PARTS * LONG_PART_BYTES };

struct long_record {
    struct channel *ch;
    uint8_t *body;   /* a page is missing between any two parts */
    uint8_t *writer; /* where the same memory is mapped for somebody else; NULL: for nobody */
    atomic_bool sent;
    int rc;
};

static struct iovec long_part(uint8_t *body, unsigned i)
{
    return (struct iovec){body + (size_t)2 * i * LONG_PART_BYTES, LONG_PART_BYTES};
}

static void *send_long(void *arg)
{
    struct long_record *r = arg;
    struct iovec parts[LONG_PARTS];
    struct err e = ERR_INIT;

    for (unsigned i = 0; i < LONG_PARTS; i++)
        parts[i] = long_part(r->body, i);
    r->rc = record_send(r->ch, RECORD_PAGES, parts, LONG_PARTS, &e);
    atomic_store(&r->sent, true);
    return NULL;
}

/* As a guest does that runs on. */
static void *write_all_the_time(void *arg)
{
    struct long_record *r = arg;

    for (uint8_t n = 1; !atomic_load(&r->sent); n++)
        for (unsigned i = 0; i < LONG_PARTS; i++)
            memset(long_part(r->writer, i).iov_base, n, LONG_PART_BYTES);
    return NULL;
}

/* Between two channels. Into is as long_part() has it; writer: as in struct long_record. */
static void move_long(uint8_t *from, uint8_t *into, uint8_t *writer)
{
    int fds[2];
    struct long_record r = {.body = from, .writer = writer};
    struct iovec parts[LONG_PARTS];
    struct channel *ch;
    struct err e = ERR_INIT;
    pthread_t sender, guest;
    uint32_t type;
    size_t len;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(tcp_channel(fds[0], "out", NULL, 60 * NS_PER_S, &r.ch, &e), 0);
    assert_int_equal(tcp_channel(fds[1], "in", NULL, 60 * NS_PER_S, &ch, &e), 0);
    r.ch->summed = ch->summed = true;
    pthread_create(&sender, NULL, send_long, &r);
    if (writer)
        pthread_create(&guest, NULL, write_all_the_time, &r);
    for (unsigned i = 0; i < LONG_PARTS; i++)
        parts[i] = long_part(into, i);
    assert_int_equal(record_recv_header(ch, 1 << 24, &type, &len, DEADLINE_NEVER, &e), 0);
    assert_int_equal(len, LONG_BYTES);
    assert_int_equal(record_recv_parts(ch, type, parts, LONG_PARTS, &e), 0);
    assert_int_equal(record_recv_end(ch, type, &e), 0);
    pthread_join(sender, NULL);
    if (writer)
        pthread_join(guest, NULL);
    assert_int_equal(r.rc, 0);
    channel_close(ch);
    channel_close(r.ch);
}

static void long_records_arrive_where_they_belong(void **state)
{
    uint8_t *const from = malloc(2 * LONG_BYTES), *const into = calloc(2, LONG_BYTES);

    (void)state;
    for (size_t i = 0; i < 2 * LONG_BYTES; i++)
        from[i] = (uint8_t)(1 + i * i % 255);
    move_long(from, into, NULL);
    for (unsigned i = 0; i < LONG_PARTS; i++) {
        const uint8_t *const at = long_part(into, i).iov_base;

        assert_memory_equal(at, long_part(from, i).iov_base, LONG_PART_BYTES);
        assert_int_equal(at[LONG_PART_BYTES], 0);
    }
    free(from);
    free(into);
}

/* What is summed is what is sent, not what was there a moment before or after. */
static void a_page_that_changes_while_it_is_sent_is_no_damage(void **state)
{
    const int fd = memfd_create("guest", MFD_CLOEXEC);
    uint8_t *const into = malloc(2 * LONG_BYTES), *mapped[2];

    (void)state;
    assert_int_equal(ftruncate(fd, 2 * LONG_BYTES), 0);
    for (unsigned i = 0; i < 2; i++) {
        mapped[i] = mmap(NULL, 2 * LONG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_ptr_not_equal(mapped[i], MAP_FAILED);
    }
    for (unsigned i = 0; i < 20; i++)
        move_long(mapped[0], into, mapped[1]);
    for (unsigned i = 0; i < 2; i++)
        munmap(mapped[i], 2 * LONG_BYTES);
    close(fd);
    free(into);
}

/* Wherever the connection breaks: also between two pieces, which looks like a clean end. */
static void an_end_inside_a_long_record_is_none(void **state)
{
    enum { PIECE_BYTES = 128 << 10, BODY = 3 * PIECE_BYTES };
    static const size_t ends[] = {0, 1, PIECE_BYTES, 2 * PIECE_BYTES, BODY - 1, BODY, BODY + 3};
    uint8_t *const body = calloc(1, BODY + 3);

    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        const int room = BODY + (1 << 16);
        struct err e = ERR_INIT;
        int other;
        struct channel *ch = open_channel(&other, true);

        setsockopt(other, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
        if (write(other, body, ends[i]) == (ssize_t)ends[i]) {
            struct iovec part = {body, BODY};

            close(other);
            other = -1;
            if (!record_recv_parts(ch, RECORD_PAGES, &part, 1, &e))
                record_recv_end(ch, RECORD_PAGES, &e);
            assert_int_equal(e.code, EBADMSG);
            assert_non_null(strstr(e.text, "lane 0: "));
        } else {
            assert_true(ends[i] > PIECE_BYTES); /* without the privilege there is less room */
        }
        channel_close(ch);
        close(other);
    }
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sum_is_that_of_iscsi),
        cmocka_unit_test(the_sum_of_pieces_is_the_sum_of_the_whole),
        cmocka_unit_test(every_way_finds_the_same_sum_and_copies),
        cmocka_unit_test(what_was_not_changed_arrives),
        cmocka_unit_test(long_records_arrive_where_they_belong),
        cmocka_unit_test(a_page_that_changes_while_it_is_sent_is_no_damage),
        cmocka_unit_test(an_end_inside_a_long_record_is_none),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(order_is_part_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
