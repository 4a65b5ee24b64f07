/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/stream_end.h"

#include <errno.h>
#include <string.h>

/* Type 0, no body. */
const uint8_t stream_end_record[STREAM_END_BYTES] = {0};

int stream_end_feed(size_t *have_bytes, const uint8_t *data, size_t len_bytes, struct err *e)
{
    const size_t missing = STREAM_END_BYTES - *have_bytes;

    if (len_bytes > missing || memcmp(data, stream_end_record + *have_bytes, len_bytes))
        return err_set(e, ERR_LOCAL, EBADMSG,
            "libxl's stream does not end as that of Xen 4.17 does: is this another Xen?");
    *have_bytes += len_bytes;
    return 0;
}

int stream_end_check(size_t have_bytes, struct err *e)
{
    return have_bytes == STREAM_END_BYTES
               ? 0
               : err_set(e, ERR_LOCAL, EBADMSG, "libxl's stream ended before its END record");
}
