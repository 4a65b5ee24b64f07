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
#include "cmd/xmigrate/libxl/calls.h"

static inline bool filed_is(const struct journal_record *s)
{
    return s->file[0] != '\0';
}

/* Of a record that is *live*, when the guest is well. */
void filed_drop(const struct journal_record *s);

/* Of a record that is *moved*, before the domain is destroyed. */
int filed_publish(const struct log *log, const struct journal_record *s, struct err *e);

/* The guest is to be built again from its file, by whoever finds the record. */
static inline bool filed_is_revived(const struct journal_record *s)
{
    return filed_is(s) && s->state == HANDOFF_MOVED && s->revive;
}

/* How such a guest is built again, for a message. */
enum { FILED_COMMAND_BYTES = 3 * JOURNAL_FILE_NAME_BYTES + 64 };
const char *filed_restore_command(
    const struct journal_record *s, char text[static FILED_COMMAND_BYTES]);

/* All guests that are nowhere else than in such a file, when their domains are destroyed and what
 * earlier tries left is gone: each is built again by a process of its own, which takes the record
 * over and removes it. That takes as long as a restore does. False: one could not be; it was said.
 */
bool filed_revive_all(struct xl *xl, const struct log *log);

#endif
