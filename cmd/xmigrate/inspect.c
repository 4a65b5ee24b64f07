/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/inspect.h"

#include "base/limits.h"
#include "base/units.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/image/config_json.h"
#include "cmd/xmigrate/image/any_file.h"
#include "cmd/xmigrate/inspect_legacy.h"
#include "cmd/xmigrate/suitable.h"
#include "transport/compact/check.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SHOWN_BYTES = 256 };

/* Somebody else wrote it, and it goes to a terminal. */
static const char *show(const char *text, char out[static SHOWN_BYTES])
{
    size_t n = 0;

    for (; text[n] && n < SHOWN_BYTES - 1; n++)
        out[n] = (unsigned char)text[n] < ' ' || text[n] == 0x7f ? '?' : text[n];
    out[n] = '\0';
    return out;
}

/* The configuration is libxl's JSON, of which only what everybody knows is shown; a field that is
 * not there, or is something else, is "?" or 0. */
static const char *text_of(const json_t *o, const char *key, char out[static SHOWN_BYTES])
{
    return show(json_string_value(json_object_get(o, key)) ?: "?", out);
}

static json_int_t number_of(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

/* ---- for people ---- */

static void say_disks(const json_t *config)
{
    const json_t *disks = json_object_get(config, "disks");
    char vdev[SHOWN_BYTES], target[SHOWN_BYTES];

    for (size_t i = 0; i < json_array_size(disks); i++) {
        const json_t *disk = json_array_get(disks, i);

        printf("  disk      %s: %s, %s\n", text_of(disk, "vdev", vdev),
            text_of(disk, "pdev_path", target),
            config_json_is_true(disk, "readwrite") ? "writable" : "read-only");
    }
}

static void say_guest(const json_t *config)
{
    const json_t *c = json_object_get(config, "c_info"), *b = json_object_get(config, "b_info");
    char name[SHOWN_BYTES], type[SHOWN_BYTES], uuid[SHOWN_BYTES], memory[UNITS_TEXT_BYTES];

    printf("  guest     %s (%s), UUID %s, vCPUs: %lld, %s\n", text_of(c, "name", name),
        text_of(c, "type", type), text_of(c, "uuid", uuid), (long long)number_of(b, "max_vcpus"),
        format_bytes((uint64_t)number_of(b, "max_memkb") * 1024, memory));
    say_disks(config);
}

static void say_stream(const struct image *m)
{
    char bytes[UNITS_TEXT_BYTES], model[UNITS_TEXT_BYTES];

    printf("  stream    libxc's version %u, of Xen %u.%u; records: %" PRIu64 ", pages: %" PRIu64
           " (%s), the last frame is 0x%" PRIx64 "\n",
        m->version, m->xen_major, m->xen_minor, m->records, m->data_pages,
        format_bytes(m->data_pages * PAGE_BYTES, bytes), m->max_pfn);
    if (m->kernel.origin != NOTES_NONE)
        printf("  kernel    %s %s, by its notes (%s): %s\n", m->kernel.os, m->kernel.version,
            notes_origin_name(m->kernel.origin),
            m->kernel.suspend_cancel ? "it can run on after a suspend that is cancelled"
                                     : "after a suspend it can go on as a new domain only");
    if (m->emulator_bytes)
        printf("  QEMU      %s of state\n", format_bytes(m->emulator_bytes, model));
}

static void say_chain(const struct compact_chain *c)
{
    const struct compact_header *h = &c->files[0].header;
    char bytes[UNITS_TEXT_BYTES];

    if (!c->count)
        return;
    printf("  compact   %s, chunks: %u%s", h->encrypted ? "encrypted" : "not encrypted",
        c->files[0].index.chunk_count, h->depth ? ", incremental, on" : "");
    for (unsigned i = 1; i < c->count; i++)
        printf("%s %s (%s)", i > 1 ? "," : "", c->files[i].name,
            format_bytes(c->files[i].file_bytes, bytes));
    putchar('\n');
}

static void say_aux(const struct image *m)
{
    char bytes[UNITS_TEXT_BYTES];

    for (unsigned i = 0; i < m->aux_count; i++)
        printf("  auxiliary %s, %s in %" PRIu64 " entries%s\n", m->aux[i].source,
            format_bytes(m->aux[i].bytes, bytes), m->aux[i].entries,
            m->aux[i].optional ? ", which it can do without" : "");
}

static void say_legacy(const struct any_file *f, const json_t *config)
{
    char bytes[UNITS_TEXT_BYTES];

    printf("%s: save, of xl before 4.6, %s\n", f->path, format_bytes(f->legacy.file_bytes, bytes));
    if (config)
        say_guest(config);
    inspect_legacy_say(&f->legacy);
}

static void say(const struct any_file *f, const json_t *config)
{
    const struct image *m = &f->image;
    const char *path = f->path;
    char bytes[UNITS_TEXT_BYTES], program[SHOWN_BYTES], made[SHOWN_BYTES];

    printf("%s: %s, of %s, %s%s%s\n", path, image_kind_name(m->note.kind),
        m->note.program[0] ? show(m->note.program, program) : "xl",
        format_bytes(m->file_bytes, bytes), m->note.made[0] ? ", made " : "",
        show(m->note.made, made));
    if (config)
        say_guest(config);
    if (m->version)
        say_stream(m);
    say_chain(&f->chain.chain);
    say_aux(m);
}

/* ---- as JSON ---- */

static json_t *describe_chain(const struct compact_chain *c)
{
    json_t *parents = json_array();

    for (unsigned i = 1; i < c->count; i++)
        json_array_append_new(parents, json_string(c->files[i].name));
    return json_pack("{s:b, s:i, s:I, s:o}", "encrypted", c->files[0].header.encrypted, "depth",
        (int)c->files[0].header.depth, "chunks", (json_int_t)c->files[0].index.chunk_count,
        "parents", parents);
}

static json_t *describe_aux(const struct image *m)
{
    json_t *sources = json_array();

    for (unsigned i = 0; i < m->aux_count; i++)
        json_array_append_new(
            sources, json_pack("{s:s, s:b, s:I, s:I}", "source", m->aux[i].source, "optional",
                         m->aux[i].optional, "entries", (json_int_t)m->aux[i].entries, "bytes",
                         (json_int_t)m->aux[i].bytes));
    return sources;
}

static json_t *describe(const struct any_file *f, json_t *config)
{
    const struct image *m = &f->image;
    json_t *o = json_pack("{s:s, s:I, s:s, s:s, s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:O?}",
        "file", f->path, "file_bytes", (json_int_t)m->file_bytes, "kind",
        image_kind_name(m->note.kind), "program", m->note.program, "made", m->note.made, "version",
        (int)m->version, "xen_major", (int)m->xen_major, "xen_minor", (int)m->xen_minor, "records",
        (json_int_t)m->records, "data_pages", (json_int_t)m->data_pages, "last_frame",
        (json_int_t)m->max_pfn, "emulator_bytes", (json_int_t)m->emulator_bytes, "config", config);

    if (o && m->kernel.origin != NOTES_NONE)
        json_object_set_new(o, "kernel",
            json_pack("{s:s, s:s, s:s, s:s, s:b}", "os", m->kernel.os, "version", m->kernel.version,
                "loader", m->kernel.loader, "from", notes_origin_name(m->kernel.origin),
                "suspend_cancel", m->kernel.suspend_cancel));
    if (o && f->chain.chain.count)
        json_object_set_new(o, "compact", describe_chain(&f->chain.chain));
    if (o && m->aux_count)
        json_object_set_new(o, "auxiliary", describe_aux(m));
    return o;
}

static void print_json(const struct any_file *f, json_t *config, const struct err *e)
{
    json_t *o = f->is_legacy ? inspect_legacy_describe(f->path, &f->legacy, config)
                             : describe(f, config);
    const uint64_t damage_at = f->is_legacy ? f->legacy.damage_at : f->image.damage_at;

    json_object_set_new(o, "whole", json_boolean(!err_is_set(e)));
    if (err_is_set(e)) {
        json_object_set_new(o, "damage_at", json_integer((json_int_t)damage_at));
        json_object_set_new(o, "damage", json_string(e->text));
    }
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

/* All that a restore would read, page by page. */
static int look(struct any_file *f, const struct options *o, struct err *e)
{
    const struct chain_hints hints = {o->parents, o->parent_count, o->key, NULL};
    int rc = any_file_open(f, o->file, &hints, e);

    if (!rc)
        rc = any_file_check(f, o->lanes, NULL, e);
    return rc || !f->chain.chain.count ? rc
                                       : compact_check_pages(&f->chain.chain, o->lanes, NULL, e);
}

int inspect_main(const struct options *o, const struct log *log)
{
    struct any_file f = {.fd = -1, .libxl_fd = -1};
    struct err e = ERR_INIT;
    const int rc = suitable_file(o->file, &e) ?: look(&f, o, &e);
    const char *text = any_file_config(&f);
    json_t *config = text ? json_loads(text, 0, NULL) : NULL;

    if (o->json && f.opened)
        print_json(&f, config, &e);
    else if (text && f.is_legacy)
        say_legacy(&f, config);
    else if (text)
        say(&f, config);
    if (!rc && !o->json)
        puts("  whole");
    fflush(stdout);
    if (rc)
        log_error(log, "%s", e.text);
    json_decref(config);
    any_file_close(&f);
    return rc ? EXIT_REFUSED : EXIT_DONE;
}
