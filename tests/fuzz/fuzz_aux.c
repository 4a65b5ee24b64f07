/* SPDX-License-Identifier: MIT */
/*
 * Auxiliary data at the destination, up to the hypercalls. The first byte says which of these
 * fails; then records as on the wire: AUX_SOURCE, AUX, AUX_DONE, and BORDER for the next round.
 * Each AUX is read by the second reader as well, and what a source may have is never exceeded.
 */
#include "engine/aux/in.h"
#include "tests/fuzz/fake_xen.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/wire_peer.h"
#include "transport/record.h"

#include <errno.h>
#include <string.h>

static void drop_line(void *arg, enum log_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

static const char *decode_both(const struct peer_record *r, struct aux_batch *b)
{
    struct peer_aux peer;
    const char *wrong = aux_decode_batch(r->body, r->len_bytes, b);

    must(!wrong == !peer_read_aux(r->body, r->len_bytes, &peer));
    if (wrong)
        return wrong;
    must(b->source == peer.source && b->count == peer.count);
    for (unsigned i = 0; i < b->count; i++) {
        must(!memcmp(b->entries[i].key, peer.entry[i].key, AUX_KEY_BYTES));
        must(b->entries[i].withdrawn == peer.entry[i].withdrawn);
        must(b->entries[i].bytes == peer.entry[i].bytes);
        must(!b->entries[i].bytes || b->entries[i].content == peer.entry[i].content);
    }
    return NULL;
}

static int take_record(
    struct aux_in *a, const struct peer_record *r, uint32_t *round, struct err *e)
{
    static struct aux_source source;
    struct aux_batch batch;
    struct aux_totals totals;
    uint32_t number;

    switch (r->type) {
    case RECORD_AUX_SOURCE:
        return aux_decode_source(r->body, r->len_bytes, &source) ? -EPROTO
                                                                 : aux_in_announce(a, &source, e);
    case RECORD_AUX:
        return decode_both(r, &batch) ? -EPROTO : aux_in_take(a, *round, &batch, e);
    case RECORD_AUX_DONE:
        return aux_decode_done(r->body, r->len_bytes, &number, &totals)
                   ? -EPROTO
                   : aux_in_done(a, number, &totals, e);
    case RECORD_BORDER:
        ++*round;
        return 0;
    default:
        return -EPROTO;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct log log = {LOG_ERROR, drop_line, NULL};
    static struct aux_in a;
    struct peer_record r;
    struct err e = ERR_INIT;
    size_t at = 1;
    uint32_t round = 0;
    int rc = 0;

    if (!size)
        return 0;
    fake_xen_begin(&(struct fake_xen){.hvm = true, .fail_at = data[0]});
    aux_in_init(&a, FAKE_DOMID, aux_in_sources, &log);
    while (!rc && peer_next_record(data, size, &at, &r))
        rc = take_record(&a, &r, &round, &e);
    for (unsigned i = 0; i < AUX_MAX_SOURCES && !rc; i++) {
        const struct aux_in_part *p = &a.parts[i];

        must(p->keys.entries <= p->most_entries && p->keys.bytes <= p->most_bytes);
    }
    if (!rc)
        rc = aux_in_complete(&a, &e);
    must(rc == 0 ? !err_is_set(&e) : rc == -EPROTO || err_is_set(&e));
    must(e.class != ERR_INTERNAL);
    aux_in_close(&a);
    fake_xen_end();
    return 0;
}
