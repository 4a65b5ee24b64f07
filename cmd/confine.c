/* SPDX-License-Identifier: MIT */
#include "cmd/confine.h"

#include "cmd/capabilities.h"
#include "cmd/system_calls.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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
    if (capabilities_forbid() || change_user(c))
        return err_sys(e, ERR_LOCAL, errno, "cannot become %s", CONFINE_USER);
    if (set_limits() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return err_sys(e, ERR_LOCAL, errno, "cannot give up privileges");
    if (!setresuid(0, 0, 0) || !c->uid)
        return err_set(e, ERR_LOCAL, EPERM, "%s can become root again", CONFINE_USER);
    return 0;
}

int confine_self(const struct confinement *c, struct err *e)
{
    int rc;

    if (!c->on)
        return 0;
    tzset(); /* certificates have dates, and the time zone is a file */
    rc = drop_privileges(c, e);
    return rc ? rc : system_calls_limit(SYSTEM_CALLS_STRANGERS, e);
}
