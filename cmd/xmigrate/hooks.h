/* SPDX-License-Identifier: MIT */
/*
 * hooks.d: programs of the administrator's that a move runs at certain points, at both ends
 * (docs/hooks.md). Never while the guest stands still. They are the executable files of
 * CONFIG_DIR/hooks.d/before-suspend, after-start and failed, in the order of their names; a name
 * has letters, digits, _ and - only.
 *
 * They run as root, so nobody else may have a hand in them: each file, and each directory down to
 * it, must be root's and writable by nobody else. What is not is refused before a move begins.
 */
#ifndef CMD_XMIGRATE_HOOKS_H
#define CMD_XMIGRATE_HOOKS_H

#include "base/cancel.h"
#include "base/err.h"
#include "base/log.h"
#include "base/units.h"

#include <stdint.h>

enum hooks_when { HOOKS_BEFORE_SUSPEND, HOOKS_AFTER_START, HOOKS_FAILED, HOOKS_WHENS };

/* Each may take so long; and those of one end together, while the other end waits for an answer. */
#define HOOKS_LIMIT_NS (10 * NS_PER_S)
#define HOOKS_ALL_NS   (20 * NS_PER_S)

/* What they are told. NULL and 0: not known. */
struct hooks {
    enum hooks_when when; /* HOOKS_BEFORE_SUSPEND; those below have their own */
    const char *config_dir;
    const char *role; /* "source" or "destination" */
    const char *domain, *uuid, *peer;
    uint32_t domid;
    const char *error, *guest; /* HOOKS_FAILED: why, and where it is, as in docs/events.md */
    int64_t limit_ns, all_ns;  /* 0: the limits above */
    const struct log *log;     /* gets what they write, but for very much of it */
};

/* Are all of them safe to run? ERR_REFUSED names the first that is not. */
int hooks_check(const char *config_dir, struct err *e);
/* Is there any, safe or not? */
bool hooks_any(const char *config_dir, enum hooks_when when);

/* One after the other. One that fails, or does not end in time, fails all; before the suspend the
 * rest is not run then. */
int hooks_run(const struct hooks *h, const struct cancel *cancel, struct err *e);
/* The same for the other two, which nothing depends on: all are run, what goes wrong is logged. h
 * without a config_dir: the hosts had not agreed on a move yet, and none is run. */
void hooks_run_started(const struct hooks *h);
void hooks_run_failed(const struct hooks *h, const struct err *why, const char *guest);

/* Beside the thread that begins it, for as long as that likes. What *h points to must last. */
struct hooks_beside;

int hooks_begin(struct hooks_beside **out, const struct hooks *h, struct err *e);
/* Readable when they are through; -1 for NULL. */
int hooks_fd(const struct hooks_beside *b);
/* Those that still run are killed. What came of them; 0 for NULL. */
int hooks_end(struct hooks_beside *b, struct err *e);

#endif
