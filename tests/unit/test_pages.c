/* SPDX-License-Identifier: MIT */
/* Page records: what the encoder writes reads back, here and by the independent reader, and
 * whatever else arrives is refused whole. */
#include "base/bytes.h"
#include "tests/unit/memory_channel.h"
#include "tests/unit/wire_peer.h"
#include "transport/page_decoder.h"
#include "transport/pages.h"
#include "transport/v3.h"
#include "transport/zero_page.h"

#include <errno.h>
#include <lz4.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>
#include <cmocka.h>

static const struct page_rules one_lane = {
    .frame_count = 1 << 20, .lane = 0, .codecs = ~0u, .deltas = true};

struct fixture {
    struct page_encoder *enc;
    struct sent_pages sent; /* of an encoder that takes differences: what the receiver then has */
    struct page_decoder *dec;
    uint8_t *memory; /* PAGES_MAX_ENTRIES pages */
    uint64_t entries[PAGES_MAX_ENTRIES];
    const void *pages[PAGES_MAX_ENTRIES];
    struct peer_pages *peer;
    uint8_t *body;    /* of a record */
    uint8_t *arrived; /* PAGES_MAX_ENTRIES pages */
    enum codec codec;
    bool apart; /* pages that follow each other do not arrive side by side */
    struct memory_channel wire;
    pid_t guest; /* writes to memory meanwhile; 0: none */
    struct err e;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->memory = aligned_alloc(PAGE_BYTES, PAGES_MAX_ENTRIES * PAGE_BYTES);
    f->arrived = aligned_alloc(PAGE_BYTES, PAGES_MAX_ENTRIES * PAGE_BYTES);
    f->body = malloc(PAGES_MAX_BODY_BYTES + 8);
    f->codec = CODEC_LZ4;
    f->peer = calloc(1, sizeof(*f->peer));
    memory_channel_init(&f->wire);
    assert_int_equal(page_encoder_create(~0u, NULL, &f->enc, &f->e), 0);
    assert_int_equal(page_decoder_create(&one_lane, &f->dec, &f->e), 0);
    memset(f->memory, 0, PAGES_MAX_ENTRIES * PAGE_BYTES);
    for (unsigned i = 0; i < PAGES_MAX_ENTRIES; i++) {
        f->entries[i] = v3_entry(1000 + i, 0);
        f->pages[i] = f->memory + (size_t)i * PAGE_BYTES;
    }
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    if (f->guest) {
        kill(f->guest, SIGKILL);
        waitpid(f->guest, NULL, 0);
    }
    page_encoder_destroy(f->enc);
    page_decoder_destroy(f->dec);
    sent_pages_destroy(&f->sent);
    memory_channel_destroy(&f->wire);
    free(f->memory);
    free(f->arrived);
    free(f->body);
    free(f->peer);
    free(f);
    return 0;
}

static uint8_t *page_of(struct fixture *f, unsigned i)
{
    return f->memory + (size_t)i * PAGE_BYTES;
}

static void fill_random(struct fixture *f, unsigned i)
{
    for (unsigned b = 0; b < PAGE_BYTES; b++)
        page_of(f, i)[b] = (uint8_t)random();
}

static void fill_text(struct fixture *f, unsigned i)
{
    for (unsigned b = 0; b < PAGE_BYTES; b += 16)
        snprintf((char *)page_of(f, i) + b, 16, "%08x %05x\n", i, b);
}

/* Encode count entries and put the body together. Returns its length. */
static size_t encode(struct fixture *f, unsigned count)
{
    struct page_body body;
    size_t len_bytes = 0;

    assert_int_equal(page_encode(f->enc, f->codec, f->entries, f->pages, count, &body, &f->e), 0);
    for (int i = 0; i < body.iov_count; i++) {
        assert_true(len_bytes + body.iov[i].iov_len <= PAGES_MAX_BODY_BYTES);
        memcpy(f->body + len_bytes, body.iov[i].iov_base, body.iov[i].iov_len);
        len_bytes += body.iov[i].iov_len;
    }
    return len_bytes;
}

struct arrival {
    struct page_front front;
    void *pages[PAGES_MAX_ENTRIES]; /* NULL: no content */
};

