/* SPDX-License-Identifier: MIT */
/*
 * Both ends of the native data path in one process: reads a plain v3 stream from a file and sends
 * it over a trunk and lanes to dest_run(), which builds domain DOMID from it.
 *
 *   replay DOMID FILE LANES [DAMAGE]
 *
 * DAMAGE is what goes wrong on the way: cut-lane, cut-trunk, garble (a record's count), pte (a
 * table names a frame beyond the guest), totals (a lane's end lies), early (vCPUs before the
 * pages), twice (an extent comes on two lanes), border (on one lane alone), after-end (END comes
 * twice), cancel. Prints what the source was told and what dest_run() said; exits 0 when it
 * succeeded.
 */
#include "base/deadline.h"
#include "engine/dest.h"
#include "engine/in/lanes.h"
#include "transport/pages.h"
#include "transport/tcp.h"
#include "transport/trunk.h"
#include "transport/v3_stream.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORD_PAGES_MAX = PAGES_MAX_ENTRIES, DAMAGED_RECORD = 5 };

struct lane_out {
    struct channel *ch;
    struct page_encoder *encoder;
    uint64_t entries[RECORD_PAGES_MAX];
    const void *pages[RECORD_PAGES_MAX];
    uint8_t (*copies)[PAGE_BYTES];
    unsigned count;
};

struct replay {
    int fd;
    const char *damage;
    unsigned lane_count;
    struct channel *trunk;
    struct lane_out lanes[MAX_LANES];
    struct trunk_lanes_done done;
    uint64_t frame_count;
    uint64_t records;
    bool in_pages, in_tail;
    struct cancel *cancel; /* the destination's */
};

static bool damaged_by(const struct replay *r, const char *damage)
{
    return !strcmp(r->damage, damage);
}

static int flush(struct replay *r, unsigned index, struct err *e)
{
    struct lane_out *l = &r->lanes[index];
    struct lane_totals *totals = &r->done.lanes[index];
    struct page_body body;

    if (!l->count)
        return 0;

    int rc = page_encode(l->encoder, CODEC_LZ4, l->entries, l->pages, l->count, &body, e);

    if (rc)
        return rc;
    if (r->records++ == DAMAGED_RECORD) {
        if (damaged_by(r, "cut-lane"))
            channel_shutdown(l->ch);
        if (damaged_by(r, "garble"))
            *(uint8_t *)body.iov[0].iov_base ^= 0x40;
        if (damaged_by(r, "cancel"))
            cancel_fire(r->cancel);
    }
    if (r->records == DAMAGED_RECORD && damaged_by(r, "twice"))
        rc = record_send(
            r->lanes[(index + 1) % r->lane_count].ch, RECORD_PAGES, body.iov, body.iov_count, e);
    if (rc)
        return rc;
    totals->records++;
    totals->entries += l->count;
    totals->data_pages += body.data_pages;
    totals->zero_pages += body.zero_pages;
    l->count = 0;
    return record_send(l->ch, RECORD_PAGES, body.iov, body.iov_count, e);
}

/* A record holds frames of one extent, ascending. */
static int send_page(struct replay *r, uint64_t entry, const uint8_t *page, struct err *e)
{
    const uint64_t pfn = v3_entry_pfn(entry), extent = pfn / EXTENT_FRAMES;
    const unsigned index = (unsigned)(extent % r->lane_count);
    struct lane_out *l = &r->lanes[index];

    if (l->count) {
        const uint64_t last = v3_entry_pfn(l->entries[l->count - 1]);
        const bool fits = last < pfn && last / EXTENT_FRAMES == extent;
        const int rc = fits ? 0 : flush(r, index, e);

        if (rc)
            return rc;
    }
    l->entries[l->count] = entry;
    if (v3_type_has_data(v3_entry_type(entry)))
        memcpy(l->copies[l->count], page, PAGE_BYTES);
    l->pages[l->count] = l->copies[l->count];
    l->count++;
    return 0;
}

