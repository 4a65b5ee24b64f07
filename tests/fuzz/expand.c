/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/expand.h"

#include "base/bytes.h"

#include <string.h>

enum { HEADER_BYTES = 4, WORTH_IT = 8, MOST = 65535 };

size_t expand(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t cap_bytes)
{
    size_t done = 0;

    while (in_bytes >= HEADER_BYTES) {
        size_t zeros = get_le16(in), length = get_le16(in + 2);

        in += HEADER_BYTES;
        in_bytes -= HEADER_BYTES;
        if (zeros > cap_bytes - done)
            zeros = cap_bytes - done;
        memset(out + done, 0, zeros);
        done += zeros;
        if (length > in_bytes)
            length = in_bytes;
        if (length > cap_bytes - done)
            length = cap_bytes - done;
        memcpy(out + done, in, length);
        done += length;
        in += length;
        in_bytes -= length;
    }
    return done;
}

static size_t count_zeros(const uint8_t *in, size_t in_bytes)
{
    size_t n = 0;

    while (n < in_bytes && n < MOST && !in[n])
        n++;
    return n;
}

size_t shorten(const uint8_t *in, size_t in_bytes, uint8_t *out)
{
    const uint8_t *const end = in + in_bytes;
    size_t done = 0;

    while (in < end) {
        const size_t zeros = count_zeros(in, (size_t)(end - in));
        size_t length = 0;

        in += zeros;
        while (in + length < end && length < MOST &&
               count_zeros(in + length, (size_t)(end - in) - length) < WORTH_IT)
            length++;
        put_le16(out + done, (uint16_t)zeros);
        put_le16(out + done + 2, (uint16_t)length);
        memcpy(out + done + HEADER_BYTES, in, length);
        done += HEADER_BYTES + length;
        in += length;
    }
    return done;
}