/* What the decoder makes of the body. *a is whole or untouched. */
static int decode(struct fixture *f, size_t len_bytes, struct arrival *a)
{
    struct arrival got = {0};

    memory_channel_reset(&f->wire);
    memory_channel_put(&f->wire, f->body, PAGES_MAX_BODY_BYTES + 8);

    int rc = page_recv_front(f->dec, &f->wire.ch, len_bytes, &got.front, &f->e);

    for (unsigned i = 0; i < got.front.count; i++)
        if (v3_type_has_data(v3_entry_type(got.front.entries[i])))
            got.pages[i] = f->arrived +
                           PAGE_BYTES * (size_t)(f->apart ? PAGES_MAX_ENTRIES - 1 - i : i);
    if (!rc)
        rc = page_recv_contents(f->dec, &f->wire.ch, got.pages, &f->e);
    if (rc)
        return rc;
    assert_int_equal(f->wire.pos_bytes, len_bytes);
    *a = got;
    return 0;
}

/* Both readers give back what the memory holds. */
static void assert_arrives(struct fixture *f, size_t len_bytes, unsigned count)
{
    struct arrival batch;

    assert_null(peer_read_pages(f->body, len_bytes, f->peer));
    assert_int_equal(f->peer->count, count);
    if (decode(f, len_bytes, &batch))
        fail_msg("%s", f->e.text);
    assert_int_equal(batch.front.count, count);
    for (unsigned i = 0; i < count; i++) {
        const bool data = v3_type_has_data(v3_entry_type(f->entries[i]));

        assert_int_equal(v3_entry_pfn(batch.front.entries[i]), v3_entry_pfn(f->entries[i]));
        assert_int_equal(f->peer->entry[i].pfn, v3_entry_pfn(f->entries[i]));
        assert_int_equal(v3_entry_type(batch.front.entries[i]), v3_entry_type(f->entries[i]));
        assert_int_equal(f->peer->entry[i].type, v3_entry_type(f->entries[i]));
        if (!data) {
            assert_null(batch.pages[i]);
            assert_null(f->peer->entry[i].content);
            continue;
        }
        assert_memory_equal(batch.pages[i], f->pages[i], PAGE_BYTES);
        if (f->peer->entry[i].content)
            assert_memory_equal(f->peer->entry[i].content, f->pages[i], PAGE_BYTES);
        else
            assert_true(f->peer->entry[i].zero && page_is_zero(f->pages[i]));
    }
}

static void assert_refused(struct fixture *f, size_t len_bytes, const char *because)
{
    struct arrival batch = {.front.count = 12345};

    f->e = (struct err)ERR_INIT;
    assert_int_equal(decode(f, len_bytes, &batch), -EPROTO);
    assert_int_equal(f->e.class, ERR_PEER);
    if (!strstr(f->e.text, because))
        fail_msg("'%s' does not say '%s'", f->e.text, because);
    assert_int_equal(batch.front.count, 12345);
}

static void test_one_byte_anywhere_makes_a_page_not_zero(void **state)
{
    struct fixture *f = *state;

    assert_true(page_is_zero(page_of(f, 3)));
    for (unsigned b = 0; b < PAGE_BYTES; b++) {
        page_of(f, 3)[b] = 1 << b % 8;
        assert_false(page_is_zero(page_of(f, 3)));
        page_of(f, 3)[b] = 0;
    }
}

static void test_a_full_record_of_random_pages_arrives_raw(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < PAGES_MAX_ENTRIES; i++)
        fill_random(f, i);

    const size_t len_bytes = encode(f, PAGES_MAX_ENTRIES);

    assert_int_equal(len_bytes, 8 + 1024 * 8 + 64 * 4 + 1024 * PAGE_BYTES);
    assert_arrives(f, len_bytes, PAGES_MAX_ENTRIES);
    assert_int_equal(f->peer->raw_blocks, 64);
}

static void test_raw_pages_are_sent_from_where_they_are(void **state)
{
    struct fixture *f = *state;
    struct page_body body;

    for (unsigned i = 0; i < 40; i++)
        if (i != 20)
            fill_random(f, i);
    assert_int_equal(page_encode(f->enc, f->codec, f->entries, f->pages, 40, &body, &f->e), 0);
    assert_int_equal(body.iov_count, 3);
    assert_ptr_equal(body.iov[1].iov_base, page_of(f, 0));
    assert_int_equal(body.iov[1].iov_len, 20 * PAGE_BYTES);
    assert_ptr_equal(body.iov[2].iov_base, page_of(f, 21));
    assert_int_equal(body.iov[2].iov_len, 19 * PAGE_BYTES);
}

