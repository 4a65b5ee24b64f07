/* SPDX-License-Identifier: MIT */
/* A file of a Xen before 4.6, its zeros written short: refused with an offset within, or exported
 * as a file that is whole. */
#include "base/limits.h"
#include "cmd/xmigrate/image/legacy_export.h"
#include "cmd/xmigrate/image/scan.h"
#include "tests/fuzz/expand.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FILE_BYTES = 256 << 10, EXPORTED_FRAMES = 1 << 20 };

static void export(const struct legacy *l, int from)
{
    static int to = -1;
    struct err e = ERR_INIT;
    struct image image;
    uint64_t data_pages;

    if (to < 0)
        to = memfd_create("new", MFD_CLOEXEC);
    must(!ftruncate(to, 0) && !lseek(to, 0, SEEK_SET));
    must(!legacy_export(l, from, "the file", to, NULL, &data_pages, &e));
    must(data_pages <= l->data_pages);

    const int rc = image_scan(to, "the new file", &image, &e);

    must(image.data_pages == data_pages);
    /* A guest may have lost each page that it had. */
    must(!rc || (!data_pages && strstr(e.text, "without a page")));
    image_clear(&image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[FILE_BYTES];
    static int fd = -1;
    const size_t len_bytes = expand(data, size, bytes, sizeof(bytes));
    struct legacy l;
    struct err e = ERR_INIT;

    if (fd < 0)
        fd = memfd_create("old", MFD_CLOEXEC);
    must(pwrite(fd, bytes, len_bytes, 0) == (ssize_t)len_bytes && !ftruncate(fd, (off_t)len_bytes));

    const int rc = legacy_scan(fd, "the file", &l, &e);

    must(l.file_bytes == len_bytes && l.damage_at <= len_bytes);
    must(rc ? e.class == ERR_REFUSED : l.data_pages && l.frame_count <= LEGACY_MAX_FRAMES);
    must(rc || (l.vcpus && l.max_pfn < l.frame_count && l.pool_count <= LEGACY_MAX_POOLS));
    if (!rc && l.frame_count <= EXPORTED_FRAMES && !legacy_check_fits(&l, "the file", &e))
        export(&l, fd);
    legacy_clear(&l);
    return 0;
}
