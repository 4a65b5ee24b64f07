/* SPDX-License-Identifier: MIT */
/* Control frames: the bytes of docs/wire.md, limits before bodies, and whole frames from many
 * senders. */
#include "base/bytes.h"
#include "base/deadline.h"
#include "tests/unit/hosts.h"
#include "transport/control.h"

#include <errno.h>
#include <signal.h>

struct pair {
    struct control ours;
    struct channel *theirs;
    uint8_t *body;
};

static int open_pair(void **state)
{
    static struct pair p;
    struct channel *ch;
    struct err e = ERR_INIT;
    int ends[2];

    make_tcp_pair(ends);
    if (tcp_channel(ends[0], "control to b", NULL, TEST_LIMIT_NS, &ch, &e) ||
        tcp_channel(ends[1], "control from a", NULL, TEST_LIMIT_NS, &p.theirs, &e))
        return -1;
    control_init(&p.ours, ch);
    p.body = malloc(CONTROL_BODY_BYTES);
    *state = &p;
    return 0;
}

static int close_pair(void **state)
{
    struct pair *p = *state;

    control_close(&p->ours);
    channel_close(p->theirs);
    free(p->body);
    return 0;
}

static void say(struct pair *p, const void *bytes, size_t len_bytes)
{
    struct err e = ERR_INIT;

    assert_int_equal(channel_send(p->theirs, &(struct iovec){(void *)bytes, len_bytes}, 1, &e), 0);
}

static int hear(struct pair *p, enum control_type *type, size_t *len, struct err *e)
{
    return control_recv(&p->ours, type, p->body, len, deadline_in(TEST_LIMIT_NS), e);
}

static void test_frame_is_that_of_the_page(void **state)
{
    static const uint8_t ready[] = {6, 0, 0, 0, 2, 0, 0, 0, '{', '}'};
    static const uint8_t go[] = {7, 0, 0, 0, 0, 0, 0, 0};
    struct pair *p = *state;
    struct err e = ERR_INIT;
    uint8_t got[sizeof(ready) + sizeof(go)];

    assert_int_equal(control_send(&p->ours, CONTROL_READY, "{}", 2, &e), 0);
    assert_int_equal(control_send(&p->ours, CONTROL_GO, NULL, 0, &e), 0);
    assert_int_equal(channel_recv(p->theirs, got, sizeof(got), deadline_in(TEST_LIMIT_NS), &e), 0);
    assert_memory_equal(got, ready, sizeof(ready));
    assert_memory_equal(got + sizeof(ready), go, sizeof(go));
}

static void test_text_is_received_with_its_end(void **state)
{
    static const uint8_t failed[] = {9, 0, 0, 0, 2, 0, 0, 0, '{', '}'};
    struct pair *p = *state;
    enum control_type type;
    struct err e = ERR_INIT;
    size_t len;

    memset(p->body, 'x', 8);
    say(p, failed, sizeof(failed));
    assert_int_equal(hear(p, &type, &len, &e), 0);
    assert_int_equal(type, CONTROL_FAILED);
    assert_int_equal(len, 2);
    assert_string_equal((char *)p->body, "{}");
}

static void refuse(struct pair *p, uint16_t type, uint16_t reserved, uint32_t length)
{
    uint8_t header[CONTROL_HEADER_BYTES];
    enum control_type got;
    struct err e = ERR_INIT;
    size_t len;

    put_le16(header, type);
    put_le16(header + 2, reserved);
    put_le32(header + 4, length);
    say(p, header, sizeof(header));
    assert_int_equal(hear(p, &got, &len, &e), -EPROTO);
    assert_int_equal(e.class, ERR_PEER);
}

/* No body follows: whoever waited for one would time out instead. */
static void test_headers_are_refused_before_their_bodies(void **state)
{
    struct pair *p = *state;

    refuse(p, 0, 0, 0);
    refuse(p, CONTROL_PREPARED + 1, 0, 0);
    refuse(p, CONTROL_PREPARED, 0, 1);
    refuse(p, 0xffff, 0, 0);
    refuse(p, CONTROL_PING, 1, 0);
    refuse(p, CONTROL_PING, 0, 1);
    refuse(p, CONTROL_HEARD, 0, 1);
    refuse(p, CONTROL_SUSPENDED, 0, 1);
    refuse(p, CONTROL_LIBXL_DATA, 0, CONTROL_MAX_DATA_BYTES + 1);
    refuse(p, CONTROL_OFFER, 0, CONTROL_MAX_JSON_BYTES + 1);
    refuse(p, CONTROL_OFFER, 0, UINT32_MAX);
}

static void test_nothing_too_large_is_sent(void **state)
{
    struct pair *p = *state;
    struct err e = ERR_INIT;

    assert_int_equal(
        control_send(&p->ours, CONTROL_LIBXL_DATA, p->body, CONTROL_MAX_DATA_BYTES + 1, &e),
        -EMSGSIZE);
    assert_int_equal(e.class, ERR_INTERNAL);
}

