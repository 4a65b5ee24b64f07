/* SPDX-License-Identifier: MIT */
/*
 * The ends of a new compact file. Whoever wants it makes it, and completes it; between the two the
 * engine, in a process of its own, writes what is in between (writer.h), and an end of its own.
 */
#ifndef TRANSPORT_COMPACT_ENDS_H
#define TRANSPORT_COMPACT_ENDS_H

#include "transport/compact/chain.h"

#include <sys/uio.h>

/* What a new file is. */
struct compact_plan {
    const struct file_secret *secret;   /* len_bytes 0: not encrypted */
    const struct compact_chain *parent; /* NULL: whole by itself */
    const char *parent_name;            /* without a directory */
};

/* Write the header; *keys: what the writer needs. */
int compact_create(int fd, const struct compact_plan *plan, struct file_keys *keys, struct err *e);

/* The engine's part is there: put these behind it. LIBXL as docs/file.md has it. */
struct compact_rest {
    const void *libxl;
    size_t libxl_bytes;
    const char *config; /* libxl's JSON */
    const char *note;   /* JSON */
};
int compact_complete(int fd, const char *name, const struct file_keys *keys,
    const struct compact_rest *rest, struct err *e);

/* ---- what both write: sections, one behind the other, and a footer ---- */

/* The next section, at *end, which moves. */
int compact_add_section(int fd, const struct compact_header *h, const struct file_keys *keys,
    struct compact_footer *f, uint64_t *end, const struct iovec *plain, struct err *e);
/* The footer, at end; nothing is behind it. */
int compact_end_file(int fd, const struct compact_header *h, const struct file_keys *keys,
    struct compact_footer *f, uint64_t end, struct err *e);

#endif
