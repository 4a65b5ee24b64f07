/* SPDX-License-Identifier: MIT */
/* Full reads and writes over a socketpair: ends, deadlines, cancel; and time itself. */
#include "base/deadline.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

static bool cannot_pin;

/* As of a file that is read into memory that has to be pinned, and cannot be. */
ssize_t readv(int fd, const struct iovec *iov, int count)
{
    if (!cannot_pin)
        return syscall(SYS_readv, fd, iov, count);
    errno = EFAULT;
    return -1;
}

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t at)
{
    if (!cannot_pin)
        return syscall(SYS_preadv, fd, iov, count, at, 0);
    errno = EFAULT;
    return -1;
}

struct fixture {
    int a, b; /* -1: closed */
    struct cancel cancel;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct err e = ERR_INIT;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    f->a = fds[0];
    f->b = fds[1];
    assert_int_equal(cancel_init(&f->cancel, &e), 0);
    *state = f;
    return 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    close_end(&f->a);
    close_end(&f->b);
    cancel_destroy(&f->cancel);
    free(f);
    return 0;
}

static void test_a_closed_peer_is_a_clean_end_only_between_things(void **state)
{
    struct fixture *f = *state;
    char buf[4];

    assert_int_equal(io_write_full(f->a, "abcdef", 6, NULL, deadline_in(NS_PER_S)), 0);
    close_end(&f->a);
    assert_int_equal(io_read_full(f->b, buf, 4, NULL, deadline_in(NS_PER_S)), 0);
    assert_memory_equal(buf, "abcd", 4);
    assert_int_equal(io_read_full(f->b, buf, 4, NULL, deadline_in(NS_PER_S)), -EBADMSG);
    assert_int_equal(io_read_full(f->b, buf, 4, NULL, deadline_in(NS_PER_S)), -ENODATA);
}

static void test_parts_are_filled_one_after_the_other(void **state)
{
    struct fixture *f = *state;
    char first[3], last[2];
    struct iovec whole[] = {{first, 3}, {NULL, 0}, {last, 2}};
    struct iovec cut[] = {{first, 3}, {last, 2}};

    assert_int_equal(write(f->a, "abcdefgh", 8), 8);
    assert_int_equal(io_readv_full(f->b, whole, 3, NULL, deadline_in(NS_PER_S)), 0);
    assert_memory_equal(first, "abc", 3);
    assert_memory_equal(last, "de", 2);
    close_end(&f->a);
    assert_int_equal(io_readv_full(f->b, cut, 2, NULL, deadline_in(NS_PER_S)), -EBADMSG);
}

static void test_a_silent_peer_times_out(void **state)
{
    struct fixture *f = *state;
    const int64_t begin_ns = now_ns();
    char buf[4];

    assert_int_equal(write(f->a, "ab", 2), 2);
    assert_int_equal(
        io_read_full(f->b, buf, 4, &f->cancel, deadline_in(30 * NS_PER_MS)), -ETIMEDOUT);
    assert_true(now_ns() - begin_ns >= 30 * NS_PER_MS);
}

static void test_a_peer_that_does_not_read_times_out(void **state)
{
    struct fixture *f = *state;
    char *big = calloc(1, 16 << 20);

    assert_int_equal(
        io_write_full(f->a, big, 16 << 20, &f->cancel, deadline_in(30 * NS_PER_MS)), -ETIMEDOUT);
    free(big);
}

static void test_writing_to_a_closed_peer_is_an_error(void **state)
{
    struct fixture *f = *state;

    close_end(&f->b);
    assert_int_equal(io_write_full(f->a, "x", 1, NULL, DEADLINE_NEVER), -EPIPE);
}

static void *fire_soon(void *arg)
{
    sleep_until_ns(deadline_in(20 * NS_PER_MS));
    cancel_fire(arg);
    return NULL;
}

static void test_cancel_wakes_a_wait(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    char c;

    assert_int_equal(pthread_create(&thread, NULL, fire_soon, &f->cancel), 0);
    assert_int_equal(io_read_full(f->a, &c, 1, &f->cancel, DEADLINE_NEVER), -ECANCELED);
    pthread_join(thread, NULL);
    assert_true(cancel_is_fired(&f->cancel));
    assert_false(cancel_is_fired(NULL));
    /* It stays fired. */
    assert_int_equal(io_wait(f->a, POLLIN, &f->cancel, DEADLINE_NEVER), -ECANCELED);
}

struct reader {
    int fd;
    uint8_t *got;
    size_t len_bytes;
};

static void *read_slowly(void *arg)
{
    struct reader *r = arg;

    for (size_t done = 0; done < r->len_bytes;) {
        const size_t left = r->len_bytes - done;
        const size_t piece = left < 7777 ? left : 7777;

        if (io_read_full(r->fd, r->got + done, piece, NULL, deadline_in(10 * NS_PER_S)))
            break;
        done += piece;
    }
    return NULL;
}

