/* SPDX-License-Identifier: MIT */
#include "cmd/helper/files.h"

#include "base/deadline.h"
#include "engine/in/compact.h"
#include "engine/out/compact.h"

#include <errno.h>
#include <string.h>

#define LINK_LIMIT_NS (10 * NS_PER_S)

_Static_assert(sizeof(struct file_keys) == (size_t)LINK_FILE_KEYS_BYTES, "keys travel whole");
_Static_assert((int)LINK_MAX_FILES == (int)COMPACT_MAX_FILES, "a chain travels whole");

static int take_file(struct files *f, int link_sock, const struct cancel *cancel, struct err *e)
{
    struct link_message m;
    int rc = link_recv(link_sock, &m, cancel, deadline_in(LINK_LIMIT_NS), e);

    if (rc == -ENODATA)
        return err_set(e, ERR_LOCAL, ENODATA, "the supervising xmigrate is gone");
    if (rc)
        return rc;
    if (m.kind == LINK_FILE) {
        f->file[f->count].fd = m.fd;
        m.fd = -1;
        memcpy(f->file[f->count].name, m.file, sizeof(m.file));
        memcpy(&f->file[f->count++].keys, m.file_keys, sizeof(m.file_keys));
    } else {
        rc = err_set(e, ERR_INTERNAL, EPROTO, "the link carried no file");
    }
    link_message_clear(&m);
    return rc;
}

int files_take(struct files *f, int link_sock, const struct link_job *job,
    const struct cancel *cancel, struct err *e)
{
    int rc = 0;

    while (f->count < job->files && !rc)
        rc = take_file(f, link_sock, cancel, e);
    return rc;
}

/* From that file on. */
static int open_chain(struct files *f, unsigned from, struct err *e)
{
    int rc = 0;

    for (unsigned i = from; i < f->count && !rc; i++)
        rc = compact_chain_add(
            &f->chain, f->file[i].fd, f->file[i].name, NULL, &f->file[i].keys, e);
    if (!rc && compact_chain_wants_parent(&f->chain))
        rc = err_set(e, ERR_INTERNAL, EPROTO, "the link carried a chain without its end");
    if (rc)
        compact_chain_close(&f->chain);
    return rc;
}

/* Whoever has the chain has the keys that are still needed. */
static void forget_keys(struct files *f)
{
    for (unsigned i = 0; i < f->count; i++)
        explicit_bzero(&f->file[i].keys, sizeof(f->file[i].keys));
}

int files_open_out(struct files *f, const struct link_job *job, const struct cancel *cancel,
    const struct log *log, struct out **out, struct err *e)
{
    struct out_compact_params p = {
        .fd = f->file[0].fd,
        .keys = &f->file[0].keys,
        .chain = &f->chain,
        .codec = job->compress == CODEC_AUTO ? CODEC_ZSTD : job->compress,
        .lane_count = job->lanes,
        .cancel = cancel,
        .log = log,
    };

    f->chain.first = 1;

    int rc = open_chain(f, 1, e);

    if (!rc)
        rc = out_compact_open(&p, out, e);
    forget_keys(f);
    return rc;
}

int files_open_in(struct files *f, const struct link_job *job, const struct cancel *cancel,
    const struct log *log, struct in **in, struct err *e)
{
    const struct in_compact_params p = {
        .chain = &f->chain, .lane_count = job->lanes, .cancel = cancel, .log = log};
    int rc = open_chain(f, 0, e);

    if (!rc)
        rc = in_compact_open(&p, in, e);
    forget_keys(f);
    return rc;
}
