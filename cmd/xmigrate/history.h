/* SPDX-License-Identifier: MIT */
/*
 * How long earlier migrations took on this host: in the run directory, a file for each thing
 * measured, with lines of "WHO KIND NANOSECONDS". expect.h, the only user, says what they stand
 * for.
 *
 * What was seen with the same WHO counts; if nothing was, what was seen of that KIND; and before
 * that, what the caller thinks. The more was seen, the narrower is the estimate.
 */
#ifndef CMD_XMIGRATE_HISTORY_H
#define CMD_XMIGRATE_HISTORY_H

#include "base/err.h"
#include "sched/decide.h"

#include <stddef.h>

/* Words without blanks; "" is written as "-". */
struct history_key {
    const char *who, *kind;
};

enum history_match {
    HISTORY_NONE, /* nothing that fits */
    HISTORY_KIND, /* of that kind, with others */
    HISTORY_BOTH, /* of that kind, with the same */
};

/* *likely stays as it is if nothing was recorded. Never an error. */
enum history_match history_look_up(
    const char *what, const struct history_key *key, struct likely *likely);

int history_record(const char *what, const struct history_key *key, int64_t took_ns, struct err *e);

/* Pure: from the file's text. The median of the newest few, so that one move on a busy host does
 * not spoil the next predictions; and between what the next one should lie. */
enum history_match history_from_text(
    const char *text, size_t len_bytes, const struct history_key *key, struct likely *likely);

#endif
