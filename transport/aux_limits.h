/* SPDX-License-Identifier: MIT */
/* The limits of auxiliary data on the wire (docs/wire.md). */
#ifndef TRANSPORT_AUX_LIMITS_H
#define TRANSPORT_AUX_LIMITS_H

enum {
    AUX_MAX_SOURCES = 8,
    AUX_NAME_BYTES = 16, /* with at least one NUL */
    AUX_KEY_BYTES = 32,
    AUX_MAX_CONTENT_BYTES = 4096,
    AUX_MAX_ENTRIES = 256, /* of a batch */
    AUX_MAX_HEAD_BYTES = 4096,
    AUX_UNKNOWN_ENTRIES = 1 << 20, /* of a source that is dropped */

    AUX_SOURCE_BYTES = 48, /* and the head */
    AUX_BATCH_BYTES = 8,
    AUX_ENTRY_BYTES = AUX_KEY_BYTES + 8,
    AUX_DONE_BYTES = 40,
    AUX_MAX_BODY_BYTES = AUX_BATCH_BYTES +
                         AUX_MAX_ENTRIES * (AUX_ENTRY_BYTES + AUX_MAX_CONTENT_BYTES),
};

#endif
