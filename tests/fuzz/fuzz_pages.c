/* SPDX-License-Identifier: MIT */
/*
 * Page records: the decoder and the independent reader must agree on every input: what to accept,
 * and what it says.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/memory_channel.h"
#include "tests/unit/wire_peer.h"
#include "transport/page_decoder.h"
#include "transport/pages.h"
#include "transport/v3.h"
#include "transport/zero_page.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct page_rules all = {.frame_count = 1ull << 52, .codecs = ~0u, .deltas = true};
    static struct page_decoder *dec;
    static struct peer_pages peer;
    static struct memory_channel wire;
    static uint8_t arrived[PAGES_MAX_ENTRIES][PAGE_BYTES];
    void *pages[PAGES_MAX_ENTRIES] = {NULL};
    struct page_front front = {0};
    struct err e = ERR_INIT;

    if (!dec) {
        must(page_decoder_create(&all, &dec, &e) == 0);
        memory_channel_init(&wire);
    }
    if (size > PAGES_MAX_BODY_BYTES)
        return 0;
    memory_channel_reset(&wire);
    memory_channel_put(&wire, data, size);

    int rc = page_recv_front(dec, &wire.ch, size, &front, &e);

    /* Side by side, or each apart from its neighbours. */
    for (unsigned i = 0; i < front.count; i++)
        if (v3_type_has_data(v3_entry_type(front.entries[i])))
            pages[i] = arrived[front.count % 2 ? i : front.count - 1 - i];
    for (unsigned i = 0; i < front.count; i++) /* differences to zeros, as the peer takes them */
        if (front.entries[i] & WIRE_ENTRY_DELTA)
            memset(pages[i], 0, PAGE_BYTES);
    if (!rc)
        rc = page_recv_contents(dec, &wire.ch, pages, &e);

    const bool accepted = rc == 0;
    const char *wrong = peer_read_pages(data, size, &peer);

    must(accepted == !wrong);
    if (!accepted) {
        must(err_is_set(&e) && e.class == ERR_PEER);
        return 0;
    }
    must(wire.pos_bytes == size);
    must(front.count == peer.count);
    for (unsigned i = 0; i < front.count; i++) {
        must(v3_entry_pfn(front.entries[i]) == peer.entry[i].pfn);
        must(v3_entry_type(front.entries[i]) == peer.entry[i].type);
        if (peer.entry[i].content)
            must(memcmp(pages[i], peer.entry[i].content, PAGE_BYTES) == 0);
        else if (peer.entry[i].zero)
            must(page_is_zero(pages[i]));
        else
            must(!pages[i]);
    }
    return 0;
}
