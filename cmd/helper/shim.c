/* SPDX-License-Identifier: MIT */
#include "cmd/helper/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_LOST = 1 };

static void pass_signal_on(int signal_fd, pid_t engine)
{
    struct signalfd_siginfo info;

    if (read(signal_fd, &info, sizeof(info)) == sizeof(info))
        kill(engine, (int)info.ssi_signo);
}

/* The engine is our child and not reaped before this: its number is its own. */
_Noreturn static void end_as_the_engine(pid_t engine)
{
    int status;

    while (waitpid(engine, &status, 0) < 0)
        if (errno != EINTR)
            _exit(EXIT_LOST);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_LOST);
}

_Noreturn static void stand_in(pid_t engine, int release_fd, int signal_fd)
{
    struct pollfd fds[] = {
        {.fd = release_fd, .events = POLLIN},
        {.fd = signal_fd, .events = POLLIN},
    };
    char word;

    for (;;) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents)
            pass_signal_on(signal_fd, engine);
        if (!fds[0].revents)
            continue;
        if (read(release_fd, &word, sizeof(word)) == sizeof(word))
            _exit(0);
        end_as_the_engine(engine);
    }
}

/* Signals are blocked: one that comes before anybody reads it is not lost. */
static int fork_engine(int release_fds[2], sigset_t *before, struct err *e)
{
    const pid_t parent = getpid();
    sigset_t stops;

    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    sigprocmask(SIG_BLOCK, &stops, before);

    const int signal_fd = signalfd(-1, &stops, SFD_CLOEXEC);
    const pid_t engine = signal_fd < 0 ? -1 : fork();

    if (engine > 0) {
        close(release_fds[1]);
        stand_in(engine, release_fds[0], signal_fd);
    }
    if (engine < 0)
        err_sys(e, ERR_LOCAL, errno, "cannot start the engine");
    if (signal_fd >= 0)
        close(signal_fd);
    if (!engine && (prctl(PR_SET_PDEATHSIG, SIGTERM) || getppid() != parent))
        err_set(e, ERR_LOCAL, ECHILD, "the process that libxl started is gone");
    return err_is_set(e) ? -e->code : 0;
}

int shim_start(struct shim *s, struct err *e)
{
    sigset_t before;
    int fds[2];

    if (pipe2(fds, O_CLOEXEC))
        return err_sys(e, ERR_LOCAL, errno, "cannot make a pipe");

    const int rc = fork_engine(fds, &before, e);

    sigprocmask(SIG_SETMASK, &before, NULL);
    close(fds[0]);
    if (rc) {
        close(fds[1]);
        return rc;
    }
    s->release_fd = fds[1];
    return 0;
}

int shim_release(struct shim *s, struct err *e)
{
    int rc = 0;

    if (prctl(PR_SET_PDEATHSIG, 0) || write(s->release_fd, "", 1) != 1)
        rc = err_sys(e, ERR_LOCAL, errno, "letting libxl's child end");
    close(s->release_fd);
    s->release_fd = -1;
    return rc;
}
