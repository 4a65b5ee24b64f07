/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/seeds.h"
#include "tests/unit/saved_file.h"

#include <stdlib.h>

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
}
