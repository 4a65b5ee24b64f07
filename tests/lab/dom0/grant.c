/* SPDX-License-Identifier: MIT */
/*
 * grant DOMID: shares a page of dom0's with a domain, prints `grant REF` and waits to be killed. A
 * guest that maps it has page tables that hold a frame which is not its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xengnttab.h>

int main(int argc, char **argv)
{
    uint32_t ref = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: grant DOMID\n");
        return 1;
    }
    xengntshr_handle *const shr = xengntshr_open(NULL, 0);
    void *const page = shr ? xengntshr_share_pages(
                                 shr, (uint32_t)strtoul(argv[1], NULL, 10), 1, &ref, 1)
                           : NULL;

    if (page == NULL) {
        perror("grant");
        return 1;
    }
    strcpy(page, "granted");
    printf("grant %u\n", ref);
    fflush(stdout);
    for (;;)
        pause();
}
