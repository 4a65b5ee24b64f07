/* SPDX-License-Identifier: MIT */
#include "tests/unit/memory_channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void memory_channel_put(struct memory_channel *m, const void *bytes, size_t len_bytes)
{
    if (m->len_bytes + len_bytes > m->cap_bytes) {
        m->cap_bytes = (m->len_bytes + len_bytes) * 2;
        m->bytes = realloc(m->bytes, m->cap_bytes);
        if (!m->bytes)
            abort();
    }
    if (len_bytes)
        memcpy(m->bytes + m->len_bytes, bytes, len_bytes);
    m->len_bytes += len_bytes;
}

static int memory_send(struct channel *ch, struct iovec *iov, int count, struct err *e)
{
    (void)e;
    for (int i = 0; i < count; i++)
        memory_channel_put((struct memory_channel *)ch, iov[i].iov_base, iov[i].iov_len);
    return 0;
}

static int memory_recv(
    struct channel *ch, struct iovec *iov, int count, int64_t deadline_ns, struct err *e)
{
    struct memory_channel *m = (struct memory_channel *)ch;
    size_t len_bytes = 0;

    (void)deadline_ns;
    for (int i = 0; i < count; i++)
        len_bytes += iov[i].iov_len;
    if (len_bytes == 0)
        return 0;
    if (m->len_bytes == m->pos_bytes)
        return -ENODATA;
    if (m->len_bytes - m->pos_bytes < len_bytes)
        return err_set(e, ERR_PEER, EBADMSG, "%s: cut short", ch->name);
    for (int i = 0; i < count; i++) {
        memcpy(iov[i].iov_base, m->bytes + m->pos_bytes, iov[i].iov_len);
        m->pos_bytes += iov[i].iov_len;
    }
    return 0;
}

void memory_channel_init(struct memory_channel *m)
{
    static const struct channel_ops ops = {.send = memory_send, .recv = memory_recv};

    *m = (struct memory_channel){.ch = {.ops = &ops, .name = "memory", .stall_ns = 1000000000}};
}

void memory_channel_destroy(struct memory_channel *m)
{
    free(m->bytes);
}

void memory_channel_reset(struct memory_channel *m)
{
    m->len_bytes = m->pos_bytes = 0;
}
