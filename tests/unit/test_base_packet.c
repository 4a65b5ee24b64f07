/* SPDX-License-Identifier: MIT */
/* Packets: whole or not at all, with a descriptor that arrives usable, private and CLOEXEC. */
#include "base/deadline.h"
#include "base/packet.h"

#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
    int a, b;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    f->a = fds[0];
    f->b = fds[1];
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    if (f->a >= 0)
        close(f->a);
    close(f->b);
    free(f);
    return 0;
}

static unsigned count_open(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void test_packets_keep_their_borders(void **state)
{
    struct fixture *f = *state;
    char buf[100];
    int fd = 77;

    assert_int_equal(packet_send(f->a, "one", 3, -1, NULL, DEADLINE_NEVER), 0);
    assert_int_equal(packet_send(f->a, "three", 5, -1, NULL, DEADLINE_NEVER), 0);
    assert_int_equal(packet_recv(f->b, buf, sizeof(buf), &fd, NULL, DEADLINE_NEVER), 3);
    assert_int_equal(fd, -1);
    assert_int_equal(packet_recv(f->b, buf, sizeof(buf), &fd, NULL, DEADLINE_NEVER), 5);
    assert_memory_equal(buf, "three", 5);
}

static void test_a_descriptor_rides_along(void **state)
{
    struct fixture *f = *state;
    const int file = memfd_create("rider", MFD_CLOEXEC);
    char buf[100], read_back[5];
    int fd;

    assert_int_equal(pwrite(file, "hello", 5, 0), 5);
    assert_int_equal(packet_send(f->a, "x", 1, file, NULL, DEADLINE_NEVER), 0);
    assert_int_equal(packet_recv(f->b, buf, sizeof(buf), &fd, NULL, DEADLINE_NEVER), 1);
    assert_true(fd >= 0 && fd != file);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(pread(fd, read_back, 5, 0), 5);
    assert_memory_equal(read_back, "hello", 5);
    close(fd);
    assert_true(fcntl(file, F_GETFD) >= 0); /* the sender keeps its own */
    close(file);
}

static void test_a_packet_that_is_too_long_leaks_no_descriptor(void **state)
{
    struct fixture *f = *state;
    const unsigned open_before = count_open();
    char buf[4];
    int fd;

    assert_int_equal(packet_send(f->a, "12345", 5, f->a, NULL, DEADLINE_NEVER), 0);
    assert_int_equal(packet_recv(f->b, buf, sizeof(buf), &fd, NULL, DEADLINE_NEVER), -EMSGSIZE);
    assert_int_equal(fd, -1);
    assert_int_equal(count_open(), open_before);
}

static void test_two_descriptors_are_refused_and_closed(void **state)
{
    struct fixture *f = *state;
    const unsigned open_before = count_open();
    const int two[2] = {f->a, f->b};
    union {
        char bytes[CMSG_SPACE(sizeof(two))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec iov = {"x", 1};
    struct msghdr msg = {.msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    char buf[4];
    int fd;

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(two));
    memcpy(CMSG_DATA(c), two, sizeof(two));
    assert_int_equal(sendmsg(f->a, &msg, 0), 1);
    assert_int_equal(packet_recv(f->b, buf, sizeof(buf), &fd, NULL, DEADLINE_NEVER), -EMSGSIZE);
    assert_int_equal(fd, -1);
    assert_int_equal(count_open(), open_before);
}

static void test_ends_and_deadlines(void **state)
{
    struct fixture *f = *state;
    char *big = calloc(1, PACKET_MAX_BYTES);
    int fd, rc;

    assert_int_equal(packet_recv(f->b, big, 4, &fd, NULL, deadline_in(20 * NS_PER_MS)), -ETIMEDOUT);
    do
        rc = packet_send(f->a, big, PACKET_MAX_BYTES, -1, NULL, deadline_in(20 * NS_PER_MS));
    while (rc == 0);
    assert_int_equal(rc, -ETIMEDOUT);
    free(big);
}

static void test_a_closed_peer_is_the_end(void **state)
{
    struct fixture *f = *state;
    char buf[4];
    int fd;

    assert_int_equal(shutdown(f->a, SHUT_WR), 0);
    assert_int_equal(packet_recv(f->b, buf, 4, &fd, NULL, DEADLINE_NEVER), -ENODATA);
    assert_int_equal(shutdown(f->b, SHUT_RDWR), 0);
    assert_int_equal(packet_send(f->a, "x", 1, -1, NULL, DEADLINE_NEVER), -EPIPE);
}

/* Linux then says ECONNRESET before it gives out the packets. */
static void test_what_was_sent_arrives_though_the_sender_left_something_unread(void **state)
{
    struct fixture *f = *state;
    char buf[16];
    int fd;

    assert_int_equal(packet_send(f->b, "stop", 4, -1, NULL, DEADLINE_NEVER), 0);
    assert_int_equal(packet_send(f->a, "failed", 6, -1, NULL, DEADLINE_NEVER), 0);
    close(f->a);
    f->a = -1;
    assert_int_equal(packet_recv(f->b, buf, sizeof(buf), &fd, NULL, DEADLINE_NEVER), 6);
    assert_memory_equal(buf, "failed", 6);
    assert_int_equal(packet_recv(f->b, buf, sizeof(buf), &fd, NULL, DEADLINE_NEVER), -ENODATA);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_packets_keep_their_borders),
        TEST(test_a_descriptor_rides_along),
        TEST(test_a_packet_that_is_too_long_leaks_no_descriptor),
        TEST(test_two_descriptors_are_refused_and_closed),
        TEST(test_ends_and_deadlines),
        TEST(test_a_closed_peer_is_the_end),
        TEST(test_what_was_sent_arrives_though_the_sender_left_something_unread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
