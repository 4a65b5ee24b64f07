/* SPDX-License-Identifier: MIT */
#include "transport/compact/share.h"

#include "base/limits.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

struct share {
    const struct compact_work *work;
    atomic_uint_fast64_t next;
    pthread_mutex_t lock; /* guards the rest */
    struct err failure;   /* of the lowest part that has one */
    uint64_t failed;
};

static void note_failure(struct share *s, uint64_t number, const struct err *e)
{
    pthread_mutex_lock(&s->lock);
    if (!err_is_set(&s->failure) || number < s->failed) {
        s->failure = *e;
        s->failed = number;
    }
    pthread_mutex_unlock(&s->lock);
    /* Lower ones are being done already. */
    atomic_store(&s->next, s->work->parts);
}

static int do_part(const struct compact_work *w, void *with, uint64_t number, struct err *e)
{
    return cancel_is_fired(w->cancel) ? err_set(e, ERR_CANCELLED, ECANCELED, "stopped by a signal")
                                      : w->part(w->arg, with, number, e);
}

static void *do_some(void *arg)
{
    struct share *s = arg;
    const struct compact_work *w = s->work;
    struct err e = ERR_INIT;
    void *with = NULL;
    uint64_t number = 0;

    if (w->open(w->arg, &with, &e))
        note_failure(s, 0, &e);
    while (with && (number = atomic_fetch_add(&s->next, 1)) < w->parts)
        if (do_part(w, with, number, &e)) {
            note_failure(s, number, &e);
            break;
        }
    if (with)
        w->close(with);
    return NULL;
}

int compact_share(const struct compact_work *w, unsigned threads, uint64_t *failed, struct err *e)
{
    struct share s = {.work = w, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread[MAX_LANES];
    unsigned started = 0;

    while (started + 1 < threads && !pthread_create(&thread[started], NULL, do_some, &s))
        started++;
    do_some(&s);
    for (unsigned i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
    if (failed)
        *failed = s.failed;
    return err_is_set(&s.failure) ? err_take(e, &s.failure) : 0;
}
