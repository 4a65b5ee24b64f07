/* SPDX-License-Identifier: MIT */
#include "engine/aux/in.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

void aux_in_init(
    struct aux_in *a, uint32_t domid, const struct aux_in_ops *const *known, const struct log *log)
{
    *a = (struct aux_in){.domid = domid, .known = known, .log = log};
}

void aux_in_close(struct aux_in *a)
{
    for (unsigned i = 0; i < AUX_MAX_SOURCES; i++) {
        struct aux_in_part *p = &a->parts[i];

        if (!p->announced)
            continue;
        if (p->state)
            p->ops->end(p->state);
        aux_keys_destroy(&p->keys);
        pthread_mutex_destroy(&p->lock);
        p->announced = false;
    }
    xen_close(&a->xen);
}

static const struct aux_in_ops *known_as(const struct aux_in *a, const char *name)
{
    for (unsigned i = 0; a->known[i]; i++)
        if (!strcmp(a->known[i]->name, name))
            return a->known[i];
    return NULL;
}

static int refuse(const struct aux_source *s, const char *why, struct err *e)
{
    return err_set(
        e, ERR_REFUSED, EOPNOTSUPP, "the guest has auxiliary data \"%s\", %s", s->name, why);
}

/* What it announces against what this host takes. */
static int check_limits(
    const struct aux_source *s, uint64_t most_entries, uint64_t most_bytes, struct err *e)
{
    if (s->most_entries <= most_entries && s->most_bytes <= most_bytes)
        return 0;
    return err_set(e, ERR_REFUSED, E2BIG,
        "auxiliary data \"%s\": %" PRIu64 " entries of %" PRIu64 " bytes are announced, %" PRIu64
        " of %" PRIu64 " are the most here",
        s->name, s->most_entries, s->most_bytes, most_entries, most_bytes);
}

/* A source that may be left out comes to nothing where this host cannot take it. */
static int begin(struct aux_in *a, struct aux_in_part *p, const struct aux_source *s, struct err *e)
{
    struct err why = ERR_INIT;
    int rc = a->xen.xch ? 0 : xen_open(&a->xen, a->log, e);

    if (rc)
        return rc;
    rc = p->ops->begin(&a->xen, a->domid, s, &p->state, &why);
    if (!rc)
        return 0;
    if (why.class != ERR_REFUSED || !s->optional)
        return err_take(e, &why);
    log_info(a->log, "auxiliary data \"%s\" is left out: %s", s->name, why.text);
    p->ops = NULL;
    return 0;
}

int aux_in_announce(struct aux_in *a, const struct aux_source *s, struct err *e)
{
    struct aux_in_part *p = &a->parts[s->number];
    const struct aux_in_ops *ops = known_as(a, s->name);
    int rc = 0;

    if (p->announced)
        return err_set(e, ERR_PEER, EPROTO, "auxiliary source %u is announced twice", s->number);
    if (!ops && !s->optional)
        return refuse(s, "which this xmigrate does not know", e);
    if (ops && ops->version != s->version && !s->optional)
        return refuse(s, "in a version that this xmigrate does not know", e);
    if (ops && ops->version != s->version)
        ops = NULL;
    rc = ops ? check_limits(s, ops->most_entries, ops->most_bytes, e)
             : check_limits(s, AUX_UNKNOWN_ENTRIES,
                   AUX_UNKNOWN_ENTRIES * (uint64_t)AUX_MAX_CONTENT_BYTES, e);
    if (rc)
        return rc;
    p->announced = true;
    p->ops = ops;
    p->most_entries = s->most_entries;
    p->most_bytes = s->most_bytes;
    memcpy(p->name, s->name, sizeof(p->name));
    pthread_mutex_init(&p->lock, NULL);
    aux_keys_init(&p->keys);
    return ops ? begin(a, p, s, e) : 0;
}

/* ---- a lane's ---- */

static int bad_entry(const struct aux_in_part *p, const char *what, struct err *e)
{
    return err_set(e, ERR_PEER, EPROTO, "auxiliary data \"%s\": %s", p->name, what);
}

/* Lock held. */
static int note_entry(
    struct aux_in_part *p, const struct aux_entry *entry, uint32_t round, struct err *e)
{
    const enum aux_keys_answer answer = entry->withdrawn
                                            ? aux_keys_withdraw(&p->keys, entry->key, round)
                                            : aux_keys_set(
                                                  &p->keys, entry->key, round, entry->bytes);

    switch (answer) {
    case AUX_KEYS_REPEATED:
        return bad_entry(p, "an entry came twice in one round", e);
    case AUX_KEYS_NOT_THERE:
        return bad_entry(p, "an entry is withdrawn that is not there", e);
    case AUX_KEYS_NO_MEMORY:
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for auxiliary data \"%s\"", p->name);
    default:
        break;
    }
    if (p->keys.entries > p->most_entries || p->keys.bytes > p->most_bytes)
        return bad_entry(p, "more came than was announced", e);
    return 0;
}

static int take(struct aux_in_part *p, uint32_t round, const struct aux_batch *b, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < b->count && !rc; i++)
        rc = note_entry(p, &b->entries[i], round, e);
    if (rc)
        return rc;
    aux_totals_add(&p->totals, b);
    if (!p->ops)
        return 0;
    rc = p->ops->withdraw(p->state, b, e);
    return rc ? rc : p->ops->apply(p->state, b, e);
}

int aux_in_take(struct aux_in *a, uint32_t round, const struct aux_batch *b, struct err *e)
{
    struct aux_in_part *p = &a->parts[b->source];

    if (!p->announced || p->done)
        return err_set(e, ERR_PEER, EPROTO, "auxiliary data of source %u, which %s", b->source,
            p->done ? "is through" : "was not announced");
    pthread_mutex_lock(&p->lock);

    const int rc = take(p, round, b, e);

    pthread_mutex_unlock(&p->lock);
    return rc;
}

/* ---- the end ---- */

int aux_in_done(struct aux_in *a, uint32_t source, const struct aux_totals *sent, struct err *e)
{
    struct aux_in_part *p = &a->parts[source];
    const struct aux_totals *got = &p->totals;

    if (!p->announced || p->done)
        return err_set(e, ERR_PEER, EPROTO, "AUX_DONE of source %u, which %s", source,
            p->done ? "is through" : "was not announced");
    p->done = true;
    if (memcmp(sent, got, sizeof(*got)))
        return err_set(e, ERR_PEER, EPROTO,
            "auxiliary data \"%s\": the source counts %" PRIu64 " entries, %" PRIu64
            " withdrawn, %" PRIu64 " bytes; %" PRIu64 ", %" PRIu64 " and %" PRIu64 " arrived",
            p->name, sent->set, sent->withdrawn, sent->bytes, got->set, got->withdrawn, got->bytes);
    return p->ops ? p->ops->complete(p->state, e) : 0;
}

int aux_in_complete(struct aux_in *a, struct err *e)
{
    for (unsigned i = 0; i < AUX_MAX_SOURCES; i++)
        if (a->parts[i].announced && !a->parts[i].done)
            return err_set(e, ERR_PEER, EPROTO,
                "auxiliary data \"%s\": the end came before AUX_DONE", a->parts[i].name);
    return 0;
}