static void test_text_arrives_compressed(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 100; i++)
        fill_text(f, i);

    const size_t len_bytes = encode(f, 100);

    assert_true(len_bytes < 100 * PAGE_BYTES / 3);
    assert_arrives(f, len_bytes, 100);
    assert_int_equal(f->peer->lz4_blocks, 7);
}

static void test_text_arrives_smaller_by_zstd(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 100; i++)
        fill_text(f, i);

    const size_t lz4_bytes = encode(f, 100);

    f->codec = CODEC_ZSTD;

    const size_t len_bytes = encode(f, 100);

    assert_true(len_bytes < lz4_bytes * 3 / 4);
    assert_arrives(f, len_bytes, 100);
    assert_int_equal(f->peer->zstd_blocks, 7);
}

static void test_every_mix_of_pages_arrives(void **state)
{
    struct fixture *f = *state;
    static const uint32_t words[] = {0, 0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15};

    for (unsigned round = 0; round < 200; round++) {
        const unsigned count = 1 + (unsigned)random() % PAGES_MAX_ENTRIES;
        uint64_t pfn = 0;

        f->apart = round % 2;
        f->codec = round % CODECS;
        for (unsigned i = 0; i < count; i++) {
            pfn += 1 + (uint64_t)random() % 9;
            f->entries[i] = v3_entry(pfn, words[(unsigned)random() % 13] << 28);
            switch (random() / 16 % 3) {
            case 0:
                memset(page_of(f, i), 0, PAGE_BYTES);
                break;
            case 1:
                fill_text(f, i);
                break;
            default:
                fill_random(f, i);
            }
        }
        assert_arrives(f, encode(f, count), count);
    }
}

static void test_zero_pages_cost_only_their_entry(void **state)
{
    struct fixture *f = *state;
    struct arrival batch;
    const size_t len_bytes = encode(f, 512);

    assert_int_equal(len_bytes, 8 + 512 * 8);
    assert_arrives(f, len_bytes, 512);
    assert_int_equal(decode(f, len_bytes, &batch), 0);
    assert_int_equal(batch.front.zero_pages, 512);
    assert_int_equal(batch.front.data_pages, 0);
    assert_true(batch.front.entries[0] & WIRE_ENTRY_ZERO);
}

static void test_without_compression_all_blocks_are_raw(void **state)
{
    struct fixture *f = *state;

    page_encoder_destroy(f->enc);
    page_decoder_destroy(f->dec);
    assert_int_equal(page_encoder_create(CODEC_BIT(CODEC_NONE), NULL, &f->enc, &f->e), 0);
    assert_int_equal(
        page_decoder_create(&(struct page_rules){.frame_count = 1 << 20}, &f->dec, &f->e), 0);
    f->codec = CODEC_NONE;
    for (unsigned i = 0; i < 20; i++)
        fill_text(f, i);
    assert_arrives(f, encode(f, 20), 20);
    assert_int_equal(f->peer->raw_blocks, 2);
}

static void test_a_compressed_block_that_was_not_agreed_is_refused(void **state)
{
    struct fixture *f = *state;

    page_decoder_destroy(f->dec);
    assert_int_equal(
        page_decoder_create(&(struct page_rules){.frame_count = 1 << 20}, &f->dec, &f->e), 0);
    fill_text(f, 0);
    assert_refused(f, encode(f, 1), "not agreed");
    f->codec = CODEC_ZSTD;
    assert_refused(f, encode(f, 1), "not agreed");
}

static void test_compression_is_found_again_after_random_pages(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 256; i++)
        fill_random(f, i);
    for (unsigned i = 256; i < 512; i++)
        fill_text(f, i);
    assert_arrives(f, encode(f, 512), 512);
    assert_true(f->peer->lz4_blocks >= 8);
}

static void test_a_record_cut_short_anywhere_is_refused(void **state)
{
    struct fixture *f = *state;
    struct arrival batch;

    fill_text(f, 0);
    fill_random(f, 2);
    for (unsigned i = 17; i < 40; i++)
        fill_text(f, i);

    const size_t len_bytes = encode(f, 40);

    assert_arrives(f, len_bytes, 40);
    for (size_t cut = 0; cut < len_bytes; cut += cut < 1024 ? 1 : 61) {
        f->e = (struct err)ERR_INIT;
        assert_int_equal(decode(f, cut, &batch), -EPROTO);
    }
}

