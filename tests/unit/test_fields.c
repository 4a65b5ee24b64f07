/* SPDX-License-Identifier: MIT */
/* One table writes an object and reads it back; what is absent, of another type or beyond its
 * limits is refused. The tables of reports say the same in both directions. */
#include "cmd/event_fields.h"
#include "cmd/helper/events.h"
#include "cmd/xmigrate/ui/events.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum colour { RED, GREEN, GREY };

struct inner {
    int64_t span_ns;
};

struct sample {
    bool on;
    uint16_t port;
    uint32_t lanes;
    uint64_t pages;
    int64_t time_ns;
    double rate;
    char text[8];
    char line[8];
    uint8_t key[4];
    enum colour colour;
    struct inner inner;
};

static const char *colour_name(int c)
{
    return c == RED ? "red" : c == GREEN ? "green" : "grey";
}

static const struct field_words strict = {colour_name, 0, GREY + 1, -1};
static const struct field_words lenient = {colour_name, 0, GREY, GREY};

static const struct field inner_fields[] = {
    FIELD_COUNT("span_ns", struct inner, span_ns),
    FIELDS_END,
};

static const struct field sample_fields[] = {
    FIELD("on", FIELD_BOOL, struct sample, on),
    FIELD_BETWEEN("port", struct sample, port, 1, UINT16_MAX),
    FIELD_COUNT32("lanes", struct sample, lanes),
    FIELD_COUNT("pages", struct sample, pages),
    FIELD_COUNT("time_ns", struct sample, time_ns),
    FIELD("rate", FIELD_REAL, struct sample, rate),
    FIELD("text", FIELD_TEXT, struct sample, text),
    FIELD("line", FIELD_LINE, struct sample, line),
    FIELD("key", FIELD_BYTES, struct sample, key),
    FIELD("colour", FIELD_WORD, struct sample, colour, .words = &strict),
    FIELD("inner", FIELD_PARTS, struct sample, inner, .parts = inner_fields),
    FIELDS_END,
};

static const struct sample sample = {
    .on = true,
    .port = 65535,
    .lanes = UINT32_MAX,
    .pages = 1ull << 40,
    .time_ns = INT64_MAX,
    .rate = 0.5,
    .text = "a\tb",
    .line = "sieben7",
    .key = {0, 1, 0xab, 0xff},
    .colour = GREEN,
    .inner = {42},
};

#define WRITTEN                                                                                    \
    "{\"on\":true,\"port\":65535,\"lanes\":4294967295,\"pages\":1099511627776,"                    \
    "\"time_ns\":9223372036854775807,\"rate\":0.5,\"text\":\"a\\tb\",\"line\":\"sieben7\","        \
    "\"key\":\"0001abff\",\"colour\":\"green\",\"inner\":{\"span_ns\":42}}"

static void an_object_is_written_in_the_tables_order(void **state)
{
    json_t *o = fields_pack(sample_fields, &sample);
    char *text = json_dumps(o, JSON_COMPACT);

    (void)state;
    assert_string_equal(text, WRITTEN);
    free(text);
    json_decref(o);
}

static void what_is_written_is_read(void **state)
{
    json_t *o = json_loads(WRITTEN, 0, NULL);
    struct sample got;

    (void)state;
    memset(&got, 0, sizeof(got));
    json_object_set_new(o, "more", json_true()); /* a later version's */
    assert_true(fields_read(sample_fields, o, &got));
    assert_true(got.on && got.port == sample.port && got.lanes == sample.lanes);
    assert_true(got.pages == sample.pages && got.time_ns == sample.time_ns);
    assert_true(got.rate == sample.rate && got.colour == GREEN && got.inner.span_ns == 42);
    assert_string_equal(got.text, sample.text);
    assert_string_equal(got.line, sample.line);
    assert_memory_equal(got.key, sample.key, sizeof(got.key));
    json_decref(o);
}

