/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/seeds.h"

#include "base/bytes.h"
#include "tests/unit/memory_channel.h"
#include "transport/aux.h"
#include "transport/record.h"

#include <string.h>

static struct memory_channel m;
static struct err e = ERR_INIT;

static void put_source(uint32_t number, const char *name, bool optional, bool head)
{
    struct aux_source s = {.number = number,
        .optional = optional,
        .version = 1,
        .most_entries = 8,
        .most_bytes = 8 * 4096};

    strcpy(s.name, name);
    if (head) {
        put_le32(s.head, 1);
        put_le64(s.head + 8, 4); /* pages */
        put_le32(s.head + 16, 2);
        put_le32(s.head + 20, 1); /* persistent */
        s.head_bytes = 16 + 24;
    }
    check(aux_send_source(&m.ch, &s, &e), &e);
}

static void put_entry(
    uint32_t source, uint8_t key, bool withdrawn, uint32_t bytes, struct aux_totals *totals)
{
    static const uint8_t content[4096] = {1};
    struct aux_batch b = {.source = source, .count = 1};

    b.entries[0] = (struct aux_entry){
        .key = {2, [4] = key}, .withdrawn = withdrawn, .bytes = bytes, .content = content};
    aux_totals_add(totals, &b);
    check(aux_send_batch(&m.ch, &b, &e), &e);
}

/* A byte for the hypercall that fails, and two rounds of two sources, one of them not known. */
void make_aux(const char *dir)
{
    struct aux_totals pages = {0}, others = {0};

    memory_channel_init(&m);
    memory_channel_put(&m, "", 1);
    put_source(0, "tmem", false, true);
    put_source(1, "other", true, false);
    put_entry(0, 1, false, 4096, &pages);
    put_entry(0, 2, false, 4096, &pages);
    put_entry(1, 1, false, 13, &others);
    check(lane_send_border(&m.ch, 1, &e), &e);
    put_entry(0, 1, true, 0, &pages);
    put_entry(0, 2, false, 4096, &pages);
    check(aux_send_done(&m.ch, 0, &pages, &e), &e);
    check(aux_send_done(&m.ch, 1, &others, &e), &e);
    save(dir, "aux", "rounds", m.bytes, m.len_bytes);
    memory_channel_destroy(&m);
}
