/* SPDX-License-Identifier: MIT */
/* A preamble, then control frames. */
#include "base/deadline.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/memory_channel.h"
#include "transport/control.h"
#include "transport/preamble.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t body[CONTROL_BODY_BYTES];
    static struct memory_channel m;
    struct control c;
    struct preamble p;
    struct err e = ERR_INIT;
    enum control_type type;
    size_t len_bytes;
    int rc;

    if (size < PREAMBLE_BYTES)
        return 0;
    if (preamble_decode(data, &p, &e) == 0) {
        uint8_t again[PREAMBLE_BYTES];

        (void)preamble_judge(&p, false);
        preamble_encode(&p, again);
        /* Of another major version only the start is known. */
        must(p.major != WIRE_MAJOR || memcmp(again, data, PREAMBLE_BYTES) == 0);
    } else {
        must(e.class == ERR_PEER);
    }

    e = (struct err)ERR_INIT;
    if (!m.ch.ops)
        memory_channel_init(&m);
    memory_channel_reset(&m);
    memory_channel_put(&m, data + PREAMBLE_BYTES, size - PREAMBLE_BYTES);
    control_init(&c, &m.ch);
    while ((rc = control_recv(&c, &type, body, &len_bytes, DEADLINE_NEVER, &e)) == 0) {
        must((int64_t)len_bytes <= control_limit_bytes((uint16_t)type));
        must(len_bytes == CONTROL_BODY_BYTES || body[len_bytes] == 0);
    }
    must(rc == -ENODATA ? !err_is_set(&e) : e.class == ERR_PEER);
    pthread_mutex_destroy(&c.send_lock);
    return 0;
}
