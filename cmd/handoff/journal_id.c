/* SPDX-License-Identifier: MIT */
#include "cmd/handoff/journal_id.h"

#include "base/deadline.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

int journal_sync_dir(const char *path, struct err *e)
{
    char dir[JOURNAL_PATH_BYTES];

    snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);

    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0 || fsync(fd))
        rc = err_sys(e, ERR_LOCAL, errno, "cannot sync %s", dir);
    if (fd >= 0)
        close(fd);
    return rc;
}

int journal_boot(char boot[static JOURNAL_BOOT_BYTES], struct err *e)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, boot, JOURNAL_BOOT_BYTES - 1);
    const int code = errno;

    if (fd >= 0)
        close(fd);
    if (n != JOURNAL_BOOT_BYTES - 1)
        return err_sys(e, ERR_LOCAL, n < 0 ? code : EPROTO, "cannot read %s", path);
    boot[n] = '\0';
    return 0;
}

/* -ENOENT without an error when there is none. */
static int read_id(const char *path, char id[static JOURNAL_ID_BYTES], struct err *e)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? -ENOENT : err_sys(e, ERR_LOCAL, errno, "cannot read %s", path);

    const ssize_t n = read(fd, id, JOURNAL_ID_BYTES - 1);

    close(fd);
    id[n > 0 ? n : 0] = '\0';
    return journal_is_id(id) ? 0 : err_set(e, ERR_LOCAL, EBADMSG, "%s makes no sense", path);
}

/* Whole from the moment it has its name, and the same for all who come at once. */
static int make_id(const char *path, struct err *e)
{
    char temp[JOURNAL_PATH_BYTES + 16], text[JOURNAL_ID_BYTES];
    uint8_t bytes[(JOURNAL_ID_BYTES - 1) / 2];
    int rc = 0;

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return err_sys(e, ERR_LOCAL, errno, "no random numbers for the journal's id");
    for (size_t i = 0; i < sizeof(bytes); i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    snprintf(temp, sizeof(temp), "%s.%d", path, (int)getpid());

    const int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot make %s", temp);
    rc = io_write_full(fd, text, sizeof(text) - 1, NULL, DEADLINE_NEVER);
    if (!rc && (fsync(fd) || (link(temp, path) && errno != EEXIST)))
        rc = -errno;
    close(fd);
    unlink(temp);
    return rc ? err_sys(e, ERR_LOCAL, -rc, "cannot make %s", path) : journal_sync_dir(path, e);
}

int journal_id(char id[static JOURNAL_ID_BYTES], struct err *e)
{
    char dir[PATHS_BYTES], path[JOURNAL_PATH_BYTES];
    int rc = open_state_dir(dir, e);

    if (rc)
        return rc;
    snprintf(path, sizeof(path), "%s/id", dir);
    rc = read_id(path, id, e);
    if (rc != -ENOENT || err_is_set(e))
        return rc;
    rc = make_id(path, e);
    return rc ? rc : read_id(path, id, e);
}

bool journal_is_of_this_boot(const struct journal_record *s)
{
    char boot[JOURNAL_BOOT_BYTES];
    struct err ignored = ERR_INIT;

    return journal_boot(boot, &ignored) || !strcmp(boot, s->boot);
}
