/* SPDX-License-Identifier: MIT */
#include "engine/drain.h"

#include "base/deadline.h"
#include "base/units.h"
#include "engine/xen/vbd.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define SYNC_EVERY_NS (2 * NS_PER_S)
#define POLL_NS       NS_PER_MS

/* Beyond the limit, for a sync that is under way. */
#define SYNC_GRACE_NS  NS_PER_S
#define CANCEL_POLL_NS (50 * NS_PER_MS)

/* For a thread that a sync holds up, when nobody needs its result any more. */
#define END_LIMIT_NS (2 * NS_PER_S)

enum phase { GUEST_RUNS, GUEST_SUSPENDS, GUEST_STANDS, NOT_WANTED };

struct drain {
    uint32_t domid;
    int64_t limit_ns;
    const struct log *log;
    pthread_t thread;
    bool started; /* the story's; and it has not been joined */

    /* The thread's alone, once it runs. */
    struct xen xen;
    struct vbds *vbds;

    pthread_mutex_t lock; /* for all below */
    pthread_cond_t changed;
    enum phase phase;
    int64_t deadline_ns; /* set with GUEST_STANDS */
    bool is_cached;
    bool done; /* or failed: then err is set; the thread touches nothing any more */
    struct err err;
};

static void set_phase(struct drain *d, enum phase phase)
{
    pthread_mutex_lock(&d->lock);
    d->phase = phase;
    if (phase == GUEST_SUSPENDS)
        d->is_cached = true; /* until the thread has looked again */
    if (phase == GUEST_STANDS)
        d->deadline_ns = deadline_in(d->limit_ns);
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
}

/* The phase, as soon as it is not this one, or then. */
static enum phase await_phase_after(struct drain *d, enum phase phase, int64_t deadline_ns)
{
    pthread_mutex_lock(&d->lock);
    while (d->phase == phase && !deadline_passed(deadline_ns))
        deadline_cond_wait(&d->changed, &d->lock, deadline_ns);
    phase = d->phase;
    pthread_mutex_unlock(&d->lock);
    return phase;
}

/* ---- the thread ---- */

static void sync_while_guest_runs(struct drain *d)
{
    struct err e = ERR_INIT;
    bool can = vbds_are_cached(d->vbds);

    while (await_phase_after(d, GUEST_RUNS, can ? deadline_in(SYNC_EVERY_NS) : DEADLINE_NEVER) ==
           GUEST_RUNS)
        can = !vbds_sync(d->vbds, &e);
    if (err_is_set(&e))
        log_debug(d->log, "%s", e.text);
}

