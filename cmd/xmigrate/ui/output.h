/* SPDX-License-Identifier: MIT */
/*
 * Lines for people and programs that may have stopped reading (a terminal after Ctrl-S, a full
 * pipe): a migration must not wait for them. The descriptor may be blocking: a pipe that polls as
 * writable takes PIPE_BUF bytes at once, and longer lines are written in such pieces.
 */
#ifndef CMD_XMIGRATE_UI_OUTPUT_H
#define CMD_XMIGRATE_UI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long to wait for the reader of a line that matters. */
#define OUTPUT_PATIENCE_NS 1000000000ll

/* False when not all of it could be written within wait_ns; there is nobody to report that to. */
bool output_write(int fd, const char *text, size_t len_bytes, int64_t wait_ns);

#endif
