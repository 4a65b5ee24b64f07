/* SPDX-License-Identifier: MIT */
/* An image into a compact file by lanes, and from a chain of such files by lanes: the real ends. */
#include "base/bitmap.h"
#include "transport/compact/ends.h"
#include "engine/in/compact.h"
#include "engine/out/compact.h"
#include "tests/unit/fake_xen.h"
#include "tests/unit/image_ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { LANES = 3, MAX_FILES = 3 };

static const struct file_secret none;
static const struct log silent = {LOG_ERROR, log_to_stderr, (void *)"test"};

struct fixture {
    struct image_ends x;
    int fds[MAX_FILES]; /* the newest last */
    unsigned count;
    struct file_keys keys;
    struct compact_chain chain; /* of what was read */
    struct arrival arrival;
    struct err e;
};

static struct fixture f;

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){.e = ERR_INIT};
    ends_open_guest(&f.x);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ends_close(&f.x);
    compact_chain_close(&f.chain);
    while (f.count)
        close(f.fds[--f.count]);
    return 0;
}

static void add_all(struct compact_chain *c)
{
    for (unsigned i = f.count; i-- > 0;)
        assert_int_equal(compact_chain_add(c, f.fds[i], "a file", &none, NULL, &f.e), 0);
}

/* The next file, on those that there are. */
static void open_out(void)
{
    struct compact_chain parent = {.count = 0}, chain = {.first = 1};
    const struct compact_plan plan = {&none, f.count ? &parent : NULL, "parent"};
    const int fd = memfd_create("compact", MFD_CLOEXEC);
    const struct out_compact_params p = {
        .fd = fd,
        .keys = &f.keys,
        .chain = &chain,
        .codec = CODEC_ZSTD,
        .lane_count = LANES,
        .cancel = &f.x.out_cancel,
        .log = &silent,
    };

    add_all(&parent);
    add_all(&chain);
    assert_int_equal(compact_create(fd, &plan, &f.keys, &f.e), 0);
    assert_int_equal(out_compact_open(&p, &f.x.out, &f.e), 0);
    compact_chain_close(&parent);
    f.fds[f.count++] = fd;
    assert_int_equal(f.x.out->ops->begin(f.x.out, &f.x.guest, &f.x.maps, &f.e), 0);
    assert_int_equal(ends_state(&f.x, V3_STATIC_DATA_END, &f.e), 0);
}

static off_t finish_out(void)
{
    const struct compact_rest rest = {"libxl", 5, "{}", "{}"};
    struct stat st;

    assert_int_equal(ends_state(&f.x, V3_HVM_CONTEXT, &f.e), 0);
    assert_int_equal(f.x.out->ops->commit(f.x.out, COMMIT_HANDOVER, NS_PER_S, &f.arrival, &f.e), 0);
    assert_int_equal(f.x.out->ops->finish(f.x.out, &f.e), 0);
    f.x.out->ops->close(f.x.out);
    f.x.out = NULL;
    assert_int_equal(compact_complete(f.fds[f.count - 1], "a file", &f.keys, &rest, &f.e), 0);
    fstat(f.fds[f.count - 1], &st);
    return st.st_size;
}

static void read_back(void)
{
    const struct in_compact_params p = {
        .chain = &f.chain, .lane_count = LANES, .cancel = &f.x.in_cancel, .log = &silent};

    add_all(&f.chain);
    assert_int_equal(in_compact_open(&p, &f.x.in, &f.e), 0);
    ends_receive(&f.x);
    ends_join(&f.x);
}

/* Rounds after each other, each page newest once. */
static void test_a_guest_goes_through_a_file(void **state)
{
    static const uint32_t states[] = {V3_STATIC_DATA_END, V3_HVM_CONTEXT};

    (void)state;
    open_out();
    ends_write_all(&f.x, 1);
    assert_int_equal(ends_round(&f.x, false, &f.e), 0);
    for (uint64_t pfn = 0; pfn < ENDS_FRAMES; pfn += 3)
        ends_write(&f.x, pfn, 2);
    assert_int_equal(ends_round(&f.x, false, &f.e), 0);
    ends_write(&f.x, 7, 3);
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    finish_out();
    read_back();
    assert_false(err_is_set(&f.x.in_error));
    ends_check_memory(&f.x);
    assert_int_equal(f.x.page_events, 1);
    assert_int_equal(f.x.state_count, 2);
    assert_memory_equal(f.x.states, states, sizeof(states));
}

/* What is marked as dirty and is as it was costs nothing; the next files hold what has changed. */
static void test_a_chain_holds_what_has_changed(void **state)
{
    off_t whole, child;

    (void)state;
    open_out();
    ends_write_all(&f.x, 1);
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    whole = finish_out();
    for (uint64_t n = 2; n < 4; n++) {
        open_out();
        ends_write_all(&f.x, 1);
        for (uint64_t pfn = 5 * n; pfn < ENDS_FRAMES; pfn += 500)
            ends_write(&f.x, pfn, n);
        assert_int_equal(ends_round(&f.x, true, &f.e), 0);
        assert_int_equal(
            f.x.counts.data_pages + f.x.counts.zero_pages + f.x.counts.absent_pages, ENDS_FRAMES);
        child = finish_out();
        assert_true(child < whole / 5);
    }
    /* As the last one was written. */
    read_back();
    assert_false(err_is_set(&f.x.in_error));
    ends_check_memory(&f.x);
}

static void test_a_damaged_chunk_is_named(void **state)
{
    (void)state;
    open_out();
    ends_write_all(&f.x, 1);
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    finish_out();
    assert_int_equal(pwrite(f.fds[0], "damage", 6, COMPACT_HEADER_BYTES + 20), 6);
    read_back();
    assert_non_null(
        strstr(f.x.in_error.text, "a file: at byte 512: a chunk's checksum is not right"));
}

static void test_a_signal_ends_both(void **state)
{
    (void)state;
    open_out();
    ends_write_all(&f.x, 1);
    assert_int_equal(ends_round(&f.x, true, &f.e), 0);
    finish_out();
    cancel_fire(&f.x.in_cancel);
    read_back();
    assert_int_equal(f.x.in_error.class, ERR_CANCELLED);

    open_out();
    ends_write_all(&f.x, 2);
    cancel_fire(&f.x.out_cancel);
    assert_int_not_equal(ends_round(&f.x, true, &f.e), 0);
    assert_int_equal(f.e.class, ERR_CANCELLED);
}

static void test_it_is_one_image(void **state)
{
    (void)state;
    open_out();
    assert_int_not_equal(
        f.x.out->ops->commit(f.x.out, COMMIT_CHECKPOINT, NS_PER_S, &f.arrival, &f.e), 0);
    assert_int_equal(f.e.class, ERR_REFUSED);
}

#define END_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        END_TEST(test_a_guest_goes_through_a_file),
        END_TEST(test_a_chain_holds_what_has_changed),
        END_TEST(test_a_damaged_chunk_is_named),
        END_TEST(test_a_signal_ends_both),
        END_TEST(test_it_is_one_image),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
