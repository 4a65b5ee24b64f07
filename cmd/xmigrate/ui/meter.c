/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/meter.h"

#include "base/deadline.h"

/* The first figure comes early. */
#define FIRST_RATE_NS (NS_PER_S / 4)
#define RATE_NS       NS_PER_S

void meter_note_bytes(struct meter *m, uint64_t wire_bytes, int64_t at_ns)
{
    const int64_t took_ns = at_ns - m->rate_ns;

    m->wire_bytes = wire_bytes;
    if (m->rate_ns && took_ns < (m->wire_bits_per_s > 0 ? RATE_NS : FIRST_RATE_NS))
        return;
    if (m->rate_ns && wire_bytes >= m->rate_bytes)
        m->wire_bits_per_s = (double)(wire_bytes - m->rate_bytes) * 8 * NS_PER_S / (double)took_ns;
    m->rate_ns = at_ns;
    m->rate_bytes = wire_bytes;
}

void meter_note_progress(struct meter *m, const struct progress_report *r, int64_t at_ns)
{
    const uint64_t left = r->round_pages > r->round_done_pages
                              ? r->round_pages - r->round_done_pages
                              : 0;

    if (r->round == 1 || !m->guest_pages)
        m->guest_pages = r->round_pages;
    m->there_pages = left < m->guest_pages ? m->guest_pages - left : 0;
    m->eta_ns = r->send_pages_per_s > 0 ? (int64_t)((double)left * NS_PER_S / r->send_pages_per_s) +
                                              r->predicted_downtime_ns
                                        : 0;
    meter_note_bytes(m, r->wire_bytes, at_ns);
}

unsigned meter_percent(const struct meter *m)
{
    return m->guest_pages ? (unsigned)(m->there_pages * 100 / m->guest_pages) : 0;
}
