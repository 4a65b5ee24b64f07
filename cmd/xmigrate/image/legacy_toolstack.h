/* SPDX-License-Identifier: MIT */
/* libxl's part of an old stream: where QEMU has put what it maps into the guest (docs/file.md). */
#ifndef CMD_XMIGRATE_IMAGE_LEGACY_TOOLSTACK_H
#define CMD_XMIGRATE_IMAGE_LEGACY_TOOLSTACK_H

#include "base/bytes.h"
#include "base/err.h"

/* Of what is read, so many times its bytes are written at most. */
enum { LEGACY_TOOLSTACK_GROWTH = 6 };

/* tools_width: 4 or 8. out: pairs of xenstore keys, below the device model's, and values, each with
 * a NUL; NULL: only looked at. ERR_REFUSED. */
int legacy_read_toolstack(const void *bytes, size_t len_bytes, unsigned tools_width,
    struct bytes_out *out, struct err *e);

#endif
