/* SPDX-License-Identifier: MIT */
#include "tests/unit/compact_file.h"

#include "transport/compact/ends.h"
#include "transport/compact/writer.h"
#include "transport/v3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

const char *const tiny_sections[COMPACT_SECTIONS + 1] = {
    [COMPACT_HEAD] = "what comes before the pages",
    [COMPACT_TAIL] = "what comes after them",
    [COMPACT_LIBXL] = "libxl's stream, its header and more",
    [COMPACT_CONFIG] = "{\"c_info\":{\"name\":\"g\"}}",
    [COMPACT_NOTE] = "{\"kind\":\"save\"}",
};

/* Odd ones are text, even ones random. */
void tiny_page(uint32_t value, uint8_t page[static PAGE_BYTES])
{
    uint64_t state = value * 0x9E3779B97F4A7C15ull;

    memset(page, 0, PAGE_BYTES);
    for (unsigned i = 0; value && i < PAGE_BYTES / 8; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if (value & 1)
            snprintf((char *)page + i * 8, 8, "%u", value + i % 5);
        else
            memcpy(page + i * 8, &state, 8);
    }
}

void tiny_secret(const char *text, struct file_secret *secret)
{
    secret->len_bytes = 0;
    if (!text)
        return;
    memset(secret->bytes, 0, sizeof(secret->bytes));
    memcpy(secret->bytes, text, strlen(text));
    secret->len_bytes = FILE_SECRET_MIN_BYTES;
}

static void put_guest(struct compact_writer *w, const struct tiny_guest *g, struct err *e)
{
    uint8_t(*pages)[PAGE_BYTES] = malloc((size_t)TINY_FRAMES * PAGE_BYTES);
    uint64_t entries[TINY_FRAMES];
    const void *at[TINY_FRAMES];
    struct compact_counts counts = {0};
    struct compact_lane *l;
    unsigned n = 0;

    if (!pages || compact_lane_create(w, &l, e))
        abort();
    for (unsigned i = 0; i < TINY_FRAMES; i++) {
        if (g->type[i] == V3_PAGE_XTAB)
            continue;
        tiny_page(g->value[i], pages[i]);
        at[n] = pages[i];
        entries[n++] = (uint64_t)g->type[i] << V3_ENTRY_TYPE_SHIFT | i;
    }
    /* In two batches, as a lane's. */
    if (compact_lane_put(l, entries, at, n / 2, &counts, e) ||
        compact_lane_put(l, entries + n / 2, at + n / 2, n - n / 2, &counts, e))
        abort();
    compact_lane_destroy(l);
    free(pages);
}

static struct iovec section(enum compact_section_type type)
{
    return (struct iovec){(void *)tiny_sections[type], strlen(tiny_sections[type])};
}

/* The chain again, as a helper would open it. */
static void open_parent(const struct tiny_file *f, struct compact_chain *c, struct err *e)
{
    c->first = 1;
    for (unsigned i = 0; f->parent && i < f->parent->count; i++)
        if (compact_chain_add(c, f->parent->files[i].fd, f->parent->files[i].name, NULL,
                &f->parent->files[i].keys, e))
            abort();
}

int tiny_write(const struct tiny_file *f, const struct tiny_guest *g)
{
    const int fd = memfd_create("compact", MFD_CLOEXEC);
    const struct iovec head = section(COMPACT_HEAD), tail = section(COMPACT_TAIL);
    const struct compact_rest rest = {tiny_sections[COMPACT_LIBXL],
        strlen(tiny_sections[COMPACT_LIBXL]), tiny_sections[COMPACT_CONFIG],
        tiny_sections[COMPACT_NOTE]};
    struct file_secret secret;
    const struct compact_plan plan = {&secret, f->parent, f->parent_name};
    struct compact_chain chain = {.count = 0};
    struct compact_writer *w;
    struct file_keys keys;
    struct err e = ERR_INIT;

    tiny_secret(f->secret, &secret);
    open_parent(f, &chain, &e);
    if (compact_create(fd, &plan, &keys, &e) ||
        compact_writer_open(fd, &keys, f->codec, &chain, &w, &e) ||
        compact_writer_begin(w, TINY_FRAMES, &e)) {
        fprintf(stderr, "%s\n", e.text);
        abort();
    }
    put_guest(w, g, &e);
    if (compact_writer_finish(w, &head, &tail, &e) ||
        compact_complete(fd, "new", &keys, &rest, &e)) {
        fprintf(stderr, "%s\n", e.text);
        abort();
    }
    compact_writer_close(w);
    return fd;
}

static int compare_extent(const struct compact_chain *c, struct compact_reader *r, uint64_t extent,
    const struct tiny_guest *g, struct err *e)
{
    static uint8_t buffer[EXTENT_FRAMES][PAGE_BYTES];
    const struct compact_group *group = compact_group(&c->table, extent);
    uint8_t want[PAGE_BYTES];
    void *into[EXTENT_FRAMES];

    for (unsigned i = 0; i < EXTENT_FRAMES; i++)
        into[i] = buffer[i];
    if (compact_reader_fill(r, extent, into, e))
        return -1;
    for (unsigned i = 0; i < EXTENT_FRAMES; i++) {
        const unsigned type = g->type[extent * EXTENT_FRAMES + i];
        const struct compact_page none = {.kind = COMPACT_UNKNOWN};
        const struct compact_page *p = group ? &group->pages[i] : &none;

        if (compact_page_has_memory(p) != (type != V3_PAGE_XTAB))
            return -1;
        if (!compact_page_has_memory(p))
            continue;
        tiny_page(g->value[extent * EXTENT_FRAMES + i], want);
        if (p->type != type || (v3_type_has_data(type) && memcmp(buffer[i], want, PAGE_BYTES)))
            return -1;
    }
    return 0;
}

int tiny_compare(const struct compact_chain *c, const struct tiny_guest *g, struct err *e)
{
    struct compact_reader *r;
    int rc = compact_reader_create(c, true, &r, e);

    for (uint64_t x = 0; x < TINY_FRAMES / EXTENT_FRAMES && !rc; x++)
        rc = compare_extent(c, r, x, g, e);
    if (!rc || r)
        compact_reader_destroy(r);
    return rc;
}
