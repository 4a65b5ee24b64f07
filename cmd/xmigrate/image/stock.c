/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/stock.h"

#include "base/deadline.h"
#include "cmd/xmigrate/image/libxl_stream.h"
#include "transport/compact/aux.h"
#include "transport/v3_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* For a piece of the file. */
#define STALL_NS (60 * NS_PER_S)

struct writer {
    struct compact_chain *chain;
    int fd;
    bool contents;
    const struct cancel *cancel;
    struct v3_stream stream;
    struct compact_reader *reader; /* with contents */
    uint8_t *buffer;               /* an extent's */
    uint64_t extents;              /* of the guest's memory */
    struct iovec head;             /* the section HEAD, up to auxiliary data, */
    unsigned aux_count;            /* and that */
    struct image_aux aux[AUX_MAX_SOURCES];
};

static int put_section(struct writer *w, enum compact_section_type type, struct err *e)
{
    struct iovec s;
    int rc = compact_file_section(&w->chain->files[0], type, &s, e);

    if (rc)
        return rc;
    rc = v3_write_bytes(&w->stream, s.iov_base, s.iov_len, e);
    free(s.iov_base);
    return rc;
}

/* ---- the front ---- */

static int put_front(struct writer *w, struct err *e)
{
    struct image_note note;
    char *config = NULL;
    uint8_t *front;
    size_t len_bytes;
    int rc = chain_files_note(&w->chain->files[0], &note, e);

    if (!rc)
        rc = compact_file_text(&w->chain->files[0], COMPACT_CONFIG, &config, e);
    if (!rc)
        rc = xl_file_write(config, &note, &front, &len_bytes, e);
    free(config);
    if (rc)
        return rc;
    rc = v3_write_bytes(&w->stream, front, len_bytes, e);
    free(front);
    return rc;
}

/* ---- pages ---- */

/* The record with a hole in it. */
static int put_skeleton(struct writer *w, const uint64_t *entries, unsigned count, struct err *e)
{
    uint8_t front[V3_PAGE_FRONT_BYTES];
    uint64_t data_pages = 0;

    for (unsigned i = 0; i < count; i++)
        data_pages += v3_type_has_data(v3_entry_type(entries[i]));
    v3_encode_page_front(count, data_pages, front);

    int rc = v3_write_bytes(&w->stream, front, sizeof(front), e);

    if (!rc)
        rc = v3_write_bytes(&w->stream, entries, count * sizeof(entries[0]), e);
    if (!rc && lseek(w->fd, (off_t)data_pages * PAGE_BYTES, SEEK_CUR) < 0)
        rc = err_sys(e, ERR_LOCAL, errno, "no memory to look at the file");
    return rc;
}

static int put_extent(struct writer *w, uint64_t number, struct err *e)
{
    uint64_t entries[EXTENT_FRAMES];
    const void *pages[EXTENT_FRAMES];
    const unsigned count = compact_entries_of(&w->chain->table, number, entries);

    /* A file is never waited for, which would hear of it. */
    if (cancel_is_fired(w->cancel))
        return err_set(e, ERR_CANCELLED, ECANCELED, "stopped by a signal");
    if (!count)
        return 0;
    if (!w->contents)
        return put_skeleton(w, entries, count, e);
    for (unsigned i = 0; i < count; i++)
        pages[i] = compact_page_at(w->buffer, entries[i]);

    const int rc = compact_reader_load(w->reader, number, w->buffer, e);

    return rc ? rc : v3_write_pages(&w->stream, entries, pages, count, e);
}

/* ---- all of it ---- */

static int open_writer(struct writer *w, struct err *e)
{
    v3_stream_init(&w->stream, w->fd, w->cancel, STALL_NS, "the file");
    if (!w->contents)
        return 0;
    w->buffer = aligned_alloc(PAGE_BYTES, (size_t)EXTENT_FRAMES * PAGE_BYTES);
    return w->buffer ? compact_reader_create(w->chain, true, &w->reader, e)
                     : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
}

static struct image_aux summary_of(const struct compact_aux_part *p)
{
    struct image_aux sum = {.optional = p->source.optional, .entries = p->key_count};

    memcpy(sum.source, p->source.name, sizeof(sum.source));
    for (uint64_t i = 0; i < p->key_count; i++)
        sum.bytes += compact_aux_key_bytes(p->keys + i * COMPACT_AUX_KEY_BYTES);
    return sum;
}

