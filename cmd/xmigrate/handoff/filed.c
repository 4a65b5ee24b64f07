/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/filed.h"

#include "base/deadline.h"
#include "cmd/xmigrate/image/new_file.h"
#include "cmd/xmigrate/libxl/monitor.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void filed_drop(const struct journal_record *s)
{
    struct err ignored = ERR_INIT;
    struct new_file f;

    /* What has the name now does not matter. */
    if (!filed_is(s))
        return;
    new_file_find(&f, s->file, s->supervisor, &ignored);
    new_file_drop(&f);
    new_file_close(&f);
}

int filed_publish(const struct log *log, const struct journal_record *s, struct err *e)
{
    struct new_file f;
    int rc = new_file_find(&f, s->file, s->supervisor, e);

    if (!rc)
        rc = new_file_publish(&f, s->file_inode, e);
    new_file_close(&f);
    if (!rc)
        log_info(log, "\"%s\" is saved in %s", s->name, s->file);
    return rc;
}

/* --- reviving --- */

/* Killed between its name and its start. */
static int start_restored(struct xl *xl, const struct xl_domain *d, struct err *e)
{
    int rc = 0;

    if (d->paused && !d->cpu_ns)
        rc = xl_unpause(xl, d->domid, deadline_in(XL_SHORT_NS), e);
    return rc ? rc : monitor_start(d->domid, d->uuid, e);
}

enum { MAX_RESTORE_WORDS = 9 };

static void fill_restore_words(
    const struct journal_record *s, const char *words[static MAX_RESTORE_WORDS])
{
    unsigned n = 0;

    words[n++] = "xmigrate";
    words[n++] = "--restore";
    words[n++] = "--disks-as-they-are";
    if (s->file_key[0]) {
        words[n++] = "--key";
        words[n++] = s->file_key;
    }
    if (s->file_parent[0]) {
        words[n++] = "--parent";
        words[n++] = s->file_parent;
    }
    words[n++] = s->file;
    words[n] = NULL;
}

const char *filed_restore_command(
    const struct journal_record *s, char text[static FILED_COMMAND_BYTES])
{
    const char *words[MAX_RESTORE_WORDS];
    size_t used = 0;

    fill_restore_words(s, words);
    for (unsigned n = 0; words[n] && used < FILED_COMMAND_BYTES; n++)
        used += (size_t)snprintf(
            text + used, FILED_COMMAND_BYTES - used, "%s%s", n ? " " : "", words[n]);
    return text;
}

/* True: it ended well. */
static bool run_restore(const struct journal_record *s)
{
    const char *argv[MAX_RESTORE_WORDS];
    int status;
    pid_t pid;

    fill_restore_words(s, argv);
    return !posix_spawn(&pid, "/proc/self/exe", NULL, NULL, (char **)argv, environ) &&
           waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What an earlier try has half-built is removed first. */
static int check_arrival(const struct journal_record *s, struct err *e)
{
    struct journal came;
    int rc = journal_open(&came, HANDOFF_DESTINATION, s->uuid, e);

    if (rc)
        return rc == -ENOENT && !err_is_set(e) ? 0 : rc;
    if (came.now.state == HANDOFF_COMING || came.now.state == HANDOFF_READY)
        rc = err_set(e, ERR_LOCAL, EBUSY,
            "it is in %s, and what was built of it is not settled: xmigrate --recover first",
            s->file);
    journal_keep(&came);
    return rc;
}

/* It has its name once it is whole. */
static int check_whole(const struct journal_record *s, const struct xl_domain *d, struct err *e)
{
    if (!d->dying && !strcmp(d->name, s->name))
        return 0;
    return err_set(e, ERR_LOCAL, EBUSY,
        "it is in %s, and domain %u (\"%s\") has its UUID without its name: xmigrate --recover "
        "removes that if it is half-built; if it is the guest itself, xl rename %u %s",
        s->file, d->domid, d->name, d->domid, s->name);
}

static int revive(struct xl *xl, struct journal *j, struct err *e)
{
    const struct journal_record *s = &j->now;
    char command[FILED_COMMAND_BYTES];
    struct err why = ERR_INIT;
    struct xl_domain d;
    int rc = check_arrival(s, e);

    if (rc)
        return rc;
    rc = xl_twin_of(xl, s->uuid, s->domid, &d, &why);
    if (rc && rc != -ESRCH)
        return err_take(e, &why);
    if (!rc) {
        rc = check_whole(s, &d, e);
        if (!rc && journal_is_of_this_boot(s))
            rc = start_restored(xl, &d, e);
        if (!rc)
            journal_remove(j);
        return rc;
    }
    if (!journal_is_of_this_boot(s))
        return err_set(e, ERR_LOCAL, ESTALE,
            "it is in %s, from before this host was started anew. Only if it has not run since: %s",
            s->file, filed_restore_command(s, command));
    log_info(xl->log, "\"%s\" is in %s and nowhere else: it is built again", s->name, s->file);
    journal_keep(j);
    return run_restore(s) ? 0
                          : err_set(e, ERR_LOCAL, EIO,
                                "it is in %s and nowhere else, and could not be built again: %s",
                                s->file, filed_restore_command(s, command));
}

struct revival {
    struct xl *xl;
    bool failed;
};

static void revive_one(void *arg, struct journal *j)
{
    struct revival *r = arg;
    struct err e = ERR_INIT;

    if (filed_is_revived(&j->now) && revive(r->xl, j, &e)) {
        log_error(r->xl->log, "\"%s\": %s", j->now.name, e.text);
        r->failed = true;
    }
    journal_keep(j);
}

bool filed_revive_all(struct xl *xl, const struct log *log)
{
    struct revival r = {.xl = xl};
    struct err e = ERR_INIT;

    return journal_visit_orphans(log, revive_one, &r, &e) >= 0 && !r.failed;
}
