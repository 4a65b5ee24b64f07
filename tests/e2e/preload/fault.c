/* SPDX-License-Identifier: MIT */
/*
 * A library to preload into xmigrate: at a call that a test names, the process is killed, or the
 * call waits or fails.
 *
 * FAULT_IN  a word of the command line (--live, --listen): other processes are left alone
 * FAULT     CALL:WORD:WHAT, where CALL is
 *             write   the bytes written hold WORD (events on standard output, frames in clear)
 *             fsync   the file holds WORD
 *             after   like write; WHAT comes at the N-th call of any kind behind it (FAULT_NTH)
 *           and WHAT is kill, fail, or sleep=SECONDS
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
    bool on;
    char call[16], word[64], what[32];
    long nth;
} fault;

static atomic_long since = -1; /* calls behind the word; -1: it was not written yet */

static bool is_in_command_line(const char *word)
{
    char text[4096];
    const int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text));

    if (fd >= 0)
        close(fd);
    return n > 0 && memmem(text, (size_t)n, word, strlen(word));
}

__attribute__((constructor)) static void read_environment(void)
{
    const char *text = getenv("FAULT"), *in = getenv("FAULT_IN");

    fault.nth = atol(getenv("FAULT_NTH") ?: "1");
    fault.on = text && in &&
               sscanf(text, "%15[^:]:%63[^:]:%31[^:]", fault.call, fault.word, fault.what) == 3 &&
               is_in_command_line(in);
}

/* True: the call is to fail. */
static bool strike(void)
{
    if (!strcmp(fault.what, "kill"))
        kill(getpid(), SIGKILL);
    if (!strncmp(fault.what, "sleep=", 6))
        usleep((useconds_t)(atof(fault.what + 6) * 1e6));
    return !strcmp(fault.what, "fail");
}

static bool has_word(const void *data, size_t len)
{
    return memmem(data, len, fault.word, strlen(fault.word));
}

/* Every call that is watched comes by here. */
static bool pass(void)
{
    return fault.on && since >= 0 && ++since == fault.nth && strike();
}

static bool pass_data(const struct iovec *iov, int count)
{
    bool found = false, fails = pass();

    if (!fault.on)
        return false;
    for (int i = 0; i < count; i++)
        found |= has_word(iov[i].iov_base, iov[i].iov_len);
    if (found && !strcmp(fault.call, "write"))
        fails |= strike();
    if (found && !strcmp(fault.call, "after") && since < 0)
        since = 0;
    return fails;
}

static bool pass_file(int fd)
{
    char path[64], text[16384];
    bool fails = pass();

    if (!fault.on || strcmp(fault.call, "fsync"))
        return fails;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);

    const int again = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = again < 0 ? 0 : pread(again, text, sizeof(text), 0);

    if (again >= 0)
        close(again);
    return (n > 0 && has_word(text, (size_t)n) && strike()) || fails;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL       (errno = EIO, -1)

ssize_t write(int fd, const void *buf, size_t len)
{
    const struct iovec iov = {(void *)buf, len};

    return pass_data(&iov, 1) ? FAIL : REAL(write)(fd, buf, len);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    return pass_data(iov, count) ? FAIL : REAL(writev)(fd, iov, count);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    return pass_data(m->msg_iov, (int)m->msg_iovlen) ? FAIL : REAL(sendmsg)(fd, m, flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    return pass() ? FAIL : REAL(recvmsg)(fd, m, flags);
}

int poll(struct pollfd *fds, nfds_t count, int ms)
{
    return pass() ? FAIL : REAL(poll)(fds, count, ms);
}

int fsync(int fd)
{
    return pass_file(fd) ? FAIL : REAL(fsync)(fd);
}

int rename(const char *from, const char *to)
{
    return pass() ? FAIL : REAL(rename)(from, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return pass() ? FAIL : REAL(renameat2)(from_dir, from, to_dir, to, flags);
}

int unlink(const char *path)
{
    return pass() ? FAIL : REAL(unlink)(path);
}
