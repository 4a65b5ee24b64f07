/* SPDX-License-Identifier: MIT */
#include "xensim/guest/emulator.h"

#include "base/deadline.h"
#include "xensim/guest/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How often one that waits for its state looks for it. */
#define WAIT_STEP_NS (2 * NS_PER_MS)

uint32_t emulator_version(const struct emulator_state *s, uint64_t slot)
{
    return 1 + (uint32_t)((s->written + s->count - 1 - slot) / s->count);
}

/* The content first, then the report: a copy made in between is made again. */
static void write_page(struct emulator *v)
{
    struct emulator_state *s = &v->state;
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
        emulator_version(s, slot));
    if (v->logging)
        domain_mark_dirty(d, pfn);
}

static void load(struct emulator *v)
{
    if (v->fault == EMULATOR_NEVER_LOADS)
        return;
    v->status = v->fault == EMULATOR_DIES_LOADING || !emulator_parse_state(v->incoming, &v->state)
                    ? EMULATOR_DEAD
                    : EMULATOR_RUNNING;
}

/* A state that ends too soon kills it. */
static void await_state(struct emulator *v)
{
    char *const at = v->incoming + v->incoming_bytes;
    const ssize_t n = read(v->state_fd, at, sizeof(v->incoming) - 1 - v->incoming_bytes);

    if (n < 0)
        return;
    v->incoming_bytes += (size_t)n;
    if (n == 0 && v->fault != EMULATOR_NEVER_LOADS)
        v->status = EMULATOR_DEAD;
    else if (memchr(at, '\n', (size_t)n))
        load(v);
}

static int64_t step_ns(const struct emulator *v)
{
    return v->status == EMULATOR_WAITING ? WAIT_STEP_NS : NS_PER_S / (int64_t)v->state.writes_per_s;
}

