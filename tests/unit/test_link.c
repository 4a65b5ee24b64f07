/* SPDX-License-Identifier: MIT */
/* The link between supervisor and helper: every message arrives as it was sent, descriptors ride
 * along, and nonsense is refused rather than believed. */
#include "base/deadline.h"
#include "base/packet.h"
#include "cmd/link.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

struct pair {
    int a, b;
};

static int make_pair(void **state)
{
    static struct pair p;
    int s[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s))
        return -1;
    p = (struct pair){s[0], s[1]};
    *state = &p;
    return 0;
}

static int close_pair(void **state)
{
    struct pair *p = *state;

    close(p->a);
    if (p->b >= 0)
        close(p->b);
    return 0;
}

static int receive(int sock, struct link_message *m, struct err *e)
{
    return link_recv(sock, m, NULL, deadline_in(5 * NS_PER_S), e);
}

static struct link_job sample_job(void)
{
    struct link_job job = {
        .role = LINK_SOURCE,
        .domid = 7,
        .lanes = 4,
        .verbose = true,
        .config_dir = "/etc/xmigrate",
        .fingerprint = "SHA256:abc",
        .host = "fe80::1",
        .port = 8002,
        .connect_ns = 1,
        .control_handshake_ns = 11,
        .silent_ns = 2,
        .compress = CODEC_ZSTD,
        .bandwidth_bits_per_s = 1000000000,
        .limits = {.max_downtime_ns = 300000000,
            .max_time_ns = 6,
            .max_rounds = 30,
            .max_bytes = 1ull << 40,
            .on_stall = ON_STALL_ABORT},
        .costs = {.suspend_ns = 3,
            .state_ns = 7,
            .receiver_ns = 4,
            .network_ns = 8,
            .low_ns = 9,
            .high_ns = 10},
        .result_ns = 5,
        .early = true,
        .files = 3,
        .suspend_limit_ns = 6,
        .plain = true,
        .frozen = true,
        .notes_bytes = 9,
        .notes = {1, 2, 3, 250},
    };

    for (int i = 0; i < LINK_KEY_BYTES; i++)
        job.key[i] = (uint8_t)(i * 9);
    for (int i = 0; i < LINK_SESSION_BYTES; i++)
        job.session[i] = (uint8_t)(255 - i);
    return job;
}

static void test_job_and_its_lock_arrive(void **state)
{
    const struct pair *p = *state;
    const struct link_job job = sample_job();
    struct err e = ERR_INIT;
    struct link_message m;
    struct stat sent, got;
    const int lock_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_int_equal(link_send_job(p->a, &job, lock_fd, &e), 0);
    assert_int_equal(receive(p->b, &m, &e), 0);
    assert_int_equal(m.kind, LINK_JOB);
    assert_memory_equal(&m.job, &job, sizeof(job));
    assert_int_equal(fstat(lock_fd, &sent) | fstat(m.fd, &got), 0);
    assert_int_equal(sent.st_rdev, got.st_rdev);
    assert_true(fcntl(m.fd, F_GETFD) & FD_CLOEXEC);
    close(lock_fd);
    link_message_clear(&m);
}

static void test_files_and_their_keys_arrive(void **state)
{
    const struct pair *p = *state;
    uint8_t keys[LINK_FILE_KEYS_BYTES];
    char name[2 * LINK_PATH_BYTES] = {0};
    struct err e = ERR_INIT;
    struct link_message m;

    for (int i = 0; i < LINK_FILE_KEYS_BYTES; i++)
        keys[i] = (uint8_t)(i * 3);
    memset(name, 'x', sizeof(name) - 1);
    assert_int_equal(link_send_file(p->a, "/srv/guest.1", keys, p->a, &e), 0);
    assert_int_equal(receive(p->b, &m, &e), 0);
    assert_int_equal(m.kind, LINK_FILE);
    assert_string_equal(m.file, "/srv/guest.1");
    assert_memory_equal(m.file_keys, keys, sizeof(keys));
    assert_true(m.fd >= 0);
    link_message_clear(&m);

    /* What JSON cannot hold is not told, and neither is a name's beginning that has no room. */
    memcpy(name + sizeof(name) - 8, "\xe9\ty", 3);
    assert_int_equal(link_send_file(p->a, name, keys, p->a, &e), 0);
    assert_int_equal(receive(p->b, &m, &e), 0);
    assert_int_equal(strlen(m.file), LINK_PATH_BYTES - 1);
    assert_string_equal(m.file + LINK_PATH_BYTES - 1 - 7, "??yxxxx");
    link_message_clear(&m);
}

static void test_a_file_without_a_descriptor_makes_no_sense(void **state)
{
    const struct pair *p = *state;
    const uint8_t keys[LINK_FILE_KEYS_BYTES] = {0};
    struct err e = ERR_INIT;
    struct link_message m;

    assert_int_equal(link_send_file(p->a, "f", keys, -1, &e), 0);
    assert_int_equal(receive(p->b, &m, &e), -EPROTO);
}

static void test_what_was_tuned_arrives(void **state)
{
    const struct pair *p = *state;
    const struct link_tune tune = {.bandwidth_bits_per_s = 400000000,
        .max_downtime_ns = 2000000000,
        .on_stall = ON_STALL_ABORT};
    struct err e = ERR_INIT;
    struct link_message m;

    assert_int_equal(link_send_tune(p->a, &tune, &e), 0);
    assert_int_equal(receive(p->b, &m, &e), 0);
    assert_int_equal(m.kind, LINK_TUNE);
    assert_int_equal(m.tune.bandwidth_bits_per_s, tune.bandwidth_bits_per_s);
    assert_int_equal(m.tune.max_downtime_ns, tune.max_downtime_ns);
    assert_int_equal(m.tune.on_stall, tune.on_stall);
    link_message_clear(&m);
}