static int send_pages(struct replay *r, const struct v3_page_data *d, struct err *e)
{
    const uint8_t *page = d->pages;
    int rc = r->in_pages ? 0 : trunk_send_round(r->trunk, &(struct trunk_round){0}, e);

    r->in_pages = true;
    for (uint32_t i = 0; i < d->count && !rc; i++) {
        const unsigned type = v3_entry_type(d->entries[i]);

        if (damaged_by(r, "pte") && v3_type_table_level(type) == 1)
            ((uint64_t *)page)[3] = (r->frame_count + 7) << 12 | 1;
        rc = send_page(r, d->entries[i], page, e);
        if (v3_type_has_data(type))
            page += PAGE_BYTES;
    }
    return rc;
}

static int end_lanes(struct replay *r, struct err *e)
{
    int rc = 0;

    r->done.lane_count = r->lane_count;
    for (unsigned i = 0; i < r->lane_count && !rc; i++) {
        rc = flush(r, i, e);
        if (damaged_by(r, "totals"))
            r->done.lanes[i].entries++;
        if (!rc && !i && damaged_by(r, "border"))
            rc = lane_send_border(r->lanes[i].ch, 1, e);
        if (!rc)
            rc = lane_send_end(r->lanes[i].ch, &r->done.lanes[i], e);
        if (!rc)
            rc = channel_finish(r->lanes[i].ch, e);
    }
    if (damaged_by(r, "cut-trunk"))
        channel_shutdown(r->trunk);
    return rc ? rc : trunk_send_lanes_done(r->trunk, &r->done, e);
}

static int send_state(struct replay *r, uint32_t type, const void *body, size_t len, struct err *e)
{
    int rc = 0;

    if (r->in_pages && !r->in_tail) {
        rc = end_lanes(r, e);
        r->in_tail = true;
    }
    return rc ? rc : trunk_send_state(r->trunk, type, &(struct iovec){(void *)body, len}, 1, e);
}

static int end_trunk(struct replay *r, struct err *e)
{
    const int rc = trunk_send_end(r->trunk, e);

    if (rc)
        return rc;
    return damaged_by(r, "after-end") ? trunk_send_end(r->trunk, e) : channel_finish(r->trunk, e);
}

static int send_record(struct replay *r, const struct v3_record *record, struct err *e)
{
    struct v3_page_data d;
    int rc;

    if (record->type == V3_END)
        return end_trunk(r, e);
    if (record->type != V3_PAGE_DATA)
        return send_state(r, record->type, record->body, record->len_bytes, e);
    if (damaged_by(r, "early") && !r->in_pages) {
        static const uint8_t tsc[V3_TSC_INFO_BYTES];

        rc = send_state(r, V3_X86_TSC_INFO, tsc, sizeof(tsc), e);
        if (rc)
            return rc;
    }
    rc = v3_decode_page_data(record->body, record->len_bytes, r->frame_count, &d, e);
    return rc ? rc : send_pages(r, &d, e);
}

static void count_frames(struct replay *r, const struct v3_record *record)
{
    struct err ignored = ERR_INIT;
    struct v3_page_data d;

    if (record->type != V3_PAGE_DATA ||
        v3_decode_page_data(record->body, record->len_bytes, WIRE_MAX_FRAMES, &d, &ignored))
        return;
    for (uint32_t i = 0; i < d.count; i++)
        if (v3_entry_pfn(d.entries[i]) >= r->frame_count)
            r->frame_count = v3_entry_pfn(d.entries[i]) + 1;
}

/* Once through the file: to count its frames, or to send it. */
static int read_file(struct replay *r, bool sending, struct err *e)
{
    struct v3_stream s;
    struct v3_headers h;
    struct v3_record record = {0};

    lseek(r->fd, 0, SEEK_SET);
    v3_stream_init(&s, r->fd, NULL, NS_PER_S, "the file");

    int rc = v3_read_headers(&s, &h, DEADLINE_NEVER, e);

    if (!rc && sending)
        rc = trunk_send_head(r->trunk,
            &(struct trunk_head){.guest_type = h.guest_type,
                .codecs = CODEC_BIT(CODEC_LZ4),
                .lane_count = r->lane_count,
                .frame_count = r->frame_count},
            e);
    do {
        if (!rc)
            rc = v3_read_record(&s, &record, DEADLINE_NEVER, e);
        if (!rc && sending)
            rc = send_record(r, &record, e);
        else if (!rc)
            count_frames(r, &record);
    } while (!rc && record.type != V3_END);
    v3_stream_destroy(&s);
    return rc;
}

