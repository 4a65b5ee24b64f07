/* SPDX-License-Identifier: MIT */
/* seeds DIR: writes a small corpus for each fuzz target below DIR, made by the encoders. */
#include "tests/fuzz/seeds.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "tests/unit/memory_channel.h"
#include "transport/control.h"
#include "transport/pages.h"
#include "transport/preamble.h"
#include "transport/trunk.h"
#include "transport/v3_stream.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int create(const char *dir, const char *target, const char *seed)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", dir, target);
    mkdir(path, 0777);
    snprintf(path, sizeof(path), "%s/%s/%s", dir, target, seed);

    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd < 0)
        err(1, "%s", path);
    return fd;
}

void save(
    const char *dir, const char *target, const char *seed, const void *bytes, size_t len_bytes)
{
    const int fd = create(dir, target, seed);

    if (write(fd, bytes, len_bytes) != (ssize_t)len_bytes)
        err(1, "%s/%s/%s", dir, target, seed);
    close(fd);
}

void check(int rc, const struct err *e)
{
    if (rc)
        errx(1, "%s", e->text);
}

/* Pages of each kind: zero, text, noise. */
static void fill(uint8_t *page, unsigned kind)
{
    memset(page, 0, PAGE_BYTES);
    for (unsigned b = 0; b < PAGE_BYTES && kind > 0; b++)
        page[b] = kind == 1 ? (uint8_t)("seed page "[b % 10]) : (uint8_t)random();
}

static void make_pages(const char *dir)
{
    static const unsigned counts[] = {1, 2, 17, 40};
    static uint8_t memory[40][PAGE_BYTES];
    struct page_encoder *enc;
    struct memory_channel m;
    uint64_t entries[40];
    const void *pages[40];
    struct err e = ERR_INIT;

    memory_channel_init(&m);
    check(page_encoder_create(~0u, NULL, &enc, &e), &e);
    for (unsigned kind = 0; kind < 4; kind++) {
        for (unsigned i = 0; i < 40; i++) {
            /* Every known type in turn for the last kind, which is a mix. */
            const uint32_t type = kind == 3 ? (i % 16 < 5 || i % 16 > 8 ? i % 16 : 0) << 28 : 0;

            entries[i] = v3_entry(3 * i + 7, type);
            fill(memory[i], kind == 3 ? i % 3 : kind);
            pages[i] = memory[i];
        }
        for (unsigned c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
            struct page_body body;
            char name[32];

            if (kind == 2 && counts[c] > 2)
                continue; /* noise teaches little and slows down much */
            check(page_encode(
                      enc, c % 2 ? CODEC_ZSTD : CODEC_LZ4, entries, pages, counts[c], &body, &e),
                &e);
            snprintf(name, sizeof(name), "kind%u-%u", kind, counts[c]);
            memory_channel_reset(&m);
            for (int i = 0; i < body.iov_count; i++)
                memory_channel_put(&m, body.iov[i].iov_base, body.iov[i].iov_len);
            save(dir, "pages", name, m.bytes, m.len_bytes);
        }
    }
    page_encoder_destroy(enc);
    memory_channel_destroy(&m);
}

