/* SPDX-License-Identifier: MIT */
/* How libxl's own stream begins and ends, in pieces: whole or in parts, the same is found. */
#include "cmd/xmigrate/session/emulator_records.h"
#include "cmd/xmigrate/session/stream_end.h"
#include "cmd/xmigrate/session/stream_head.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static size_t take_head(struct stream_head *h, const uint8_t *data, size_t size, size_t piece)
{
    size_t taken = 0;

    for (size_t done = 0, n; done < size && !stream_head_complete(h); done += n) {
        n = size - done < piece ? size - done : piece;

        const size_t took = stream_head_take(h, data + done, n);

        must(took <= n && (took == n || stream_head_complete(h)));
        taken += took;
    }
    return taken;
}

static void check_end(const uint8_t *data, size_t size, size_t piece)
{
    struct err e = ERR_INIT;
    size_t have = 0;
    int rc = 0;

    for (size_t done = 0; done < size && !rc; done += piece)
        rc = stream_end_feed(&have, data + done, size - done < piece ? size - done : piece, &e);
    must(have <= STREAM_END_BYTES);
    if (!rc && !stream_end_check(have, &e))
        must(size == STREAM_END_BYTES && !memcmp(data, stream_end_record, STREAM_END_BYTES));
}

static int count_state(void *arg, const uint8_t *data, size_t len_bytes, struct err *e)
{
    size_t *sum = arg;

    (void)e;
    for (size_t i = 0; i < len_bytes; i++)
        *sum = *sum * 31 + data[i] + 1;
    return 0;
}

static void check_records(const uint8_t *data, size_t size, size_t piece)
{
    struct emulator_records whole = {.type = 0}, parts = {.type = 0};
    struct err e = ERR_INIT, other = ERR_INIT;
    size_t sum = 0, parts_sum = 0;
    const int rc = emulator_records_feed(&whole, data, size, count_state, &sum, &e);
    int parts_rc = 0;

    for (size_t done = 0; done < size && !parts_rc; done += piece)
        parts_rc = emulator_records_feed(&parts, data + done,
            size - done < piece ? size - done : piece, count_state, &parts_sum, &other);
    must(rc == parts_rc && sum == parts_sum && whole.ended == parts.ended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream_head whole = {.have_bytes = 0}, parts = {.have_bytes = 0};
    struct err e = ERR_INIT, other = ERR_INIT;

    if (!size)
        return 0;

    const size_t piece = 1 + data[0] % 9;
    const size_t taken = take_head(&whole, data + 1, size - 1, size);

    must(taken <= STREAM_HEAD_BYTES && taken == take_head(&parts, data + 1, size - 1, piece));
    must(!memcmp(&whole, &parts, sizeof(whole)));
    if (!stream_head_complete(&whole))
        return 0;
    must(stream_head_check(&whole, &e) == stream_head_check(&parts, &other));
    check_end(data + 1 + taken, size - 1 - taken, piece);
    check_records(data + 1 + taken, size - 1 - taken, piece);
    return 0;
}