static void test_bytes_after_the_last_block_are_refused(void **state)
{
    struct fixture *f = *state;

    fill_text(f, 0);

    const size_t len_bytes = encode(f, 1);

    memset(f->body + len_bytes, 0, 8);
    assert_refused(f, len_bytes + 8, "after the last block");
}

static void test_any_flipped_bit_is_refused_or_changes_only_content(void **state)
{
    struct fixture *f = *state;
    struct arrival batch;

    for (unsigned i = 0; i < 5; i++)
        fill_text(f, i);

    const size_t len_bytes = encode(f, 8);
    uint8_t *body = f->body;

    /* Every bit of what describes the pages, then one of each byte of their contents. */
    for (size_t bit = 0; bit < len_bytes * 8; bit += bit < 512 * 8 ? 1 : 9) {
        body[bit / 8] ^= 1 << bit % 8;
        f->e = (struct err)ERR_INIT;

        const int rc = decode(f, len_bytes, &batch);

        assert_true(rc == 0 || rc == -EPROTO);
        if (rc == 0) {
            assert_int_equal(batch.front.count, 8);
            for (unsigned i = 0; i < batch.front.count; i++) {
                assert_true(v3_entry_pfn(batch.front.entries[i]) < one_lane.frame_count);
                assert_true(
                    !batch.pages[i] == !v3_type_has_data(v3_entry_type(batch.front.entries[i])));
            }
        }
        body[bit / 8] ^= 1 << bit % 8;
    }
}

/* A record of one zero page, whose parts the next tests spoil. */
static uint8_t *spoil(struct fixture *f, size_t *len_bytes)
{
    *len_bytes = encode(f, 2);
    return f->body;
}

static void test_bad_headers_are_refused(void **state)
{
    struct fixture *f = *state;
    size_t len_bytes;
    uint8_t *body = spoil(f, &len_bytes);

    put_le32(body, 0);
    assert_refused(f, 8, "counts 0");
    put_le32(body, 1025);
    assert_refused(f, 8 + 1025 * 8, "counts 1025");
    put_le32(body, UINT32_MAX);
    assert_refused(f, len_bytes, "counts 4294967295");
    put_le32(body, 3);
    assert_refused(f, len_bytes, "cut short in its entries");
    put_le32(body, 2);
    put_le32(body + 4, 1);
    assert_refused(f, len_bytes, "reserved");
}

static void test_bad_entries_are_refused(void **state)
{
    struct fixture *f = *state;
    size_t len_bytes;
    uint8_t *body = spoil(f, &len_bytes);

    put_le64(body + 8, 1000 | WIRE_ENTRY_ZERO | WIRE_ENTRY_DELTA);
    assert_refused(f, len_bytes, "no plain page");
    put_le64(body + 8, 1ull << 60 | 1000 | WIRE_ENTRY_DELTA);
    assert_refused(f, len_bytes, "no plain page");
    for (unsigned bit = 52; bit < 58; bit++) {
        put_le64(body + 8, (1000 | WIRE_ENTRY_ZERO) | 1ull << bit);
        assert_refused(f, len_bytes, "reserved");
    }
    for (uint64_t type = 5; type <= 8; type++) {
        put_le64(body + 8, type << 60 | 1000);
        assert_refused(f, len_bytes, "not known");
    }
    for (uint64_t type = 0xd; type <= 0xf; type++) {
        put_le64(body + 8, type << 60 | WIRE_ENTRY_ZERO | 1000);
        assert_refused(f, len_bytes, "without content");
    }
    put_le64(body + 8, WIRE_ENTRY_ZERO | 1001);
    assert_refused(f, len_bytes, "ascending");
    put_le64(body + 8, WIRE_ENTRY_ZERO | 1002);
    assert_refused(f, len_bytes, "ascending");
    put_le64(body + 8, WIRE_ENTRY_ZERO | one_lane.frame_count);
    assert_refused(f, len_bytes, "last frame");
    put_le64(body + 8, WIRE_ENTRY_ZERO | V3_ENTRY_PFN_MASK);
    assert_refused(f, len_bytes, "last frame");
}

