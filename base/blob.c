/* SPDX-License-Identifier: MIT */
#include "base/blob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int blob_keep(struct blob *b, const void *body, size_t len_bytes, struct err *e)
{
    void *copy = malloc(len_bytes ? len_bytes : 1);

    if (!copy)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory to keep %zu bytes of state", len_bytes);
    memcpy(copy, body, len_bytes);
    blob_free(b);
    *b = (struct blob){copy, len_bytes};
    return 0;
}

void blob_free(struct blob *b)
{
    free(b->data);
    *b = (struct blob){0};
}
