/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/hooks.h"

#include "base/deadline.h"
#include "cmd/xmigrate/program.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_LINES = 50, LINE_BYTES = 240, OWN_VARIABLES = 8, OWN_BYTES = 1024 };

static const char *const when_names[HOOKS_WHENS] = {"before-suspend", "after-start", "failed"};

/* ---- which there are ---- */

static int is_hook(const struct dirent *entry)
{
    const size_t len = strlen(entry->d_name);

    return len && strspn(entry->d_name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789_-") == len;
}

static int list(const char *dir, struct dirent ***entries, struct err *e)
{
    const int count = scandir(dir, entries, is_hook, alphasort);

    if (count >= 0)
        return count;
    *entries = NULL;
    return errno == ENOENT ? 0 : err_sys(e, ERR_REFUSED, errno, "cannot read %s", dir);
}

static void drop(struct dirent **entries, int count)
{
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

static int dir_of(
    const char *config_dir, enum hooks_when when, char dir[static PATH_MAX], struct err *e)
{
    if (snprintf(dir, PATH_MAX, "%s/hooks.d/%s", config_dir, when_names[when]) < PATH_MAX)
        return 0;
    return err_set(e, ERR_REFUSED, ENAMETOOLONG, "the path is too long: %s", config_dir);
}

/* ---- whose they are ---- */

/* In a directory with the sticky bit nobody can put something in the place of what is root's. */
static int check_mode(const char *path, const struct stat *st, struct err *e)
{
    const bool shared_dir = S_ISDIR(st->st_mode) && st->st_mode & S_ISVTX;

    if (st->st_uid)
        return err_set(e, ERR_REFUSED, EPERM,
            "%s is user %u's: hooks run as root, and must be root's, with all directories above "
            "them",
            path, st->st_uid);
    if (st->st_mode & (S_IWGRP | S_IWOTH) && !shared_dir)
        return err_set(e, ERR_REFUSED, EPERM,
            "%s is writable by others than root, and hooks run as root: chmod go-w %s", path, path);
    return 0;
}

/* Links are resolved beforehand, so these are the directories that count. */
static int check_chain(char *path, struct err *e)
{
    int rc = 0;

    for (char *end = path + strlen(path); end && !rc; end = strrchr(path, '/')) {
        const char *dir = path;
        struct stat st;

        *end = '\0';
        if (!*dir)
            dir = "/";
        rc = stat(dir, &st) ? err_sys(e, ERR_REFUSED, errno, "cannot look at %s", dir)
                            : check_mode(dir, &st, e);
    }
    return rc;
}

static int check_file(const char *dir, const char *name, bool *runs, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;

    *runs = false;
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= PATH_MAX || lstat(path, &st))
        return err_sys(e, ERR_REFUSED, errno ?: ENAMETOOLONG, "cannot look at %s/%s", dir, name);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_REFUSED, EINVAL, "%s is not a plain file: a hook must be one", path);
    *runs = st.st_mode & S_IXUSR;
    return check_mode(path, &st, e);
}

/* Of one point: the chain of directories and each file. */
static int check_when(const char *config_dir, enum hooks_when when, struct err *e)
{
    char dir[PATH_MAX], real[PATH_MAX];
    struct dirent **entries;
    bool runs;
    int rc = dir_of(config_dir, when, dir, e);

    if (rc)
        return rc;
    if (!realpath(dir, real))
        return errno == ENOENT ? 0 : err_sys(e, ERR_REFUSED, errno, "cannot look at %s", dir);

    const int count = list(dir, &entries, e);

    rc = count < 0 ? count : 0;
    for (int i = 0; i < count && !rc; i++)
        rc = check_file(dir, entries[i]->d_name, &runs, e);
    drop(entries, count);
    return rc ? rc : check_chain(real, e);
}

int hooks_check(const char *config_dir, struct err *e)
{
    int rc = 0;

    for (enum hooks_when when = 0; when < HOOKS_WHENS && !rc; when++)
        rc = check_when(config_dir, when, e);
    return rc;
}

bool hooks_any(const char *config_dir, enum hooks_when when)
{
    struct err none = ERR_INIT;
    struct dirent **entries;
    char dir[PATH_MAX];

    if (dir_of(config_dir, when, dir, &none))
        return false;

    const int count = list(dir, &entries, &none);

    drop(entries, count);
    return count != 0;
}

/* ---- one of them ---- */

struct output {
    const struct log *log;
    const char *what;
    char line[LINE_BYTES];
    size_t len;
    unsigned lines;
};

static void end_line(struct output *o)
{
    o->line[o->len] = '\0';
    o->len = 0;
    if (o->lines < MOST_LINES)
        log_info(o->log, "%s: %s", o->what, o->line);
    else if (o->lines == MOST_LINES)
        log_warn(o->log, "%s: it says more, which is not shown", o->what);
    o->lines++;
}

