/* SPDX-License-Identifier: MIT */
/* A trunk: record after record from whatever the peer sends, until it is an error or ends. */
#include "base/deadline.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/memory_channel.h"
#include "transport/trunk.h"
#include "transport/v3.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct memory_channel m;
    struct trunk_reader r;
    struct trunk_message got;
    struct err e = ERR_INIT;
    int rc;

    if (!m.ch.ops)
        memory_channel_init(&m);
    memory_channel_reset(&m);
    memory_channel_put(&m, data, size);
    must(trunk_reader_init(&r, &m.ch, &e) == 0);
    r.in_parts = size & 1;
    while ((rc = trunk_recv(&r, &got, DEADLINE_NEVER, &e)) == 0) {
        must(!err_is_set(&e));
        if (got.type == RECORD_STATE) {
            must(v3_is_state(got.state.v3_type));
            must((int64_t)got.state.len_bytes <= v3_limit_bytes(got.state.v3_type));
            for (size_t i = 0; i < got.state.len_bytes; i++)
                (void)((const volatile uint8_t *)got.state.body)[i];
        } else if (got.type == RECORD_RESULT) {
            must(strlen(got.result.failure.text) < ERR_TEXT_BYTES);
        } else if (got.type == RECORD_HEAD) {
            must(got.head.page_count <= got.head.frame_count);
        }
    }
    must(rc == -ENODATA ? !err_is_set(&e) : e.class == ERR_PEER);
    /* Memory follows what arrived, but for one part that is announced. */
    must(r.cap_bytes <= 4096 + (1 << 20) + size);
    trunk_reader_destroy(&r);
    return 0;
}
