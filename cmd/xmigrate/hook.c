/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/hook.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/units.h"
#include "cmd/link.h"
#include "cmd/xmigrate/image/config_json.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* For the kernel, to end what was killed. */
#define KILLED_NS (2 * NS_PER_S)

/* ---- its environment ---- */

/* "VDEV=TARGET", a line each, after "NAME="; malloc'ed. */
static char *disks_variable(const char *name, const json_t *config, bool writable_only)
{
    const json_t *disks = json_object_get(config, "disks");
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return NULL;
    fprintf(f, "%s=", name);
    for (size_t i = 0; i < json_array_size(disks); i++) {
        const json_t *disk = json_array_get(disks, i);

        if (!writable_only || config_json_is_true(disk, "readwrite"))
            fprintf(f, "%s=%s\n", json_string_value(json_object_get(disk, "vdev")) ?: "?",
                json_string_value(json_object_get(disk, "pdev_path")) ?: "");
    }
    return fclose(f) ? NULL : text;
}

enum { OWN_VARIABLES = 6 };

static int fill_own(const struct hook *h, char *own[static OWN_VARIABLES])
{
    json_t *config = json_loads(h->config, 0, NULL);
    bool good = asprintf(&own[0], "XMIGRATE_DOMAIN=%s", h->domain) > 0;

    good = asprintf(&own[1], "XMIGRATE_DOMID=%u", h->domid) > 0 && good;
    good = asprintf(&own[2], "XMIGRATE_UUID=%s", h->uuid) > 0 && good;
    good = asprintf(&own[3], "XMIGRATE_FILE=%s", h->file) > 0 && good;
    own[4] = disks_variable("XMIGRATE_DISKS", config, false);
    own[5] = disks_variable("XMIGRATE_WRITABLE_DISKS", config, true);
    json_decref(config);
    return good && own[4] && own[5] ? 0 : -ENOMEM;
}

/* What belongs to our libxl operation: an xl of the hook's has its own. */
static bool is_private(const char *variable)
{
    static const char *const drop[] = {LINK_ENV "=", "LIBXL_SAVE_HELPER="};

    return !strncmp(variable, drop[0], strlen(drop[0])) ||
           !strncmp(variable, drop[1], strlen(drop[1]));
}

/* Ours first: of two with one name, programs see the first. */
static char **join(char *const own[static OWN_VARIABLES])
{
    size_t count = 0, kept = OWN_VARIABLES;
    char **all;

    while (environ[count])
        count++;
    all = calloc(count + OWN_VARIABLES + 1, sizeof(*all));
    if (!all)
        return NULL;
    memcpy(all, own, OWN_VARIABLES * sizeof(*own));
    for (size_t i = 0; i < count; i++)
        if (!is_private(environ[i]))
            all[kept++] = environ[i];
    return all;
}

/* ---- the process ---- */

static int spawn(const struct hook *h, char *const env[], pid_t *pid)
{
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)h->command, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(
        &attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    rc = posix_spawn(pid, "/bin/sh", &files, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

static int explain_status(int status, struct err *e)
{
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        return 0;
    if (WIFEXITED(status))
        return err_set(e, ERR_LOCAL, ECANCELED, "--while-suspended: it ended with exit code %d",
            WEXITSTATUS(status));
    return err_set(
        e, ERR_LOCAL, ECANCELED, "--while-suspended: it was killed by signal %d", WTERMSIG(status));
}

/* left: what to say of a process that does not die. */
static int explain_stop(const struct hook *h, int rc, const char *left, struct err *e)
{
    char limit[UNITS_TEXT_BYTES];

    if (rc == -ECANCELED)
        return err_set(e, ERR_CANCELLED, ECANCELED, "stopped by a signal%s", left);
    if (rc == -ETIMEDOUT)
        return err_set(e, ERR_LOCAL, ETIMEDOUT,
            "--while-suspended: it did not end within %s (--hook-timeout)%s",
            format_duration(h->limit_ns, limit), left);
    return err_sys(e, ERR_LOCAL, -rc, "--while-suspended%s", left);
}

/* It is our child and not waited for, so its number is its own until then. One that is stuck in the
 * kernel is left behind: the guest stands still meanwhile. */
static int await(const struct hook *h, pid_t pid, const struct cancel *cancel, struct err *e)
{
    const int pidfd = pidfd_open(pid, 0);
    char left[96] = "";
    int status = 0;
    int rc = pidfd < 0 ? -errno : io_wait(pidfd, POLLIN, cancel, deadline_in(h->limit_ns));

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
    return rc ? explain_stop(h, rc, left, e) : explain_status(status, e);
}

int hook_run(const struct hook *h, const struct cancel *cancel, struct err *e)
{
    char *own[OWN_VARIABLES] = {NULL};
    char **env = fill_own(h, own) ? NULL : join(own);
    pid_t pid;
    int rc = env ? spawn(h, env, &pid) : ENOMEM;

    rc = rc ? err_sys(e, ERR_LOCAL, rc, "cannot run what --while-suspended says")
            : await(h, pid, cancel, e);
    for (int i = 0; i < OWN_VARIABLES; i++)
        free(own[i]);
    free(env);
    return rc;
}
