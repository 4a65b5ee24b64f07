/* SPDX-License-Identifier: MIT */
/* The preamble: the bytes of docs/wire.md, whom the acceptor turns away, and what either end then
 * tells its user. */
#include "base/cancel.h"
#include "base/deadline.h"
#include "tests/unit/hosts.h"
#include "transport/preamble.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#define LIMIT_NS (5 * NS_PER_S)

static const uint8_t lane_3[PREAMBLE_BYTES] = {0x8f, 'x', 'm', 'i', 'g', 'r', 0x0d,
    0x0a, /* magic */
    3, 0, 0, 0, 1, 0, 3, 0, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab,
    0xac, 0xad, 0xae, 0xaf};

static struct preamble sample(void)
{
    struct preamble p = {.major = WIRE_MAJOR, .minor = WIRE_MINOR, .insecure = true, .lane = 3};

    for (unsigned i = 0; i < PREAMBLE_TOKEN_BYTES; i++)
        p.token[i] = (uint8_t)(0xa0 + i);
    return p;
}

static void test_bytes_are_those_of_the_page(void **state)
{
    const struct preamble p = sample();
    uint8_t bytes[PREAMBLE_BYTES];
    struct preamble back;
    struct err e = ERR_INIT;

    (void)state;
    preamble_encode(&p, bytes);
    assert_memory_equal(bytes, lane_3, sizeof(bytes));
    assert_int_equal(preamble_decode(bytes, &back, &e), 0);
    assert_int_equal(back.major, WIRE_MAJOR);
    assert_true(back.insecure);
    assert_int_equal(back.lane, 3);
    assert_memory_equal(back.token, p.token, sizeof(p.token));
}

static void test_reserved_flags_are_an_error_in_our_version_only(void **state)
{
    uint8_t bytes[PREAMBLE_BYTES];
    struct preamble p;
    struct err e = ERR_INIT;

    (void)state;
    memcpy(bytes, lane_3, sizeof(bytes));
    bytes[13] = 0x80;
    assert_int_equal(preamble_decode(bytes, &p, &e), -EPROTO);
    bytes[8] = WIRE_MAJOR + 1;
    e = (struct err)ERR_INIT;
    assert_int_equal(preamble_decode(bytes, &p, &e), 0);
    assert_int_equal(preamble_judge(&p, true), PREAMBLE_OTHER_VERSION);
}

static void test_plaintext_needs_both_ends(void **state)
{
    struct preamble p = sample();
    struct err server_only = ERR_INIT, client_only = ERR_INIT;

    (void)state;
    assert_int_equal(preamble_judge(&p, true), PREAMBLE_OK);
    assert_int_equal(preamble_judge(&p, false), PREAMBLE_NEEDS_TLS);
    preamble_explain_refusal(&p, PREAMBLE_NEEDS_TLS, &client_only);
    p.insecure = false;
    assert_int_equal(preamble_judge(&p, false), PREAMBLE_OK);
    assert_int_equal(preamble_judge(&p, true), PREAMBLE_NEEDS_PLAINTEXT);
    preamble_explain_refusal(&p, PREAMBLE_NEEDS_PLAINTEXT, &server_only);
    assert_says(&client_only, "--insecure");
    assert_says(&server_only, "--insecure");
    assert_int_equal(client_only.class, ERR_REFUSED);
}

/* The acceptor's reader */

static int make_pair(void **state)
{
    static int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends))
        return -1;
    *state = ends;
    return 0;
}

static int close_pair(void **state)
{
    int *ends = *state;

    close(ends[0]);
    if (ends[1] >= 0)
        close(ends[1]);
    return 0;
}

static void test_reader_takes_it_byte_by_byte_and_nothing_more(void **state)
{
    int *ends = *state;
    struct preamble_reader r = {.have_bytes = 0};
    struct preamble p;
    struct err e = ERR_INIT;
    uint8_t next;

    for (unsigned i = 0; i < PREAMBLE_BYTES; i++) {
        assert_int_equal(preamble_read(&r, ends[1], &p, &e), 0);
        assert_int_equal(write(ends[0], &lane_3[i], 1), 1);
    }
    assert_int_equal(write(ends[0], "!", 1), 1); /* of what comes after: TLS */
    assert_int_equal(preamble_read(&r, ends[1], &p, &e), 1);
    assert_int_equal(p.lane, 3);
    assert_int_equal(read(ends[1], &next, 1), 1);
    assert_int_equal(next, '!');
}

static void test_reader_knows_a_stranger_by_its_first_byte(void **state)
{
    int *ends = *state;
    struct preamble_reader r = {.have_bytes = 0};
    struct preamble p;
    struct err e = ERR_INIT;

    assert_int_equal(write(ends[0], "\x16", 1), 1); /* a TLS client hello */
    assert_int_equal(preamble_read(&r, ends[1], &p, &e), -EPROTO);
    assert_int_equal(e.class, ERR_PEER);
}

static void test_reader_sees_an_early_end(void **state)
{
    int *ends = *state;
    struct preamble_reader r = {.have_bytes = 0};
    struct preamble p;
    struct err e = ERR_INIT;

    assert_int_equal(write(ends[0], lane_3, 31), 31);
    shutdown(ends[0], SHUT_WR);
    assert_true(preamble_read(&r, ends[1], &p, &e) < 0);
}

