/* SPDX-License-Identifier: MIT */
#include "xensim/guest/trace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { PAGE_WORDS = 512 };

#define EMBED(name, path)                                                                          \
    __asm__(".section .rodata\n.balign 8\n" #name ":\n.incbin \"" path "\"\n" #name "_end:\n"      \
            ".previous\n");                                                                        \
    extern const uint8_t name[], name##_end[]

EMBED(trace_sqlite, "xensim/traces/sqlite.zst");
EMBED(trace_kv, "xensim/traces/kv.zst");

static struct trace {
    const char *name;
    const uint8_t *packed, *packed_end;
    uint32_t pages;
    const uint32_t *versions; /* of each page, at least two */
    const uint64_t **first;   /* of each page */
} traces[] = {
    [TRACE_SQLITE] = {"sqlite", trace_sqlite, trace_sqlite_end, 0, NULL, NULL},
    [TRACE_KV] = {"kv", trace_kv, trace_kv_end, 0, NULL, NULL},
};

static pthread_once_t unpacked = PTHREAD_ONCE_INIT;

enum content_trace trace_named(const char *name)
{
    for (enum content_trace i = TRACE_SQLITE; i <= TRACE_KV; i++)
        if (!strcmp(name, traces[i].name))
            return i;
    return TRACE_NONE;
}

/* Each version is stored as the difference to the one before. */
static uint64_t *add_up(uint64_t *version, uint32_t count)
{
    for (uint32_t v = 1; v < count; v++, version += PAGE_WORDS)
        for (unsigned i = 0; i < PAGE_WORDS; i++)
            version[PAGE_WORDS + i] ^= version[i];
    return version + PAGE_WORDS;
}

/* How many pages, how many versions of each, padded to eight bytes; the versions. */
static void unpack(struct trace *t)
{
    const size_t packed_bytes = (size_t)(t->packed_end - t->packed);
    const unsigned long long bytes = ZSTD_getFrameContentSize(t->packed, packed_bytes);
    uint32_t *head = bytes < 1u << 30 ? malloc(bytes + 8) : NULL;

    if (!head || ZSTD_isError(ZSTD_decompress(head, bytes, t->packed, packed_bytes)))
        abort();
    t->pages = head[0];
    t->versions = head + 2;
    t->first = malloc(t->pages * sizeof(*t->first));
    if (!t->first)
        abort();

    uint64_t *at = (uint64_t *)(head + 2 + t->pages + t->pages % 2);

    for (uint32_t i = 0; i < t->pages; i++) {
        t->first[i] = at;
        at = add_up(at, t->versions[i]);
    }
}

static void unpack_all(void)
{
    for (enum content_trace i = TRACE_SQLITE; i <= TRACE_KV; i++)
        unpack(&traces[i]);
}

const void *trace_page(enum content_trace trace, uint64_t key, uint32_t version)
{
    const struct trace *t = &traces[trace];

    pthread_once(&unpacked, unpack_all);

    const uint32_t page = (uint32_t)(key % t->pages), last = t->versions[page] - 1;
    const uint32_t step = version ? (version - 1) % (2 * last) : 0;

    return t->first[page] + (size_t)(step <= last ? step : 2 * last - step) * PAGE_WORDS;
}
