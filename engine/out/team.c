/* SPDX-License-Identifier: MIT */
#include "engine/out/team.h"

#include "base/deadline.h"

#include <errno.h>

int lane_team_init(struct lane_team *t, struct err *e)
{
    int rc = pthread_mutex_init(&t->lock, NULL);

    if (rc)
        return err_sys(e, ERR_LOCAL, rc, "cannot make a lock");
    rc = deadline_cond_init(&t->ordered);
    if (!rc) {
        rc = deadline_cond_init(&t->changed);
        if (!rc)
            return 0;
        pthread_cond_destroy(&t->ordered);
    }
    pthread_mutex_destroy(&t->lock);
    return err_sys(e, ERR_LOCAL, rc, "cannot make a condition");
}

void lane_team_destroy(struct lane_team *t)
{
    pthread_cond_destroy(&t->changed);
    pthread_cond_destroy(&t->ordered);
    pthread_mutex_destroy(&t->lock);
}

/* ---- the story's ---- */

int lane_team_start(struct lane_team *t, pthread_t *thread, void *(*run)(void *lane), void *lane,
    struct lane_counts *counts, struct err *e)
{
    const int code = pthread_create(thread, NULL, run, lane);

    if (code)
        return err_sys(e, ERR_LOCAL, code, "cannot start the thread of lane %u", t->started_lanes);
    t->counts[t->started_lanes++] = counts;
    return 0;
}

/* The team is not busy. job: for LANE_ROUND. */
static void order_lanes(struct lane_team *t, enum lane_order order, const struct round_job *job)
{
    pthread_mutex_lock(&t->lock);
    t->order = order;
    if (job)
        t->job = *job;
    t->busy_lanes = t->started_lanes;
    t->generation++;
    pthread_cond_broadcast(&t->ordered);
    pthread_mutex_unlock(&t->lock);
}

static struct round_counts add_up(const struct lane_team *t, bool finished)
{
    struct round_counts sum = {0};

    for (unsigned i = 0; i < t->started_lanes; i++)
        lane_counts_add(t->counts[i], finished, &sum);
    return sum;
}

void lane_team_run_round(struct lane_team *t, const struct round_job *job, void (*wake)(void *arg),
    void *arg, struct round_counts *counts)
{
    int64_t report_ns = deadline_in(ROUND_PROGRESS_NS);
    bool woken = !wake;

    for (unsigned i = 0; i < t->started_lanes; i++)
        lane_counts_begin(t->counts[i]);
    frame_share_begin(&t->left, job->bitmap, job->first_frame, job->end_frame);
    order_lanes(t, LANE_ROUND, job);
    pthread_mutex_lock(&t->lock);
    while (t->busy_lanes) {
        deadline_cond_wait(&t->changed, &t->lock, report_ns);
        if (atomic_load(&t->stop) && !woken) {
            woken = true;
            wake(arg);
        }
        if (!deadline_passed(report_ns))
            continue;
        pthread_mutex_unlock(&t->lock);

        const struct round_counts so_far = add_up(t, false);

        job->hook.progress(job->hook.arg, &so_far);
        report_ns = deadline_in(ROUND_PROGRESS_NS);
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    *counts = add_up(t, true);
}

void lane_team_quit(struct lane_team *t)
{
    order_lanes(t, LANE_QUIT, NULL);
}

/* ---- a lane's ---- */

enum lane_order lane_team_await(struct lane_team *t, unsigned *generation, struct round_job *job)
{
    pthread_mutex_lock(&t->lock);
    while (t->generation == *generation)
        pthread_cond_wait(&t->ordered, &t->lock);
    *generation = t->generation;
    *job = t->job;

    const enum lane_order order = t->order;

    pthread_mutex_unlock(&t->lock);
    return order;
}

int lane_team_check(const struct lane_team *t, struct err *e)
{
    if (atomic_load_explicit(&t->stop, memory_order_relaxed))
        return -ECANCELED;
    return cancel_is_fired(t->cancel) ? err_set(e, ERR_CANCELLED, ECANCELED, "told to stop") : 0;
}

int lane_team_next(struct lane_team *t, struct frame_walk *walk, const struct round_job *job,
    struct lane_counts *counts, struct round_prime *prime, uint64_t *pfns, unsigned most,
    struct err *e)
{
    for (unsigned n, due; (n = frame_walk_next(walk, pfns, most)) > 0;) {
        const int rc = lane_team_check(t, e);

        if (rc)
            return rc;
        due = round_job_filter(job, prime, pfns, n);
        lane_counts_skipped(counts, n - due);
        if (due)
            return (int)due;
    }
    return 0;
}

void lane_team_report(struct lane_team *t, const struct err *outcome)
{
    pthread_mutex_lock(&t->lock);
    if (err_is_set(outcome)) {
        err_take(&t->failure, outcome);
        atomic_store(&t->stop, true);
    }
    t->busy_lanes--;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

void lane_team_serve(struct lane_team *t,
    void (*round)(void *lane, const struct round_job *job, struct err *e), void *lane)
{
    unsigned generation = 0;
    enum lane_order order;

    do {
        struct err e = ERR_INIT;
        struct round_job job;

        order = lane_team_await(t, &generation, &job);
        if (order == LANE_ROUND)
            round(lane, &job, &e);
        lane_team_report(t, &e);
    } while (order != LANE_QUIT);
}