/* The client */

static void answer_raw(int fd, const void *bytes, size_t len_bytes)
{
    assert_int_equal(write(fd, bytes, len_bytes), len_bytes);
}

static int exchange(int *ends, struct err *e)
{
    const struct preamble p = sample();

    return preamble_exchange(ends[0], &p, "host2:8002", NULL, deadline_in(LIMIT_NS), e);
}

static void test_client_sends_the_preamble_and_takes_ok(void **state)
{
    int *ends = *state;
    uint8_t sent[PREAMBLE_BYTES];
    struct err e = ERR_INIT;

    assert_int_equal(preamble_answer(ends[1], PREAMBLE_OK, NULL, deadline_in(LIMIT_NS), &e), 0);
    assert_int_equal(exchange(ends, &e), 0);
    assert_int_equal(read(ends[1], sent, sizeof(sent)), sizeof(sent));
    assert_memory_equal(sent, lane_3, sizeof(sent));
}

static void test_answer_is_that_of_the_page(void **state)
{
    static const uint8_t busy[PREAMBLE_ANSWER_BYTES] = {
        0x9f, 'x', 'm', 'i', 'g', 'r', 0x0d, 0x0a, 3, 0, 0, 0, 5, 0, 0, 0};
    int *ends = *state;
    uint8_t sent[PREAMBLE_ANSWER_BYTES];
    struct err e = ERR_INIT;

    assert_int_equal(preamble_answer(ends[1], PREAMBLE_BUSY, NULL, deadline_in(LIMIT_NS), &e), 0);
    assert_int_equal(read(ends[0], sent, sizeof(sent)), sizeof(sent));
    assert_memory_equal(sent, busy, sizeof(busy));
}

static void test_each_refusal_says_what_to_do(void **state)
{
    static const struct {
        enum preamble_status status;
        const char *says;
    } refusals[] = {
        {PREAMBLE_NEEDS_TLS, "leave --insecure away"},
        {PREAMBLE_NEEDS_PLAINTEXT, "listens with --insecure"},
        {PREAMBLE_UNKNOWN_TOKEN, "no longer knows this migration"},
        {PREAMBLE_BUSY, "too many connections"},
    };
    int *ends = *state;

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct err e = ERR_INIT;

        preamble_answer(ends[1], refusals[i].status, NULL, deadline_in(LIMIT_NS), &e);
        assert_true(exchange(ends, &e) < 0);
        assert_says(&e, "host2:8002");
        assert_says(&e, refusals[i].says);
    }
}

static void test_another_version_is_said_with_both_numbers(void **state)
{
    static const uint8_t version_7_2[PREAMBLE_ANSWER_BYTES] = {
        0x9f, 'x', 'm', 'i', 'g', 'r', 0x0d, 0x0a, 7, 0, 2, 0, 1, 0, 9, 9};
    int *ends = *state;
    struct err e = ERR_INIT;

    answer_raw(ends[1], version_7_2, sizeof(version_7_2));
    assert_int_equal(exchange(ends, &e), -EPROTONOSUPPORT);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_says(&e, "7.2");
    assert_says(&e, "3.0");
}

static void test_a_stranger_is_told_by_what_it_says(void **state)
{
    int *ends = *state;
    struct err e = ERR_INIT;

    answer_raw(ends[1], "SSH-2.0-OpenSSH_9.2\r\n", 21);
    assert_int_equal(exchange(ends, &e), -EPROTO);
    assert_says(&e, "host2:8002 is not xmigrate");
    assert_says(&e, "SSH-2.0");
}

static void test_a_stranger_that_closes_or_waits_is_told_too(void **state)
{
    const struct preamble p = sample();
    int *ends = *state;
    struct err silent = ERR_INIT, closed = ERR_INIT;

    assert_int_equal(
        preamble_exchange(ends[0], &p, "host2:8002", NULL, deadline_in(50 * NS_PER_MS), &silent),
        -ETIMEDOUT);
    assert_says(&silent, "host2:8002 did not answer as xmigrate does");
    close(ends[1]);
    ends[1] = -1;
    assert_true(exchange(ends, &closed) < 0);
    assert_says(&closed, "host2:8002 did not answer as xmigrate does");
}

#define ON_PAIR(f) cmocka_unit_test_setup_teardown(f, make_pair, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_those_of_the_page),
        cmocka_unit_test(test_reserved_flags_are_an_error_in_our_version_only),
        cmocka_unit_test(test_plaintext_needs_both_ends),
        ON_PAIR(test_reader_takes_it_byte_by_byte_and_nothing_more),
        ON_PAIR(test_reader_knows_a_stranger_by_its_first_byte),
        ON_PAIR(test_reader_sees_an_early_end),
        ON_PAIR(test_client_sends_the_preamble_and_takes_ok),
        ON_PAIR(test_answer_is_that_of_the_page),
        ON_PAIR(test_each_refusal_says_what_to_do),
        ON_PAIR(test_another_version_is_said_with_both_numbers),
        ON_PAIR(test_a_stranger_is_told_by_what_it_says),
        ON_PAIR(test_a_stranger_that_closes_or_waits_is_told_too),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