/* Disks come and go while the guest runs. */
static int look_again(struct drain *d, struct err *e)
{
    struct vbds *before = d->vbds;
    const int rc = vbds_open(&d->xen, d->domid, before, &d->vbds, e);

    vbds_close(before);

    pthread_mutex_lock(&d->lock);
    d->is_cached = d->vbds && vbds_are_cached(d->vbds);
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static int await_answers(struct drain *d, struct err *e)
{
    char limit[UNITS_TEXT_BYTES];
    struct vbd_debt debt;

    while (vbds_owe(d->vbds, &debt)) {
        if (await_phase_after(d, GUEST_STANDS, deadline_in(POLL_NS)) != GUEST_STANDS)
            return err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
        if (deadline_passed(d->deadline_ns))
            return err_set(e, ERR_LOCAL, ETIMEDOUT,
                "disk %s has not answered all requests within %s of the suspend (%u are open): "
                "they could overwrite what the guest writes elsewhere; look at the storage behind "
                "it",
                debt.disk, format_duration(d->limit_ns, limit), debt.requests);
    }
    return 0;
}

static int drain_disks(struct drain *d, struct err *e)
{
    if (await_phase_after(d, GUEST_RUNS, DEADLINE_NEVER) == NOT_WANTED)
        return 0;

    int rc = look_again(d, e);

    if (await_phase_after(d, GUEST_SUSPENDS, DEADLINE_NEVER) == NOT_WANTED)
        return 0;
    if (!rc)
        rc = await_answers(d, e);
    return rc ? rc : vbds_sync(d->vbds, e);
}

static void *drain_main(void *arg)
{
    struct drain *d = arg;
    struct err e = ERR_INIT;

    sync_while_guest_runs(d);
    drain_disks(d, &e);
    pthread_mutex_lock(&d->lock);
    d->err = e;
    d->done = true;
    pthread_cond_broadcast(&d->changed);
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* ---- for the story ---- */

static void free_drain(struct drain *d)
{
    vbds_close(d->vbds);
    xen_close(&d->xen);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->changed);
    free(d);
}

int drain_open(struct drain **out, uint32_t domid, const struct log *log, struct err *e)
{
    struct drain *d = calloc(1, sizeof(*d));

    *out = NULL;
    if (!d)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    d->domid = domid;
    d->log = log;
    pthread_mutex_init(&d->lock, NULL);
    deadline_cond_init(&d->changed);

    int rc = xen_open(&d->xen, log, e);

    if (!rc)
        rc = look_again(d, e);
    if (rc)
        free_drain(d);
    else
        *out = d;
    return rc;
}

int drain_start(struct drain *d, int64_t limit_ns, struct err *e)
{
    d->limit_ns = limit_ns;

    const int code = pthread_create(&d->thread, NULL, drain_main, d);

    d->started = !code;
    return code ? err_sys(e, ERR_LOCAL, code, "cannot start a thread") : 0;
}

void drain_suspending(struct drain *d)
{
    set_phase(d, GUEST_SUSPENDS);
}

void drain_suspended(struct drain *d)
{
    set_phase(d, GUEST_STANDS);
}

bool drain_is_cached(struct drain *d)
{
    pthread_mutex_lock(&d->lock);

    const bool is_cached = d->is_cached;

    pthread_mutex_unlock(&d->lock);
    return is_cached;
}

/* Under the lock. The thread gives up by itself, unless a sync holds it up. */
static int await_done(struct drain *d, int64_t deadline_ns, const struct cancel *cancel)
{
    while (!d->done && !deadline_passed(deadline_ns) && !(cancel && cancel_is_fired(cancel)))
        deadline_cond_wait(
            &d->changed, &d->lock, deadline_earlier(deadline_ns, deadline_in(CANCEL_POLL_NS)));
    return d->done ? 0 : -ETIMEDOUT;
}

static void join(struct drain *d)
{
    if (d->started)
        pthread_join(d->thread, NULL);
    d->started = false;
}

int drain_wait(struct drain *d, const struct cancel *cancel, int64_t *waited_ns, struct err *e)
{
    const int64_t before_ns = now_ns();

    pthread_mutex_lock(&d->lock);

    const int rc = await_done(d, d->deadline_ns + SYNC_GRACE_NS, cancel);

    if (rc && cancel_is_fired(cancel))
        err_set(e, ERR_CANCELLED, ECANCELED, "told to stop");
    else if (rc)
        err_set(e, ERR_LOCAL, ETIMEDOUT,
            "what the guest wrote to its disks is not written out in time: look at the storage "
            "behind them");
    else
        err_take(e, &d->err);
    pthread_mutex_unlock(&d->lock);
    /* It has ended, and its process may now end at once. */
    if (!rc)
        join(d);
    *waited_ns += now_ns() - before_ns;
    return err_is_set(e) ? -e->code : 0;
}

void drain_close(struct drain *d)
{
    if (!d)
        return;
    set_phase(d, NOT_WANTED);
    pthread_mutex_lock(&d->lock);

    const int rc = d->started ? await_done(d, deadline_in(END_LIMIT_NS), NULL) : 0;

    pthread_mutex_unlock(&d->lock);
    /* A sync that hangs keeps what it uses, until the process ends. */
    if (rc) {
        pthread_detach(d->thread);
        return;
    }
    join(d);
    free_drain(d);
}