static void test_bad_blocks_are_refused(void **state)
{
    struct fixture *f = *state;

    fill_random(f, 0);

    const size_t len_bytes = encode(f, 1);
    uint8_t *table = f->body + 16;

    assert_int_equal(get_le32(table), 0x80000000u | PAGE_BYTES);
    put_le32(table, 0x80000000u | (PAGE_BYTES - 8));
    assert_refused(f, len_bytes, "is stored in");
    put_le32(table, 0x80000000u | (PAGE_BYTES + 8));
    assert_refused(f, len_bytes, "is stored in");
    put_le32(table, 0xbfffffffu);
    assert_refused(f, len_bytes, "is stored in");
    put_le32(table, 0xffffffffu);
    assert_refused(f, len_bytes, "not known");
    put_le32(table, 0);
    assert_refused(f, len_bytes, "is stored in 0");
    put_le32(table, PAGE_BYTES);
    assert_refused(f, len_bytes, "is stored in");
    put_le32(table, PAGE_BYTES - 8);
    assert_refused(f, len_bytes, "after the last block");
    assert_refused(f, len_bytes - 8, "does not decode");
    put_le32(table, 0x80000000u | PAGE_BYTES);
    put_le32(table + 4, 1);
    assert_refused(f, len_bytes, "padding after the block table");
}

static void test_lz4_blocks_of_another_length_are_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t *body = f->body;
    uint8_t zeros[2 * PAGE_BYTES] = {0};
    static const int raw_lengths[] = {16, PAGE_BYTES - 1, PAGE_BYTES + 1, 2 * PAGE_BYTES};

    for (unsigned i = 0; i < 4; i++) {
        const int stored = LZ4_compress_default(
            (char *)zeros, (char *)body + 24, raw_lengths[i], PAGE_BYTES - 1);

        put_le32(body, 1);
        put_le32(body + 4, 0);
        put_le64(body + 8, 1000);
        put_le32(body + 16, (uint32_t)stored);
        put_le32(body + 20, 0);
        memset(body + 24 + stored, 0, 8);
        assert_refused(f, 24 + (size_t)(stored + 7) / 8 * 8, "does not decode");
    }
}

static void test_zstd_blocks_that_are_not_one_fitting_frame_are_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t zeros[2 * PAGE_BYTES] = {0};
    static const size_t raw_lengths[] = {16, PAGE_BYTES - 1, PAGE_BYTES + 1, 2 * PAGE_BYTES};

    put_le32(f->body, 1);
    put_le32(f->body + 4, 0);
    put_le64(f->body + 8, 1000);
    put_le32(f->body + 20, 0);
    for (unsigned i = 0; i < 5; i++) {
        /* The last: two frames, which make a page together. */
        size_t stored = ZSTD_compress(
            f->body + 24, 2048, zeros, i < 4 ? raw_lengths[i] : PAGE_BYTES / 2, 1);

        if (i == 4)
            stored += ZSTD_compress(f->body + 24 + stored, 2048, zeros, PAGE_BYTES / 2, 1);
        put_le32(f->body + 16, (uint32_t)stored | 1u << 30);
        memset(f->body + 24 + stored, 0, 8);
        assert_refused(f, 24 + (stored + 7) / 8 * 8, "does not decode");
    }
}

static void test_callers_mistakes_are_internal_errors(void **state)
{
    struct fixture *f = *state;
    struct page_body body;

    assert_int_equal(page_encode(f->enc, f->codec, f->entries, f->pages, 0, &body, &f->e), -EINVAL);
    assert_int_equal(f->e.class, ERR_INTERNAL);
    assert_int_equal(
        page_encode(f->enc, f->codec, f->entries, f->pages, 1025, &body, &f->e), -EINVAL);
    f->entries[1] = f->entries[0];
    assert_int_equal(page_encode(f->enc, f->codec, f->entries, f->pages, 2, &body, &f->e), -EINVAL);
    f->entries[0] = 5ull << 60;
    assert_int_equal(page_encode(f->enc, f->codec, f->entries, f->pages, 1, &body, &f->e), -EINVAL);
}

/*
 * As a guest does: another process writes to every second page all the time. Each record must
 * decode, and the pages that nobody writes to must arrive as they are, though they repeat what is
 * (or was) in their neighbours.
 */
