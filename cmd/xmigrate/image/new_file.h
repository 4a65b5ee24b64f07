/* SPDX-License-Identifier: MIT */
/*
 * A file that appears under its name whole and on disk, or not at all: it is written beside the
 * name, as .NAME.PID.part, which follows from the name and the writer's process, so that
 * --recover finds it when the writer was killed and left a record; or, where there will be no
 * record, without any name, so that nothing is left. What had the name before keeps it until then.
 *
 * Owner: the story's thread.
 */
#ifndef CMD_XMIGRATE_IMAGE_NEW_FILE_H
#define CMD_XMIGRATE_IMAGE_NEW_FILE_H

#include "base/err.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { NEW_FILE_PATH_BYTES = 512, NEW_FILE_NAME_BYTES = NAME_MAX + 1 };

struct new_file {
    int fd;                         /* of the part, read and written; -1: there is none */
    int dir_fd;                     /* -1: nothing here is in use */
    char path[NEW_FILE_PATH_BYTES]; /* absolute, without links on the way */
    char name[NEW_FILE_NAME_BYTES]; /* its last word */
    char part[NEW_FILE_NAME_BYTES];
    bool unnamed; /* the part has no name yet: it goes with its descriptor */
};

/* Find the directory and look at what has the name: ERR_REFUSED unless that is a regular file or
 * nothing. writer: of the part. Nothing is made. */
int new_file_find(struct new_file *f, const char *path, pid_t writer, struct err *e);

/* ERR_REFUSED (-ENOSPC) if the directory's file system has not so much for us. */
int new_file_check_room(const struct new_file *f, uint64_t bytes, struct err *e);

/* Make the part, which must not be there. */
int new_file_create(struct new_file *f, struct err *e);
/* The same, without a name until it is published, if its file system can do that. */
int new_file_create_unnamed(struct new_file *f, struct err *e);
/* All bytes are on disk. *inode: what it is told by from now on. */
int new_file_sync(struct new_file *f, uint64_t *inode, struct err *e);
/* The part gets the name, on disk, unless it had got it before. On success the name is that
 * inode's; if the directory cannot be synced, what had it before has it again. */
int new_file_publish(struct new_file *f, uint64_t inode, struct err *e);
/* The part goes. */
void new_file_drop(struct new_file *f);
void new_file_close(struct new_file *f);

#endif