static void test_largest_bodies_pass(void **state)
{
    struct pair *p = *state;
    uint8_t header[CONTROL_HEADER_BYTES] = {CONTROL_LIBXL_DATA, 0, 0, 0};
    enum control_type type;
    struct err e = ERR_INIT;
    size_t len;

    put_le32(header + 4, CONTROL_MAX_DATA_BYTES);
    memset(p->body, 7, CONTROL_MAX_DATA_BYTES);
    say(p, header, sizeof(header));
    say(p, p->body, CONTROL_MAX_DATA_BYTES);
    memset(p->body, 0, CONTROL_MAX_DATA_BYTES);
    assert_int_equal(hear(p, &type, &len, &e), 0);
    assert_int_equal(type, CONTROL_LIBXL_DATA);
    assert_int_equal(len, CONTROL_MAX_DATA_BYTES);
    assert_int_equal(p->body[CONTROL_MAX_DATA_BYTES - 1], 7);
}

static void test_ends_are_told_apart(void **state)
{
    static const uint8_t begun[] = {6, 0, 0, 0, 2, 0, 0, 0};
    struct pair *p = *state;
    enum control_type type;
    struct err cut = ERR_INIT, clean = ERR_INIT;
    size_t len;

    say(p, begun, sizeof(begun));
    assert_int_equal(channel_finish(p->theirs, &cut), 0);
    assert_int_equal(hear(p, &type, &len, &cut), -EBADMSG);
    assert_true(err_is_set(&cut));
    assert_int_equal(hear(p, &type, &len, &clean), -ENODATA);
    assert_false(err_is_set(&clean));
}

static void test_silence_ends_at_the_deadline(void **state)
{
    struct pair *p = *state;
    enum control_type type;
    struct err e = ERR_INIT;
    size_t len;

    assert_int_equal(
        control_recv(&p->ours, &type, p->body, &len, deadline_in(50 * NS_PER_MS), &e), -ETIMEDOUT);
}

enum { SENDERS = 4, FRAMES_EACH = 200, FRAME_BYTES = 3000 };

struct sender {
    struct control *c;
    uint8_t letter;
    bool good;
};

static void *run_sender(void *arg)
{
    struct sender *s = arg;
    uint8_t body[FRAME_BYTES];
    struct err e = ERR_INIT;

    memset(body, s->letter, sizeof(body));
    s->good = true;
    for (int i = 0; i < FRAMES_EACH && s->good; i++)
        s->good = !control_send(s->c, CONTROL_LIBXL_DATA, body, sizeof(body), &e);
    return NULL;
}

static void test_frames_of_many_senders_stay_whole(void **state)
{
    struct pair *p = *state;
    struct control theirs;
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    struct err e = ERR_INIT;

    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.c = &p->ours, .letter = (uint8_t)('a' + i)};
        assert_int_equal(pthread_create(&threads[i], NULL, run_sender, &senders[i]), 0);
    }
    control_init(&theirs, p->theirs);
    for (int i = 0; i < SENDERS * FRAMES_EACH; i++) {
        enum control_type type;
        size_t len;

        assert_int_equal(
            control_recv(&theirs, &type, p->body, &len, deadline_in(TEST_LIMIT_NS), &e), 0);
        assert_int_equal(len, FRAME_BYTES);
        for (size_t k = 1; k < len; k++)
            assert_int_equal(p->body[k], p->body[0]);
    }
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(senders[i].good);
    }
    pthread_mutex_destroy(&theirs.send_lock); /* the channel is closed with the pair */
}

/* --insecure: two frames, of which one bit is flipped, and how many are then received. */
static unsigned receive_flipped(struct pair *p, size_t bit, struct err *e)
{
    uint8_t bytes[64];
    enum control_type type;
    size_t len;
    unsigned good = 0;
    const size_t n = 8 + 2 + 4 + 8 + 4;

    p->ours.ch->summed = true;
    p->ours.ch->sent_sum = p->ours.ch->received_sum = 0;
    assert_int_equal(control_send(&p->ours, CONTROL_READY, "{}", 2, e), 0);
    assert_int_equal(control_send(&p->ours, CONTROL_GO, NULL, 0, e), 0);
    assert_int_equal(channel_recv(p->theirs, bytes, n, deadline_in(TEST_LIMIT_NS), e), 0);
    if (bit < 8 * n)
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    say(p, bytes, n);
    channel_finish(p->theirs, e);
    while (good < 2 && !hear(p, &type, &len, e))
        good++;
    return good;
}

static void test_no_flipped_bit_arrives_without_tls(void **state)
{
    struct err e = ERR_INIT;

    assert_int_equal(receive_flipped(*state, SIZE_MAX, &e), 2);
    assert_false(err_is_set(&e));
    for (size_t bit = 0; bit < 8 * 26; bit += 3) {
        close_pair(state);
        open_pair(state);
        e = (struct err)ERR_INIT;
        if (receive_flipped(*state, bit, &e) == 2)
            fail_msg("a flip of bit %zu arrived", bit);
        if (bit / 8 == 9)
            assert_non_null(strstr(e.text, "a READY was changed on its way"));
    }
}

#define ON_PAIR(f) cmocka_unit_test_setup_teardown(f, open_pair, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_PAIR(test_frame_is_that_of_the_page),
        ON_PAIR(test_text_is_received_with_its_end),
        ON_PAIR(test_headers_are_refused_before_their_bodies),
        ON_PAIR(test_nothing_too_large_is_sent),
        ON_PAIR(test_largest_bodies_pass),
        ON_PAIR(test_ends_are_told_apart),
        ON_PAIR(test_silence_ends_at_the_deadline),
        ON_PAIR(test_frames_of_many_senders_stay_whole),
        ON_PAIR(test_no_flipped_bit_arrives_without_tls),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