static void *run(void *arg)
{
    struct emulator *v = arg;
    struct domain *d = v->domain;

    pthread_mutex_lock(&d->lock);
    while (!v->stopping) {
        deadline_cond_wait(&v->changed, &d->lock, deadline_in(step_ns(v)));
        if (v->status == EMULATOR_RUNNING && !v->stopping)
            write_page(v);
        else if (v->status == EMULATOR_WAITING)
            await_state(v);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

static int begin(struct domain *d, const struct emulator *what)
{
    struct emulator *v = calloc(1, sizeof(*v));
    int rc = 0;

    if (!v)
        return -ENOMEM;
    *v = *what;
    v->domain = d;
    deadline_cond_init(&v->changed);
    pthread_mutex_lock(&d->lock);
    if (d->emulator || d->dying)
        rc = -EEXIST;
    else
        rc = -pthread_create(&v->thread, NULL, run, v);
    if (!rc)
        d->emulator = v;
    pthread_mutex_unlock(&d->lock);
    if (rc) {
        v->state_fd = -1;
        emulator_free(v);
    }
    return rc;
}

int emulator_start(
    struct domain *d, const struct emulator_state *state, enum emulator_status status)
{
    return begin(d, &(struct emulator){.state = *state, .status = status, .state_fd = -1});
}

int emulator_start_waiting(struct domain *d, int state_fd)
{
    return begin(
        d, &(struct emulator){
               .state = {.writes_per_s = 1}, .status = EMULATOR_WAITING, .state_fd = state_fd});
}

void emulator_stop(struct domain *d)
{
    pthread_mutex_lock(&d->lock);

    struct emulator *v = d->emulator;

    if (v) {
        v->stopping = true;
        v->status = EMULATOR_DEAD;
        pthread_cond_broadcast(&v->changed);
    }
    pthread_mutex_unlock(&d->lock);
    if (v)
        pthread_join(v->thread, NULL);
}

void emulator_free(void *emulator)
{
    struct emulator *v = emulator;

    if (v && v->state_fd >= 0)
        close(v->state_fd);
    if (v)
        pthread_cond_destroy(&v->changed);
    free(v);
}

/* The device, its domain locked, or NULL. With heed, after it took its time, and only if it lives
 * and answers. */
static struct emulator *lock_emulator(struct domain *d, bool heed, int *rc)
{
    int64_t delay_ns = 0;
    struct emulator *v;

    for (;;) {
        pthread_mutex_lock(&d->lock);
        v = d->emulator;
        *rc = !v                                     ? -ESRCH
              : heed && v->status == EMULATOR_DEAD   ? -EPIPE
              : heed && v->fault == EMULATOR_REFUSES ? -EACCES
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

int emulator_pause(struct domain *d)
{
    int rc;
    struct emulator *v = lock_emulator(d, true, &rc);

    if (!v)
        return rc;
    if (v->status == EMULATOR_RUNNING)
        write_page(v);
    if (v->status != EMULATOR_WAITING)
        v->status = EMULATOR_PAUSED;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

int emulator_continue(struct domain *d)
{
    int rc;
    struct emulator *v = lock_emulator(d, true, &rc);

    if (!v)
        return rc;
    if (v->status != EMULATOR_WAITING)
        v->status = EMULATOR_RUNNING;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

int emulator_say_running(struct domain *d)
{
    int rc;
    struct emulator *v = lock_emulator(d, false, &rc);

    if (!v)
        return rc;
    v->said_running = true;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

int emulator_set_physmap(struct domain *d, bool has)
{
    int rc;
    struct emulator *v = lock_emulator(d, false, &rc);

    if (!v)
        return rc;
    v->has_physmap = has;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

int emulator_log(struct domain *d, bool enable)
{
    int rc;
    struct emulator *v = lock_emulator(d, true, &rc);

    if (!v)
        return rc;
    if (!enable && !v->told_to_log)
        v->status = EMULATOR_DEAD;
    v->told_to_log = enable;
    v->logging = enable && v->fault != EMULATOR_IGNORES_LOG;
    rc = v->status == EMULATOR_DEAD ? -EPIPE : 0;
    pthread_mutex_unlock(&d->lock);
    return rc;
}

int emulator_query(struct domain *d, struct emulator_view *view)
{
    int rc;
    struct emulator *v = lock_emulator(d, false, &rc);

    if (!v)
        return rc;
    *view = (struct emulator_view){v->status, v->logging, v->said_running, v->has_physmap};
    pthread_mutex_unlock(&d->lock);
    return 0;
}

int emulator_read_state(struct domain *d, char text[static EMULATOR_STATE_BYTES])
{
    int rc;
    struct emulator *v = lock_emulator(d, true, &rc);

    if (!v)
        return rc;

    const struct emulator_state *s = &v->state;

    snprintf(text, EMULATOR_STATE_BYTES,
        "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%u,%u,%u,%u,%u,%" PRIu64 ",%" PRIu64,
        s->seed, s->first_index, s->first_pfn, s->count, s->mix.zero, s->mix.text, s->mix.random,
        s->mix.trace, s->mix.write_bytes, s->writes_per_s, s->written);
    pthread_mutex_unlock(&d->lock);
    return 0;
}

bool emulator_parse_state(const char *text, struct emulator_state *s)
{
    unsigned zero, words, random, trace, write_bytes;

    if (sscanf(text,
            "%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%u,%u,%u,%u,%u,%" SCNu64 ",%" SCNu64,
            &s->seed, &s->first_index, &s->first_pfn, &s->count, &zero, &words, &random, &trace,
            &write_bytes, &s->writes_per_s, &s->written) != 11 ||
        trace > TRACE_KV || write_bytes > CONTENT_PAGE_BYTES / 2)
        return false;
    s->mix = (struct content_mix){
        (uint8_t)zero, (uint8_t)words, (uint8_t)random, (uint8_t)trace, (uint16_t)write_bytes};
    return s->count && s->writes_per_s && s->writes_per_s <= 100000;
}

int emulator_set_fault(struct domain *d, enum emulator_fault fault, int64_t delay_ns)
{
    int rc;
    struct emulator *v = lock_emulator(d, false, &rc);

    if (!v)
        return rc;
    v->fault = fault;
    v->delay_ns = delay_ns;
    pthread_mutex_unlock(&d->lock);
    return 0;
}

int emulator_kill(struct domain *d)
{
    int rc;
    struct emulator *v = lock_emulator(d, false, &rc);

    if (!v)
        return rc;
    v->status = EMULATOR_DEAD;
    pthread_mutex_unlock(&d->lock);
    return 0;
}
