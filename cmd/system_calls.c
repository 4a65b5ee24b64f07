/* SPDX-License-Identifier: MIT */
#include "cmd/system_calls.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

/* What sockets, TLS, threads and memory need. */
static const int always[] = {
    SCMP_SYS(accept4),
    SCMP_SYS(brk),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(close),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(fcntl),
    SCMP_SYS(fstat),
    SCMP_SYS(futex),
    SCMP_SYS(getegid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getpeername),
    SCMP_SYS(getpid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt),
    SCMP_SYS(gettid),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getuid),
    SCMP_SYS(lseek),
    SCMP_SYS(madvise),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown),
    SCMP_SYS(socketpair),
    SCMP_SYS(sysinfo),
    SCMP_SYS(time),
    SCMP_SYS(uname),
    SCMP_SYS(write),
    SCMP_SYS(writev),
};

/* Libraries look for files at odd moments and go on without. */
static const int of_files[] = {
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(newfstatat),
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(stat),
    SCMP_SYS(statx),
};

/* The engine's besides: Xen's devices, xenstored's socket, its disks and its locks. */
static const int of_the_engine[] = {
    SCMP_SYS(clone), /* a process that it made would be as limited, and could run nothing else */
    SCMP_SYS(clone3),
    SCMP_SYS(connect),
    SCMP_SYS(dup),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(fdatasync),
    SCMP_SYS(fsync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(getdents64),
    SCMP_SYS(getppid),
    SCMP_SYS(ioctl),
    SCMP_SYS(membarrier),
    SCMP_SYS(memfd_create),
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    SCMP_SYS(nanosleep),
    SCMP_SYS(pipe2),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(prlimit64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(pwritev),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(signalfd4),
};

/* Memory that is not run. */
static int add_memory_rules(scmp_filter_ctx filter)
{
    int rc = seccomp_rule_add(
        filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

    if (!rc)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
            SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return rc;
}

/* Threads, not processes. clone3 hides its flags: without it libc takes clone. */
static int add_strangers_rules(scmp_filter_ctx filter)
{
    const uint64_t thread = CLONE_THREAD;
    const int rc = seccomp_rule_add(
        filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));

    return rc ? rc : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

/* Sockets of this host, and no word to the kernel about what a process may do; a process ends
 * itself alone. */
static int add_engine_rules(scmp_filter_ctx filter)
{
    int rc = seccomp_rule_add(
        filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX));

    if (!rc)
        rc = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_PDEATHSIG));
    if (!rc)
        rc = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
    if (!rc)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1,
            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (!rc)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    return rc;
}

static int add_rules(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    int rc = 0;

    for (size_t i = 0; i < count && !rc; i++)
        rc = seccomp_rule_add(filter, action, calls[i], 0);
    return rc;
}

#define ADD(filter, action, calls)                                                                 \
    add_rules(filter, action, calls, sizeof(calls) / sizeof(calls[0]))

static int fill(scmp_filter_ctx filter, enum system_calls to)
{
    const bool engine = to == SYSTEM_CALLS_ENGINE;
    int rc = add_memory_rules(filter);

    if (!rc)
        rc = ADD(filter, SCMP_ACT_ALLOW, always);
    if (!rc)
        rc = ADD(filter, engine ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOENT), of_files);
    if (!rc && engine)
        rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    if (!rc && engine)
        rc = ADD(filter, SCMP_ACT_ALLOW, of_the_engine);
    if (rc)
        return rc;
    return engine ? add_engine_rules(filter) : add_strangers_rules(filter);
}

int system_calls_limit(enum system_calls to, struct err *e)
{
    if (WITH_SANITIZER)
        return 0;

    scmp_filter_ctx filter = seccomp_init(
        to == SYSTEM_CALLS_ENGINE ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS);
    int rc = filter ? fill(filter, to) : -ENOMEM;

    if (!rc)
        rc = seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    return rc ? err_sys(e, ERR_LOCAL, -rc, "cannot limit system calls") : 0;
}
