/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/newcomer.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/lock_file.h"
#include "cmd/paths.h"
#include "cmd/xmigrate/libxl/dom0.h"
#include "engine/xen/build.h"
#include "engine/xen/domain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PREFIX "newcomer-"
/* Who holds it asks libxl two or three short questions. */
#define LOCK_NS (10 * NS_PER_S)

enum { NEWCOMER_PATH_BYTES = PATHS_BYTES + 32, DOM0_SLACK_KB = 16 * 1024 };

/* --- all of them --- */

struct newcomers {
    char dir[PATHS_BYTES];
    char lock_path[NEWCOMER_PATH_BYTES];
    int lock_fd;

    unsigned last;        /* the highest number of all */
    unsigned ahead;       /* that are before `number` */
    unsigned number;      /* whose; 0: nobody's */
    uint64_t promised_kb; /* to the others */
};

static bool parse_number(const char *name, unsigned *number)
{
    uint64_t n;

    if (strncmp(name, PREFIX, strlen(PREFIX)) ||
        !parse_u64(name + strlen(PREFIX), 1, UINT32_MAX, &n))
        return false;
    *number = (unsigned)n;
    return true;
}

static uint64_t read_kb(int fd)
{
    char text[32] = "";
    uint64_t kb;
    const ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    return n > 0 && parse_u64(text, 0, UINT64_MAX, &kb) ? kb : 0;
}

/* Under the lock. What nobody has locked is of one that was killed. */
static void look_at(struct newcomers *all, int dir_fd, const char *name, unsigned number)
{
    const int fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return;
    if (number > all->last)
        all->last = number;
    if (!flock(fd, LOCK_EX | LOCK_NB)) {
        unlinkat(dir_fd, name, 0);
    } else if (number != all->number) {
        all->ahead += number < all->number;
        all->promised_kb += read_kb(fd);
    }
    close(fd);
}

static int look_at_all(struct newcomers *all, struct err *e)
{
    DIR *d = opendir(all->dir);
    unsigned number;

    if (!d)
        return err_sys(e, ERR_LOCAL, errno, "cannot list %s", all->dir);
    for (const struct dirent *at; (at = readdir(d));)
        if (parse_number(at->d_name, &number))
            look_at(all, dirfd(d), at->d_name, number);
    closedir(d);
    return 0;
}

static void let_go(const struct newcomers *all)
{
    lock_file_drop(all->lock_path, all->lock_fd);
}

/* With 0 the lock is held, and all of them were looked at. */
static int lock_all(struct newcomers *all, const struct newcomer *a, struct err *e)
{
    int rc;

    *all = (struct newcomers){.number = a->fd < 0 ? 0 : a->number};
    rc = open_run_dir(all->dir, e);
    if (rc)
        return rc;
    snprintf(all->lock_path, sizeof(all->lock_path), "%s/newcomers.lock", all->dir);
    rc = lock_file_wait(all->lock_path, deadline_in(LOCK_NS), &all->lock_fd);
    if (rc)
        return rc == -EWOULDBLOCK ? err_set(e, ERR_LOCAL, ETIMEDOUT,
                                        "%s is locked by another process", all->lock_path)
                                  : err_sys(e, ERR_LOCAL, -rc, "cannot lock %s", all->lock_path);
    rc = look_at_all(all, e);
    if (rc)
        let_go(all);
    return rc;
}

static int write_kb(const struct newcomer *a, uint64_t kb, struct err *e)
{
    char text[32];
    const int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)kb);

    if (ftruncate(a->fd, 0) || pwrite(a->fd, text, (size_t)len, 0) != len)
        return err_sys(e, ERR_LOCAL, errno, "cannot write " PREFIX "%u", a->number);
    return 0;
}

/* --- coming and going --- */

static void make_path(
    const struct newcomers *all, const struct newcomer *a, char path[static NEWCOMER_PATH_BYTES])
{
    snprintf(path, NEWCOMER_PATH_BYTES, "%s/" PREFIX "%u", all->dir, a->number);
}