static void test_many_parts_arrive_whole_through_a_full_socket(void **state)
{
    struct fixture *f = *state;
    enum { PARTS = IOV_MAX + 300, TOTAL = 4 << 20 };
    uint8_t *sent = malloc(TOTAL), *got = calloc(1, TOTAL);
    struct iovec *iov = calloc(PARTS, sizeof(*iov));
    struct reader reader = {f->b, got, TOTAL};
    pthread_t thread;
    size_t at = 0;

    for (size_t i = 0; i < TOTAL; i++)
        sent[i] = (uint8_t)(i * 2654435761u >> 24);
    for (unsigned i = 0; i < PARTS; i++) {
        /* Some are empty, and the last one holds the rest. */
        const size_t n = i % 17 == 0 ? 0 : (size_t)random() % 3000;

        iov[i] = (struct iovec){sent + at, i == PARTS - 1 ? TOTAL - at : n};
        at += iov[i].iov_len;
        assert_true(at <= TOTAL);
    }
    assert_int_equal(pthread_create(&thread, NULL, read_slowly, &reader), 0);
    assert_int_equal(io_writev_full(f->a, iov, PARTS, NULL, deadline_in(10 * NS_PER_S)), 0);
    pthread_join(thread, NULL);
    assert_memory_equal(got, sent, TOTAL);
    free(sent);
    free(got);
    free(iov);
}

static void test_blocking_mode_is_switched(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(io_set_nonblocking(f->a, false), 0);
    assert_false(fcntl(f->a, F_GETFL) & O_NONBLOCK);
    assert_int_equal(io_set_nonblocking(f->a, true), 0);
    assert_true(fcntl(f->a, F_GETFL) & O_NONBLOCK);
    assert_int_equal(io_set_nonblocking(-1, true), -EBADF);
}

static void test_results_have_words(void **state)
{
    (void)state;
    assert_string_equal(io_strerror(-ENODATA), "closed by the other end");
    assert_string_equal(io_strerror(-EBADMSG), "cut short");
    assert_string_equal(io_strerror(-ECANCELED), "cancelled");
    assert_string_equal(io_strerror(-ETIMEDOUT), "timed out");
    assert_string_equal(io_strerror(-ECONNRESET), "Connection reset by peer");
}

static void test_deadlines(void **state)
{
    (void)state;
    assert_true(deadline_in(INT64_MAX) == DEADLINE_NEVER);
    assert_false(deadline_passed(DEADLINE_NEVER));
    assert_true(deadline_passed(now_ns() - 1));
    assert_false(deadline_passed(deadline_in(NS_PER_S)));
    assert_int_equal(deadline_poll_ms(DEADLINE_NEVER), -1);
    assert_int_equal(deadline_poll_ms(now_ns() - 1), 0);
    /* Rounded up: a poll never returns just before its deadline. */
    assert_int_equal(deadline_poll_ms(deadline_in(NS_PER_MS / 2)), 1);
    assert_int_equal(deadline_poll_ms(INT64_MAX - 1), INT_MAX);
    assert_int_equal(deadline_earlier(5, DEADLINE_NEVER), 5);
}

static void test_memory_that_cannot_be_pinned_is_filled_by_copying(void **state)
{
    static char text[100000], got[2][100000];
    const int fd = memfd_create("file", MFD_CLOEXEC);

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 7 >> 3);
    assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
    lseek(fd, 0, SEEK_SET);
    for (int pass = 0; pass < 2; pass++) {
        struct iovec here[] = {{got[0], 3}, {got[0] + 3, sizeof(text) - 3}};
        struct iovec there[] = {{got[1], 50000}, {got[1] + 50000, 49999}};

        cannot_pin = pass;
        memset(got, 0, sizeof(got));
        assert_int_equal(io_readv_full(fd, here, 2, NULL, DEADLINE_NEVER), 0);
        assert_memory_equal(got[0], text, sizeof(text));
        assert_int_equal(io_preadv_full(fd, there, 2, 1), 0);
        assert_memory_equal(got[1], text + 1, sizeof(text) - 1);
        there[0] = (struct iovec){got[1], 2};
        assert_int_equal(io_preadv_full(fd, there, 1, sizeof(text) - 1), -EBADMSG);
        lseek(fd, 0, SEEK_SET);
    }
    cannot_pin = false;
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_memory_that_cannot_be_pinned_is_filled_by_copying),
        TEST(test_a_closed_peer_is_a_clean_end_only_between_things),
        TEST(test_parts_are_filled_one_after_the_other),
        TEST(test_a_silent_peer_times_out),
        TEST(test_a_peer_that_does_not_read_times_out),
        TEST(test_writing_to_a_closed_peer_is_an_error),
        TEST(test_cancel_wakes_a_wait),
        TEST(test_many_parts_arrive_whole_through_a_full_socket),
        TEST(test_blocking_mode_is_switched),
        TEST(test_results_have_words),
        TEST(test_deadlines),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
