/* SPDX-License-Identifier: MIT */
/* The seam of auxiliary data: two sources of a test's own take the place of those of sources.c, and
 * what an out fetches of them is handed to a destination, round by round. */
#include "engine/aux/in.h"
#include "engine/aux/out.h"
#include "tests/unit/fake_xen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { KEYS = 300, BYTES = 8 }; /* more than a batch has; of content each */
enum change { NOTHING, SET, WITHDRAWN };

/* What a guest has of one source, and the same at the other end. */
struct thing {
    bool is_there, optional;
    unsigned looks, late_looks, stops, ends;
    enum change noted[KEYS], closed[KEYS];
    uint8_t value[KEYS];
    uint8_t arrived[KEYS]; /* 0: not there */
    bool complete;
};

static struct thing first, second;
static void change(struct thing *t, unsigned key, uint8_t value)
{
    t->noted[key] = value ? SET : WITHDRAWN;
    t->value[key] = value;
}

/* ---- out ---- */

static int begin_of(struct thing *t, struct aux_source *s, void **state)
{
    s->optional = t->optional;
    s->version = 1;
    s->most_entries = KEYS;
    s->most_bytes = KEYS * BYTES;
    *state = t->is_there ? t : NULL;
    return 0;
}

static int first_begin(
    struct xen *x, uint32_t domid, struct aux_source *s, void **state, struct err *e)
{
    (void)x, (void)domid, (void)e;
    return begin_of(&first, s, state);
}

static int second_begin(
    struct xen *x, uint32_t domid, struct aux_source *s, void **state, struct err *e)
{
    (void)x, (void)domid, (void)e;
    return begin_of(&second, s, state);
}

static int look(void *state, bool late, struct err *e)
{
    struct thing *t = state;

    (void)e;
    t->looks++;
    t->late_looks += late;
    memcpy(t->closed, t->noted, sizeof(t->closed));
    memset(t->noted, 0, sizeof(t->noted));
    return 0;
}

static int more(void *state, struct aux_buffer *b, struct err *e)
{
    struct thing *t = state;

    (void)e;
    for (unsigned i = 0; i < KEYS && b->batch.count < AUX_MAX_ENTRIES; i++) {
        struct aux_entry *entry = &b->batch.entries[b->batch.count];

        if (t->closed[i] == NOTHING)
            continue;
        *entry = (struct aux_entry){.key = {(uint8_t)i, (uint8_t)(i >> 8)},
            .withdrawn = t->closed[i] == WITHDRAWN,
            .content = b->contents[b->batch.count]};
        entry->bytes = entry->withdrawn ? 0 : BYTES;
        memset(b->contents[b->batch.count++], t->value[i], BYTES);
        t->closed[i] = NOTHING;
    }
    return 0;
}

static int left(void *state, struct aux_left *left, struct err *e)
{
    const struct thing *t = state;

    (void)e;
    for (unsigned i = 0; i < KEYS; i++) {
        left->entries += t->noted[i] != NOTHING;
        left->bytes += t->noted[i] == SET ? BYTES : 0;
    }
    return 0;
}

static int stop(void *state, struct err *e)
{
    (void)e;
    ((struct thing *)state)->stops++;
    return 0;
}

static void end(void *state)
{
    ((struct thing *)state)->ends++;
}

#define OUT_OPS .look = look, .more = more, .left = left, .stop = stop, .end = end

static const struct aux_out_ops first_out = {.name = "first", .begin = first_begin, OUT_OPS};
static const struct aux_out_ops second_out = {.name = "second", .begin = second_begin, OUT_OPS};
const struct aux_out_ops *const aux_out_sources[] = {&first_out, &second_out, NULL};

/* ---- in ---- */

static int in_begin(
    struct xen *x, uint32_t domid, const struct aux_source *s, void **state, struct err *e)
{
    (void)x, (void)domid, (void)e;
    *state = strcmp(s->name, "first") ? &second : &first;
    return 0;
}

static unsigned key_of(const struct aux_entry *entry)
{
    return entry->key[0] | (unsigned)entry->key[1] << 8;
}

static int apply(void *state, const struct aux_batch *b, struct err *e)
{
    (void)e;
    for (unsigned i = 0; i < b->count; i++)
        if (!b->entries[i].withdrawn)
            ((struct thing *)state)->arrived[key_of(&b->entries[i])] = b->entries[i].content[0];
    return 0;
}

static int withdraw(void *state, const struct aux_batch *b, struct err *e)
{
    (void)e;
    for (unsigned i = 0; i < b->count; i++)
        if (b->entries[i].withdrawn)
            ((struct thing *)state)->arrived[key_of(&b->entries[i])] = 0;
    return 0;
}

static int complete(void *state, struct err *e)
{
    (void)e;
    ((struct thing *)state)->complete = true;
    return 0;
}

#define IN_OPS                                                                                     \
    .version = 1, .most_entries = KEYS, .most_bytes = BYTES * KEYS, .begin = in_begin,             \
    .apply = apply, .withdraw = withdraw, .complete = complete, .end = end