int newcomer_join(struct newcomer *a, struct err *e)
{
    char path[NEWCOMER_PATH_BYTES];
    struct newcomers all;
    int rc;

    *a = (struct newcomer){.fd = -1};
    rc = lock_all(&all, a, e);
    if (rc)
        return rc;
    a->number = all.last + 1;
    make_path(&all, a, path);
    rc = lock_file_take(path, &a->fd);
    let_go(&all);
    if (!rc)
        return 0;
    a->fd = -1;
    return err_sys(e, ERR_LOCAL, -rc, "cannot lock %s", path);
}

int newcomer_ahead(const struct newcomer *a, unsigned *ahead, struct err *e)
{
    struct newcomers all;
    const int rc = lock_all(&all, a, e);

    if (rc)
        return rc;
    let_go(&all);
    *ahead = all.ahead;
    return 0;
}

void newcomer_leave(struct newcomer *a)
{
    char path[NEWCOMER_PATH_BYTES];
    struct newcomers all = {.lock_fd = -1};
    struct err ignored = ERR_INIT;

    if (a->fd < 0)
        return;
    if (!open_run_dir(all.dir, &ignored)) {
        make_path(&all, a, path);
        unlink(path);
    }
    close(a->fd);
    a->fd = -1;
}

/* --- its memory --- */

/* What is on its way from dom0 already is as good as free; but dom0 may always have somewhat more
 * than its target. */
int room_plan(const struct room *r, uint64_t *dom0_kb)
{
    const uint64_t meant_kb = r->dom0_target_kb + DOM0_SLACK_KB;
    const uint64_t coming_kb = r->dom0_kb > meant_kb ? r->dom0_kb - meant_kb : 0;
    const uint64_t have_kb = r->free_kb + coming_kb, want_kb = r->need_kb + r->promised_kb;

    *dom0_kb = r->dom0_target_kb;
    if (want_kb <= have_kb)
        return 0;
    if (!r->may_balloon || r->dom0_target_kb < DOM0_LEAST_KB ||
        r->dom0_target_kb - DOM0_LEAST_KB < want_kb - have_kb)
        return -ENOMEM;
    *dom0_kb -= want_kb - have_kb;
    return 0;
}

/* And how room can be made. */
static int refuse(const struct room *r, const char *name, struct err *e)
{
    char need[UNITS_TEXT_BYTES], is_free[UNITS_TEXT_BYTES], promised[UNITS_TEXT_BYTES],
        least[UNITS_TEXT_BYTES], how[160] = "", others[120] = "";
    const uint64_t missing_kb = r->need_kb + r->promised_kb - r->free_kb;

    if (r->promised_kb)
        snprintf(others, sizeof(others), ", of which %s are promised to guests on their way there",
            format_bytes(r->promised_kb * 1024, promised));
    if (r->may_balloon)
        snprintf(how, sizeof(how), "; dom0 there keeps at least %s, and cannot give so much",
            format_bytes(DOM0_LEAST_KB * 1024ull, least));
    else if (r->dom0_target_kb >= DOM0_LEAST_KB + missing_kb)
        snprintf(how, sizeof(how),
            "; its dom0 is not ballooned (autoballoon in xl.conf there, dom0_mem=): \"xl mem-set 0 "
            "%lluk\" there makes room",
            (unsigned long long)(r->dom0_target_kb - missing_kb));
    return err_set(e, ERR_REFUSED, ENOMEM,
        "too little memory: \"%s\" needs %s and %s are free%s (xl info shows free_memory)%s", name,
        format_bytes(r->need_kb * 1024, need), format_bytes(r->free_kb * 1024, is_free), others,
        how);
}

static int survey_room(struct room *r, struct xl *xl, struct err *e)
{
    struct err ignored = ERR_INIT;
    struct xl_host host;
    struct dom0 dom0;
    const int rc = xl_host(xl, &host, e);

    if (rc)
        return rc;
    r->free_kb = host.free_kb;
    if (!dom0_read(xl, &dom0, &ignored)) {
        r->may_balloon = dom0.may_balloon;
        r->dom0_kb = dom0.current_kb;
        r->dom0_target_kb = dom0.target_kb;
    }
    return 0;
}

/* Under the lock. *dom0_kb: as of room_plan(). */
static int find_room(
    struct room *r, struct xl *xl, const char *name, uint64_t *dom0_kb, struct err *e)
{
    const int rc = survey_room(r, xl, e);

