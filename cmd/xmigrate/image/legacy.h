/* SPDX-License-Identifier: MIT */
/*
 * A file of a Xen before 4.6: xl's front, xc_domain_save's stream, which is one of chunks with a
 * marker in front of each, and QEMU's state behind it (docs/file.md). Tools of 32 and of 64 bits
 * wrote it, each with its own unsigned long.
 *
 * It is read twice at most: legacy_scan() looks at all of it but the contents of pages and notes
 * where things are, and legacy_export.h writes them as a stream of today. Needs no Xen, believes no
 * count and no length.
 *
 * What is wrong is one line with the offset where it begins, ERR_REFUSED.
 */
#ifndef CMD_XMIGRATE_IMAGE_LEGACY_H
#define CMD_XMIGRATE_IMAGE_LEGACY_H

#include "base/err.h"
#include "cmd/xmigrate/image/xl_file.h"
#include "transport/v3.h"

#include <stdbool.h>
#include <stdint.h>

/* Markers; the others are HVM parameters. */
enum legacy_chunk {
    LEGACY_END = 0,
    LEGACY_VERIFY_MODE = -1,
    LEGACY_VCPU_INFO = -2,
    LEGACY_TMEM = -5,
    LEGACY_TMEM_EXTRA = -6,
    LEGACY_TSC_INFO = -7,
    LEGACY_LAST_CHECKPOINT = -9,
    LEGACY_COMPRESSED_DATA = -12,
    LEGACY_ENABLE_COMPRESSION = -13,
    LEGACY_TOOLSTACK = -18,
    LEGACY_LOWEST = -21,
};

enum {
    LEGACY_KINDS = 1 - LEGACY_LOWEST, /* by -marker; 0, which nobody counts, is the end */
    LEGACY_MAX_FRAMES = 1 << 28,      /* what bits 0 to 27 of an entry can name */
    LEGACY_MAX_BATCH = 1024,
    LEGACY_MAX_VCPUS = 4096,
    LEGACY_MAX_POOLS = 16,
    LEGACY_MAX_TOOLSTACK_BYTES = 1 << 20,
    LEGACY_EXTENDED_BYTES = 128,    /* a vCPU's extended context */
    LEGACY_XSAVE_HEADER_BYTES = 16, /* in front of its extended state: mask and length */
};

/* "tsc_info", ...; by -marker. */
const char *legacy_name(unsigned kind);

struct legacy_pool {
    uint32_t id;
    bool persistent;
    uint32_t pages; /* in the file */
    uint32_t page_bytes;
    uint64_t uuid[2];
};

struct legacy_piece {
    uint64_t at;
    uint64_t len_bytes;
};

struct legacy {
    uint64_t file_bytes;
    char *config;          /* libxl's JSON, or xl's text; malloc'ed */
    bool config_is_text;   /* and may be empty */
    uint64_t stream_bytes; /* where xc_domain_save's stream begins */

    unsigned tools_width; /* bytes of an unsigned long there: 4 or 8; 0: not seen yet */
    uint32_t guest_type;  /* V3_GUEST_... */
    unsigned guest_width; /* of a PV guest: 4 or 8 bytes; else 0 */
    uint64_t frame_count; /* every PFN is below */
    bool extended;        /* each vCPU has 128 bytes of extended context */
    uint32_t xsave_bytes; /* and so many of extended state, with its header of 16; or 0 */

    uint64_t chunks[LEGACY_KINDS]; /* how many there are with that marker */
    uint64_t batches;
    uint64_t checkpoints;    /* 1, or of a Remus stream how many are whole */
    uint64_t data_pages;     /* with contents; one that came twice counts twice */
    uint64_t packed_pages;   /* of these, from compressed chunks */
    uint64_t verified_pages; /* sent once more to be compared; not counted above */
    uint64_t max_pfn;        /* the highest frame named */
    uint64_t unmapped;       /* how many frames the PV tail lists */
    unsigned vcpus;          /* online */
    uint64_t online[LEGACY_MAX_VCPUS / 64];

    unsigned pool_count; /* of tmem */
    struct legacy_pool pools[LEGACY_MAX_POOLS];
    uint64_t tmem_flushed; /* pages that the guest gave up after the pools were written */

    bool has_tsc;
    struct v3_tsc_info tsc;
    unsigned param_count; /* of an HVM guest, each once */
    struct v3_hvm_param params[LEGACY_KINDS];
    /* Of the last checkpoint: where they are, with what is between. */
    struct legacy_piece p2m;       /* PV: unsigned longs */
    struct legacy_piece lost;      /* PV: the unmapped frames, unsigned longs */
    struct legacy_piece vcpu_tail; /* PV */
    struct legacy_piece shared_info;
    struct legacy_piece context; /* HVM */
    struct legacy_piece toolstack;
    struct legacy_piece emulator; /* HVM; an HVM guest always has one */

    uint64_t damage_at; /* where the first thing that is wrong begins; if any */
};

/* Is that xl's, without libxl's stream of version 2? */
bool legacy_is(int fd);

/* fd: open for reading, a regular file; its position stays. path is for messages. On failure *l
 * holds what was found until then. legacy_clear() in any case. */
int legacy_scan(int fd, const char *path, struct legacy *l, struct err *e);
void legacy_clear(struct legacy *l);

/* What a first word, and the one behind it, say: *width of the tools' unsigned long, and how many
 * frames the guest has. A frame count of 64 bits has its upper half where tools of 32 bits wrote
 * the first marker, which may be negative. */
int legacy_first_word(
    uint32_t word, uint32_t next, unsigned *width, uint64_t *frame_count, struct err *e);

/* ERR_REFUSED if there is what no Xen of today takes and the guest would miss: pages of persistent
 * tmem pools. Names them. */
int legacy_check_fits(const struct legacy *l, const char *path, struct err *e);

#endif
