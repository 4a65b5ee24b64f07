/* SPDX-License-Identifier: MIT */
/*
 * What --recover and --resume do about the file of a --save or --checkpoint whose process was
 * killed. Its record is *live* until all that the file needs is in it and on disk; what there is
 * of the file goes then. That of a save is *moved* after that: the file gets its name, if it has
 * not yet, and the domain is destroyed.
 */
#ifndef CMD_XMIGRATE_HANDOFF_FILED_H
#define CMD_XMIGRATE_HANDOFF_FILED_H

#include "base/log.h"
#include "cmd/handoff/journal.h"

static inline bool filed_is(const struct journal_record *s)
{
    return s->file[0] != '\0';
}

/* Of a record that is *live*, when the guest is well. */
void filed_drop(const struct journal_record *s);

/* Of a record that is *moved*, before the domain is destroyed. */
int filed_publish(const struct log *log, const struct journal_record *s, struct err *e);

#endif
