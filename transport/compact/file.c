/* SPDX-License-Identifier: MIT */
#include "transport/compact/file.h"

#include "transport/compact/file_io.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool compact_file_is(int fd)
{
    char word[COMPACT_WORD_BYTES];

    return pread(fd, word, sizeof(word), 0) == sizeof(word) &&
           !memcmp(word, compact_word, sizeof(word));
}

/* Say in which file, and where. */
static int place(const struct compact_file *f, struct err *e)
{
    err_prepend(e, "%s: at byte %" PRIu64, f->name, f->at);
    return -e->code;
}

int compact_file_open(struct compact_file *f, int fd, const char *name, struct err *e)
{
    uint8_t header[COMPACT_HEADER_BYTES];
    struct stat st;

    *f = (struct compact_file){.fd = fd};
    snprintf(f->name, sizeof(f->name), "%s", name);
    if (fstat(fd, &st))
        return err_sys(e, ERR_REFUSED, errno, "%s", f->name);
    f->file_bytes = (uint64_t)st.st_size;
    if (file_io_read(fd, header, sizeof(header), 0, e) ||
        compact_decode_header(header, &f->header, e))
        return place(f, e);
    return 0;
}

int compact_file_unlock(struct compact_file *f, const struct file_secret *secret,
    const struct file_keys *keys, struct err *e)
{
    int rc = 0;

    if (secret && f->header.encrypted && !secret->len_bytes)
        return err_set(e, ERR_REFUSED, ENOKEY, "%s is encrypted, and no key was given", f->name);
    if (secret && !f->header.encrypted && secret->len_bytes)
        return err_set(e, ERR_REFUSED, EINVAL,
            "%s is not encrypted, and a key was given: leave it out", f->name);
    if (secret)
        rc = file_keys_derive(secret, f->header.salt, f->header.uuid, &f->keys, e);
    else
        f->keys = *keys;
    if (!rc && f->header.encrypted && memcmp(f->keys.check, f->header.check, FILE_CHECK_BYTES))
        rc = err_set(e, ERR_REFUSED, EKEYREJECTED,
            "%s was encrypted with another key: give that one", f->name);
    return rc;
}

static int check_footer(struct compact_file *f, unsigned sections, struct err *e)
{
    uint8_t header[COMPACT_HEADER_BYTES], footer[COMPACT_FOOTER_BYTES], mac[FILE_MAC_BYTES];

    if (f->file_bytes < COMPACT_HEADER_BYTES + COMPACT_FOOTER_BYTES) {
        f->at = f->file_bytes;
        return err_damaged(e, "the file ends in the middle");
    }
    f->at = f->file_bytes - COMPACT_FOOTER_BYTES;

    /* Of the header that was read, whatever the file has by now: it says the same in one way only.
     */
    compact_encode_header(&f->header, header);

    int rc = file_io_read(f->fd, footer, sizeof(footer), f->at, e);

    if (!rc)
        rc = compact_decode_footer(footer, f->file_bytes, f->header.encrypted, &f->footer, e);
    if (!rc)
        rc = compact_mac(&f->keys, header, footer, mac, e);
    if (rc)
        return rc;
    if (memcmp(mac, footer + COMPACT_FOOTER_FRONT_BYTES, sizeof(mac)) ||
        memcmp(f->footer.uuid, f->header.uuid, sizeof(f->header.uuid)))
        return err_damaged(e, "its footer does not authenticate it");
    return f->footer.section_count == sections
               ? 0
               : err_damaged(e, "it has %u sections, not %u", f->footer.section_count, sections);
}

static int load_index(struct compact_file *f, struct err *e)
{
    const struct compact_section *s = &f->footer.sections[COMPACT_INDEX - 1];
    struct iovec plain;
    int rc = compact_file_section(f, COMPACT_INDEX, &plain, e);

    if (rc)
        return rc;
    f->index_bytes = plain.iov_base;
    f->at = s->offset;
    if (f->header.encrypted)
        rc = file_hash(f->index_bytes, plain.iov_len, f->index_hash, e);
    else /* what is in the file is what it says, and was compared */
        memcpy(f->index_hash, s->hash, sizeof(f->index_hash));
    if (!rc)
        rc = compact_index_decode(f->index_bytes, plain.iov_len,
            f->footer.sections[COMPACT_HEAD - 1].offset - COMPACT_HEADER_BYTES, f->header.encrypted,
            &f->index, e);
    return rc ? place(f, e) : 0;
}

