/* SPDX-License-Identifier: MIT */
/*
 * A library to preload into xmigrate: at a call that a test names, the process is killed or
 * stopped, or the call waits or fails. It stands before xensim's library, so it sees hypercalls and
 * libxl too.
 *
 * FAULT_IN  a word of the command line (--live, --listen): other processes are left alone
 * FAULT     CALL:WORD:WHAT, where CALL is
 *             write   the bytes written hold WORD (events on standard output, frames in clear)
 *             record  a record of the journal that holds WORD is synced, or its directory
 *             after   like write; WHAT comes at the N-th call of any kind behind it (FAULT_NTH)
 *             call    WORD is the call's name (below; any: all of them; libxl, xenstore: all of
 *                     those), or several with + between them; WHAT comes at the N-th, and with
 *                     FAULT_LAST=M at each one up to the M-th
 *           and WHAT is kill, stop, fail, fail=ERRNO, sleep=SECONDS, or page: of the frames that
 *           are mapped one is missing
 *
 * Files that several processes share:
 * FAULT_LOG    a line for each strike: CLOCK_MONOTONIC's ns, process, call
 * and for `call`:
 * FAULT_GATE   calls count once it is there
 * FAULT_OPENS  whoever writes this word makes it, wherever FAULT_IN is
 * FAULT_COUNT  eight bytes: how many calls were counted
 */
#include <dirent.h>
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
#include <stdarg.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <xen/xen.h>
#include <xen/sys/privcmd.h>

static struct {
    bool on, by_name;
    char call[16], word[64], what[32];
    long nth, last;
    const char *gate, *opens, *log, *state_dir;
    int dir;                /* of gate and log, for a process that has given up the file system */
    _Atomic int64_t *count; /* of the calls; shared by all processes if FAULT_COUNT is given */
} fault;

static _Atomic int64_t own_count;

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

static void open_dir(void)
{
    char dir[512];
    const char *path = fault.gate ?: fault.log, *slash = path ? strrchr(path, '/') : NULL;

    snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 0, path ?: "");
    fault.dir = slash ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
}

static const char *name_in_dir(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int open_any(const char *path, int flags)
{
    const int fd = open(path, flags, 0600);

    return fd >= 0 ? fd : openat(fault.dir, name_in_dir(path), flags, 0600);
}

__attribute__((constructor)) static void read_environment(void)
{
    const char *text = getenv("FAULT"), *in = getenv("FAULT_IN");

    fault.nth = atol(getenv("FAULT_NTH") ?: "1");
    fault.last = atol(getenv("FAULT_LAST") ?: "0");
    fault.gate = getenv("FAULT_GATE");
    fault.opens = getenv("FAULT_OPENS");
    fault.log = getenv("FAULT_LOG");
    open_dir();
    fault.state_dir = getenv("XMIGRATE_STATE_DIR") ?: getenv("XMIGRATE_RUN_DIR") ?: "/var/lib/xmigrate";
    fault.count = &own_count;
    fault.on = text && in &&
               sscanf(text, "%15[^:]:%63[^:]:%31[^:]", fault.call, fault.word, fault.what) == 3 &&
               is_in_command_line(in);
    fault.by_name = fault.on && !strcmp(fault.call, "call");
    if (fault.by_name && getenv("FAULT_COUNT")) {
        const int fd = open(getenv("FAULT_COUNT"), O_RDWR | O_CLOEXEC);
        void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (map != MAP_FAILED)
            fault.count = map;
        if (fd >= 0)
            close(fd);
    }
}

static void log_strike(const char *call)
{
    const int fd = fault.log ? open_any(fault.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC) : -1;
    struct timespec t;

    if (fd < 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &t);
    dprintf(fd, "%lld %d %s\n", t.tv_sec * 1000000000ll + t.tv_nsec, (int)getpid(), call);
    close(fd);
}

/* True: the call is to fail, with errno as it is now. */
static bool strike(const char *name)
{
    log_strike(name);
    errno = EIO;
    if (!strncmp(fault.what, "fail=", 5))
        errno = atoi(fault.what + 5);
    if (!strcmp(fault.what, "stop"))
        kill(getpid(), SIGSTOP);
    if (!strcmp(fault.what, "kill"))
        kill(getpid(), SIGKILL);
    if (!strncmp(fault.what, "sleep=", 6))
        usleep((useconds_t)(atof(fault.what + 6) * 1e6));
    return !strncmp(fault.what, "fail", 4) || !strcmp(fault.what, "page");
}

static bool gate_is_open(void)
{
    static atomic_bool open;

    if (!open && (!fault.gate || !access(fault.gate, F_OK) ||
                     !faccessat(fault.dir, name_in_dir(fault.gate), F_OK, 0)))
        open = true;
    return open;
}

static bool is_word(const char *name, const char *word, size_t len)
{
    return name && strlen(name) == len && !memcmp(name, word, len);
}

/* other: what else the call is known as, or NULL. */
static bool is_meant(const char *name, const char *other)
{
    for (const char *word = fault.word; *word;) {
        const size_t len = strcspn(word, "+");

        if (is_word("any", word, len) || is_word(name, word, len) || is_word(other, word, len))
            return true;
        word += len + (word[len] == '+');
    }
    return false;
}

static bool pass_call(const char *name, const char *other)
{
    if (!fault.by_name || !gate_is_open() || !is_meant(name, other))
        return false;

    const int64_t n = ++*fault.count;

    if (n != fault.nth && (n < fault.nth || n > fault.last))
        return false;
    return strike(name);
}

/* Is it a file of the journal? */
static bool is_state(int fd, const char *path)
{
    char text[512], link[64];

    if (!path) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);

        const ssize_t n = readlink(link, text, sizeof(text) - 1);

        text[n < 0 ? 0 : n] = '\0';
        path = text;
    }
    return !strncmp(path, fault.state_dir, strlen(fault.state_dir));
}

