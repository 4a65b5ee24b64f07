/* SPDX-License-Identifier: MIT */
/* A saved guest's file, as --restore and --inspect look at it: refused with an offset within it, or
 * whole and within its own bounds. */
#include "base/limits.h"
#include "cmd/xmigrate/image/scan.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct image image;
    struct err e = ERR_INIT;

    if (fd < 0)
        fd = memfd_create("saved", MFD_CLOEXEC);
    must(pwrite(fd, data, size, 0) == (ssize_t)size && !ftruncate(fd, (off_t)size));

    const int rc = image_scan(fd, "the file", &image, &e);

    must(image.file_bytes == size && image.damage_at <= size);
    must(rc ? e.class == ERR_REFUSED : !err_is_set(&e));
    must(!image.config || strlen(image.config) < size);
    must(rc || (image.config && image.data_pages && image.data_pages * PAGE_BYTES <= size));
    must(rc || (image.stream_bytes < size && image.version >= 2 && image.version <= 3));
    image_clear(&image);
    return 0;
}
