#include "engine/dest.h"

#include "base/deadline.h"
#include "engine/in/in.h"

/* About five times a second. */
#define REPORT_EVERY_NS (200 * NS_PER_MS)

void feed_report(struct feed *f, const struct frames *frames)
{
    const struct dest_report_ops *report = f->p->report;

    if (pthread_mutex_trylock(&f->report_lock))
        return;
    if (deadline_passed(f->report_at_ns)) {
        f->report_at_ns = deadline_in(REPORT_EVERY_NS);
        report->progress(
            report->arg, atomic_load(&frames->populated_pages), f->ops->count_bytes(f));
    }
    pthread_mutex_unlock(&f->report_lock);
}

/* From the last record to a domain that could run. */
static int finish_guest(struct restore *r, struct dest_result *result, struct err *e)
{
    const int64_t begun_ns = now_ns();
    const int rc = restore_complete(r, result, e);

    result->finish_ns = now_ns() - begun_ns;
    result->populated_pages = atomic_load(&r->frames.populated_pages);
    return rc;
}

static int build_guest(struct feed *f, struct restore *r, struct dest_result *result, struct err *e)
{
    struct feed_head head;
    int rc = f->ops->read_head(f, &head, e);

    if (!rc)
        rc = restore_open(r, f->p, head.guest_type, head.frame_limit, e);
    if (!rc)
        rc = f->ops->receive(f, r, e);
    if (!rc)
        rc = finish_guest(r, result, e);
    return rc;
}

int dest_run(const struct dest_params *p, struct dest_result *result, struct err *e)
{
    struct restore restore = {0};
    struct err unheard = ERR_INIT;
    struct feed *feed;
    int rc = p->trunk ? feed_open_lanes(&feed, p, e) : feed_open_plain(&feed, p, e);

    *result = (struct dest_result){0};
    if (rc)
        return rc;
    rc = build_guest(feed, &restore, result, e);
    restore_close(&restore);
    result->wire_bytes = feed->ops->count_bytes(feed);
    if (rc && e->side == SIDE_UNKNOWN)
        e->side = SIDE_DESTINATION;
    if (feed->ops->answer(feed, e, result, rc ? &unheard : e) && !rc)
        rc = -e->code;
    feed->ops->close(feed);
    return rc;
}
