/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/inspect_legacy.h"

#include "base/limits.h"
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>

static const char *type_name(const struct legacy *l)
{
    return l->guest_type == V3_GUEST_PV ? "pv" : l->guest_type == V3_GUEST_HVM ? "hvm" : "?";
}

/* ---- for people ---- */

static void say_stream(const struct legacy *l)
{
    char bytes[UNITS_TEXT_BYTES], width[16] = "";

    if (l->guest_width)
        snprintf(width, sizeof(width), " of %u bits", l->guest_width * 8);
    printf("  stream    xc_domain_save's, by tools of %u bits, of a guest of type %s%s; frames: "
           "0x%" PRIx64 ", pages: %" PRIu64 " (%s), the last frame is 0x%" PRIx64 "\n",
        l->tools_width * 8, type_name(l), width, l->frame_count, l->data_pages,
        format_bytes(l->data_pages * PAGE_BYTES, bytes), l->max_pfn);
    if (l->packed_pages || l->verified_pages || l->unmapped)
        printf("            compressed: %" PRIu64 ", sent again to be compared: %" PRIu64
               ", without memory at the end: %" PRIu64 "\n",
            l->packed_pages, l->verified_pages, l->unmapped);
    if (l->checkpoints > 1)
        printf("            checkpoints: %" PRIu64 "\n", l->checkpoints);
}

static void say_markers(const struct legacy *l)
{
    printf("  markers   batches: %" PRIu64, l->batches);
    for (unsigned i = 1; i < LEGACY_KINDS; i++)
        if (l->chunks[i])
            printf(", %s: %" PRIu64, legacy_name(i), l->chunks[i]);
    putchar('\n');
}

static void say_pools(const struct legacy *l)
{
    char bytes[UNITS_TEXT_BYTES];

    for (unsigned i = 0; i < l->pool_count; i++) {
        const struct legacy_pool *p = &l->pools[i];

        printf("  tmem      pool %u, %s, pages: %u of %s: no Xen since 4.12 has it\n", p->id,
            p->persistent ? "persistent" : "ephemeral", p->pages,
            format_bytes(p->page_bytes, bytes));
    }
    if (l->tmem_flushed)
        printf("            given up later: %" PRIu64 "\n", l->tmem_flushed);
}

void inspect_legacy_say(const struct legacy *l)
{
    char bytes[UNITS_TEXT_BYTES];

    if (l->config_is_text)
        puts("  guest     its configuration is xl's own text");
    if (!l->guest_type)
        return;
    say_stream(l);
    say_markers(l);
    say_pools(l);
    if (l->emulator.len_bytes)
        printf("  QEMU      %s of state\n", format_bytes(l->emulator.len_bytes, bytes));
}

/* ---- as JSON ---- */

static json_t *describe_markers(const struct legacy *l)
{
    json_t *o = json_object();

    for (unsigned i = 1; i < LEGACY_KINDS; i++)
        if (l->chunks[i])
            json_object_set_new(o, legacy_name(i), json_integer((json_int_t)l->chunks[i]));
    return o;
}

static json_t *describe_pools(const struct legacy *l)
{
    json_t *pools = json_array();

    for (unsigned i = 0; i < l->pool_count; i++) {
        const struct legacy_pool *p = &l->pools[i];
        char uuid[40];

        snprintf(uuid, sizeof(uuid), "%016" PRIx64 "%016" PRIx64, p->uuid[1], p->uuid[0]);
        json_array_append_new(pools, json_pack("{s:I, s:b, s:I, s:I, s:s}", "id", (json_int_t)p->id,
                                         "persistent", p->persistent, "pages", (json_int_t)p->pages,
                                         "page_bytes", (json_int_t)p->page_bytes, "uuid", uuid));
    }
    return pools;
}

static json_t *describe_stream(const struct legacy *l)
{
    return json_pack("{s:i, s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:I}",
        "tools_bits", (int)l->tools_width * 8, "guest_type", type_name(l), "guest_bits",
        (int)l->guest_width * 8, "vcpus", (int)l->vcpus, "frames", (json_int_t)l->frame_count,
        "batches", (json_int_t)l->batches, "checkpoints", (json_int_t)l->checkpoints,
        "compressed_pages", (json_int_t)l->packed_pages, "verified_pages",
        (json_int_t)l->verified_pages, "unmapped", (json_int_t)l->unmapped, "markers",
        describe_markers(l), "tmem_pools", describe_pools(l), "tmem_flushed",
        (json_int_t)l->tmem_flushed);
}

json_t *inspect_legacy_describe(const char *path, const struct legacy *l, json_t *config)
{
    return json_pack("{s:s, s:I, s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:O?, s:o}", "file", path,
        "file_bytes", (json_int_t)l->file_bytes, "kind", "save", "program", "", "made", "",
        "version", 1, "data_pages", (json_int_t)l->data_pages, "last_frame", (json_int_t)l->max_pfn,
        "emulator_bytes", (json_int_t)l->emulator.len_bytes, "config", config, "legacy",
        describe_stream(l));
}