static void assert_refused(const char *name, json_t *value)
{
    json_t *o = json_loads(WRITTEN, 0, NULL);
    struct sample got;

    if (value)
        json_object_set_new(o, name, value);
    else
        json_object_del(o, name);
    if (fields_read(sample_fields, o, &got))
        fail_msg("%s was read", name);
    json_decref(o);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    for (const struct field *f = sample_fields; f->kind != FIELD_NONE; f++) {
        assert_refused(f->name, NULL);
        assert_refused(f->name, json_null());
        assert_refused(f->name, json_array());
    }
    assert_refused("on", json_integer(1));
    assert_refused("port", json_integer(0));
    assert_refused("port", json_integer(65536));
    assert_refused("port", json_real(7));
    assert_refused("lanes", json_integer(-1));
    assert_refused("lanes", json_integer(1ll << 32));
    assert_refused("pages", json_integer(-1));
    assert_refused("time_ns", json_string("1"));
    assert_refused("rate", json_real(-0.5));
    assert_refused("text", json_string("too long"));
    assert_refused("line", json_string("a\tb"));
    assert_refused("line", json_string("\x7f"));
    assert_refused("key", json_string("0001abf"));
    assert_refused("key", json_string("0001abff00"));
    assert_refused("key", json_string("0001ABFF"));
    assert_refused("colour", json_string("blue"));
    assert_refused("inner", json_object());
}

static void words_may_be_read_leniently(void **state)
{
    static const struct field fields[] = {
        FIELD("colour", FIELD_WORD, struct sample, colour, .words = &lenient),
        FIELDS_END,
    };
    json_t *o = json_pack("{s:s}", "colour", "blue");
    struct sample got = {.colour = RED};

    (void)state;
    assert_true(fields_read(fields, o, &got));
    assert_int_equal(got.colour, GREY);
    json_object_set_new(o, "colour", json_integer(1));
    assert_false(fields_read(fields, o, &got));
    json_decref(o);
}

static void a_text_that_is_not_utf8_is_not_written(void **state)
{
    struct sample bad = sample;

    (void)state;
    strcpy(bad.text, "caf\xe9");
    assert_null(fields_pack(sample_fields, &bad));
}

/* Two parts of a prediction travel as sums. */
static void totals_are_read_as_the_helper_told_them(void **state)
{
    static const struct total_report told = {
        .rounds = 3,
        .data_pages = 10,
        .zero_pages = 11,
        .wire_bytes = 12,
        .total_ns = 13,
        .encryption = "TLS 1.3, AES-128-GCM, by the kernel",
        .predicted = {.suspend_ns = 1,
            .clean_ns = 2,
            .pages_ns = 3,
            .state_ns = 4,
            .receiver_ns = 5,
            .whole_ns = 15,
            .low_ns = 14,
            .high_ns = 16},
        .downtime = {21, 22, 23, 24, 25},
        .lane_count = 2,
        .lanes = {{.batches = 7}, {.paced_ns = 8}},
    };
    json_t *o = describe_total(&told);
    struct total_report got = {0};

    (void)state;
    assert_true(event_read_total(o, &got));
    assert_int_equal(got.rounds, 3);
    assert_int_equal(got.wire_bytes, 12);
    assert_int_equal(got.total_ns, 13);
    assert_string_equal(got.encryption, told.encryption);
    assert_memory_equal(&got.downtime, &told.downtime, sizeof(got.downtime));
    assert_int_equal(got.predicted.suspend_ns, 1);
    assert_int_equal(got.predicted.pages_ns, prediction_last_round_ns(&told.predicted));
    assert_int_equal(got.predicted.receiver_ns, 9);
    assert_int_equal(got.predicted.whole_ns, 15);
    assert_int_equal(json_array_size(json_object_get(o, "lanes")), 2);
    json_object_del(json_object_get(o, "downtime"), "state_ns");
    assert_false(event_read_total(o, &got));
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_written_in_the_tables_order),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(words_may_be_read_leniently),
        cmocka_unit_test(a_text_that_is_not_utf8_is_not_written),
        cmocka_unit_test(totals_are_read_as_the_helper_told_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