/* Two differences and a page, as if the receiver had zeros: the fuzzer's has. */
static void make_differences(const char *dir)
{
    static const struct page_deltas keep = {.keep = true, .most_bytes = PAGE_BYTES / 2};
    static const uint64_t entries[] = {7, 8, 9};
    static _Alignas(8) uint8_t before[3][PAGE_BYTES], memory[3][PAGE_BYTES];
    const void *pages[] = {memory[0], memory[1], memory[2]};
    struct sent_pages sent;
    struct page_encoder *enc;
    struct page_body body;
    struct memory_channel m;
    struct err e = ERR_INIT;

    memory_channel_init(&m);
    check(sent_pages_init(&sent, 1 << 20, 100, &e), &e);
    check(page_encoder_create(~0u, &sent, &enc, &e), &e);
    page_encoder_set_deltas(enc, &keep);
    for (unsigned i = 0; i < 3; i++)
        fill(memory[i], 1);
    check(page_encode(enc, CODEC_LZ4, entries, pages, 2, &body, &e), &e);
    memcpy(before, memory, sizeof(before));
    memory[0][5]++;
    memory[1][4095]--;
    check(page_encode(enc, CODEC_LZ4, entries, pages, 3, &body, &e), &e);
    for (int i = 0; i < body.iov_count; i++)
        memory_channel_put(&m, body.iov[i].iov_base, body.iov[i].iov_len);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t difference[PAGE_BYTES];

        for (unsigned b = 0; b < PAGE_BYTES; b++)
            difference[b] = before[i][b] ^ memory[i][b];
        put_le32(m.bytes + 8 + sizeof(entries) + 4 * i, crc32c(0, difference, PAGE_BYTES));
    }
    save(dir, "pages", "differences", m.bytes, m.len_bytes);
    page_encoder_destroy(enc);
    sent_pages_destroy(&sent);
    memory_channel_destroy(&m);
}

static void make_trunk(const char *dir)
{
    struct memory_channel m;
    struct channel *ch = &m.ch;
    struct err e = ERR_INIT;
    struct trunk_result bad = {.finish_ns = 7};
    uint8_t info[8] = {8, 4};
    static uint8_t large[(1 << 20) + 100];

    memory_channel_init(&m);
    check(trunk_send_head(ch,
              &(struct trunk_head){.guest_type = V3_GUEST_PV,
                  .codecs = CODEC_BIT(CODEC_LZ4),
                  .xen_major = 4,
                  .xen_minor = 17,
                  .lane_count = 2,
                  .frame_count = 1 << 18,
                  .page_count = 1 << 17},
              &e),
        &e);
    check(trunk_send_state(ch, V3_X86_PV_INFO, &(struct iovec){info, 8}, 1, &e), &e);
    check(trunk_send_state(ch, V3_STATIC_DATA_END, NULL, 0, &e), &e);
    check(trunk_send_round(ch, &(struct trunk_round){.round = 1, .page_count = 2}, &e), &e);
    check(trunk_send_lanes_done(ch, &(struct trunk_lanes_done){.lane_count = 2}, &e), &e);
    check(trunk_send_end(ch, &e), &e);
    save(dir, "trunk", "story", m.bytes, m.len_bytes);

    memory_channel_reset(&m);
    check(trunk_send_result(ch, &(struct trunk_result){.populated_pages = 5}, &e), &e);
    err_set(&bad.failure, ERR_LOCAL, 12, "no memory");
    check(trunk_send_result(ch, &bad, &e), &e);
    save(dir, "trunk", "results", m.bytes, m.len_bytes);

    memory_channel_reset(&m);
    check(trunk_send_state(ch, V3_HVM_CONTEXT, &(struct iovec){large, sizeof(large)}, 1, &e), &e);
    save(dir, "trunk", "parts", m.bytes, m.len_bytes);

    /* The same in small parts, which a fuzzer can work with. */
    static const uint8_t parts[] = {2, 0, 0, 0, 12, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3,
        4, /**/
        2, 0, 0, 0, 10, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5, 6};
    save(dir, "trunk", "small-parts", parts, sizeof(parts));
    memory_channel_destroy(&m);
}

