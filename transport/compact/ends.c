/* SPDX-License-Identifier: MIT */
#include "transport/compact/ends.h"

#include "transport/compact/file_io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* ---- the beginning ---- */

static int plan_header(const struct compact_plan *plan, struct compact_header *h, struct err *e)
{
    const struct compact_chain *parent = plan->parent;

    *h = (struct compact_header){.encrypted = plan->secret->len_bytes != 0};
    if (getrandom(h->uuid, sizeof(h->uuid), 0) != sizeof(h->uuid) ||
        getrandom(h->salt, sizeof(h->salt), 0) != sizeof(h->salt))
        return err_sys(e, ERR_LOCAL, errno, "no random bytes");
    if (!parent)
        return 0;
    if (parent->count >= COMPACT_MAX_FILES)
        return err_set(e, ERR_REFUSED, E2BIG, "a chain has %d files at most: --flatten its last",
            COMPACT_MAX_FILES);
    h->depth = parent->files[0].header.depth + 1;
    memcpy(h->parent_uuid, parent->files[0].header.uuid, sizeof(h->parent_uuid));
    memcpy(h->parent_index, parent->files[0].index_hash, sizeof(h->parent_index));
    memcpy(h->parent_name, plan->parent_name, strnlen(plan->parent_name, COMPACT_NAME_BYTES - 1));
    return 0;
}

int compact_create(int fd, const struct compact_plan *plan, struct file_keys *keys, struct err *e)
{
    uint8_t out[COMPACT_HEADER_BYTES];
    struct compact_header h;
    int rc = plan_header(plan, &h, e);

    if (!rc)
        rc = file_keys_derive(plan->secret, h.salt, h.uuid, keys, e);
    if (rc)
        return rc;
    if (h.encrypted)
        memcpy(h.check, keys->check, sizeof(h.check));
    compact_encode_header(&h, out);
    if (compact_decode_header(out, &h, e))
        return err_set(e, ERR_REFUSED, EINVAL,
            "the parent's name cannot be kept in a file: rename it, without control characters");
    return file_io_write(fd, out, sizeof(out), 0, e);
}

/* ---- the end ---- */

static int seal_section(const struct compact_header *h, const struct file_keys *keys, unsigned type,
    uint8_t *bytes, size_t plain_bytes, struct err *e)
{
    const struct file_piece piece = {FILE_SECTION, type, 0, plain_bytes, h->uuid};
    const struct iovec part = {bytes, plain_bytes};
    struct file_sealer *sealer;
    int rc = file_sealer_create(keys, &sealer, e);

    if (rc)
        return rc;
    rc = file_seal(sealer, &piece, &part, 1, bytes + plain_bytes, e);
    file_sealer_destroy(sealer);
    return rc;
}

/* Encrypted in a copy of its own. */
static int write_sealed(int fd, const struct compact_header *h, const struct file_keys *keys,
    unsigned type, struct compact_section *s, const struct iovec *plain, struct err *e)
{
    uint8_t *copy = malloc(s->stored_bytes);

    if (!copy)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for a section");
    if (plain->iov_len)
        memcpy(copy, plain->iov_base, plain->iov_len);

    int rc = seal_section(h, keys, type, copy, plain->iov_len, e);

    if (!rc)
        rc = file_hash(copy, s->stored_bytes, s->hash, e);
    if (!rc)
        rc = file_io_write(fd, copy, s->stored_bytes, s->offset, e);
    free(copy);
    return rc;
}

int compact_add_section(int fd, const struct compact_header *h, const struct file_keys *keys,
    struct compact_footer *f, uint64_t *end, const struct iovec *plain, struct err *e)
{
    struct compact_section *s = &f->sections[f->section_count++];
    int rc;

    s->offset = *end;
    s->plain_bytes = plain->iov_len;
    s->stored_bytes = plain->iov_len + (h->encrypted ? FILE_TAG_BYTES : 0);
    *end += s->stored_bytes;
    if (h->encrypted)
        return write_sealed(fd, h, keys, f->section_count, s, plain, e);
    rc = file_hash(plain->iov_base, plain->iov_len, s->hash, e);
    return rc ? rc : file_io_write(fd, plain->iov_base, plain->iov_len, s->offset, e);
}

int compact_end_file(int fd, const struct compact_header *h, const struct file_keys *keys,
    struct compact_footer *f, uint64_t end, struct err *e)
{
    uint8_t header[COMPACT_HEADER_BYTES], footer[COMPACT_FOOTER_BYTES];

    f->file_bytes = end + COMPACT_FOOTER_BYTES;
    memcpy(f->uuid, h->uuid, sizeof(f->uuid));
    compact_encode_header(h, header);
    compact_encode_footer(f, footer);

    const int rc = compact_mac(keys, header, footer, footer + COMPACT_FOOTER_FRONT_BYTES, e);

    return rc ? rc : file_io_write(fd, footer, sizeof(footer), end, e);
}

int compact_complete(int fd, const char *name, const struct file_keys *keys,
    const struct compact_rest *rest, struct err *e)
{
    const struct iovec sections[] = {{(void *)rest->libxl, rest->libxl_bytes},
        {(void *)rest->config, strlen(rest->config)}, {(void *)rest->note, strlen(rest->note)}};
    struct compact_file file;
    int rc = compact_file_open(&file, fd, name, e);

    if (!rc)
        rc = compact_file_unlock(&file, NULL, keys, e);
    if (!rc)
        rc = compact_file_load_footer(&file, COMPACT_ENGINE_SECTIONS, e);

    uint64_t end = file.file_bytes - COMPACT_FOOTER_BYTES;

    for (unsigned i = 0; i < 3 && !rc; i++)
        rc = compact_add_section(fd, &file.header, keys, &file.footer, &end, &sections[i], e);
    if (!rc)
        rc = compact_end_file(fd, &file.header, keys, &file.footer, end, e);
    compact_file_close(&file);
    return rc;
}
