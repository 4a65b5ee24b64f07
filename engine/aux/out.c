/* SPDX-License-Identifier: MIT */
#include "engine/aux/out.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct part {
    const struct aux_out_ops *ops;
    void *state;
    struct aux_source source;
    struct aux_totals totals; /* lock */
};

struct aux_out {
    struct xen xen; /* for the sources alone: used with the lock held */
    pthread_mutex_t lock;
    bool stopped;
    unsigned count;
    unsigned next; /* lock: that is asked for more */
    struct part parts[AUX_MAX_SOURCES];
};

static int begin_sources(struct aux_out *a, uint32_t domid, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; aux_out_sources[i] && !rc; i++) {
        struct part *p = &a->parts[a->count];

        p->ops = aux_out_sources[i];
        p->source.number = a->count;
        strcpy(p->source.name, p->ops->name);
        rc = p->ops->begin(&a->xen, domid, &p->source, &p->state, e);
        if (!rc && p->state)
            a->count++;
    }
    return rc;
}

int aux_out_open(uint32_t domid, const struct log *log, struct aux_out **out, struct err *e)
{
    struct aux_out *a = calloc(1, sizeof(*a));

    *out = NULL;
    if (!a)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    pthread_mutex_init(&a->lock, NULL);

    int rc = xen_open(&a->xen, log, e);

    if (!rc)
        rc = begin_sources(a, domid, e);
    if (rc || !a->count)
        aux_out_close(a);
    else
        *out = a;
    return rc;
}

int aux_out_stop(struct aux_out *a, struct err *e)
{
    int rc = 0;

    if (!a || a->stopped)
        return 0;
    a->stopped = true;
    for (unsigned i = 0; i < a->count; i++)
        rc = a->parts[i].ops->stop(a->parts[i].state, e) ?: rc;
    return rc;
}

void aux_out_close(struct aux_out *a)
{
    struct err late = ERR_INIT;

    if (!a)
        return;
    aux_out_stop(a, &late);
    for (unsigned i = 0; i < a->count; i++)
        a->parts[i].ops->end(a->parts[i].state);
    xen_close(&a->xen);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

unsigned aux_out_count(const struct aux_out *a)
{
    return a ? a->count : 0;
}

const struct aux_source *aux_out_source(const struct aux_out *a, unsigned i)
{
    return &a->parts[i].source;
}

struct aux_totals aux_out_totals(const struct aux_out *a, unsigned i)
{
    return a->parts[i].totals;
}

bool aux_out_is_optional(const struct aux_out *a)
{
    for (unsigned i = 0; i < a->count; i++)
        if (!a->parts[i].source.optional)
            return false;
    return true;
}

int aux_out_refuse(const struct aux_out *a, uint32_t domid, struct err *e)
{
    const char *name = "";

    for (unsigned i = a->count; i-- > 0;)
        if (!a->parts[i].source.optional)
            name = a->parts[i].source.name;
    return err_set(e, ERR_REFUSED, EOPNOTSUPP,
        "domain %u has auxiliary data (%s) that Xen's own stream cannot carry, and that it cannot "
        "do without: use --compact for a file, or xmigrate at both ends of a move",
        domid, name);
}

int aux_out_look(struct aux_out *a, bool late, struct err *e)
{
    int rc = 0;

    pthread_mutex_lock(&a->lock);
    a->next = 0;
    for (unsigned i = 0; i < a->count && !rc; i++)
        rc = a->parts[i].ops->look(a->parts[i].state, late, e);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

int aux_out_next(struct aux_out *a, struct aux_buffer *b, struct err *e)
{
    int rc = 0;

    b->batch.count = 0;
    pthread_mutex_lock(&a->lock);
    while (!rc && a->next < a->count) {
        struct part *p = &a->parts[a->next];

        b->batch.source = a->next;
        rc = p->ops->more(p->state, b, e);
        if (!rc && b->batch.count) {
            aux_totals_add(&p->totals, &b->batch);
            break;
        }
        a->next++;
    }
    pthread_mutex_unlock(&a->lock);
    return rc ? rc : (int)b->batch.count;
}

int aux_out_left(struct aux_out *a, struct aux_left *left, struct err *e)
{
    int rc = 0;

    *left = (struct aux_left){0};
    pthread_mutex_lock(&a->lock);
    for (unsigned i = 0; i < a->count && !rc; i++) {
        struct aux_left part = {0};

        rc = a->parts[i].ops->left(a->parts[i].state, &part, e);
        left->entries += part.entries;
        left->bytes += part.bytes;
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}
