/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/budget.h"

#include "base/min.h"
#include "base/units.h"
#include "cmd/lock_file.h"
#include "cmd/xmigrate/session/policy.h"
#include "crypto/config.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "sharing-"

enum { CLAIM_BYTES = 23, FIRST_GOOD_S = 4 };

/* --- the host's limit --- */

/* Its rights and owner have a time of their own. */
static struct budget_version policy_version(const struct budget *b)
{
    char path[CONFIG_PATH_BYTES];
    struct err ignored = ERR_INIT;
    struct stat s;

    return config_path(b->config_dir, "policy", path, &ignored) || stat(path, &s)
               ? (struct budget_version){0}
               : (struct budget_version){s.st_mtim, s.st_ctim};
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* The file may be replaced while it is read: then it is read again. */
static int read_limit(struct budget *b, struct err *e)
{
    struct policy *p = malloc(sizeof(*p));
    int rc;

    if (!p)
        return err_sys(e, ERR_LOCAL, ENOMEM, "cannot read the policy");
    b->policy_version = policy_version(b);
    rc = policy_load(p, b->config_dir, e);
    if (!rc)
        b->limit_bits_per_s = p->bandwidth_bits_per_s;
    free(p);
    return rc;
}

/* One that makes no sense changes nothing. */
static void look_at_policy(struct budget *b)
{
    const struct budget_version now = policy_version(b), then = b->policy_version;
    struct err e = ERR_INIT;

    b->policy_ns = deadline_in(BUDGET_POLICY_NS);
    if (same_time(now.written, then.written) && same_time(now.changed, then.changed))
        return;
    if (read_limit(b, &e))
        log_warn(b->log, "the bandwidth of this host stays as it was: %s", e.text);
}

/* --- claims --- */

static void write_claim(const struct budget *b)
{
    char text[CLAIM_BYTES + 1];

    snprintf(text, sizeof(text), "%020" PRIu64 " %d\n", b->claim.bits_per_s, b->claim.first);
    if (pwrite(b->fd, text, CLAIM_BYTES, 0) != CLAIM_BYTES)
        log_debug(b->log, "cannot write %s: %s", b->path, strerror(errno));
}

/* One that says nothing yet claims all it can get. */
static struct fair_claim read_claim(int fd)
{
    struct fair_claim c = {FAIR_SHARE_ALL, false};
    char text[CLAIM_BYTES + 1] = "";
    int first;

