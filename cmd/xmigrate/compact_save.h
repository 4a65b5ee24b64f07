/* SPDX-License-Identifier: MIT */
/*
 * The supervisor's part of --checkpoint and --save with --compact: the file's header, its chain and
 * keys for the helper, and, when helper and libxl are done, what is behind the engine's part. All
 * else is save.c's.
 *
 *   prepare   create   (the helper runs)   complete   verify   clear
 */
#ifndef CMD_XMIGRATE_COMPACT_SAVE_H
#define CMD_XMIGRATE_COMPACT_SAVE_H

#include "cmd/handoff/record.h"
#include "cmd/link.h"
#include "cmd/xmigrate/image/chain_files.h"
#include "cmd/xmigrate/ui/options.h"

struct compact_save {
    const struct options *o;
    const struct cancel *cancel;
    char name[COMPACT_SHOWN_BYTES]; /* of the new file, for messages */
    int fd;                         /* of the new file: the owner's */
    struct chain_files parent;      /* empty: it is whole by itself */
    struct file_keys keys;
    /* As the journal has them: absolute; empty: there is none. */
    char key_path[JOURNAL_FILE_NAME_BYTES];
    char parent_path[JOURNAL_FILE_NAME_BYTES];
    int libxl_fd; /* libxl's stream, in memory */
};

void compact_save_init(struct compact_save *c, const struct options *o);
/* Look at key file and parents, and the chunks that are needed of them, which have to be of that
 * guest. ERR_REFUSED. */
int compact_save_prepare(
    struct compact_save *c, const char *uuid, const struct cancel *cancel, struct err *e);
/* fd: the new file, empty; path: what it will be called. */
int compact_save_create(struct compact_save *c, int fd, const char *path, struct err *e);
/* How many bytes its pages need at least: 0 where that is not known, compressed or beside a parent.
 */
uint64_t compact_save_room_bytes(const struct compact_save *c, uint64_t memory_bytes);

/* To the helper, behind its job. */
int compact_save_hand_over(const struct compact_save *c, int link_sock, struct err *e);
unsigned compact_save_files(const struct compact_save *c);
/* All files of a chain, newest first, with their keys. */
int compact_hand_over_chain(const struct compact_chain *c, int link_sock, struct err *e);

int compact_save_complete(
    const struct compact_save *c, const char *config, const struct image_note *note, struct err *e);
/* From its own bytes; pages: all that a restore would read, page by page, because the guest will be
 * nowhere else. */
int compact_save_verify(
    const struct compact_save *c, bool pages, struct image *image, struct err *e);
void compact_save_clear(struct compact_save *c);

#endif
