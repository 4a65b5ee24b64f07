/* SPDX-License-Identifier: MIT */
/* Measuring lanes: both ends over socket pairs, and what a peer may not do. */
#include "base/deadline.h"
#include "engine/probe/link_probe.h"
#include "sched/bucket.h"
#include "transport/record.h"
#include "transport/tcp.h"

#include "engine/paced.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

enum { LANES = 2 };

#define LIMIT_NS (5 * NS_PER_S)

struct pair {
    struct channel *near[LANES], *far[LANES];
    pthread_t thread[LANES];
    struct err served[LANES];
    unsigned serving;
};

static int set_up(void **state)
{
    static struct pair p;
    struct err e = ERR_INIT;

    p = (struct pair){0};
    *state = &p;
    for (unsigned i = 0; i < LANES; i++) {
        int fds[2];

        assert_int_equal(
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        assert_int_equal(tcp_channel(fds[0], "near", NULL, LIMIT_NS, &p.near[i], &e), 0);
        assert_int_equal(tcp_channel(fds[1], "far", NULL, LIMIT_NS, &p.far[i], &e), 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    struct pair *p = *state;

    for (unsigned i = 0; i < LANES; i++) {
        channel_close(p->near[i]);
        if (i < p->serving)
            pthread_join(p->thread[i], NULL);
        channel_close(p->far[i]);
    }
    return 0;
}

static struct pair *serving_pair; /* one test at a time */

static void *serve(void *arg)
{
    const size_t i = (size_t)arg;

    link_probe_serve(serving_pair->far[i], &serving_pair->served[i]);
    return NULL;
}

static void serve_all(struct pair *p)
{
    serving_pair = p;
    for (; p->serving < LANES; p->serving++)
        assert_int_equal(
            pthread_create(&p->thread[p->serving], NULL, serve, (void *)(size_t)p->serving), 0);
}

static void join_all(struct pair *p)
{
    while (p->serving)
        pthread_join(p->thread[--p->serving], NULL);
}

static void test_a_paced_link_is_as_fast_as_its_pace(void **state)
{
    struct pair *p = *state;
    struct cancel cancel;
    struct bucket bucket;
    struct link_probe probe;
    struct err e = ERR_INIT;
    const double bits_per_s = 400e6;

    assert_int_equal(cancel_init(&cancel, &e), 0);
    bucket_init(&bucket, (uint64_t)bits_per_s, &cancel);
    for (unsigned i = 0; i < LANES; i++)
        channel_pace(p->near[i], &bucket, (uint64_t)bits_per_s);
    serve_all(p);
    assert_int_equal(link_probe_run(p->near, LANES, NS_PER_S, 1ull << 30, &probe, &e), 0);
    join_all(p);
    assert_false(err_is_set(&p->served[0]));
    /* A busy machine is slower, never faster. */
    assert_true(probe.bytes_per_s * 8 < 1.05 * bits_per_s);
    assert_true(probe.bytes_per_s * 8 > 0.5 * bits_per_s);
    assert_true(probe.bytes > 1 << 20);
    assert_true(probe.spread >= 0 && probe.spread < 2);
    bucket_destroy(&bucket);
    cancel_destroy(&cancel);
}

static void test_it_stops_at_so_many_bytes(void **state)
{
    struct pair *p = *state;
    struct link_probe probe;
    struct err e = ERR_INIT;

    serve_all(p);
    assert_int_equal(link_probe_run(p->near, LANES, 60 * NS_PER_S, 8 << 20, &probe, &e), 0);
    join_all(p);
    assert_in_range(probe.bytes, 7 << 20, 8 << 20);
    assert_true(probe.cpu_ns_per_byte > 0);
}

static void test_a_peer_that_goes_away_is_an_error(void **state)
{
    struct pair *p = *state;
    struct link_probe probe;
    struct err e = ERR_INIT;

    channel_shutdown(p->far[0]);
    channel_shutdown(p->far[1]);
    assert_true(link_probe_run(p->near, LANES, NS_PER_S / 10, 1 << 20, &probe, &e) < 0);
    assert_int_equal(e.class, ERR_PEER);
}

static void test_only_filler_may_come(void **state)
{
    struct pair *p = *state;
    uint8_t round[24] = {0};
    struct err e = ERR_INIT, sending = ERR_INIT;

    assert_int_equal(
        record_send(p->near[0], RECORD_ROUND, &(struct iovec){round, sizeof(round)}, 1, &sending),
        0);
    assert_int_equal(link_probe_serve(p->far[0], &e), -EPROTO);
    assert_non_null(strstr(e.text, "ROUND"));
    e = (struct err)ERR_INIT;
    channel_shutdown(p->near[1]);
    assert_true(link_probe_serve(p->far[1], &e) < 0);
    assert_int_equal(e.class, ERR_PEER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_a_paced_link_is_as_fast_as_its_pace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_stops_at_so_many_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_peer_that_goes_away_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_filler_may_come, set_up, tear_down),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
