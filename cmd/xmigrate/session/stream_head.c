/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/stream_head.h"

#include <errno.h>
#include <string.h>

/* Big-endian "LibxlFmt", version 2, no options; then, little-endian, the record that says that
 * libxc's stream follows (type 1, no body). */
const uint8_t stream_head_bytes[STREAM_HEAD_BYTES] = {
    'L', 'i', 'b', 'x', 'l', 'F', 'm', 't', 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};

size_t stream_head_take(struct stream_head *h, const void *data, size_t len_bytes)
{
    const size_t missing = STREAM_HEAD_BYTES - h->have_bytes;
    const size_t n = len_bytes < missing ? len_bytes : missing;

    memcpy(h->bytes + h->have_bytes, data, n);
    h->have_bytes += n;
    return n;
}

int stream_head_check(const struct stream_head *h, struct err *e)
{
    if (!memcmp(h->bytes, stream_head_bytes, sizeof(stream_head_bytes)))
        return 0;
    return err_set(e, ERR_PEER, EBADMSG,
        "libxl's stream does not begin as that of Xen 4.17 does: do both hosts run the same Xen?");
}
