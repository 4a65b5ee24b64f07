/* SPDX-License-Identifier: MIT */
#include "xensim/guest/device.h"

#include "base/deadline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

uint32_t device_version(const struct device_state *s, uint64_t slot)
{
    return 1 + (uint32_t)((s->written + s->count - 1 - slot) / s->count);
}

/* The content first, then the report: a copy made in between is made again. */
static void write_page(struct device *v)
{
    struct device_state *s = &v->state;
    struct domain *d = v->domain;
    const uint64_t slot = s->written % s->count, pfn = s->first_pfn + slot;
    const uint64_t mfn = domain_gfn_to_mfn(d, pfn);

    if (!mfn) {
        host_log_rate(d->host, "d%u: its device model finds no page at pfn %#llx", d->id,
            (unsigned long long)pfn);
        return;
    }
    s->written++;
    content_fill(frame_ptr(d->machine, mfn), &s->mix, s->seed, s->first_index + slot,
        device_version(s, slot));
    if (v->logging)
        domain_mark_dirty(d, pfn);
}

static void *run(void *arg)
{
    struct device *v = arg;
    struct domain *d = v->domain;
    const int64_t step_ns = NS_PER_S / (int64_t)v->state.writes_per_s;

    pthread_mutex_lock(&d->lock);
    while (!v->stopping) {
        deadline_cond_wait(&v->changed, &d->lock, deadline_in(step_ns));
        if (v->status == DEVICE_RUNNING && !v->stopping)
            write_page(v);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

int device_start(struct domain *d, const struct device_state *state, enum device_status status)
{
    struct device *v = calloc(1, sizeof(*v));
    int rc = 0;

    if (!v)
        return -ENOMEM;
    *v = (struct device){.domain = d, .state = *state, .status = status};
    deadline_cond_init(&v->changed);
    pthread_mutex_lock(&d->lock);
    if (d->device || d->dying)
        rc = -EEXIST;
    else
        rc = -pthread_create(&v->thread, NULL, run, v);
    if (!rc)
        d->device = v;
    pthread_mutex_unlock(&d->lock);
    if (rc)
        device_free(v);
    return rc;
}

void device_stop(struct domain *d)
{
    pthread_mutex_lock(&d->lock);

    struct device *v = d->device;

    if (v) {
        v->stopping = true;
        v->status = DEVICE_DEAD;
        pthread_cond_broadcast(&v->changed);
    }
    pthread_mutex_unlock(&d->lock);
    if (v)
        pthread_join(v->thread, NULL);
}

void device_free(void *device)
{
    struct device *v = device;

    if (v)
        pthread_cond_destroy(&v->changed);
    free(v);
}

/* The device, its domain locked, or NULL. With heed, after it took its time, and only if it lives
 * and answers. */
static struct device *lock_device(struct domain *d, bool heed, int *rc)
{
    int64_t delay_ns = 0;
    struct device *v;

    for (;;) {
        pthread_mutex_lock(&d->lock);
        v = d->device;
        *rc = !v                                   ? -ESRCH
              : heed && v->status == DEVICE_DEAD   ? -EPIPE
              : heed && v->fault == DEVICE_REFUSES ? -EACCES
                                                   : 0;
        if (*rc || !heed || delay_ns >= v->delay_ns)
            break;
        delay_ns = v->delay_ns;
        pthread_mutex_unlock(&d->lock);
        sleep_until_ns(deadline_in(delay_ns));
    }
    if (!*rc)
        return v;
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

int device_pause(struct domain *d)
{
    int rc;
    struct device *v = lock_device(d, true, &rc);

    if (!v)
        return rc;
    if (v->status == DEVICE_RUNNING)
        write_page(v);
    v->status = DEVICE_PAUSED;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

int device_continue(struct domain *d)
{
    int rc;
    struct device *v = lock_device(d, true, &rc);

    if (!v)
        return rc;
    v->status = DEVICE_RUNNING;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

int device_log(struct domain *d, bool enable)
{
    int rc;
    struct device *v = lock_device(d, true, &rc);

    if (!v)
        return rc;
    v->logging = enable && v->fault != DEVICE_IGNORES_LOG;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

int device_query(struct domain *d, enum device_status *status, bool *logging)
{
    int rc;
    struct device *v = lock_device(d, false, &rc);

    if (!v)
        return rc;
    *status = v->status;
    *logging = v->logging;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

int device_read_state(struct domain *d, char text[static DEVICE_STATE_BYTES])
{
    int rc;
    struct device *v = lock_device(d, true, &rc);

    if (!v)
        return rc;

    const struct device_state *s = &v->state;

    snprintf(text, DEVICE_STATE_BYTES,
        "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%u,%u,%u,%" PRIu64 ",%" PRIu64, s->seed,
        s->first_index, s->first_pfn, s->count, s->mix.zero, s->mix.text, s->mix.random,
        s->writes_per_s, s->written);
    pthread_mutex_unlock(&d->lock);
    return 0;
}

bool device_parse_state(const char *text, struct device_state *s)
{
    unsigned zero, words, random;

    if (sscanf(text,
            "%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%u,%u,%u,%" SCNu64 ",%" SCNu64,
            &s->seed, &s->first_index, &s->first_pfn, &s->count, &zero, &words, &random,
            &s->writes_per_s, &s->written) != 9)
        return false;
    s->mix = (struct content_mix){(uint8_t)zero, (uint8_t)words, (uint8_t)random};
    return s->count && s->writes_per_s && s->writes_per_s <= 100000;
}

int device_set_fault(struct domain *d, enum device_fault fault, int64_t delay_ns)
{
    int rc;
    struct device *v = lock_device(d, false, &rc);

    if (!v)
        return rc;
    v->fault = fault;
    v->delay_ns = delay_ns;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

int device_kill(struct domain *d)
{
    int rc;
    struct device *v = lock_device(d, false, &rc);

    if (!v)
        return rc;
    v->status = DEVICE_DEAD;
    pthread_mutex_unlock(&d->lock);
    return 0;
}