static const struct aux_in_ops first_in = {.name = "first", IN_OPS};
static const struct aux_in_ops second_in = {.name = "second", IN_OPS};
const struct aux_in_ops *const aux_in_sources[] = {&first_in, &second_in, NULL};

/* ---- */

static const struct log silent = {LOG_ERROR, log_to_stderr, (void *)"test"};
static struct aux_out *out;
static struct aux_in in;
static struct err e;

static int set_up(void **state)
{
    (void)state;
    fake_xen_begin(16);
    first = (struct thing){.is_there = true};
    second = (struct thing){.is_there = true};
    e = (struct err)ERR_INIT;
    aux_in_init(&in, FAKE_DEST, aux_in_sources, &silent);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    aux_out_close(out);
    out = NULL;
    aux_in_close(&in);
    assert_int_equal(fake_xen_open_handles(), 0);
    fake_xen_end();
    return 0;
}

static void announce(void)
{
    assert_int_equal(aux_out_open(FAKE_SOURCE, &silent, &out, &e), 0);
    for (unsigned i = 0; i < aux_out_count(out); i++)
        assert_int_equal(aux_in_announce(&in, aux_out_source(out, i), &e), 0);
}

/* How many entries there were. */
static unsigned send_round(uint32_t round, bool late)
{
    static struct aux_buffer b;
    unsigned entries = 0;
    int n;

    assert_int_equal(aux_out_look(out, late, &e), 0);
    while ((n = aux_out_next(out, &b, &e)) > 0) {
        entries += (unsigned)n;
        assert_int_equal(aux_in_take(&in, round, &b.batch, &e), 0);
    }
    assert_int_equal(n, 0);
    return entries;
}

static void assert_arrived(const struct thing *t)
{
    assert_memory_equal(t->arrived, t->value, sizeof(t->value));
    assert_true(t->complete);
}

static void what_changes_is_replaced_or_withdrawn_late(void **state)
{
    struct aux_left what;

    (void)state;
    announce();
    for (unsigned i = 0; i < KEYS; i++)
        change(&first, i, 1);
    change(&second, 7, 9);
    assert_int_equal(aux_out_left(out, &what, &e), 0);
    assert_int_equal(what.entries, KEYS + 1);
    assert_int_equal(what.bytes, (KEYS + 1) * BYTES);
    assert_int_equal(send_round(0, false), KEYS + 1);
    change(&first, 3, 2);
    assert_int_equal(send_round(1, false), 1);
    /* In part, after the suspend. */
    change(&first, 3, 3);
    change(&first, 200, 0);
    change(&second, 8, 8);
    assert_int_equal(aux_out_left(out, &what, &e), 0);
    assert_int_equal(what.entries, 3);
    assert_int_equal(what.bytes, 2 * BYTES);
    assert_int_equal(send_round(2, true), 3);
    for (unsigned i = 0; i < 2; i++) {
        const struct aux_totals sent = aux_out_totals(out, i);

        assert_int_equal(aux_in_done(&in, i, &sent, &e), 0);
    }
    assert_int_equal(aux_in_complete(&in, &e), 0);
    assert_arrived(&first);
    assert_arrived(&second);
    assert_int_equal(first.looks, 3);
    assert_int_equal(first.late_looks, 1);
    assert_int_equal(aux_out_stop(out, &e), 0);
    aux_out_close(out);
    out = NULL;
    assert_int_equal(first.stops + second.stops, 2);
    assert_int_equal(first.ends + second.ends, 2);
}

static void a_guest_without_any_has_none(void **state)
{
    (void)state;
    first.is_there = second.is_there = false;
    assert_int_equal(aux_out_open(FAKE_SOURCE, &silent, &out, &e), 0);
    assert_null(out);
    assert_int_equal(aux_out_count(out), 0);
    assert_int_equal(aux_out_stop(out, &e), 0);
}

static void numbers_are_without_gaps(void **state)
{
    (void)state;
    first.is_there = false;
    announce();
    assert_int_equal(aux_out_count(out), 1);
    assert_string_equal(aux_out_source(out, 0)->name, "second");
    assert_int_equal(aux_out_source(out, 0)->number, 0);
}

static void one_that_is_not_optional_is_named_where_it_cannot_go(void **state)
{
    (void)state;
    first.optional = true;
    announce();
    assert_false(aux_out_is_optional(out));
    assert_int_not_equal(aux_out_refuse(out, 7, &e), 0);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_non_null(strstr(e.text, "domain 7 has auxiliary data (second)"));
    aux_out_close(out);
    second.optional = true;
    assert_int_equal(aux_out_open(FAKE_SOURCE, &silent, &out, &e), 0);
    assert_true(aux_out_is_optional(out));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_changes_is_replaced_or_withdrawn_late),
        TEST(a_guest_without_any_has_none),
        TEST(numbers_are_without_gaps),
        TEST(one_that_is_not_optional_is_named_where_it_cannot_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
