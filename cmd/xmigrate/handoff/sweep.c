/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/sweep.h"

#include "base/units.h"
#include "cmd/handoff/journal.h"
#include "cmd/lock_file.h"
#include "cmd/paths.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool sweep_is_of_dead(const char *number)
{
    uint64_t pid;

    return parse_u64(number, 1, INT32_MAX, &pid) && kill((pid_t)pid, 0) && errno == ESRCH;
}

/* PREFIX and a process's number, of processes that were killed. */
static void remove_of_dead(const char *dir, const char *prefix)
{
    const size_t len = strlen(prefix);
    DIR *d = opendir(dir);

    for (const struct dirent *entry; d && (entry = readdir(d));)
        if (!strncmp(entry->d_name, prefix, len) && sweep_is_of_dead(entry->d_name + len))
            unlinkat(dirfd(d), entry->d_name, 0);
    if (d)
        closedir(d);
}

/* The lock of a guest or of its monitor says more than who holds it. */
static bool is_shared_files(const char *name, size_t *stem)
{
    const char *dot = strrchr(name, '.');

    *stem = dot ? (size_t)(dot - name) : 0;
    return dot && !strcmp(dot, ".lock") && strncmp(name, "domain-", 7) &&
           strncmp(name, "monitor-", 8);
}

/* Of a change that was not finished (cmd/xmigrate/shared_file.h): the lock, and what was written.
 */
static void remove_half_changed(const char *dir, const char *name, size_t stem)
{
    char path[PATHS_BYTES + NAME_MAX + 8];
    int fd, rc;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    rc = lock_file_take(path, &fd);
    if (rc == -EWOULDBLOCK)
        close(fd);
    if (rc)
        return;
    snprintf(path, sizeof(path), "%s/%.*s.new", dir, (int)stem, name);
    unlink(path);
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    lock_file_drop(path, fd);
}

static void remove_unfinished(const char *dir)
{
    DIR *d = opendir(dir);
    size_t stem;

    for (const struct dirent *entry; d && (entry = readdir(d));)
        if (is_shared_files(entry->d_name, &stem))
            remove_half_changed(dir, entry->d_name, stem);
    if (d)
        closedir(d);
}

/* The meeting places of supervisors and helpers, and a journal's id that was not yet its. */
void sweep_dead(void)
{
    struct err ignored = ERR_INIT;
    char dir[PATHS_BYTES];

    if (!open_run_dir(dir, &ignored)) {
        remove_of_dead(dir, "link-");
        remove_of_dead(dir, "admin-");
        remove_unfinished(dir);
    }
    if (!open_state_dir(dir, &ignored))
        remove_of_dead(dir, "id.");
    journal_sweep();
}
