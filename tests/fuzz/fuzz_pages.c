/*
 * Page records: the decoder and the independent reader must agree on every input: what to accept,
 * and what it says.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/wire_peer.h"
#include "transport/pages.h"
#include "transport/v3.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct page_rules all = {
        .frame_count = 1ull << 52, .lane = 0, .lane_count = 1, .compress = true};
    static struct page_decoder *dec;
    static struct peer_pages peer;
    struct page_batch batch;
    struct err e = ERR_INIT;

    if (!dec)
        must(page_decoder_create(&all, &dec, &e) == 0);
    if (size > PAGES_MAX_BODY_BYTES)
        return 0;
    memcpy(page_decoder_body(dec), data, size);

    const bool accepted = page_decode(dec, size, &batch, &e) == 0;
    const char *wrong = peer_read_pages(data, size, &peer);

    must(accepted == !wrong);
    if (!accepted) {
        must(err_is_set(&e) && e.class == ERR_PEER);
        return 0;
    }
    must(batch.count == peer.count);
    for (unsigned i = 0; i < batch.count; i++) {
        must(v3_entry_pfn(batch.entries[i]) == peer.entry[i].pfn);
        must(v3_entry_type(batch.entries[i]) == peer.entry[i].type);
        if (peer.entry[i].content)
            must(memcmp(batch.pages[i], peer.entry[i].content, PAGE_BYTES) == 0);
        else if (peer.entry[i].zero)
            must(page_is_zero(batch.pages[i]));
        else
            must(!batch.pages[i]);
    }
    return 0;
}
