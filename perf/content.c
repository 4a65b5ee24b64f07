/* SPDX-License-Identifier: MIT */
/*
 * Writes what a xensim guest of that content holds into a file, for programs that are measured
 * beside xmigrate and do not run on xensim.
 *
 *   build/perf/content zero=25,text=50,random=25 MIB FILE
 */
#include "base/units.h"
#include "xensim/guest/content.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct content_mix mix;
    uint64_t mib;

    if (argc != 4 || !content_parse_mix(argv[1], &mix) || !parse_u64(argv[2], 1, 1 << 20, &mib)) {
        fprintf(stderr, "usage: content zero=25,text=50,random=25 MIB FILE\n");
        return 1;
    }

    const size_t bytes = mib << 20;
    const int fd = open(argv[3], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint8_t *p = MAP_FAILED;

    if (fd >= 0 && !ftruncate(fd, (off_t)bytes))
        p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        perror(argv[3]);
        return 1;
    }
    for (size_t i = 0; i < bytes / CONTENT_PAGE_BYTES; i++)
        content_fill(p + i * CONTENT_PAGE_BYTES, &mix, 1, i, 1);
    return 0;
}