    if (pread(fd, text, CLAIM_BYTES, 0) == CLAIM_BYTES &&
        sscanf(text, "%" SCNu64 " %d", &c.bits_per_s, &first) == 2)
        c.first = first;
    return c;
}

/* Of a file that somebody holds. Every process writes at each look, so one that was stopped no
 * longer comes first. */
static bool look_at(const char *dir, const char *name, struct fair_claim *c)
{
    int fd;

    if (!lock_file_is_held(dir, name, &fd))
        return false;
    *c = read_claim(fd);
    c->first = c->first && lock_file_was_touched(fd, FIRST_GOOD_S);
    close(fd);
    return true;
}

/* Its own comes first. How many there are. */
static unsigned collect(const struct budget *b, struct fair_claim of[static FAIR_SHARE_MOST])
{
    const char *own = strrchr(b->path, '/') + 1;
    char dir[PATHS_BYTES];
    unsigned count = 1;
    const struct dirent *entry;

    of[0] = b->claim;
    snprintf(dir, sizeof(dir), "%.*s", (int)(own - 1 - b->path), b->path);

    DIR *d = opendir(dir);

    while (d && count < FAIR_SHARE_MOST && (entry = readdir(d)))
        if (!strncmp(entry->d_name, PREFIX, sizeof(PREFIX) - 1) && strcmp(entry->d_name, own))
            count += look_at(dir, entry->d_name, &of[count]);
    if (d)
        closedir(d);
    return count;
}

/* --- shares --- */

static void set_share(struct budget *b, uint64_t bits_per_s)
{
    char share[UNITS_TEXT_BYTES], limit[UNITS_TEXT_BYTES];

    if (bits_per_s == b->share_bits_per_s)
        return;
    b->share_bits_per_s = bits_per_s;
    b->counted_ns = 0;
    log_debug(b->log, "of this host's %s this move has %s (moves: %u)",
        format_rate((double)b->limit_bits_per_s, limit), format_rate((double)bits_per_s, share),
        b->moves);
}

static void share_out(struct budget *b, bool joining)
{
    struct fair_claim of[FAIR_SHARE_MOST];
    const uint64_t before = b->due_bits_per_s;

    if (b->own_bits_per_s)
        b->claim.bits_per_s = min_u64(b->claim.bits_per_s, b->own_bits_per_s);
    write_claim(b);
    b->moves = collect(b, of);
    b->due_bits_per_s = fair_share(b->limit_bits_per_s, of, b->moves, 0);

    uint64_t share = joining ? b->due_bits_per_s : min_u64(b->due_bits_per_s, before);

    /* Whatever it had lent. */
    if (b->claim.first && share < b->limit_bits_per_s / b->moves)
        share = min_u64(b->due_bits_per_s, b->limit_bits_per_s / b->moves);
    set_share(b, share);
}

/* --- coming and going --- */

static int take_file(struct budget *b, struct err *e)
{
    char dir[PATHS_BYTES];
    int rc = open_run_dir(dir, e);

    if (rc)
        return rc;
    for (unsigned i = 1; i <= FAIR_SHARE_MOST; i++) {
        snprintf(b->path, sizeof(b->path), "%s/" PREFIX "%u", dir, i);
        rc = lock_file_take(b->path, &b->fd);
        if (rc != -EWOULDBLOCK)
            break;
        close(b->fd);
    }
    if (!rc)
        return 0;
    b->fd = -1;
    return err_sys(e, ERR_LOCAL, -rc, "cannot lock %s", b->path);
}

static void drop_file(struct budget *b)
{
    if (b->fd >= 0)
        lock_file_drop(b->path, b->fd);
    b->fd = -1;
    b->share_bits_per_s = b->due_bits_per_s = 0;
}

static int enter(struct budget *b, struct err *e)
{
    const int rc = take_file(b, e);

    if (rc)
        return rc;
    b->claim = (struct fair_claim){FAIR_SHARE_ALL, b->claim.first};
    share_out(b, true);
    return 0;
}

static void plan_look(struct budget *b)
{
    b->look_ns = b->limit_bits_per_s ? deadline_in(BUDGET_LOOK_NS) : b->policy_ns;
}

int budget_read(struct budget *b, const char *config_dir, const struct log *log, struct err *e)
{
    *b = BUDGET_INIT;
    b->config_dir = config_dir;
    b->log = log;
    return read_limit(b, e);
}

int budget_join(struct budget *b, uint64_t own_bits_per_s, struct err *e)
{
    int rc = 0;

    b->own_bits_per_s = own_bits_per_s;
    look_at_policy(b);
    if (b->limit_bits_per_s)
        rc = enter(b, e);
    if (!rc)
        plan_look(b);
    return rc;
}

void budget_leave(struct budget *b)
{
    drop_file(b);
    b->look_ns = DEADLINE_NEVER;
}

uint64_t budget_bits_per_s(const struct budget *b)
{
    if (!b->share_bits_per_s || !b->own_bits_per_s)
        return b->share_bits_per_s ?: b->own_bits_per_s;
    return min_u64(b->share_bits_per_s, b->own_bits_per_s);
}

/* --- meanwhile --- */

static void warn_once(struct budget *b, const struct err *e)
{
    if (!b->warned)
        log_warn(b->log, "this move goes on without this host's limit of bandwidth: %s", e->text);
    b->warned = true;
}

static void look(struct budget *b)
{
    struct err e = ERR_INIT;

    if (deadline_passed(b->policy_ns))
        look_at_policy(b);
    if (!b->limit_bits_per_s)
        drop_file(b);
    else if (b->fd >= 0)
        share_out(b, false);
    else if (enter(b, &e))
        warn_once(b, &e);
    plan_look(b);
}

void budget_look(struct budget *b)
{
    if (deadline_passed(b->look_ns))
        look(b);
}

void budget_note_sent(struct budget *b, uint64_t wire_bytes)
{
    const int64_t at_ns = now_ns(), span_ns = at_ns - b->counted_ns;

    if (b->fd < 0 || b->claim.first)
        return;
    if (b->counted_ns && span_ns < BUDGET_USE_NS)
        return;
    if (b->counted_ns && wire_bytes >= b->counted_bytes) {
        const double bits = (double)(wire_bytes - b->counted_bytes) * 8;

        b->claim.bits_per_s = fair_claim_of((uint64_t)(bits * NS_PER_S / (double)span_ns),
            b->share_bits_per_s, b->limit_bits_per_s);
    }
    b->counted_ns = at_ns;
    b->counted_bytes = wire_bytes;
}

void budget_note_watching(struct budget *b)
{
    b->counted_ns = 0;
}

void budget_come_first(struct budget *b, bool first)
{
    if (b->claim.first == first)
        return;
    b->claim = (struct fair_claim){FAIR_SHARE_ALL, first};
    b->counted_ns = 0;
    if (b->fd >= 0)
        look(b);
}