static void *send_all(void *arg)
{
    struct replay *r = arg;
    struct err sending = ERR_INIT, e = ERR_INIT;
    struct trunk_reader reader;
    struct trunk_message m;

    if (!read_file(r, false, &sending))
        read_file(r, true, &sending);
    if (trunk_reader_init(&reader, r->trunk, &e))
        return NULL;
    if (trunk_recv(&reader, &m, deadline_in(20 * NS_PER_S), &e))
        printf("the source heard nothing: %s\n", e.text);
    else
        printf("the source heard: %s %s\n", err_class_name(m.result.failure.class),
            m.result.failure.text);
    trunk_reader_destroy(&reader);
    return NULL;
}

static int pair_up(const char *what, unsigned index, const struct cancel *cancel,
    struct channel **source, struct channel **destination, struct err *e)
{
    char name[32];
    int fds[2];

    snprintf(name, sizeof(name), "%s %u", what, index);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
        return err_set(e, ERR_LOCAL, 1, "no sockets");

    const int rc = tcp_channel(fds[0], name, NULL, 20 * NS_PER_S, source, e);

    return rc ? rc : tcp_channel(fds[1], name, cancel, 20 * NS_PER_S, destination, e);
}

static int ignore_static_data(void *arg, unsigned missing, struct err *e)
{
    (void)arg, (void)missing, (void)e;
    return 0;
}

static void ignore_progress(void *arg, uint64_t populated_pages, uint64_t wire_bytes)
{
    (void)arg, (void)populated_pages, (void)wire_bytes;
}

int main(int argc, char **argv)
{
    static struct replay r;
    struct channel *trunk = NULL, *lanes[MAX_LANES] = {0};
    const struct log log = {LOG_WARN, log_to_stderr, "replay"};
    const struct dest_toolstack toolstack = {.static_data_done = ignore_static_data};
    const struct dest_report_ops report = {ignore_progress, NULL};
    struct dest_result result;
    struct cancel cancel;
    struct err e = ERR_INIT;
    pthread_t sender;

    signal(SIGPIPE, SIG_IGN);
    if (argc < 4 || (r.lane_count = (unsigned)atoi(argv[3])) > MAX_LANES)
        return 2;
    r.damage = argc > 4 ? argv[4] : "";
    r.fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (r.fd < 0 || cancel_init(&cancel, &e) || pair_up("trunk", 0, &cancel, &r.trunk, &trunk, &e))
        return 2;
    r.cancel = &cancel;
    for (unsigned i = 0; i < r.lane_count; i++) {
        r.lanes[i].copies = malloc(RECORD_PAGES_MAX * sizeof(*r.lanes[i].copies));
        if (!r.lanes[i].copies || pair_up("lane", i, &cancel, &r.lanes[i].ch, &lanes[i], &e) ||
            page_encoder_create(CODEC_BIT(CODEC_LZ4), NULL, &r.lanes[i].encoder, &e))
            return 2;
    }
    pthread_create(&sender, NULL, send_all, &r);

    const struct in_lanes_params way = {trunk, lanes, r.lane_count, &cancel, &log};
    struct dest_params p = {
        .guest = {.domid = (uint32_t)atoi(argv[1]),
            .store_evtchn = 1,
            .console_evtchn = 2,
            .log = &log},
        .cancel = &cancel,
        .toolstack = &toolstack,
        .report = &report,
    };
    struct dest *left = NULL;
    int rc = in_lanes_open(&way, &p.in, &e);

    if (!rc)
        rc = dest_run(&p, &result, &left, &e);
    if (left)
        dest_close(left);

    channel_close(trunk);
    for (unsigned i = 0; i < r.lane_count; i++)
        channel_close(lanes[i]);
    pthread_join(sender, NULL);
    printf("%s\n", rc ? e.text : "built");
    for (unsigned i = 0; i < r.lane_count; i++) {
        page_encoder_destroy(r.lanes[i].encoder);
        channel_close(r.lanes[i].ch);
        free(r.lanes[i].copies);
    }
    channel_close(r.trunk);
    cancel_destroy(&cancel);
    return rc != 0;
}