    if (rc)
        return rc;
    return room_plan(r, dom0_kb) ? refuse(r, name, e) : 0;
}

int newcomer_check(struct xl *xl, libxl_domain_config *config, const char *name, struct err *e)
{
    const struct newcomer nobody = {.fd = -1};
    struct newcomers all;
    struct room r = {0};
    uint64_t dom0_kb;
    int rc = xl_config_need_memory(xl, config, name, &r.need_kb, e);

    if (!rc)
        rc = lock_all(&all, &nobody, e);
    if (rc)
        return rc;
    r.promised_kb = all.promised_kb;
    rc = find_room(&r, xl, name, &dom0_kb, e);
    let_go(&all);
    return rc;
}

/* Under the lock. */
static int promise(
    struct newcomer *a, const struct newcomers *all, struct xl *xl, const char *name, struct err *e)
{
    struct room r = {.need_kb = a->need_kb, .promised_kb = all->promised_kb};
    uint64_t dom0_kb;
    int rc = find_room(&r, xl, name, &dom0_kb, e);

    if (rc)
        return rc;
    rc = write_kb(a, a->need_kb, e);
    a->awaits = r.need_kb + r.promised_kb > r.free_kb;
    if (rc || dom0_kb == r.dom0_target_kb)
        return rc;
    rc = dom0_set(xl, dom0_kb, e);
    if (!rc)
        a->lowered_kb = r.dom0_target_kb - dom0_kb;
    return rc;
}

int newcomer_promise(
    struct newcomer *a, struct xl *xl, libxl_domain_config *config, const char *name, struct err *e)
{
    const libxl_domain_build_info *b = &config->b_info;
    struct newcomers all;
    int rc = xl_config_need_memory(xl, config, name, &a->need_kb, e);

    a->guest_kb = b->target_memkb && b->target_memkb < b->max_memkb ? b->target_memkb
                                                                    : b->max_memkb;
    if (!rc)
        rc = lock_all(&all, a, e);
    if (rc)
        return rc;
    rc = promise(a, &all, xl, name, e);
    let_go(&all);
    return rc;
}

int newcomer_has_room(struct newcomer *a, struct xl *xl, struct err *e)
{
    struct newcomers all;
    struct xl_host host;
    int rc = a->awaits ? lock_all(&all, a, e) : 1;

    if (rc)
        return rc;
    rc = xl_host(xl, &host, e);
    let_go(&all);
    return rc ? rc : host.free_kb >= a->need_kb + all.promised_kb;
}

void newcomer_break(struct newcomer *a, struct xl *xl)
{
    struct err ignored = ERR_INIT;
    struct newcomers all;
    struct dom0 dom0;

    if (a->fd < 0 || lock_all(&all, a, &ignored))
        return;
    write_kb(a, 0, &ignored);
    if (a->lowered_kb && !dom0_read(xl, &dom0, &ignored))
        dom0_set(xl, dom0.target_kb + a->lowered_kb, &ignored);
    a->lowered_kb = 0;
    let_go(&all);
}

/* Xen's own tables, which are in what libxl says it needs, are there already. */
static int claim(struct newcomer *a, struct xen *x, uint32_t domid, struct err *e)
{
    struct domain d;
    int rc = domain_read(x, domid, &d, e);

    if (rc)
        return rc;

    const uint64_t pages = a->guest_kb / 4 < d.max_pages ? a->guest_kb / 4 : d.max_pages;

    rc = pages > d.total_pages ? build_claim(x, domid, pages, e) : 0;
    if (!rc)
        a->claimed = domid;
    return rc;
}

int newcomer_claim(struct newcomer *a, struct xen *x, uint32_t domid, struct err *e)
{
    struct newcomers all;
    int rc = lock_all(&all, a, e);

    if (rc)
        return rc;
    rc = claim(a, x, domid, e);
    if (!rc)
        rc = write_kb(a, 0, e);
    let_go(&all);
    return rc;
}

void newcomer_unclaim(struct newcomer *a, struct xen *x, const struct log *log)
{
    struct err e = ERR_INIT;

    if (a->claimed && build_claim(x, a->claimed, 0, &e))
        log_warn(log, "%s", e.text);
    a->claimed = 0;
}
