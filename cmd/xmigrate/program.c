/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/program.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/libc.h"
#include "base/units.h"
#include "cmd/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* For the kernel, to end what was killed. */
#define KILLED_NS (2 * NS_PER_S)

/* What belongs to our libxl operation: an xl of the program's has its own. */
static bool is_private(const char *variable)
{
    static const char *const drop[] = {LINK_ENV "=", "LIBXL_SAVE_HELPER="};

    return !strncmp(variable, drop[0], strlen(drop[0])) ||
           !strncmp(variable, drop[1], strlen(drop[1]));
}

/* Its own first: of two with one name, programs see the first. */
static char **join(const struct program *p)
{
    size_t count = 0, kept = p->own_count;
    char **all;

    while (environ[count])
        count++;
    all = calloc(count + p->own_count + 1, sizeof(*all));
    if (!all)
        return NULL;
    memcpy(all, p->own, p->own_count * sizeof(*p->own));
    for (size_t i = 0; i < count; i++)
        if (!is_private(environ[i]))
            all[kept++] = environ[i];
    return all;
}

static int spawn(const struct program *p, char *const env[], int output_fd, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (output_fd >= 0)
        posix_spawn_file_actions_adddup2(&files, output_fd, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(
        &attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    rc = posix_spawn(pid, p->path, &files, &attr, p->argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

static int explain_status(const struct program *p, int status, struct err *e)
{
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        return 0;
    if (WIFEXITED(status))
        return err_set(e, ERR_LOCAL, ECANCELED, "%s: it ended with exit code %d", p->what,
            WEXITSTATUS(status));
    return err_set(
        e, ERR_LOCAL, ECANCELED, "%s: it was killed by signal %d", p->what, WTERMSIG(status));
}

/* left: what to say of a process that does not die. */
static int explain_stop(const struct program *p, int rc, const char *left, struct err *e)
{
    char limit[UNITS_TEXT_BYTES];

    if (rc == -ECANCELED)
        return err_set(e, ERR_CANCELLED, ECANCELED, "stopped by a signal%s", left);
    if (rc == -ETIMEDOUT)
        return err_set(e, ERR_LOCAL, ETIMEDOUT, "%s: it did not end within %s%s%s%s%s", p->what,
            format_duration(p->limit_ns, limit), p->limit_name ? " (" : "", p->limit_name ?: "",
            p->limit_name ? ")" : "", left);
    return err_sys(e, ERR_LOCAL, -rc, "%s%s", p->what, left);
}

/* What there is; the end of it closes the pipe. */
static void read_output(const struct program *p, int *fd)
{
    char text[512];
    const ssize_t n = read(*fd, text, sizeof(text));

    if (n > 0) {
        p->output(p->arg, text, (size_t)n);
    } else if (!n || (errno != EAGAIN && errno != EINTR)) {
        close(*fd);
        *fd = -1;
    }
}

static int await_end(
    const struct program *p, int pidfd, int *output_fd, const struct cancel *cancel)
{
    const int64_t deadline_ns = deadline_in(p->limit_ns);

    for (;;) {
        struct pollfd fds[] = {{.fd = pidfd, .events = POLLIN},
            {.fd = *output_fd, .events = POLLIN},
            {.fd = cancel ? cancel->event_fd : -1, .events = POLLIN}};

        if (poll(fds, 3, deadline_poll_ms(deadline_ns)) < 0 && errno != EINTR)
            return -errno;
        if (fds[1].revents)
            read_output(p, output_fd);
        if (fds[0].revents)
            return 0;
        if (fds[2].revents)
            return -ECANCELED;
        if (deadline_passed(deadline_ns))
            return -ETIMEDOUT;
    }
}

/* It is our child and not waited for, so its number is its own until then. One that is stuck in the
 * kernel is left behind: the guest waits meanwhile. */
static int await(
    const struct program *p, pid_t pid, int *output_fd, const struct cancel *cancel, struct err *e)
{
    const int pidfd = pidfd_open(pid, 0);
    char left[96] = "";
    int status = 0;
    int rc = pidfd < 0 ? -errno : await_end(p, pidfd, output_fd, cancel);

    if (rc) {
        kill(-pid, SIGKILL);
        io_wait(pidfd, POLLIN, NULL, deadline_in(KILLED_NS));
    }
    if (waitpid(pid, &status, WNOHANG) != pid) {
        if (rc)
            snprintf(
                left, sizeof(left), "; its process %d was killed, and is still there", (int)pid);
        else
            rc = -ECHILD; /* somebody else has seen how it ended */
    }
    if (pidfd >= 0)
        close(pidfd);
    return rc ? explain_stop(p, rc, left, e) : explain_status(p, status, e);
}

/* What it wrote last, and a pipe that something it has left behind may keep open. */
static void drain(const struct program *p, int *output_fd)
{
    struct pollfd rest = {.events = POLLIN};

    for (int i = 0; i < 64 && *output_fd >= 0; i++) {
        rest.fd = *output_fd;
        if (poll(&rest, 1, 0) <= 0)
            break;
        read_output(p, output_fd);
    }
    if (*output_fd >= 0)
        close(*output_fd);
}

int program_run(const struct program *p, const struct cancel *cancel, struct err *e)
{
    int output[2] = {-1, -1};
    char **env = join(p);
    pid_t pid;
    int rc = !env ? ENOMEM : p->output && pipe2(output, O_CLOEXEC) ? errno : 0;

    if (!rc && p->output)
        io_set_nonblocking(output[0], true);
    if (!rc)
        rc = spawn(p, env, output[1], &pid);
    free(env);
    if (output[1] >= 0)
        close(output[1]);
    rc = rc ? err_sys(e, ERR_LOCAL, rc, "%s: cannot run it", p->what)
            : await(p, pid, &output[0], cancel, e);
    drain(p, &output[0]);
    return rc;
}
