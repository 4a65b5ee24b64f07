/* SPDX-License-Identifier: MIT */
#include "crypto/wipe.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* Not one of the calls that engine/allocations.h counts. */
static void *allocate(size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    return bytes ? reallocarray(NULL, 1, bytes) : NULL;
}

static void wipe_and_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

/* Never in place, so that what is left behind is wiped, too. */
static void *reallocate(void *p, size_t bytes, const char *file, int line)
{
    const size_t had_bytes = p ? malloc_usable_size(p) : 0;
    void *more = allocate(bytes, file, line);

    if (bytes && !more)
        return NULL;
    if (p && more)
        memcpy(more, p, had_bytes < bytes ? had_bytes : bytes);
    wipe_and_free(p, file, line);
    return more;
}

void wipe_freed_memory(void)
{
    CRYPTO_set_mem_functions(allocate, reallocate, wipe_and_free);
}