static void test_pages_that_change_while_they_are_encoded(void **state)
{
    struct fixture *f = *state;
    enum { PAGES = 64 };
    unsigned now_codec = 0;
    uint8_t *shared = mmap(
        NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint8_t still[PAGE_BYTES];
    struct timespec begin, now;

    assert_ptr_not_equal(shared, MAP_FAILED);
    for (unsigned b = 0; b < PAGE_BYTES; b++)
        still[b] = (uint8_t)(b * b >> 5);
    for (unsigned i = 0; i < PAGES; i++) {
        memcpy(shared + (size_t)i * PAGE_BYTES, still, PAGE_BYTES);
        f->pages[i] = shared + (size_t)i * PAGE_BYTES;
    }

    f->guest = fork();
    assert_true(f->guest >= 0);
    if (f->guest == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (uint64_t n = 0;; n++) {
            uint8_t *page = shared + n % (PAGES / 2) * 2 * PAGE_BYTES;

            /* Zeros, what the still pages hold, and noise, in turns. */
            if (n % 96 < 32)
                memset(page, 0, PAGE_BYTES);
            else if (n % 96 < 64)
                memcpy(page, still, PAGE_BYTES);
            else
                for (unsigned b = 0; b < PAGE_BYTES; b += 8)
                    put_le64(page + b, (n + b) * 0x9e3779b97f4a7c15u);
        }
    }

    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        struct arrival batch;
        f->codec = CODEC_LZ4 + now_codec++ % 2;

        const size_t len_bytes = encode(f, PAGES);

        if (decode(f, len_bytes, &batch))
            fail_msg("%s", f->e.text);
        for (unsigned i = 1; i < PAGES; i += 2)
            assert_memory_equal(batch.pages[i], still, PAGE_BYTES);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - begin.tv_sec < 2);
}

/* ---- differences ---- */

static const struct page_deltas keeping = {.keep = true, .most_bytes = PAGE_BYTES / 2};

static void take_differences(struct fixture *f, uint64_t pages)
{
    page_encoder_destroy(f->enc);
    assert_int_equal(sent_pages_init(&f->sent, pages * PAGE_BYTES, 1 << 20, &f->e), 0);
    assert_int_equal(page_encoder_create(~0u, &f->sent, &f->enc, &f->e), 0);
    page_encoder_set_deltas(f->enc, &keeping);
    sent_pages_begin_round(&f->sent);
}

/* The pages so far have arrived: they are what differences are to. Returns the bytes it took. */
static size_t send_round(struct fixture *f, unsigned count, unsigned deltas)
{
    static uint8_t before[PAGES_MAX_ENTRIES][PAGE_BYTES];
    const size_t len_bytes = encode(f, count);
    unsigned found = 0;

    memcpy(before, f->arrived, sizeof(before));
    for (unsigned i = 0; i < count; i++)
        f->peer->before[i] = before[i];
    assert_arrives(f, len_bytes, count);
    for (unsigned i = 0; i < count; i++)
        found += f->peer->entry[i].delta;
    assert_int_equal(found, deltas);
    sent_pages_begin_round(&f->sent);
    return len_bytes;
}

/* Each with other contents than before. */
static void send_random(struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        fill_random(f, i);
    send_round(f, count, 0);
}

static void write_a_little(struct fixture *f, unsigned i)
{
    memset(page_of(f, i) + 8 * (i % 500), (int)random() | 1, 24);
}

static void test_what_was_written_to_a_little_arrives_as_a_difference(void **state)
{
    struct fixture *f = *state;

    take_differences(f, 1024);
    send_random(f, 100);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 100; i++)
            write_a_little(f, i);
        /* Differences are compressed all the same. */
        f->codec = round % 2 ? CODEC_ZSTD : CODEC_NONE;
        assert_true(send_round(f, 100, 100) < 100 * 200);
    }
    /* Some of them, between others, and what changed altogether. */
    fill_random(f, 7);
    for (unsigned i = 20; i < 40; i++)
        write_a_little(f, i);
    send_round(f, 100, 99);
    send_round(f, 100, 100);
}