int compact_file_load_footer(struct compact_file *f, unsigned sections, struct err *e)
{
    return check_footer(f, sections, e) ? place(f, e) : 0;
}

int compact_file_load(struct compact_file *f, unsigned sections, struct err *e)
{
    const int rc = compact_file_load_footer(f, sections, e);

    return rc ? rc : load_index(f, e);
}

void compact_file_forget(struct compact_file *f)
{
    free(f->index_bytes);
    f->index_bytes = NULL;
    f->index.groups = NULL;
}

void compact_file_close(struct compact_file *f)
{
    compact_file_forget(f);
    free(f->index.chunks);
    explicit_bzero(&f->keys, sizeof(f->keys));
    *f = (struct compact_file){.fd = -1};
}

/* ---- sections ---- */

static int open_section(const struct compact_file *f, enum compact_section_type type,
    const struct compact_section *s, uint8_t *bytes, struct err *e)
{
    const struct file_piece piece = {FILE_SECTION, type, 0, s->plain_bytes, f->header.uuid};
    const struct iovec part = {bytes, s->plain_bytes};
    struct file_sealer *sealer;
    int rc = file_sealer_create(&f->keys, &sealer, e);

    if (rc)
        return rc;
    rc = file_unseal(sealer, &piece, &part, 1, bytes + s->plain_bytes, e);
    file_sealer_destroy(sealer);
    return rc == -EBADMSG
               ? err_damaged(e, "section %s is not what was encrypted", compact_section_name(type))
               : rc;
}

/* No INDEX has so many zeros, as a file with a hole would: memory is taken only for what is there.
 */
enum { PIECE_BYTES = 64 << 10 };

static bool is_zero_piece(const uint8_t *bytes, uint64_t len_bytes)
{
    return len_bytes == PIECE_BYTES && !bytes[0] && !memcmp(bytes, bytes + 1, len_bytes - 1);
}

static int read_index(
    const struct compact_file *f, const struct compact_section *s, uint8_t *bytes, struct err *e)
{
    uint64_t piece_bytes;
    int rc = 0;

    for (uint64_t at = 0; at < s->stored_bytes && !rc; at += piece_bytes) {
        const uint64_t left_bytes = s->stored_bytes - at;

        piece_bytes = left_bytes < PIECE_BYTES ? left_bytes : PIECE_BYTES;
        rc = file_io_read(f->fd, bytes + at, piece_bytes, s->offset + at, e);
        if (!rc && is_zero_piece(bytes + at, piece_bytes))
            rc = err_damaged(e, "section INDEX is zeros from its byte %" PRIu64 " on", at);
    }
    return rc;
}

static int read_section(
    const struct compact_file *f, enum compact_section_type type, uint8_t *bytes, struct err *e)
{
    const struct compact_section *s = &f->footer.sections[type - 1];
    uint8_t hash[FILE_HASH_BYTES];
    int rc = type == COMPACT_INDEX ? read_index(f, s, bytes, e)
                                   : file_io_read(f->fd, bytes, s->stored_bytes, s->offset, e);

    if (!rc)
        rc = file_hash(bytes, s->stored_bytes, hash, e);
    if (!rc && memcmp(hash, s->hash, sizeof(hash)))
        rc = err_damaged(e, "the checksum of section %s is not right", compact_section_name(type));
    if (!rc && f->header.encrypted)
        rc = open_section(f, type, s, bytes, e);
    return rc;
}

int compact_file_section(
    struct compact_file *f, enum compact_section_type type, struct iovec *plain, struct err *e)
{
    const struct compact_section *s = &f->footer.sections[type - 1];

    /* The footer was checked: the file has so many. */
    *plain = (struct iovec){malloc(s->stored_bytes ?: 1), s->plain_bytes};
    f->at = s->offset;
    if (!plain->iov_base)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for section %s of %s",
            compact_section_name(type), f->name);
    if (!read_section(f, type, plain->iov_base, e))
        return 0;
    free(plain->iov_base);
    *plain = (struct iovec){0};
    return place(f, e);
}

int compact_file_text(
    struct compact_file *f, enum compact_section_type type, char **text, struct err *e)
{
    struct iovec plain;
    int rc = compact_file_section(f, type, &plain, e);

    if (rc)
        return rc;
    if (memchr(plain.iov_base, 0, plain.iov_len)) {
        err_damaged(e, "section %s has a NUL in it", compact_section_name(type));
        rc = place(f, e);
    } else {
        *text = strndup(plain.iov_base, plain.iov_len);
        rc = *text ? 0 : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    }
    free(plain.iov_base);
    return rc;
}