static void test_connections_events_and_outcomes_arrive(void **state)
{
    const struct pair *p = *state;
    const uint8_t preamble[LINK_PREAMBLE_BYTES] = {1, 2, 3, 0xff};
    struct err why = ERR_INIT, e = ERR_INIT;
    struct link_message m;

    assert_int_equal(link_send_conn(p->a, 3, preamble, p->a, &e), 0);
    assert_int_equal(receive(p->b, &m, &e), 0);
    assert_int_equal(m.kind, LINK_CONN);
    assert_int_equal(m.lane, 3);
    assert_memory_equal(m.preamble, preamble, sizeof(preamble));
    assert_true(m.fd >= 0);
    link_message_clear(&m);
    assert_int_equal(m.fd, -1);

    assert_int_equal(link_send_event(p->a, json_pack("{s:i}", "round", 2), &e), 0);
    assert_int_equal(receive(p->b, &m, &e), 0);
    assert_int_equal(m.kind, LINK_EVENT);
    assert_int_equal(json_integer_value(json_object_get(m.body, "round")), 2);
    link_message_clear(&m);

    assert_int_equal(link_send_cap(p->a, 40, &e), 0);
    assert_int_equal(receive(p->b, &m, &e), 0);
    assert_int_equal(m.kind, LINK_CAP);
    assert_int_equal(m.cap_percent, 40);
    link_message_clear(&m);

    why.side = SIDE_DESTINATION;
    err_set(&why, ERR_GUEST, EFAULT, "frame %d", 12);
    assert_int_equal(link_send_failed(p->a, &why, &e), 0);
    assert_int_equal(receive(p->b, &m, &e), 0);
    assert_int_equal(m.kind, LINK_FAILED);
    assert_memory_equal(&m.failed, &why, sizeof(why));
    link_message_clear(&m);

    assert_int_equal(link_send_logging(p->a, &e), 0);
    assert_int_equal(receive(p->b, &m, &e), 0);
    assert_int_equal(m.kind, LINK_LOGGING);
    link_message_clear(&m);

    assert_int_equal(link_send_noted(p->a, &e), 0);
    assert_int_equal(receive(p->b, &m, &e), 0);
    assert_int_equal(m.kind, LINK_NOTED);
    link_message_clear(&m);

    assert_int_equal(link_send_alive(p->a, &e), 0);
    assert_int_equal(receive(p->b, &m, &e), 0);
    assert_int_equal(m.kind, LINK_ALIVE);
    link_message_clear(&m);
}

static void test_a_dead_peer_is_an_end_without_words(void **state)
{
    struct pair *p = *state;
    struct err e = ERR_INIT;
    struct link_message m;

    close(p->b);
    p->b = -1;
    assert_int_equal(receive(p->a, &m, &e), -ENODATA);
    assert_false(err_is_set(&e));
}

static void test_a_failure_of_class_none_is_a_failure(void **state)
{
    static const char packet[] =
        "{\"msg\":\"failed\",\"class\":\"none\",\"side\":\"source\",\"text\":\"x\",\"code\":5}";
    const struct pair *p = *state;
    struct err e = ERR_INIT;
    struct link_message m;

    assert_int_equal(
        packet_send(p->a, packet, sizeof(packet) - 1, -1, NULL, deadline_in(NS_PER_S)), 0);
    assert_int_equal(receive(p->b, &m, &e), 0);
    assert_int_equal(m.failed.class, ERR_INTERNAL);
    link_message_clear(&m);
}

static void test_nonsense_is_refused(void **state)
{
    static const char *const packets[] = {
        "x",
        "[]",
        "{}",
        "{\"msg\":\"dance\"}",
        "{\"msg\":\"conn\",\"lane\":1,\"preamble\":\"00\"}",
        "{\"msg\":\"event\"}",
        "{\"msg\":\"failed\",\"class\":\"peer\"}",
        "{\"msg\":\"failed\",\"class\":\"peer\",\"side\":\"source\",\"text\":\"x\",\"code\":0}",
        "{\"msg\":\"job\",\"role\":\"source\",\"domid\":-1}",
    };
    const struct pair *p = *state;

    for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
        struct err e = ERR_INIT;
        struct link_message m;

        assert_int_equal(
            packet_send(p->a, packets[i], strlen(packets[i]), -1, NULL, deadline_in(NS_PER_S)), 0);
        assert_int_equal(receive(p->b, &m, &e), -EPROTO);
        assert_true(err_is_set(&e));
    }
}

static void test_silence_ends_at_the_deadline(void **state)
{
    const struct pair *p = *state;
    struct err e = ERR_INIT;
    struct link_message m;

    assert_int_equal(link_recv(p->a, &m, NULL, deadline_in(NS_PER_MS), &e), -ETIMEDOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_job_and_its_lock_arrive, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_files_and_their_keys_arrive, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(
            test_a_file_without_a_descriptor_makes_no_sense, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_what_was_tuned_arrives, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(
            test_connections_events_and_outcomes_arrive, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(
            test_a_dead_peer_is_an_end_without_words, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(
            test_a_failure_of_class_none_is_a_failure, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_nonsense_is_refused, make_pair, close_pair),
        cmocka_unit_test_setup_teardown(test_silence_ends_at_the_deadline, make_pair, close_pair),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
