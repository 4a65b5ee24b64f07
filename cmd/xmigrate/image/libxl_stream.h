/* SPDX-License-Identifier: MIT */
/* libxl's stream, version 2 (docs/file.md): around libxc's in a file of a saved guest. */
#ifndef CMD_XMIGRATE_IMAGE_LIBXL_STREAM_H
#define CMD_XMIGRATE_IMAGE_LIBXL_STREAM_H

#define LIBXL_IDENT 0x4c6962786c466d74ull /* "LibxlFmt"; of 64 bits, big-endian */

enum {
    LIBXL_VERSION = 2,
    LIBXL_HEADER_BYTES = 16, /* ident, version, options: big-endian */
    LIBXL_RECORD_HEADER_BYTES = 8,
    LIBXL_FRONT_BYTES = LIBXL_HEADER_BYTES + LIBXL_RECORD_HEADER_BYTES, /* up to libxc's */
    LIBXL_EMULATOR_BYTES = 8, /* before a device model's state: which, and its number */
};

enum { LIBXL_OPTION_BIG_ENDIAN = 1, LIBXL_OPTION_LEGACY = 2 /* it was converted */ };

enum libxl_record {
    LIBXL_END = 0,
    LIBXL_LIBXC_CONTEXT = 1,
    LIBXL_EMULATOR_XENSTORE = 2,
    LIBXL_EMULATOR_CONTEXT = 3,
    LIBXL_CHECKPOINT_END = 4,
    LIBXL_CHECKPOINT_STATE = 5,
};

#endif