static void test_only_plain_pages_become_differences(void **state)
{
    struct fixture *f = *state;

    take_differences(f, 1024);
    send_random(f, 8);
    f->entries[0] = v3_entry_of(V3_PAGE_L1TAB, 1000);
    f->entries[1] = v3_entry_of(V3_PAGE_XTAB, 1001);
    memset(page_of(f, 2), 0, PAGE_BYTES);
    send_round(f, 8, 5);
    /* Plain pages again, of which the receiver has something else. */
    f->entries[0] = v3_entry(1000, 0);
    f->entries[1] = v3_entry(1001, 0);
    write_a_little(f, 2);
    send_round(f, 8, 5);
    send_round(f, 8, 8);
}

static void test_what_would_be_a_difference_is_counted(void **state)
{
    struct fixture *f = *state;
    uint64_t *dirty = bitmap_alloc(1 << 20);

    take_differences(f, 1024);
    bitmap_set(dirty, v3_entry_pfn(f->entries[0]));
    bitmap_set(dirty, v3_entry_pfn(f->entries[7]));
    bitmap_set(dirty, v3_entry_pfn(f->entries[8]));
    assert_int_equal(sent_pages_count(&f->sent, dirty), 0);
    for (unsigned i = 0; i < 8; i++)
        fill_random(f, i);
    send_round(f, 8, 0);
    assert_int_equal(sent_pages_count(&f->sent, dirty), 2);
    free(dirty);
}

static void test_the_first_that_are_kept_stay(void **state)
{
    struct fixture *f = *state;

    take_differences(f, 64);
    send_random(f, 256);
    for (unsigned round = 0; round < 4; round++)
        send_round(f, 256, 64);
}

static void test_what_is_kept_on_speculation_makes_room_for_others(void **state)
{
    struct fixture *f = *state;
    enum { PLACES = 8, SPECULATIVE = PLACES / 4 };

    assert_int_equal(sent_pages_init(&f->sent, PLACES * PAGE_BYTES, 1 << 20, &f->e), 0);
    sent_pages_begin_round(&f->sent);
    for (unsigned pfn = 0; pfn <= SPECULATIVE; pfn++)
        assert_int_equal(sent_pages_add(&f->sent, pfn, true) != NULL, pfn < SPECULATIVE);
    /* Until the round ends what was kept may still be read. */
    for (unsigned pfn = 100; pfn <= 100 + PLACES; pfn++)
        assert_int_equal(
            sent_pages_add(&f->sent, pfn, false) != NULL, pfn < 100 + PLACES - SPECULATIVE);
    sent_pages_begin_round(&f->sent);
    for (unsigned pfn = 200; pfn <= 200 + SPECULATIVE; pfn++)
        assert_int_equal(sent_pages_add(&f->sent, pfn, false) != NULL, pfn < 200 + SPECULATIVE);
    assert_null(sent_pages_find(&f->sent, 0));
    assert_non_null(sent_pages_find(&f->sent, 100));
}

static void test_pages_that_change_altogether_are_tried_ever_more_rarely(void **state)
{
    struct fixture *f = *state;

    take_differences(f, 1024);
    for (unsigned round = 0; round < 4; round++)
        send_random(f, 1024);
    /* Of those that are always the same some are still tried, and then all. */
    for (unsigned i = 0; i < 1024; i++)
        write_a_little(f, i);
    assert_int_equal(sent_pages_find(&f->sent, v3_entry_pfn(f->entries[0])) != NULL,
        v3_entry_pfn(f->entries[0]) / 16 % 64 == 0);
    for (unsigned round = 0; round < 60; round++)
        encode(f, 1024);
    assert_true(encode(f, 1024) < (size_t)1024 * 300);
}

/* What is known after as many kept pages were looked at again. */
static enum page_deltas_known look_again(struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        page_encoder_look_again(f->enc, v3_entry_pfn(f->entries[i]), page_of(f, i));
    return page_encoder_deltas(f->enc);
}

