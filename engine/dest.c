/* SPDX-License-Identifier: MIT */
#include "engine/dest.h"

#include "base/deadline.h"
#include "engine/aux/in.h"
#include "engine/guest/load.h"
#include "engine/in/in.h"
#include "transport/v3.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* About five times a second. */
#define REPORT_EVERY_NS (200 * NS_PER_MS)

struct dest {
    const struct dest_params *p; /* the caller's, until dest_run() returns */
    struct dest_result *result;  /* as above */
    struct in *in;
    struct loader loader;
    struct aux_in aux;
    pthread_mutex_t report_lock; /* guards report_at_ns and the call of progress() */
    int64_t report_at_ns;
};

/* A batch is in place. On any of the in's threads; a thread that finds another one here has nothing
 * to report. */
static void report_progress(void *arg)
{
    struct dest *d = arg;
    const struct dest_report_ops *report = d->p->report;
    const struct in *in = d->p->in;

    if (pthread_mutex_trylock(&d->report_lock))
        return;
    if (deadline_passed(d->report_at_ns)) {
        d->report_at_ns = deadline_in(REPORT_EVERY_NS);
        report->progress(
            report->arg, atomic_load(&d->loader.frames.populated_pages), in->ops->wire_bytes(in));
    }
    pthread_mutex_unlock(&d->report_lock);
}

/* All that comes before memory is there: the toolstack supplies what is missing. */
static int finish_static_data(struct dest *d, struct err *e)
{
    const struct dest_toolstack *t = d->p->toolstack;
    unsigned missing;
    const int rc = load_static_done(&d->loader, &missing, e);

    return rc ? rc : t->static_data_done(t->arg, missing, e);
}

/* Nothing is known of the guest yet but where its rings are. */
static int prepare_guest(void *arg, struct err *e)
{
    struct dest *d = arg;
    const struct dest_toolstack *t = d->p->toolstack;
    const int rc = load_prepare(&d->loader, &d->result->rings, e);

    return rc ? rc : t->build(t->arg, &d->result->rings, e);
}

static int take_aux(void *arg, uint32_t round, const struct aux_batch *b, struct err *e)
{
    struct dest *d = arg;

    return aux_in_take(&d->aux, round, b, e);
}

static int load_pages(struct dest *d, struct err *e)
{
    struct in *in = d->p->in;
    const struct in_hook hook = {
        .placed = report_progress, .aux = take_aux, .prepare = prepare_guest, .arg = d};
    const int rc = load_check_ready(&d->loader, e);

    return rc ? rc : in->ops->pages(in, &d->loader.frames, &hook, e);
}

static int handle_event(struct dest *d, const struct in_event *event, struct err *e)
{
    switch (event->kind) {
    case IN_STATE:
        if (event->v3_type == V3_STATIC_DATA_END)
            return finish_static_data(d, e);
        return load_state(&d->loader, event, e);
    case IN_AUX:
        return aux_in_announce(&d->aux, event->aux, e);
    case IN_AUX_DONE:
        return aux_in_done(&d->aux, event->aux_number, &event->aux_totals, e);
    case IN_PAGES:
        return load_pages(d, e);
    case IN_CHECKPOINT:
        return in_refuse_checkpoint(d->p->in, e);
    default:
        break;
    }

    const int rc = aux_in_complete(&d->aux, e);

    return rc ? rc : load_check_ready(&d->loader, e);
}

static int load_image(struct dest *d, struct err *e)
{
    struct in *in = d->p->in;
    struct in_head head;
    struct in_event event;
    int rc = in->ops->head(in, &head, e);

    if (!rc)
        rc = load_open(&d->loader, &d->p->guest, head.guest_type, head.frame_limit, e);
    if (rc)
        return rc;
    do {
        rc = in->ops->next(in, &event, e);
        if (!rc)
            rc = handle_event(d, &event, e);
    } while (!rc && event.kind != IN_END);
    return rc;
}

/* From the last record to a domain that could run. */
static int complete_guest(struct dest *d, struct err *e)
{
    struct arrival *arrival = &d->result->arrival;
    const int64_t begun_ns = now_ns();
    const int rc = load_complete(&d->loader, &d->result->rings, e);

    arrival->finish_ns = now_ns() - begun_ns;
    arrival->populated_pages = atomic_load(&d->loader.frames.populated_pages);
    return rc;
}

static void note_failure(struct dest *d, struct err *e)
{
    if (e->side == SIDE_UNKNOWN)
        e->side = SIDE_DESTINATION;
    cancel_fire(d->p->cancel);
}

void dest_close(struct dest *d)
{
    d->in->ops->close(d->in);
    aux_in_close(&d->aux);
    load_close(&d->loader);
    free(d);
}

int dest_run(
    const struct dest_params *p, struct dest_result *result, struct dest **left, struct err *e)
{
    struct dest *d = malloc(sizeof(*d));
    struct err unheard = ERR_INIT;
    struct in *in = p->in;

    *result = (struct dest_result){0};
    *left = NULL;
    if (!d) {
        in->ops->close(in);
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    }
    *d = (struct dest){.p = p,
        .result = result,
        .in = in,
        .report_lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER};

    aux_in_init(&d->aux, p->guest.domid, aux_in_sources, p->guest.log);

    int rc = load_image(d, e);

    if (!rc)
        rc = complete_guest(d, e);
    result->wire_bytes = in->ops->wire_bytes(in);
    if (rc)
        note_failure(d, e);
    if (in->ops->answer(in, e, &result->arrival, rc ? &unheard : e) && !rc)
        rc = -e->code;
    if (rc)
        dest_close(d);
    else
        *left = d;
    return rc;
}
