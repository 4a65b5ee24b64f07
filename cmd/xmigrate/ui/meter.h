/* SPDX-License-Identifier: MIT */
/*
 * How far a migration is, from its progress reports: what the view shows and --status answers. Pure
 * but for what it remembers; times are now_ns()'s. Its owner guards it.
 */
#ifndef CMD_XMIGRATE_UI_METER_H
#define CMD_XMIGRATE_UI_METER_H

#include "engine/report.h"

#include <stdint.h>

struct meter {
    uint64_t guest_pages;   /* of the first round; 0: no report yet */
    uint64_t there_pages;   /* of these, at the destination as they are now */
    uint64_t wire_bytes;    /* so far, */
    double wire_bits_per_s; /* over the last second or so; 0: not known yet */
    int64_t eta_ns; /* until the round is over and the guest, suspended then, runs on; 0: unknown */

    uint64_t rate_bytes; /* as of the last measurement, */
    int64_t rate_ns;     /* and when that was; 0: never */
};

/* So many bytes until now. */
void meter_note_bytes(struct meter *m, uint64_t wire_bytes, int64_t at_ns);
void meter_note_progress(struct meter *m, const struct progress_report *r, int64_t at_ns);

/* Of the guest's pages, rounded down. */
unsigned meter_percent(const struct meter *m);

#endif
