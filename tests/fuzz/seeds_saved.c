/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"
#include "tests/fuzz/seeds.h"
#include "transport/compact/file_io.h"
#include "tests/unit/compact_file.h"
#include "tests/unit/saved_file.h"
#include "transport/v3.h"

#include <stdlib.h>
#include <unistd.h>

/* A record; and what may stand in a file or in memory, with two notes of no use. */
static void make_notes(const char *dir)
{
    static const char record[] = "\1\0\0\0\0\0\0\0\4\0\0\0\10\0\0\0\5\0\0\0Xen\0xen-3.0";
    static const char memory[] = "\4\0\0\0\4\0\0\0\3\0\0\0GNU\0abcd"
                                 "\4\0\0\0\6\0\0\0\6\0\0\0Xen\0linux\0\0\0"
                                 "\4\0\0\0\10\0\0\0\5\0\0\0Xen\0xen-3.0\0"
                                 "\4\0\0\0\4\0\0\0\16\0\0\0Xen\0\1\0\0\0"
                                 "\4\0\0\0\20\0\0\0\15\0\0\0Xen\0\1\4\0\0\0\0\0\0\0\4\0\0\0\0\0\0";

    save(dir, "notes", "record", record, sizeof(record));
    save(dir, "notes", "memory", memory, sizeof(memory) - 1);
}

void make_saved(const char *dir)
{
    static const char *const names[] = {
        [SAVED_PV] = "pv", [SAVED_PVH] = "pvh", [SAVED_HVM] = "hvm"};
    const struct image_note note = {IMAGE_CHECKPOINT, "xmigrate 7", "2026-11-27T08:29:31Z"};
    static struct saved_file f;

    for (enum saved_type type = 0; type < SAVED_TYPES; type++) {
        saved_file_make(&f, type, type == SAVED_PV ? NULL : &note);
        save(dir, "saved", names[type], f.bytes, f.len_bytes);
    }
    make_notes(dir);
}

/* In INDEX: as many frames as there can be. */
static void claim_all_frames(uint8_t *file, size_t len_bytes)
{
    const uint8_t *section = file + len_bytes - COMPACT_FOOTER_BYTES + 32 +
                             (COMPACT_INDEX - 1) * (size_t)64;

    put_le64(file + get_le64(section + 8) + 16, COMPACT_MAX_FRAMES);
}

/* Pages of each kind in two extents. */
void make_compact(const char *dir)
{
    static const char *const names[] = {"none", "lz4", "zstd"};
    static uint8_t bytes[64 << 10];
    static struct tiny_guest g;
    struct err e = ERR_INIT;

    for (unsigned i = 0; i < TINY_FRAMES; i++) {
        g.type[i] = V3_PAGE_XTAB;
        g.value[i] = i == 2 ? 0 : i * 2 + 1;
    }
    g.type[1] = g.type[2] = V3_PAGE_NOTAB;
    g.type[4] = V3_PAGE_XALLOC;
    for (enum codec codec = 0; codec < CODECS; codec++) {
        g.type[3] = g.type[600] = codec == CODEC_NONE ? V3_PAGE_XTAB : V3_PAGE_NOTAB;

        const struct tiny_file f = {.codec = codec};
        const int fd = tiny_write(&f, &g);
        const off_t len = lseek(fd, 0, SEEK_END);

        if (len > (off_t)sizeof(bytes) || file_io_read(fd, bytes, (size_t)len, 0, &e))
            abort();
        save(dir, "compact", names[codec], bytes, (size_t)len);
        close(fd);
        if (codec == CODEC_LZ4) {
            claim_all_frames(bytes, (size_t)len);
            save(dir, "compact", "sparse", bytes, (size_t)len);
        }
    }
}
