/* SPDX-License-Identifier: MIT */
/*
 * A lock (flock) on a file that is there only while somebody needs it. It is removed under its own
 * lock, so whoever has locked it looks whether it still has its name.
 */
#ifndef CMD_LOCK_FILE_H
#define CMD_LOCK_FILE_H

#include <stdbool.h>
#include <stdint.h>

/* Lock that file, which is made if need be. -EWOULDBLOCK when another process holds it, *fd is open
 * then, too, to be read; any other -errno: it is not. */
int lock_file_take(const char *path, int *fd);
/* The same, again and again until then. *fd is open with 0 alone. */
int lock_file_wait(const char *path, int64_t deadline_ns, int *fd);
/* Close it, and remove the file unless somebody else holds it still. */
void lock_file_drop(const char *path, int fd);

/* Does a process hold the file of that name? *fd is open then, to be read. One that nobody holds is
 * removed. */
bool lock_file_is_held(const char *dir, const char *name, int *fd);
/* Was it written, or its time set, less than so long ago? A process that was stopped does neither.
 */
bool lock_file_was_touched(int fd, int64_t within_s);

#endif
