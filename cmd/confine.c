/* SPDX-License-Identifier: MIT */
#include "cmd/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WITH_SANITIZER 1
#else
#define WITH_SANITIZER 0
#endif

/* --- before --- */

int confine_prepare(struct confinement *c, struct err *e)
{
    const struct passwd *user = getpwnam(CONFINE_USER);
    char run_dir[PATHS_BYTES];
    int rc;

    if (!user)
        return err_set(e, ERR_REFUSED, ENOENT,
            "there is no user %s, as whom the processes run that strangers can reach: "
            "useradd --system --shell /usr/sbin/nologin %s, or let them run as root: --as-root",
            CONFINE_USER, CONFINE_USER);
    rc = open_run_dir(run_dir, e);
    if (rc)
        return rc;
    *c = (struct confinement){.on = true, .uid = user->pw_uid, .gid = user->pw_gid};
    snprintf(c->root, sizeof(c->root), "%s/empty", run_dir);
    /* Empty, or not made again. */
    if (rmdir(c->root) && errno != ENOENT)
        return err_sys(e, ERR_LOCAL, errno, "%s is not an empty directory", c->root);
    return mkdir(c->root, 0700) ? err_sys(e, ERR_LOCAL, errno, "cannot make %s", c->root) : 0;
}

/* --- privileges --- */

static int drop_capabilities(void)
{
    for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) && errno != EINVAL)
            return -1;
    return 0;
}

static int set_limits(void)
{
    const struct rlimit none = {0, 0};

    /* Its memory holds keys. The size of files is not limited: its log may be one, and no other can
     * be opened. */
    return setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* All three user ids: then the kernel takes the capabilities, too. */
static int change_user(const struct confinement *c)
{
    return setgroups(0, NULL) || setresgid(c->gid, c->gid, c->gid) ||
           setresuid(c->uid, c->uid, c->uid);
}

static int drop_privileges(const struct confinement *c, struct err *e)
{
    if (chroot(c->root) || chdir("/"))
        return err_sys(e, ERR_LOCAL, errno, "cannot make %s the root directory", c->root);
    if (drop_capabilities() || change_user(c))
        return err_sys(e, ERR_LOCAL, errno, "cannot become %s", CONFINE_USER);
    if (set_limits() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return err_sys(e, ERR_LOCAL, errno, "cannot give up privileges");
    if (!setresuid(0, 0, 0) || !c->uid)
        return err_set(e, ERR_LOCAL, EPERM, "%s can become root again", CONFINE_USER);
    return 0;
}

/* --- system calls --- */

/* What sockets, TLS, threads and memory need. */
static const int allowed[] = {
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

/* Libraries look for files at odd moments and go on without; here there are none. */
static const int no_such_file[] = {
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

/* Threads, not processes; memory that is not run. clone3 hides its flags: without it libc takes
 * clone. */
static int add_narrow_rules(scmp_filter_ctx filter)
{
    const uint64_t thread = CLONE_THREAD;
    int rc = seccomp_rule_add(
        filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));

    if (!rc)
        rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!rc)
        rc = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (!rc)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
            SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return rc;
}

static int limit_system_calls(struct err *e)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int rc = filter ? add_narrow_rules(filter) : -ENOMEM;

    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && !rc; i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    for (size_t i = 0; i < sizeof(no_such_file) / sizeof(no_such_file[0]) && !rc; i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), no_such_file[i], 0);
    if (!rc)
        rc = seccomp_load(filter);
    if (filter)
        seccomp_release(filter);
    return rc ? err_sys(e, ERR_LOCAL, -rc, "cannot limit system calls") : 0;
}

int confine_self(const struct confinement *c, struct err *e)
{
    int rc;

    if (!c->on)
        return 0;
    tzset(); /* certificates have dates, and the time zone is a file */
    rc = drop_privileges(c, e);
    return rc || WITH_SANITIZER ? rc : limit_system_calls(e);
}
