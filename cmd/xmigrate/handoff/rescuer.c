/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/rescuer.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The guest is suspended meanwhile. */
#define ANSWER_NS (2 * NS_PER_S)

enum { KEPT_SOCK = STDERR_FILENO + 1, DISARM = 'd', END = 'e' };

static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

static void set_signals(void (*how)(int))
{
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], how);
}

/* Of the supervisor's descriptors only the socket and standard error are kept. */
static void drop_all_but(int sock)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(sock, KEPT_SOCK);
    close_range(KEPT_SOCK + 1, ~0u, 0);
    fcntl(KEPT_SOCK, F_SETFD, FD_CLOEXEC);
}

/* The supervisor's next word; 0: it is dead. */
static char hear(void)
{
    char word = 0;
    ssize_t n;

    do
        n = recv(KEPT_SOCK, &word, 1, 0);
    while (n < 0 && errno == EINTR);
    return n > 0 ? word : 0;
}

static void stand_by(int sock, const char *program, const char *config_dir)
{
    const char disarmed = DISARM;
    char word;

    setsid();
    set_signals(SIG_IGN);
    drop_all_but(sock);
    word = hear();
    if (!word) {
        set_signals(SIG_DFL);
        execl(program, "xmigrate", "--recover", (char *)NULL);
    } else if (word == DISARM) {
        send(KEPT_SOCK, &disarmed, 1, MSG_NOSIGNAL);
        word = hear();
        set_signals(SIG_DFL);
        if (!word)
            execl(program, "xmigrate", "--resolve", "--config-dir", config_dir, (char *)NULL);
    }
    _exit(0);
}

int rescuer_start(struct rescuer *r, const char *config_dir, struct err *e)
{
    char program[PATHS_BYTES];
    int pair[2], rc = find_program("xmigrate", program, e);

    r->sock = -1;
    if (rc)
        return rc;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return err_sys(e, ERR_LOCAL, errno, "cannot make a socket pair for the rescuer");
    r->pid = fork();
    if (!r->pid) {
        close(pair[0]);
        stand_by(pair[1], program, config_dir);
    }
    close(pair[1]);
    if (r->pid < 0) {
        rc = err_sys(e, ERR_LOCAL, errno, "cannot start the rescuer");
        close(pair[0]);
        return rc;
    }
    r->sock = pair[0];
    return 0;
}

int rescuer_disarm(struct rescuer *r, struct err *e)
{
    char word = DISARM;

    if (r->sock < 0)
        return 0;
    send(r->sock, &word, 1, MSG_NOSIGNAL);

    const int rc = io_wait(r->sock, POLLIN, NULL, deadline_in(ANSWER_NS));

    /* Its answer, or its end (a reset if our word was never read): nobody but us holds the other
     * end of its socket. */
    if (rc || (recv(r->sock, &word, 1, MSG_DONTWAIT) < 0 && errno != ECONNRESET))
        return err_set(e, ERR_LOCAL, ETIMEDOUT,
            "the process that would bring the guest back (%d) does not answer", (int)r->pid);
    return 0;
}

/* Its socket says so; an answer that came too late may stand before that. */
static bool has_ended(const struct rescuer *r, int64_t deadline_ns)
{
    char word;

    while (!io_wait(r->sock, POLLIN, NULL, deadline_ns))
        if (recv(r->sock, &word, 1, MSG_DONTWAIT) <= 0)
            return true;
    return false;
}

void rescuer_end(struct rescuer *r)
{
    const char word = END;

    if (r->sock < 0)
        return;
    send(r->sock, &word, 1, MSG_NOSIGNAL);
    /* It has nothing left to do, and may hang. */
    if (!has_ended(r, deadline_in(ANSWER_NS)))
        kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    close(r->sock);
    r->sock = -1;
}
