/* SPDX-License-Identifier: MIT */
/* What a service manager passes, and hears. */
#include "cmd/xmigrate/session/service.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIRST_FD = 3 };

/* A socket on the loopback as the descriptor that is passed. */
static uint16_t pass(int type, int family)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a = {.any.sa_family = (sa_family_t)family};
    socklen_t len = family == AF_INET ? sizeof(a.v4) : sizeof(a.v6);
    const int fd = socket(family, type, 0);

    if (family == AF_INET6)
        a.v6.sin6_addr = in6addr_any;
    if (fd < 0 || bind(fd, &a.any, len) || (type == SOCK_STREAM && listen(fd, 1)) ||
        getsockname(fd, &a.any, &len) || dup2(fd, FIRST_FD) < 0)
        return 0;
    return ntohs(a.v4.sin_port);
}

static void set_environment(const char *fds, pid_t pid)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", (int)pid);
    setenv("LISTEN_FDS", fds, 1);
    setenv("LISTEN_PID", text, 1);
}

/* Descriptor 3 is somebody's in this process: each runs in one of its own. */
static void in_a_process(int (*run)(void))
{
    int status;
    const pid_t pid = fork();

    if (!pid)
        _exit(run());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__ % 250 + 1;                                                             \
    } while (0)

static int take_a_socket(void)
{
    struct service s;
    struct err e = ERR_INIT;
    const uint16_t port = pass(SOCK_STREAM, AF_INET);

    set_environment("1", getpid());
    CHECK(port && !service_open(&s, &e));
    CHECK(s.listen_fd == FIRST_FD && s.port == port);
    CHECK(fcntl(FIRST_FD, F_GETFD) & FD_CLOEXEC && fcntl(FIRST_FD, F_GETFL) & O_NONBLOCK);
    /* It is none of our children's business. */
    CHECK(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID") && !getenv("NOTIFY_SOCKET"));
    return 0;
}

static int take_none_of_another_process(void)
{
    struct service s;
    struct err e = ERR_INIT;

    set_environment("1", getppid());
    CHECK(pass(SOCK_STREAM, AF_INET) && !service_open(&s, &e) && s.listen_fd == -1);
    set_environment("x", getpid());
    CHECK(!service_open(&s, &e) && s.listen_fd == -1);
    CHECK(!service_open(&s, &e) && s.listen_fd == -1);
    return 0;
}

static int refuse_what_is_no_tcp_listener(void)
{
    struct service s;
    struct err e = ERR_INIT;

    CHECK(pass(SOCK_DGRAM, AF_INET));
    set_environment("1", getpid());
    CHECK(service_open(&s, &e) == -ENOTSOCK && s.listen_fd == -1);
    e = (struct err)ERR_INIT;
    CHECK(dup2(open("/dev/null", O_RDONLY), FIRST_FD) == FIRST_FD);
    set_environment("1", getpid());
    CHECK(service_open(&s, &e) == -ENOTSOCK);
    e = (struct err)ERR_INIT;
    set_environment("2", getpid());
    CHECK(service_open(&s, &e) == -E2BIG && strstr(e.text, "2 sockets"));
    return 0;
}

/* Of a path, and of a name without one. */
static int tell_a_manager(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const int sock = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct service s;
    struct err e = ERR_INIT;
    char said[64] = "";

    memcpy(a.sun_path, name, strlen(name));
    if (name[0] == '@')
        a.sun_path[0] = '\0';
    CHECK(!bind(sock, (struct sockaddr *)&a,
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))));
    setenv("NOTIFY_SOCKET", name, 1);
    CHECK(!service_open(&s, &e));
    service_notify(&s, "READY=1");
    CHECK(recv(sock, said, sizeof(said) - 1, MSG_DONTWAIT) == 7 && !strcmp(said, "READY=1"));
    close(sock);
    service_notify(&s, "STOPPING=1"); /* to nobody */
    return 0;
}

static int tell_managers(void)
{
    char path[] = "/tmp/test_service_XXXXXX", name[64];
    struct service s;
    struct err e = ERR_INIT;

    CHECK(mkdtemp(path));
    snprintf(name, sizeof(name), "%s/notify", path);

    const int code = tell_a_manager(name);

    unlink(name);
    rmdir(path);
    CHECK(!code);
    snprintf(name, sizeof(name), "@xmigrate-test-%d", (int)getpid());
    CHECK(!tell_a_manager(name));
    setenv("NOTIFY_SOCKET", "relative", 1);
    CHECK(!service_open(&s, &e) && !s.notify_bytes);
    service_notify(&s, "READY=1");
    return 0;
}

static void a_socket_that_is_passed_is_taken(void **state)
{
    (void)state;
    in_a_process(take_a_socket);
}

static void what_was_passed_to_another_process_is_not(void **state)
{
    (void)state;
    in_a_process(take_none_of_another_process);
}

static void what_is_no_tcp_listener_is_refused(void **state)
{
    (void)state;
    in_a_process(refuse_what_is_no_tcp_listener);
}

static void a_manager_is_told(void **state)
{
    (void)state;
    in_a_process(tell_managers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_that_is_passed_is_taken),
        cmocka_unit_test(what_was_passed_to_another_process_is_not),
        cmocka_unit_test(what_is_no_tcp_listener_is_refused),
        cmocka_unit_test(a_manager_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