static void make_stream(const char *dir)
{
    const int fd = create(dir, "stream", "pv");
    struct v3_stream s;
    struct err e = ERR_INIT;
    uint8_t info[8], vcpu[8 + V3_VCPU_BASIC_64_BYTES] = {0}, tsc[24],
                              params[V3_HVM_PARAMS_MAX_BYTES];
    uint64_t frames[2] = {0, 77};
    static uint8_t page[PAGE_BYTES];
    const uint64_t entries[] = {v3_entry(5, 0), v3_entry(4, 0xf0000000)};
    const void *pages[] = {page, NULL};

    v3_stream_init(&s, fd, NULL, 1000000000, "seed");
    check(v3_write_headers(&s, &(struct v3_headers){3, V3_GUEST_PV, 4, 17}, &e), &e);
    v3_encode_pv_info(&(struct v3_pv_info){8, 4}, info);
    check(v3_write_record(&s, V3_X86_PV_INFO, &(struct iovec){info, 8}, 1, &e), &e);
    check(v3_write_record(&s, V3_X86_CPUID_POLICY, &(struct iovec){page, 24}, 1, &e), &e);
    check(v3_write_record(&s, V3_X86_MSR_POLICY, &(struct iovec){page, 16}, 1, &e), &e);
    check(v3_write_record(&s, V3_STATIC_DATA_END, NULL, 0, &e), &e);
    v3_encode_p2m_frames(0, 500, (uint8_t *)frames);
    check(v3_write_record(&s, V3_X86_PV_P2M_FRAMES, &(struct iovec){frames, 16}, 1, &e), &e);
    check(v3_write_pages(&s, entries, pages, 2, &e), &e);
    v3_encode_tsc_info(&(struct v3_tsc_info){1, 2, 3, 4}, tsc);
    check(v3_write_record(&s, V3_X86_TSC_INFO, &(struct iovec){tsc, 24}, 1, &e), &e);
    check(v3_write_record(&s, V3_SHARED_INFO, &(struct iovec){page, PAGE_BYTES}, 1, &e), &e);
    v3_encode_vcpu(0, vcpu);
    check(
        v3_write_record(&s, V3_X86_PV_VCPU_BASIC, &(struct iovec){vcpu, sizeof(vcpu)}, 1, &e), &e);
    check(v3_write_record(&s, V3_X86_PV_VCPU_MSRS, &(struct iovec){vcpu, 8 + 32}, 1, &e), &e);

    const size_t params_bytes = v3_encode_hvm_params(
        (struct v3_hvm_param[]){{1, 2}, {3, 4}}, 2, params);

    check(v3_write_record(&s, V3_HVM_PARAMS, &(struct iovec){params, params_bytes}, 1, &e), &e);
    check(v3_write_record(&s, V3_HVM_CONTEXT, &(struct iovec){page, 13}, 1, &e), &e);
    check(v3_write_record(&s, V3_END, NULL, 0, &e), &e);
    v3_stream_destroy(&s);
    close(fd);
}

static void make_control(const char *dir)
{
    static const char hello[] = "{\"major\":2,\"minor\":0}";
    struct memory_channel m;
    struct control c;
    struct err e = ERR_INIT;
    uint8_t preamble[PREAMBLE_BYTES];

    preamble_encode(
        &(struct preamble){.major = WIRE_MAJOR, .minor = WIRE_MINOR, .lane = LANE_CONTROL},
        preamble);
    memory_channel_init(&m);
    memory_channel_put(&m, preamble, sizeof(preamble));
    control_init(&c, &m.ch);
    check(control_send(&c, CONTROL_HELLO, hello, sizeof(hello) - 1, &e), &e);
    check(control_send(&c, CONTROL_LIBXL_DATA, preamble, sizeof(preamble), &e), &e);
    check(control_send(&c, CONTROL_PING, NULL, 0, &e), &e);
    check(control_send(&c, CONTROL_GO, NULL, 0, &e), &e);
    save(dir, "control", "talk", m.bytes, m.len_bytes);
    pthread_mutex_destroy(&c.send_lock);
    memory_channel_destroy(&m);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(1, "usage: seeds DIR");
    mkdir(argv[1], 0777);
    make_messages(argv[1]);
    make_restores(argv[1]);
    make_saved(argv[1]);
    make_compact(argv[1]);
    make_aux(argv[1]);
    make_legacy(argv[1]);
    make_texts(argv[1]);
    make_differences(argv[1]);
    make_pages(argv[1]);
    make_trunk(argv[1]);
    make_stream(argv[1]);
    make_control(argv[1]);
    return 0;
}
