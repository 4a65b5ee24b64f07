/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/frozen_room.h"

#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* Left to everything else that runs here, and for what a copy takes besides. */
#define SPARE_BYTES (64ull << 20)

int frozen_room_read(uint64_t *available_bytes, struct err *e)
{
    FILE *f = fopen("/proc/meminfo", "re");
    uint64_t kb = 0;
    char line[128];
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f))
        found = sscanf(line, "MemAvailable: %" SCNu64 " kB", &kb) == 1;
    if (f)
        fclose(f);
    *available_bytes = kb * 1024;
    return found ? 0
                 : err_set(e, ERR_LOCAL, ENOENT,
                       "/proc/meminfo does not say how much memory there is (MemAvailable)");
}

int frozen_room_check(
    const char *name, uint64_t guest_bytes, uint64_t available_bytes, struct err *e)
{
    const uint64_t needed = guest_bytes + guest_bytes / 64 + SPARE_BYTES;
    char wanted[UNITS_TEXT_BYTES], there[UNITS_TEXT_BYTES];

    if (needed <= available_bytes)
        return 0;
    return err_set(e, ERR_REFUSED, ENOMEM,
        "\"%s\" is a PV guest, and this Xen has no shadow paging to track its writes with: a copy "
        "of it may need %s of this domain's memory, of which %s is free; with --offline it stands "
        "still while it is written",
        name, format_bytes(needed, wanted), format_bytes(available_bytes, there));
}