/* Auxiliary data, behind the guest's frames, is looked at here, and never written. */
static int look_at_aux(struct writer *w, const struct compact_aux *aux, struct err *e)
{
    const uint64_t frames = compact_aux_guest_frames(aux, w->chain->table.frame_count);

    w->head.iov_len = aux->states_bytes;
    w->extents = (frames + EXTENT_FRAMES - 1) / EXTENT_FRAMES;
    for (; w->aux_count < aux->count; w->aux_count++)
        w->aux[w->aux_count] = summary_of(&aux->parts[w->aux_count]);
    if (aux->count && w->contents)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "%s holds auxiliary data (%s), which the stock format cannot carry",
            w->chain->files[0].name, aux->parts[0].source.name);
    return compact_aux_check(aux, &w->chain->table, e);
}

static int read_head(struct writer *w, struct err *e)
{
    struct compact_aux *aux = malloc(sizeof(*aux));
    int rc = aux ? compact_file_section(&w->chain->files[0], COMPACT_HEAD, &w->head, e)
                 : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    if (!rc)
        rc = compact_aux_read(aux, &w->head, w->chain->table.frame_count, e);
    if (!rc) {
        rc = look_at_aux(w, aux, e);
        compact_aux_destroy(aux);
    }
    free(aux);
    return rc;
}

static int put_libxc(struct writer *w, struct err *e)
{
    int rc = v3_write_bytes(&w->stream, w->head.iov_base, w->head.iov_len, e);

    for (uint64_t i = 0; i < w->extents && !rc; i++)
        rc = put_extent(w, i, e);
    if (!rc)
        rc = put_section(w, COMPACT_TAIL, e);
    return rc ? rc : v3_write_record(&w->stream, V3_END, NULL, 0, e);
}

static int put_all(struct writer *w, struct err *e)
{
    struct iovec libxl = {0};
    int rc = put_front(w, e);

    if (!rc)
        rc = compact_file_section(&w->chain->files[0], COMPACT_LIBXL, &libxl, e);
    if (!rc && libxl.iov_len < LIBXL_FRONT_BYTES)
        rc = err_set(e, ERR_REFUSED, EBADMSG, "%s: its section LIBXL has %zu bytes",
            w->chain->files[0].name, libxl.iov_len);
    if (!rc)
        rc = v3_write_bytes(&w->stream, libxl.iov_base, LIBXL_FRONT_BYTES, e);
    if (!rc)
        rc = put_libxc(w, e);
    if (!rc)
        rc = v3_write_bytes(&w->stream, (const uint8_t *)libxl.iov_base + LIBXL_FRONT_BYTES,
            libxl.iov_len - LIBXL_FRONT_BYTES, e);
    free(libxl.iov_base);
    return rc;
}

static int write_all(struct writer *w, struct err *e)
{
    int rc = read_head(w, e);

    if (!rc)
        rc = open_writer(w, e);
    if (!rc)
        rc = put_all(w, e);
    compact_reader_destroy(w->reader);
    free(w->buffer);
    free(w->head.iov_base);
    v3_stream_destroy(&w->stream);
    return rc;
}

int stock_write(struct compact_chain *chain, int fd, const struct cancel *cancel, struct err *e)
{
    struct writer w = {.chain = chain, .fd = fd, .contents = true, .cancel = cancel};

    return write_all(&w, e);
}

static int open_memory(struct err *e)
{
    const int fd = memfd_create("saved guest", MFD_CLOEXEC);

    return fd < 0 ? err_sys(e, ERR_LOCAL, errno, "no memory to look at the file") : fd;
}

int stock_scan(struct compact_chain *chain, const char *path, const struct cancel *cancel,
    struct image *image, struct err *e)
{
    const int fd = open_memory(e);
    struct writer w = {.chain = chain, .fd = fd, .cancel = cancel};
    int rc = fd < 0 ? fd : write_all(&w, e);

    if (rc == -EBADMSG)
        image->damage_at = chain->files[0].at; /* of a section */
    if (!rc && image_scan(fd, path, image, e)) {
        err_prepend(e, "in the stock format it would be damaged");
        image->damage_at = 0; /* it is no place in this one */
        rc = -e->code;
    }
    if (fd >= 0)
        close(fd);
    image->file_bytes = chain->files[0].file_bytes;
    image->aux_count = w.aux_count;
    memcpy(image->aux, w.aux, sizeof(image->aux));
    return rc;
}

int stock_open_libxl(struct compact_chain *chain, struct err *e)
{
    const int fd = open_memory(e);
    struct writer w = {.chain = chain, .fd = fd};

    if (fd < 0)
        return fd;
    if (!open_writer(&w, e) && !put_section(&w, COMPACT_LIBXL, e) && !lseek(fd, 0, SEEK_SET))
        return fd;
    close(fd);
    return -e->code;
}