static void take_output(void *arg, const char *text, size_t len_bytes)
{
    struct output *o = arg;

    for (size_t i = 0; i < len_bytes; i++) {
        if (text[i] == '\n' || o->len == LINE_BYTES - 1)
            end_line(o);
        if (text[i] != '\n')
            o->line[o->len++] = (signed char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
    }
}

/* The variables' texts are the caller's memory. */
static void fill_own(const struct hooks *h, char text[static OWN_VARIABLES][OWN_BYTES],
    char *own[static OWN_VARIABLES])
{
    const struct {
        const char *name, *value;
    } vars[OWN_VARIABLES - 1] = {
        {"XMIGRATE_WHEN", when_names[h->when]},
        {"XMIGRATE_ROLE", h->role},
        {"XMIGRATE_DOMAIN", h->domain},
        {"XMIGRATE_UUID", h->uuid},
        {"XMIGRATE_PEER", h->peer},
        {"XMIGRATE_ERROR", h->error},
        {"XMIGRATE_GUEST", h->guest},
    };

    for (int i = 0; i < OWN_VARIABLES - 1; i++)
        snprintf(text[i], OWN_BYTES, "%s=%s", vars[i].name, vars[i].value ?: "");
    snprintf(text[OWN_VARIABLES - 1], OWN_BYTES,
        h->domid ? "XMIGRATE_DOMID=%u" : "XMIGRATE_DOMID=", h->domid);
    for (int i = 0; i < OWN_VARIABLES; i++)
        own[i] = text[i];
}

static int run_one(const struct hooks *h, const char *dir, const char *name, int64_t limit_ns,
    const struct cancel *cancel, struct err *e)
{
    char texts[OWN_VARIABLES][OWN_BYTES], *own[OWN_VARIABLES];
    char path[PATH_MAX], what[NAME_MAX + 64];
    struct output o = {.log = h->log, .what = what};
    char *const argv[] = {path, NULL};
    const struct program p = {.what = what,
        .path = path,
        .argv = argv,
        .own = own,
        .own_count = OWN_VARIABLES,
        .limit_ns = limit_ns,
        .output = take_output,
        .arg = &o};

    fill_own(h, texts, own);
    snprintf(what, sizeof(what), "hook %s/%s", when_names[h->when], name);
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= PATH_MAX)
        return err_set(e, ERR_REFUSED, ENAMETOOLONG, "the path is too long: %s", dir);

    const int rc = program_run(&p, cancel, e);

    if (o.len)
        end_line(&o);
    return rc;
}

/* ---- all of them ---- */

static int run_those(const struct hooks *h, const char *dir, struct dirent **entries, int count,
    const struct cancel *cancel, struct err *e)
{
    const int64_t deadline_ns = deadline_in(h->all_ns ?: HOOKS_ALL_NS);
    const int64_t limit_ns = h->limit_ns ?: HOOKS_LIMIT_NS;
    bool runs;

    for (int i = 0; i < count; i++) {
        const int64_t left_ns = deadline_ns - now_ns();
        struct err why = ERR_INIT;
        int rc = check_file(dir, entries[i]->d_name, &runs, &why);

        if (!rc && left_ns <= 0)
            rc = err_set(&why, ERR_LOCAL, ETIMEDOUT, "hook %s/%s: those before it left it no time",
                when_names[h->when], entries[i]->d_name);
        if (!rc && runs)
            rc = run_one(
                h, dir, entries[i]->d_name, left_ns < limit_ns ? left_ns : limit_ns, cancel, &why);
        if (!rc)
            continue;
        if (h->when == HOOKS_BEFORE_SUSPEND)
            return err_take(e, &why);
        log_warn(h->log, "%s", why.text);
    }
    return 0;
}

int hooks_run(const struct hooks *h, const struct cancel *cancel, struct err *e)
{
    char dir[PATH_MAX];
    struct dirent **entries;
    int rc = check_when(h->config_dir, h->when, e);

    if (!rc)
        rc = dir_of(h->config_dir, h->when, dir, e);
    if (rc)
        return rc;

    const int count = list(dir, &entries, e);

    rc = count < 0 ? count : run_those(h, dir, entries, count, cancel, e);
    drop(entries, count);
    return rc;
}

static void run_whatever(const struct hooks *h)
{
    struct err e = ERR_INIT;

    if (h->config_dir && hooks_run(h, NULL, &e))
        log_warn(h->log, "%s", e.text);
}

void hooks_run_started(const struct hooks *h)
{
    struct hooks started = *h;

    started.when = HOOKS_AFTER_START;
    run_whatever(&started);
}

void hooks_run_failed(const struct hooks *h, const struct err *why, const char *guest)
{
    struct hooks failed = *h;

    failed.when = HOOKS_FAILED;
    failed.error = why->text;
    failed.guest = guest;
    run_whatever(&failed);
}

/* ---- beside ---- */

struct hooks_beside {
    struct hooks h;
    struct cancel cancel;
    pthread_t thread;
    int event_fd;
    struct err e; /* the thread's until it has ended */
};

static void *run_beside(void *arg)
{
    struct hooks_beside *b = arg;

    hooks_run(&b->h, &b->cancel, &b->e);
    eventfd_write(b->event_fd, 1);
    return NULL;
}

int hooks_begin(struct hooks_beside **out, const struct hooks *h, struct err *e)
{
    struct hooks_beside *b = calloc(1, sizeof(*b));
    int rc;

    if (!b)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    b->h = *h;
    b->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = b->event_fd < 0 ? err_sys(e, ERR_LOCAL, errno, "cannot make an eventfd")
                         : cancel_init(&b->cancel, e);
    if (rc)
        goto no_cancel;
    rc = pthread_create(&b->thread, NULL, run_beside, b);
    if (!rc) {
        *out = b;
        return 0;
    }
    rc = err_sys(e, ERR_LOCAL, rc, "cannot start a thread");
    cancel_destroy(&b->cancel);
no_cancel:
    if (b->event_fd >= 0)
        close(b->event_fd);
    free(b);
    return rc;
}

int hooks_fd(const struct hooks_beside *b)
{
    return b ? b->event_fd : -1;
}

int hooks_end(struct hooks_beside *b, struct err *e)
{
    int rc = 0;

    if (!b)
        return 0;
    cancel_fire(&b->cancel);
    pthread_join(b->thread, NULL);
    if (err_is_set(&b->e))
        rc = err_take(e, &b->e);
    cancel_destroy(&b->cancel);
    close(b->event_fd);
    free(b);
    return rc;
}
