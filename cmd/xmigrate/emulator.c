/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/emulator.h"

#include "base/deadline.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_NS (10 * NS_PER_S)

enum { SAID_BYTES = 128 };

bool emulator_read_version(const char *said, struct device_model_version *v)
{
    const char *at = strstr(said, "version ");

    return at && sscanf(at, "version %5u.%5u", &v->major, &v->minor) == 2;
}

/* The configuration's own, or where distributions have libxl's. */
static const char *find(const libxl_domain_config *config)
{
    static const char *const places[] = {
        "/usr/libexec/xen-qemu-system-i386",
        "/usr/libexec/xen/bin/qemu-system-i386",
        "/usr/lib/xen/bin/qemu-system-i386",
        "/usr/lib/xen-4.17/bin/qemu-system-i386",
        "/usr/local/lib/xen/bin/qemu-system-i386",
        "/usr/bin/qemu-system-i386",
        "/usr/bin/qemu-system-x86_64",
    };
    const char *named = config->b_info.device_model ?: getenv(EMULATOR_ENV);

    if (named && named[0])
        return named;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (!access(places[i], X_OK))
            return places[i];
    return NULL;
}

static int start(const char *path, int out, pid_t *pid)
{
    char version[] = "--version", *argv[] = {(char *)(uintptr_t)path, version, NULL};
    posix_spawn_file_actions_t actions;
    int rc;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    rc = posix_spawn(pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

/* Its first line. */
static int run(const char *path, char said[static SAID_BYTES])
{
    const int64_t deadline_ns = deadline_in(ANSWER_NS);
    size_t n = 0;
    int ends[2], rc;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
        return -errno;
    rc = start(path, ends[1], &pid);
    close(ends[1]);
    if (!rc) {
        while (n < SAID_BYTES - 1 && !io_read_full(ends[0], &said[n], 1, NULL, deadline_ns) &&
               said[n] != '\n')
            n++;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    said[n] = '\0';
    close(ends[0]);
    return rc;
}

static int check_version(const char *path, struct device_model_version source, struct err *e)
{
    struct device_model_version here;
    char said[SAID_BYTES];
    const int rc = run(path, said);

    if (rc)
        return err_set(e, ERR_REFUSED, -rc,
            "the destination's device model cannot be run (%s: %s): HVM guests need QEMU for Xen "
            "there",
            path, strerror(-rc));
    if (!emulator_read_version(said, &here))
        return err_set(e, ERR_REFUSED, EPROTO,
            "the destination's device model (%s --version) names no version that makes sense",
            path);
    if (here.major > source.major || (here.major == source.major && here.minor >= source.minor))
        return 0;
    return err_set(e, ERR_REFUSED, EPROTONOSUPPORT,
        "the destination's device model is QEMU %u.%u (%s), which cannot take over the state of "
        "the guest's, QEMU %u.%u: update it there",
        here.major, here.minor, path, source.major, source.minor);
}

static int check_file(const char *path, const char *what, struct err *e)
{
    if (!path || path[0] != '/' || !access(path, R_OK))
        return 0;
    return err_set(e, ERR_REFUSED, errno,
        "the destination has no %s, the guest's %s: copy it there first", path, what);
}

int emulator_check(
    const libxl_domain_config *config, struct device_model_version source, struct err *e)
{
    const libxl_domain_build_info *b = &config->b_info;
    int rc;

    if (config->c_info.type != LIBXL_DOMAIN_TYPE_HVM)
        return 0;

    const char *path = find(config);

    if (!path)
        return err_set(e, ERR_REFUSED, ENOENT,
            "the destination has no device model for HVM guests (QEMU for Xen, Debian's package "
            "qemu-system-xen): install it there, or name it in " EMULATOR_ENV);
    rc = check_version(path, source, e);
    if (!rc)
        rc = check_file(b->kernel, "kernel", e);
    if (!rc)
        rc = check_file(b->ramdisk, "ramdisk", e);
    if (!rc)
        rc = check_file(b->u.hvm.firmware, "firmware", e);
    return rc ? rc : check_file(b->u.hvm.system_firmware, "system firmware", e);
}
