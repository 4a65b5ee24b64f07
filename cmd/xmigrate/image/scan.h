/* SPDX-License-Identifier: MIT */
/*
 * A saved guest's file, looked at from its first byte to its last: xl's front (xl_file.h), libxl's
 * framing, libxc's stream within, the device model's records, the end. Contents of pages are not
 * looked at (nothing in the format tells what they should be); everything else is, with the same
 * decoders that restore uses. Needs no Xen, keeps no more than the longest record but pages, and
 * believes no length that the file does not have.
 *
 * What is wrong is one line with the offset where it begins, ERR_REFUSED.
 */
#ifndef CMD_XMIGRATE_IMAGE_SCAN_H
#define CMD_XMIGRATE_IMAGE_SCAN_H

#include "base/err.h"
#include "cmd/xmigrate/image/xl_file.h"
#include "transport/aux_limits.h"
#include "transport/kernel_notes.h"
#include "transport/v3.h"

#include <stdbool.h>
#include <stdint.h>

/* Of a compact file, which alone can have some. */
struct image_aux {
    char source[AUX_NAME_BYTES];
    bool optional; /* the guest can do without */
    uint64_t entries, bytes;
};

struct image {
    uint64_t file_bytes;
    struct image_note note;
    char *config;          /* libxl's JSON, malloc'ed */
    bool config_is_text;   /* it is xl's own text instead: what xl before 4.5 wrote, converted */
    uint64_t stream_bytes; /* where libxl's stream begins */
    /* libxc's stream. */
    uint32_t version;
    uint32_t guest_type; /* V3_GUEST_... */
    uint32_t xen_major, xen_minor;
    unsigned guest_width;       /* of a PV guest: 4 or 8 bytes; else 0 */
    unsigned vcpus;             /* of a PV guest whose state is there */
    struct kernel_notes kernel; /* origin NOTES_NONE: it has none */
    uint64_t records;
    uint64_t data_pages; /* with contents, one that came twice counted twice */
    uint64_t max_pfn;    /* the highest frame named */
    /* The device model's. */
    uint64_t emulator_bytes; /* 0: it has none */
    /* Auxiliary data. */
    unsigned aux_count;
    struct image_aux aux[AUX_MAX_SOURCES];

    uint64_t damage_at; /* where the first thing that is wrong begins; if any */
};

/* fd: open for reading, a regular file; its position stays. path is for messages. On failure *image
 * holds what was found until then. image_clear() in any case. */
int image_scan(int fd, const char *path, struct image *image, struct err *e);
/* The same of no more than xl's front: note and configuration. */
int image_read_front(int fd, const char *path, struct image *image, struct err *e);
void image_clear(struct image *image);

/* Open a file for that: ERR_REFUSED for what is not a regular file. */
int image_open(const char *path, struct err *e);

#endif