static void test_pages_looked_at_again_tell_whether_differences_work(void **state)
{
    struct fixture *f = *state;
    uint64_t pfns[PAGES_TRIAL];

    for (unsigned a_little = 0; a_little < 2; a_little++) {
        take_differences(f, 1024);
        assert_int_equal(page_encoder_trial(f->enc, pfns), 0);
        send_random(f, 1024);
        assert_int_equal(page_encoder_trial(f->enc, pfns), PAGES_TRIAL);
        for (unsigned i = 0; i < PAGES_TRIAL; i++)
            assert_int_equal(pfns[i], v3_entry_pfn(f->entries[i]));
        /* What did not change tells nothing. */
        assert_int_equal(look_again(f, 100), DELTAS_UNKNOWN);
        for (unsigned i = 0; i < 100; i++) {
            if (a_little)
                write_a_little(f, i);
            else
                fill_random(f, i);
        }
        assert_true(page_encoder_delta_share(f->enc) < 0);
        assert_int_equal(look_again(f, 100), a_little ? DELTAS_WORK : DELTAS_FAIL);
        assert_true(page_encoder_delta_share(f->enc) == (a_little ? 1.0 : 0.0));
        assert_int_equal(page_encoder_trial(f->enc, pfns), 0);
        sent_pages_destroy(&f->sent);
    }
}

static void test_a_difference_to_another_page_is_refused(void **state)
{
    struct fixture *f = *state;

    take_differences(f, 1024);
    send_random(f, 20);
    write_a_little(f, 3);

    const size_t len_bytes = encode(f, 20);
    struct arrival batch;

    /* Applied once it is right, a second time not: then the page is another. */
    assert_int_equal(decode(f, len_bytes, &batch), 0);
    assert_refused(f, len_bytes, "is to another page");
    f->arrived[17 * PAGE_BYTES]++;
    assert_refused(f, len_bytes, "is to another page");
    page_decoder_destroy(f->dec);
    assert_int_equal(
        page_decoder_create(
            &(struct page_rules){.frame_count = 1 << 20, .codecs = ~0u}, &f->dec, &f->e),
        0);
    assert_refused(f, len_bytes, "reserved bits");
}

/* By whole lines where it lies so, or not; and nothing beside it. */
static void test_a_page_is_cleared_and_nothing_else(void **state)
{
    enum { LINE_BYTES = 64 };
    uint8_t *const memory = aligned_alloc(PAGE_BYTES, 3 * PAGE_BYTES);

    (void)state;
    for (unsigned offset = 16; offset <= 2 * LINE_BYTES; offset += 16) {
        memset(memory, 0xa5, 3 * PAGE_BYTES);
        assert_false(page_is_zero(memory + offset));
        page_clear(memory + offset);
        page_clear_done();
        assert_true(page_is_zero(memory + offset));
        assert_int_equal(memory[offset - 1], 0xa5);
        assert_int_equal(memory[offset + PAGE_BYTES], 0xa5);
    }
    free(memory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_byte_anywhere_makes_a_page_not_zero),
        TEST(test_a_full_record_of_random_pages_arrives_raw),
        TEST(test_raw_pages_are_sent_from_where_they_are),
        TEST(test_text_arrives_compressed),
        TEST(test_text_arrives_smaller_by_zstd),
        TEST(test_every_mix_of_pages_arrives),
        TEST(test_zero_pages_cost_only_their_entry),
        TEST(test_without_compression_all_blocks_are_raw),
        TEST(test_a_compressed_block_that_was_not_agreed_is_refused),
        TEST(test_compression_is_found_again_after_random_pages),
        TEST(test_a_record_cut_short_anywhere_is_refused),
        TEST(test_bytes_after_the_last_block_are_refused),
        TEST(test_any_flipped_bit_is_refused_or_changes_only_content),
        TEST(test_bad_headers_are_refused),
        TEST(test_bad_entries_are_refused),
        TEST(test_bad_blocks_are_refused),
        TEST(test_lz4_blocks_of_another_length_are_refused),
        TEST(test_zstd_blocks_that_are_not_one_fitting_frame_are_refused),
        TEST(test_callers_mistakes_are_internal_errors),
        TEST(test_pages_that_change_while_they_are_encoded),
        TEST(test_what_was_written_to_a_little_arrives_as_a_difference),
        TEST(test_only_plain_pages_become_differences),
        TEST(test_what_would_be_a_difference_is_counted),
        TEST(test_the_first_that_are_kept_stay),
        TEST(test_what_is_kept_on_speculation_makes_room_for_others),
        TEST(test_pages_that_change_altogether_are_tried_ever_more_rarely),
        TEST(test_pages_looked_at_again_tell_whether_differences_work),
        TEST(test_a_difference_to_another_page_is_refused),
        TEST(test_a_page_is_cleared_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
