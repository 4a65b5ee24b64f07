/* SPDX-License-Identifier: MIT */
/*
 * The compact file of a saved guest (docs/file.md): its ends, and its limits. This room writes and
 * reads such files and chains of them; it knows neither Xen nor libxl.
 *
 *   format   header and footer, bytes to structures and back
 *   table    what is known of each of the guest's pages: where its newest content is, its hash
 *   index    the section INDEX: a table and its chunks as bytes
 *   chunk    pages packed and unpacked, a lane's work
 *   writer   a new file: chunks from several lanes, then sections
 *   chain    files to be read, each with its parents
 *
 * What is wrong in a file is ERR_REFUSED: -EBADMSG for bytes that make no sense, -EOPNOTSUPP for
 * what is not read here.
 */
#ifndef TRANSPORT_COMPACT_FORMAT_H
#define TRANSPORT_COMPACT_FORMAT_H

#include "base/err.h"
#include "base/limits.h"
#include "crypto/file_keys.h"
#include "crypto/page_hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMPACT_MAX_FRAMES WIRE_MAX_FRAMES

enum {
    COMPACT_HEADER_BYTES = 512,
    COMPACT_FOOTER_BYTES = 512,
    COMPACT_MAX_FILES = 32, /* in a chain */
    COMPACT_NAME_BYTES = 256,
    COMPACT_WORD_BYTES = 16,
};

/* The first COMPACT_WORD_BYTES of every such file. */
extern const char compact_word[COMPACT_WORD_BYTES];

struct compact_header {
    bool encrypted;
    unsigned depth; /* files that it stands on; 0: it is no incremental one */
    uint8_t uuid[FILE_UUID_BYTES];
    uint8_t parent_uuid[FILE_UUID_BYTES];
    uint8_t parent_index[FILE_HASH_BYTES];
    uint8_t salt[FILE_SALT_BYTES];
    uint8_t check[FILE_CHECK_BYTES];
    char parent_name[COMPACT_NAME_BYTES]; /* a hint */
};

void compact_encode_header(
    const struct compact_header *h, uint8_t out[static COMPACT_HEADER_BYTES]);
int compact_decode_header(
    const uint8_t in[static COMPACT_HEADER_BYTES], struct compact_header *h, struct err *e);

enum compact_section_type {
    COMPACT_HEAD = 1,
    COMPACT_TAIL,
    COMPACT_INDEX,
    COMPACT_LIBXL,
    COMPACT_CONFIG,
    COMPACT_NOTE,
    COMPACT_SECTIONS = COMPACT_NOTE,
    COMPACT_ENGINE_SECTIONS = COMPACT_INDEX,
};
const char *compact_section_name(enum compact_section_type type);

struct compact_section {
    uint64_t offset;
    uint64_t stored_bytes;
    uint64_t plain_bytes;
    uint8_t hash[FILE_HASH_BYTES]; /* of the bytes as they are stored */
};

struct compact_footer {
    uint64_t file_bytes;
    uint8_t uuid[FILE_UUID_BYTES];
    unsigned section_count; /* COMPACT_ENGINE_SECTIONS or COMPACT_SECTIONS */
    struct compact_section sections[COMPACT_SECTIONS]; /* by type - 1 */
};

/* Without and with the MAC, which is the last FILE_MAC_BYTES. */
enum { COMPACT_FOOTER_FRONT_BYTES = COMPACT_FOOTER_BYTES - FILE_MAC_BYTES };
void compact_encode_footer(
    const struct compact_footer *f, uint8_t out[static COMPACT_FOOTER_FRONT_BYTES]);
/* file_bytes: how many the file has. Every section lies within it, behind the one before. */
int compact_decode_footer(const uint8_t in[static COMPACT_FOOTER_FRONT_BYTES], uint64_t file_bytes,
    bool encrypted, struct compact_footer *f, struct err *e);

/* The MAC over both ends. */
int compact_mac(const struct file_keys *keys, const uint8_t header[static COMPACT_HEADER_BYTES],
    const uint8_t footer[static COMPACT_FOOTER_FRONT_BYTES], uint8_t mac[static FILE_MAC_BYTES],
    struct err *e);

#endif
