/* SPDX-License-Identifier: MIT */
/*
 * How libxl's own stream ends: for a guest without a device model nothing follows the save helper's
 * part but an END record, eight zero bytes. The source's libxl writes it when its helper has
 * cleaned up and ended, and the guest stands still meanwhile. So the destination gives its libxl
 * that record by itself, and the source sees to it that its own libxl said nothing else.
 */
#ifndef CMD_XMIGRATE_SESSION_STREAM_END_H
#define CMD_XMIGRATE_SESSION_STREAM_END_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { STREAM_END_BYTES = 8 };

extern const uint8_t stream_end_record[STREAM_END_BYTES];

/* The next bytes behind the head, of which *have_bytes came before. ERR_PEER (-EBADMSG) when they
 * are not END's. */
int stream_end_feed(size_t *have_bytes, const uint8_t *data, size_t len_bytes, struct err *e);

/* No more will come: it must be there. */
int stream_end_check(size_t have_bytes, struct err *e);

#endif
