/* SPDX-License-Identifier: MIT */
/* A save helper with a link: what is under way when its supervisor goes away. */
#include "tests/unit/hosts.h"

#include "base/io.h"
#include "cmd/helper/native.h"
#include "crypto/token.h"

#include <errno.h>
#include <stdio.h>

static const struct log silent = {.max = LOG_ERROR};

struct helper {
    struct native n;
    struct cancel cancel;
    char path[96];
    int rc;
    struct err e;
};

static void *run_helper(void *arg)
{
    struct helper *h = arg;

    h->rc = native_open(&h->n, h->path, false, &h->cancel, &silent, &h->e);
    return NULL;
}

static struct link_job job_of(const struct host *host)
{
    struct link_job job = {.role = LINK_DESTINATION,
        .domid = 7,
        .lanes = 1,
        .connect_ns = TEST_LIMIT_NS,
        .silent_ns = TEST_LIMIT_NS,
        .key = {1, 2, 3},
        .session = {4, 5, 6}};

    snprintf(job.config_dir, sizeof(job.config_dir), "%s", host->dir);
    snprintf(job.fingerprint, sizeof(job.fingerprint), "SHA256:somebody");
    return job;
}

/* Whoever has it may begin a handshake. */
static void send_connection(int link_sock, const struct link_job *job, int fd)
{
    struct preamble p = {.major = WIRE_MAJOR, .minor = WIRE_MINOR, .lane = 0};
    uint8_t bytes[PREAMBLE_BYTES];
    struct err e = ERR_INIT;

    assert_int_equal(lane_token(job->key, job->session, 0, p.token, &e), 0);
    preamble_encode(&p, bytes);
    assert_int_equal(link_send_conn(link_sock, 0, bytes, fd, &e), 0);
    close(fd);
}

/* The key of this host goes with the session, so nobody may be in the middle of a handshake then.
 */
static void no_handshake_outlives_a_session_that_never_was(void **state)
{
    struct helper h = {
        .n = {.link_sock = -1, .lock_fd = -1, .tuned_lock = PTHREAD_MUTEX_INITIALIZER}};
    uint8_t answer[PREAMBLE_ANSWER_BYTES];
    struct err e = ERR_INIT;
    struct host host;
    pthread_t thread;
    int ends[2];

    (void)state;
    make_host_dir(&host);
    open_host(&host);
    assert_int_equal(cancel_init(&h.cancel, &e), 0);
    snprintf(h.path, sizeof(h.path), "%s/link", host.dir);

    const struct link_job job = job_of(&host);
    const int listen_fd = link_listen(h.path, &e);

    assert_true(listen_fd >= 0);
    assert_int_equal(pthread_create(&thread, NULL, run_helper, &h), 0);

    const int link_sock = link_accept(listen_fd, NULL, deadline_in(TEST_LIMIT_NS), &e);

    assert_true(link_sock >= 0);
    assert_int_equal(link_send_job(link_sock, &job, STDIN_FILENO, &e), 0);
    make_tcp_pair(ends);
    send_connection(link_sock, &job, ends[1]);
    assert_int_equal(
        io_read_full(ends[0], answer, sizeof(answer), NULL, deadline_in(TEST_LIMIT_NS)), 0);
    close(link_sock);
    pthread_join(thread, NULL);
    assert_int_equal(h.rc, -ENODATA);
    assert_says(&h.e, "the supervising xmigrate is gone");
    assert_null(h.n.tls);
    assert_null(h.n.channels.under_way);
    assert_int_equal(io_read_full(ends[0], answer, 1, NULL, deadline_in(TEST_LIMIT_NS)), -ENODATA);

    native_close_channels(&h.n);
    close(ends[0]);
    close(listen_fd);
    unlink(h.path);
    cancel_destroy(&h.cancel);
    drop_host(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_handshake_outlives_a_session_that_never_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
