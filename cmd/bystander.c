/* SPDX-License-Identifier: MIT */
#include "cmd/bystander.h"

#include "base/libc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEPT_SOCK = STDERR_FILENO + 1 };

static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

static void set_signals(void (*how)(int))
{
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], how);
}

static void drop_all_but(int sock)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(sock, KEPT_SOCK);
    close_range(KEPT_SOCK + 1, ~0u, 0);
    fcntl(KEPT_SOCK, F_SETFD, FD_CLOEXEC);
}

_Noreturn static void stand_by(int sock, void (*body)(const void *arg), const void *arg)
{
    setsid();
    set_signals(SIG_IGN);
    drop_all_but(sock);
    body(arg);
    _exit(0);
}

int bystander_start(
    struct bystander *b, void (*body)(const void *arg), const void *arg, struct err *e)
{
    int pair[2];

    b->sock = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return err_sys(e, ERR_LOCAL, errno, "cannot make a socket pair");
    b->pid = fork();
    if (!b->pid)
        stand_by(pair[1], body, arg);
    close(pair[1]);
    if (b->pid < 0) {
        const int rc = err_sys(e, ERR_LOCAL, errno, "cannot start another process");

        close(pair[0]);
        return rc;
    }
    b->sock = pair[0];
    return 0;
}

char bystander_hear(void)
{
    char word = 0;
    ssize_t n;

    do
        n = recv(KEPT_SOCK, &word, 1, 0);
    while (n < 0 && errno == EINTR);
    return n > 0 ? word : 0;
}

void bystander_say(char word)
{
    send(KEPT_SOCK, &word, 1, MSG_NOSIGNAL);
}

_Noreturn void bystander_become(const char *program, char *const argv[])
{
    set_signals(SIG_DFL);
    execv(program, argv);
    _exit(1);
}
