/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/legacy_toolstack.h"

#include "cmd/xmigrate/image/file_reader.h"

#include <inttypes.h>
#include <stdio.h>

enum { VERSION = 1, LEAKED_BYTES = 4 /* of padding, behind a name of 64-bit tools */ };

static void put_pair(struct bytes_out *out, uint64_t phys, const char *key, const char *value)
{
    char path[64];
    const int n = snprintf(path, sizeof(path), "physmap/%" PRIx64 "/%s", phys, key);

    bytes_out_copy(out, path, (size_t)n + 1);
    bytes_out_copy(out, value, strlen(value) + 1);
}

static void put_number(struct bytes_out *out, uint64_t phys, const char *key, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIx64, value);
    put_pair(out, phys, key, text);
}

static int read_entry(
    struct bytes_in *in, unsigned tools_width, struct bytes_out *out, struct err *e)
{
    const uint64_t phys = bytes_in_u64(in), start = bytes_in_u64(in), size = bytes_in_u64(in);
    const uint32_t name_bytes = bytes_in_u32(in);
    const char *name = bytes_in_take(in, name_bytes);

    if (tools_width == 8)
        bytes_in_take(in, LEAKED_BYTES);
    if (in->underflow || !name_bytes || memchr(name, 0, name_bytes) != name + name_bytes - 1)
        return err_damaged(e, "toolstack has a name of %u bytes that is none", name_bytes);
    if (!out)
        return 0;
    put_number(out, phys, "start_addr", start);
    put_number(out, phys, "size", size);
    put_pair(out, phys, "name", name);
    return 0;
}

int legacy_read_toolstack(
    const void *bytes, size_t len_bytes, unsigned tools_width, struct bytes_out *out, struct err *e)
{
    struct bytes_in in = bytes_in_init(bytes, len_bytes);
    const uint32_t version = bytes_in_u32(&in);
    uint32_t count = bytes_in_u32(&in);
    int rc = 0;

    if (in.underflow || version != VERSION)
        return err_damaged(e, "toolstack of version %u and %zu bytes", version, len_bytes);
    while (count-- && !rc)
        rc = read_entry(&in, tools_width, out, e);
    if (!rc && !bytes_in_done(&in))
        rc = err_damaged(e, "toolstack has %zu bytes too many", bytes_in_left(&in));
    return rc;
}
