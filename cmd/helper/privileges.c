/* SPDX-License-Identifier: MIT */
#include "cmd/helper/privileges.h"

#include "cmd/capabilities.h"
#include "cmd/paths.h"
#include "cmd/system_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SEEN_PATH_BYTES = 64 };

/* --- files --- */

/* path, as it is in this host, in the new root: nothing if it is not there. */
static int show(const char *root, const char *path)
{
    char at[PATHS_BYTES + SEEN_PATH_BYTES];
    struct stat st;

    if (stat(path, &st))
        return errno == ENOENT ? 0 : -1;
    snprintf(at, sizeof(at), "%s%s", root, path);
    if (S_ISDIR(st.st_mode) ? mkdir(at, 0700) : mknod(at, S_IFREG | 0600, 0))
        return -1;
    return mount(path, at, NULL, MS_BIND, NULL);
}

static int make_directories(const char *root)
{
    static const char *const names[] = {"/dev", "/run", "/run/xen", "/var"};
    char at[PATHS_BYTES + SEEN_PATH_BYTES];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(at, sizeof(at), "%s%s", root, names[i]);
        if (mkdir(at, 0700))
            return -1;
    }
    snprintf(at, sizeof(at), "%s/var/run", root);
    return symlink("/run", at);
}

/* A file system in memory, seen by this process alone and gone with it. */
static int make_root(const char *root, uint32_t domid)
{
    /* A bind remount keeps none of them by itself. */
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    char device_model[SEEN_PATH_BYTES];

    snprintf(device_model, sizeof(device_model), "/run/xen/qmp-libxenstat-%u", domid);
    /* What this host unmounts is unmounted here too; what is mounted here is not seen there. */
    return unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) ||
           mount("xmigrate", root, "tmpfs", flags, "mode=700") || make_directories(root) ||
           show(root, "/dev/xen") || show(root, "/run/xenstored") || show(root, device_model) ||
           mount(NULL, root, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL) ||
           chroot(root) || chdir("/");
}

/* Any directory will do to mount it on: the one that is sure to be there. */
static int leave_files(uint32_t domid, struct err *e)
{
    char root[PATHS_BYTES];
    const int rc = WITH_SANITIZER ? 0 : open_run_dir(root, e);

    if (!rc && !WITH_SANITIZER && make_root(root, domid))
        return err_sys(e, ERR_LOCAL, errno, "cannot make it a root directory of its own");
    return rc;
}

/* --- all of it --- */

/* What would be looked for in files, or asked of the kernel, later. */
static void prepare(void)
{
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

    tzset();
    /* libxenstore ends its thread with pthread_cancel(), for which libc loads this library. */
    dlopen("libgcc_s.so.1", RTLD_NOW);
    /* Where there is no /dev/xen/hypercall, libxencall locks the buffers of hypercalls. */
    setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

static int leave_capabilities(struct err *e)
{
    const bool forbidden = !capabilities_forbid();
    const int why = errno;

    /* Without CAP_SETPCAP there may still be others to drop. */
    if (capabilities_drop() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return err_sys(e, ERR_LOCAL, errno, "cannot drop its capabilities");
    return forbidden ? 0
                     : err_sys(e, ERR_LOCAL, why, "cannot empty its capability bounding set");
}

static void warn(const struct log *log, struct err *e)
{
    if (err_is_set(e))
        log_warn(log, "the engine keeps privileges that it does not need: %s", e->text);
    *e = (struct err)ERR_INIT;
}

void privileges_drop(uint32_t domid, const struct log *log)
{
    struct err e = ERR_INIT;

    prepare();
    leave_files(domid, &e);
    warn(log, &e);
    leave_capabilities(&e);
    warn(log, &e);
    system_calls_limit(SYSTEM_CALLS_ENGINE, &e);
    warn(log, &e);
}
