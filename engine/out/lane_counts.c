/* SPDX-License-Identifier: MIT */
#include "engine/out/lane_counts.h"

static void count_up(atomic_uint_fast64_t *counter, uint64_t pages)
{
    atomic_fetch_add_explicit(counter, pages, memory_order_relaxed);
}

static uint64_t read_counter(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void lane_counts_begin(struct lane_counts *c)
{
    atomic_store(&c->done_pages, 0);
    atomic_store(&c->skipped_pages, 0);
    atomic_store(&c->absent_pages, 0);
    atomic_store(&c->data_pages, 0);
    atomic_store(&c->zero_pages, 0);
    atomic_store(&c->delta_pages, 0);
    atomic_store(&c->aux_entries, 0);
    atomic_store(&c->aux_bytes, 0);
    c->deferred_pages = c->stuck_pages = c->delta_bytes = 0;
}

void lane_counts_skipped(struct lane_counts *c, unsigned pages)
{
    count_up(&c->skipped_pages, pages);
    count_up(&c->done_pages, pages);
}

void lane_counts_sent(struct lane_counts *c, uint64_t data_pages, uint64_t zero_pages)
{
    count_up(&c->data_pages, data_pages);
    count_up(&c->zero_pages, zero_pages);
}

void lane_counts_deltas(struct lane_counts *c, uint64_t pages, uint64_t bytes)
{
    count_up(&c->delta_pages, pages);
    c->delta_bytes += bytes;
}

void lane_counts_aux(struct lane_counts *c, const struct aux_batch *b)
{
    struct aux_totals sent = {0};

    aux_totals_add(&sent, b);
    count_up(&c->aux_entries, b->count);
    count_up(&c->aux_bytes, sent.bytes);
}

void lane_counts_done(struct lane_counts *c, const struct batch *b, unsigned frames)
{
    if (b->stuck_pages && !c->stuck_pages)
        c->fault = b->fault;
    c->stuck_pages += b->stuck_pages;
    c->deferred_pages += b->deferred_pages;
    count_up(&c->absent_pages, frames - b->count - b->unchanged_pages - b->deferred_pages);
    count_up(&c->done_pages, frames);
}

void lane_counts_add(const struct lane_counts *c, bool finished, struct round_counts *sum)
{
    sum->done_pages += read_counter(&c->done_pages);
    sum->skipped_pages += read_counter(&c->skipped_pages);
    sum->absent_pages += read_counter(&c->absent_pages);
    sum->data_pages += read_counter(&c->data_pages);
    sum->zero_pages += read_counter(&c->zero_pages);
    sum->delta_pages += read_counter(&c->delta_pages);
    sum->aux_entries += read_counter(&c->aux_entries);
    sum->aux_bytes += read_counter(&c->aux_bytes);
    if (!finished)
        return;
    if (c->stuck_pages && !sum->stuck_pages)
        sum->fault = c->fault;
    sum->stuck_pages += c->stuck_pages;
    sum->deferred_pages += c->deferred_pages;
    sum->delta_bytes += c->delta_bytes;
}
