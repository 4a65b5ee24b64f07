/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/filed.h"

#include "cmd/xmigrate/image/new_file.h"

void filed_drop(const struct journal_record *s)
{
    struct err ignored = ERR_INIT;
    struct new_file f;

    /* What has the name now does not matter. */
    if (!filed_is(s))
        return;
    new_file_find(&f, s->file, s->supervisor, &ignored);
    new_file_drop(&f);
    new_file_close(&f);
}

int filed_publish(const struct log *log, const struct journal_record *s, struct err *e)
{
    struct new_file f;
    int rc = new_file_find(&f, s->file, s->supervisor, e);

    if (!rc)
        rc = new_file_publish(&f, s->file_inode, e);
    new_file_close(&f);
    if (!rc)
        log_info(log, "\"%s\" is saved in %s", s->name, s->file);
    return rc;
}
