/* SPDX-License-Identifier: MIT */
/*
 * One compact file, open to be read: its ends checked, its index decoded. Chunks and sections are
 * read by whoever wants them. The descriptor is the caller's.
 */
#ifndef TRANSPORT_COMPACT_FILE_H
#define TRANSPORT_COMPACT_FILE_H

#include "transport/compact/index.h"

#include <sys/uio.h>

enum { COMPACT_SHOWN_BYTES = 256 };

struct compact_file {
    int fd;
    char name[COMPACT_SHOWN_BYTES]; /* for messages */
    uint64_t file_bytes;
    struct compact_header header;
    struct file_keys keys;
    struct compact_footer footer;
    struct compact_index index; /* without groups, once these are entered */
    uint8_t *index_bytes;       /* which index points into; NULL: no longer */
    uint8_t index_hash[FILE_HASH_BYTES];
    uint64_t at; /* where what is being read begins, for messages */
};

/* The header alone. */
int compact_file_open(struct compact_file *f, int fd, const char *name, struct err *e);
/* Its keys: from the secret (len_bytes 0: none), or, secret being NULL, those. ERR_REFUSED,
 * -EKEYREJECTED for a secret that is not the file's. */
int compact_file_unlock(struct compact_file *f, const struct file_secret *secret,
    const struct file_keys *keys, struct err *e);
/* After that: footer and MAC. sections: how many there have to be. */
int compact_file_load_footer(struct compact_file *f, unsigned sections, struct err *e);
/* The same, and the index. */
int compact_file_load(struct compact_file *f, unsigned sections, struct err *e);
/* The index's groups are of no use any more. */
void compact_file_forget(struct compact_file *f);
void compact_file_close(struct compact_file *f);

/* A section's plain bytes, malloc'ed; len_bytes may be 0. */
int compact_file_section(
    struct compact_file *f, enum compact_section_type type, struct iovec *plain, struct err *e);

/* The same as a string, malloc'ed, of a section that is text: it has no NUL. */
int compact_file_text(
    struct compact_file *f, enum compact_section_type type, char **text, struct err *e);

/* Does the file begin as a compact one? */
bool compact_file_is(int fd);

#endif
