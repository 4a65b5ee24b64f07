/* SPDX-License-Identifier: MIT */
/*
 * How long earlier migrations took on this host: in the run directory, a file for each thing
 * measured, with lines of "KIND NANOSECONDS". Two parts of the predicted downtime cannot be
 * measured beforehand:
 *
 *   finish    receiving: a domain, once the last byte is there; KIND is the number of its devices.
 *             The source is told.
 *   suspend   sending: a guest, from the request until it stands still; KIND is the number of its
 *             vCPUs.
 */
#ifndef CMD_XMIGRATE_HISTORY_H
#define CMD_XMIGRATE_HISTORY_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_FINISH  "finish"
#define HISTORY_SUSPEND "suspend"

/* HVM guests, whose device model stops and starts too, are kinds of their own. */
static inline unsigned history_kind(unsigned kind, bool emulated)
{
    return emulated ? kind + 100000 : kind;
}

/* Never an error: otherwise_ns if nothing is recorded. */
int64_t history_estimate_ns(const char *what, unsigned kind, int64_t otherwise_ns);

int history_record(const char *what, unsigned kind, int64_t took_ns, struct err *e);

/* Pure: the median of the newest few of that kind, from the file's text, so that one move on a busy
 * host does not spoil the next predictions. */
int64_t history_from_text(const char *text, size_t len_bytes, unsigned kind, int64_t otherwise_ns);

#endif