static const char *disk(int fd, const char *path)
{
    return fault.by_name && !strcmp(fault.word, "disk") && is_state(fd, path) ? "disk" : NULL;
}

/* Every call that is watched comes by here. */
static bool pass(void)
{
    return fault.on && since >= 0 && ++since == fault.nth && strike(fault.call);
}

static bool has_text(const struct iovec *iov, int count, const char *word)
{
    for (int i = 0; i < count; i++)
        if (memmem(iov[i].iov_base, iov[i].iov_len, word, strlen(word)))
            return true;
    return false;
}

static void open_gate(const struct iovec *iov, int count)
{
    if (!fault.opens || !fault.gate || !has_text(iov, count, fault.opens))
        return;

    const int fd = open_any(fault.gate, O_WRONLY | O_CREAT | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
}

static bool pass_data(int fd, const struct iovec *iov, int count)
{
    bool fails = pass() || pass_call("write", disk(fd, NULL));

    open_gate(iov, count);
    if (!fault.on || fault.by_name)
        return fails;

    const bool found = has_text(iov, count, fault.word);

    if (found && !strcmp(fault.call, "write"))
        fails |= strike(fault.call);
    if (found && !strcmp(fault.call, "after") && since < 0)
        since = 0;
    return fails;
}

static bool holds_word(int dir_fd, const char *name)
{
    char text[16384];
    const int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? 0 : pread(fd, text, sizeof(text), 0);

    if (fd >= 0)
        close(fd);
    return n > 0 && memmem(text, (size_t)n, fault.word, strlen(fault.word));
}

/* A file itself is a record that was amended: a new one counts when its directory is synced. */
static bool has_record(int fd, bool amended)
{
    char path[64];
    bool found = false;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (amended)
        return is_state(fd, NULL) && holds_word(AT_FDCWD, path);

    DIR *dir = opendir(path);

    for (const struct dirent *entry; dir && !found && (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');

        found = dot && !strcmp(dot, ".json") && holds_word(dirfd(dir), entry->d_name);
    }
    if (dir)
        closedir(dir);
    return found;
}

static bool pass_file(int fd, bool amended)
{
    bool fails = pass() || pass_call("fsync", disk(fd, NULL));

    if (fault.on && !strcmp(fault.call, "record") && has_record(fd, amended))
        fails |= strike(fault.call);
    return fails;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL       (errno = errno ?: EIO, -1)

ssize_t write(int fd, const void *buf, size_t len)
{
    const struct iovec iov = {(void *)buf, len};

    return pass_data(fd, &iov, 1) ? FAIL : REAL(write)(fd, buf, len);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    const struct iovec iov = {(void *)buf, len};

    return pass_data(fd, &iov, 1) ? FAIL : REAL(send)(fd, buf, len, flags);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    return pass_data(fd, iov, count) ? FAIL : REAL(writev)(fd, iov, count);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    return pass_data(fd, m->msg_iov, (int)m->msg_iovlen) ? FAIL : REAL(sendmsg)(fd, m, flags);
}

ssize_t read(int fd, void *buf, size_t len)
{
    return pass_call("read", NULL) ? FAIL : REAL(read)(fd, buf, len);
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    return pass_call("read", NULL) ? FAIL : REAL(recv)(fd, buf, len, flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    return pass() || pass_call("read", NULL) ? FAIL : REAL(recvmsg)(fd, m, flags);
}

/* As FORTIFY calls them. */
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
    return len <= room ? read(fd, buf, len) : (abort(), -1);
}

ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags)
{
    return len <= room ? recv(fd, buf, len, flags) : (abort(), -1);
}

int poll(struct pollfd *fds, nfds_t count, int ms)
{
    return pass() || pass_call("poll", NULL) ? FAIL : REAL(poll)(fds, count, ms);
}

int __poll_chk(struct pollfd *fds, nfds_t count, int ms, size_t room);
int __poll_chk(struct pollfd *fds, nfds_t count, int ms, size_t room)
{
    return count * sizeof(*fds) <= room ? poll(fds, count, ms) : (abort(), -1);
}

int fsync(int fd)
{
    return pass_file(fd, false) ? FAIL : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    return pass_file(fd, true) ? FAIL : REAL(fdatasync)(fd);
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
    return pass_call("fallocate", disk(fd, NULL)) ? errno : REAL(posix_fallocate)(fd, offset, len);
}

int rename(const char *from, const char *to)
{
    return pass() || pass_call("rename", disk(-1, from)) ? FAIL : REAL(rename)(from, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return pass() || pass_call("rename", disk(-1, from))
               ? FAIL
               : REAL(renameat2)(from_dir, from, to_dir, to, flags);
}

int unlink(const char *path)
{
    return pass() || pass_call("unlink", disk(-1, path)) ? FAIL : REAL(unlink)(path);
}

/* Reading is never refused. */
int open(const char *path, int flags, ...)
{
    const bool writes = flags & (O_CREAT | O_WRONLY | O_RDWR);
    mode_t mode = 0;
    va_list args;

    va_start(args, flags);
    if (flags & (O_CREAT | O_TMPFILE))
        mode = va_arg(args, mode_t);
    va_end(args);
    return writes && pass_call("open", disk(-1, path)) ? FAIL : REAL(open)(path, flags, mode);
}

/* Of a domctl, which: domctl_N. */
static bool pass_hypercall(const privcmd_hypercall_t *h)
{
    char name[32] = "hypercall";

    if (!fault.by_name)
        return false;
    if (h->op == __HYPERVISOR_domctl)
        snprintf(name, sizeof(name), "domctl_%u", *(const uint32_t *)(uintptr_t)h->arg[0]);
    else
        snprintf(name, sizeof(name), "hypercall_%llu", (unsigned long long)h->op);
    return pass_call(name, "hypercall");
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    void *arg;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    if (request == IOCTL_PRIVCMD_HYPERCALL && pass_hypercall(arg))
        return FAIL;
    if (request != IOCTL_PRIVCMD_MMAPBATCH_V2 || !pass_call("map", NULL))
        return REAL(ioctl)(fd, request, arg);
    if (strcmp(fault.what, "page"))
        return FAIL;

    const privcmd_mmapbatch_v2_t *batch = arg;
    const int rc = REAL(ioctl)(fd, request, arg);

    if (!rc && batch->num)
        batch->err[batch->num / 2] = -EINVAL;
    return rc;
}

int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
    return open(path, flags);
}

/* Who gives up his rights (acceptor, relay) may make none of our calls any more. */
int setresuid(uid_t real, uid_t effective, uid_t saved)
{
    fault.on = fault.by_name = false;
    fault.opens = NULL;
    return REAL(setresuid)(real, effective, saved);
}

/* libxl's, by registers and stack: none has more arguments. */
#define LIBXL(name)                                                                                \
    int name(long a, long b, long c, long d, long e, long f, long g, long h);                      \
    int name(long a, long b, long c, long d, long e, long f, long g, long h)                       \
    {                                                                                              \
        return pass_call(#name, "libxl") ? -3 : REAL(name)(a, b, c, d, e, f, g, h);                \
    }

LIBXL(libxl_domain_info)
LIBXL(libxl_name_to_domid)
LIBXL(libxl_retrieve_domain_configuration)
LIBXL(libxl_domain_suspend)
LIBXL(libxl_domain_create_restore)
LIBXL(libxl_domain_rename)
LIBXL(libxl_domain_unpause)
LIBXL(libxl_domain_resume)
LIBXL(libxl_domain_destroy)
LIBXL(libxl_get_physinfo)

/* libxenstore's, likewise; NULL or false is its failure. */
#define XENSTORE(name)                                                                             \
    long name(long a, long b, long c, long d, long e);                                             \
    long name(long a, long b, long c, long d, long e)                                              \
    {                                                                                              \
        return pass_call(#name, "xenstore") ? 0 : REAL(name)(a, b, c, d, e);                       \
    }

XENSTORE(xs_open)
XENSTORE(xs_read)
XENSTORE(xs_write)
XENSTORE(xs_directory)
XENSTORE(xs_watch)
XENSTORE(xs_transaction_start)
XENSTORE(xs_transaction_end)
XENSTORE(xs_resume_domain)
