/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/inspect.h"

#include "base/limits.h"
#include "base/units.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/image/config_json.h"
#include "cmd/xmigrate/image/scan.h"
#include "cmd/xmigrate/suitable.h"

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
    if (m->emulator_bytes)
        printf("  QEMU      %s of state\n", format_bytes(m->emulator_bytes, model));
}

static void say(const char *path, const struct image *m, const json_t *config)
{
    char bytes[UNITS_TEXT_BYTES], program[SHOWN_BYTES], made[SHOWN_BYTES];

    printf("%s: %s, of %s, %s%s%s\n", path, image_kind_name(m->note.kind),
        m->note.program[0] ? show(m->note.program, program) : "xl",
        format_bytes(m->file_bytes, bytes), m->note.made[0] ? ", made " : "",
        show(m->note.made, made));
    if (config)
        say_guest(config);
    if (m->version)
        say_stream(m);
}

/* ---- as JSON ---- */

static void print_json(const char *path, const struct image *m, json_t *config, const struct err *e)
{
    json_t *o = json_pack("{s:s, s:b, s:I, s:s, s:s, s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:O?}",
        "file", path, "whole", !err_is_set(e), "file_bytes", (json_int_t)m->file_bytes, "kind",
        image_kind_name(m->note.kind), "program", m->note.program, "made", m->note.made, "version",
        (int)m->version, "xen_major", (int)m->xen_major, "xen_minor", (int)m->xen_minor, "records",
        (json_int_t)m->records, "data_pages", (json_int_t)m->data_pages, "last_frame",
        (json_int_t)m->max_pfn, "emulator_bytes", (json_int_t)m->emulator_bytes, "config", config);

    if (o && err_is_set(e)) {
        json_object_set_new(o, "damage_at", json_integer((json_int_t)m->damage_at));
        json_object_set_new(o, "damage", json_string(e->text));
    }
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

int inspect_main(const struct options *o, const struct log *log)
{
    struct err e = ERR_INIT;
    struct image image = {0};
    const int fd = suitable_file(o->file, &e) ? -1 : image_open(o->file, &e);

    if (fd < 0) {
        log_error(log, "%s", e.text);
        return EXIT_REFUSED;
    }

    const int rc = image_scan(fd, o->file, &image, &e);
    json_t *config = image.config ? json_loads(image.config, 0, NULL) : NULL;

    if (o->json)
        print_json(o->file, &image, config, &e);
    else if (image.config)
        say(o->file, &image, config);
    if (!rc && !o->json)
        puts("  whole");
    fflush(stdout);
    if (rc)
        log_error(log, "%s", e.text);
    json_decref(config);
    image_clear(&image);
    close(fd);
    return rc ? EXIT_REFUSED : EXIT_DONE;
}
