/* SPDX-License-Identifier: MIT */
/* What people and programs are told: the view's words and the events' fields. */
#include "base/deadline.h"
#include "cmd/xmigrate/ui/events.h"
#include "cmd/xmigrate/ui/output.h"
#include "cmd/xmigrate/ui/view.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The last round is shown with its CLEAN. */
#define DOWNTIME                                                                                   \
    {                                                                                              \
        .suspend_ns = 1 * NS_PER_MS, .clean_ns = NS_PER_MS / 2,                                    \
        .last_round_ns = NS_PER_MS * 3 / 2, .state_ns = 3 * NS_PER_MS,                             \
        .receiver_ns = 4 * NS_PER_MS                                                               \
    }

static const struct summary example = {
    .name = "g",
    .host = "hostB:8002",
    .whole_ns = 5 * NS_PER_S,
    .total = {.rounds = 3,
        .data_pages = 70000,
        .zero_pages = 1000,
        .wire_bytes = 100 << 20,
        .total_ns = 4 * NS_PER_S,
        .predicted = {.whole_ns = 250 * NS_PER_MS,
            .low_ns = 200 * NS_PER_MS,
            .high_ns = 400 * NS_PER_MS,
            .suspend_ns = 50 * NS_PER_MS,
            .pages_ns = 80 * NS_PER_MS,
            .receiver_ns = 110 * NS_PER_MS,
            .network_ns = 10 * NS_PER_MS},
        .downtime = DOWNTIME},
    .downtime = {.engine = DOWNTIME,
        .libxl_ns = 200 * NS_PER_MS,
        .hand_off_ns = 5 * NS_PER_MS,
        .whole_ns = 215 * NS_PER_MS},
};

static void progress_says_what_is_left_and_how_fast(void **state)
{
    (void)state;
    struct progress_report r = {.round = 1,
        .round_pages = 65536,
        .round_done_pages = 5536,
        .send_pages_per_s = 25000.4,
        .dirty_pages_per_s = 0,
        .predicted_downtime_ns = 0};
    char text[VIEW_LINE_BYTES];

    format_progress(&r, 65536, text);
    assert_string_equal(text, "round 1: 60000 pages left, 25000/s sent");
    r.round_pages = 1 << 20; /* mostly holes */
    r.round_sent_pages = 5536;
    format_progress(&r, 65536, text);
    assert_string_equal(text, "round 1: 60000 pages left, 25000/s sent");
    r.round = 2;
    r.dirty_pages_per_s = 1200;
    r.predicted_downtime_ns = 120 * NS_PER_MS;
    r.round_done_pages = r.round_pages + 1; /* a count behind its sum is no reason for nonsense */
    format_progress(&r, 65536, text);
    assert_string_equal(
        text, "round 2: 0 pages left, 25000/s sent, 1200/s dirtied, downtime 120 ms");
}

static void progress_fits_eighty_columns(void **state)
{
    (void)state;
    const struct progress_report r = {.round = 30,
        .round_pages = 1u << 25,
        .round_done_pages = 1,
        .send_pages_per_s = 900000,
        .dirty_pages_per_s = 800000,
        .predicted_downtime_ns = 120 * NS_PER_MS};
    char text[VIEW_LINE_BYTES];

    format_progress(&r, 65536, text);
    assert_true(strlen(text) < 80);
}

static void a_round_says_what_it_sent_and_what_it_left(void **state)
{
    (void)state;
    struct round_report r = {.round = 1,
        .data_pages = 60000,
        .zero_pages = 5536,
        .wire_bytes = 125000000,
        .duration_ns = 2 * NS_PER_S,
        .dirty_pages = 2000,
        .dirty_pages_per_s = 1000,
        .predicted_downtime_ns = 90 * NS_PER_MS};
    char text[VIEW_LINE_BYTES];

    format_round(&r, text);
    assert_string_equal(text, "round 1: 65536 pages (5536 zero) in 2.00 s, 119 MiB at 500 Mbit/s; "
                              "2000 dirty (1000/s), downtime 90.0 ms");
    r.last = true;
    r.duration_ns = 0;
    format_round(&r, text);
    assert_string_equal(
        text, "round 1 (last): 65536 pages (5536 zero) in 0 ns, 119 MiB at 0 bit/s");
}

static void the_summary_has_every_part(void **state)
{
    (void)state;
    static const char *const lines[] = {"g runs on hostB:8002\n", "total time     5.00 s\n",
        "downtime       215 ms (predicted 250 ms, 200 ms to 400 ms)\n",
        "suspend      1.00 ms (50.0 ms)\n", "last round   2.00 ms (80.0 ms)\n",
        "state        3.00 ms\n", "receiver     4.00 ms\n", "libxl        200 ms (both ends)\n",
        "hand-off     5.00 ms (120 ms for these four)\n", "on the wire    100 MiB\n",
        "rounds         3, 70000 pages with data, 1000 zero"};
    char text[VIEW_SUMMARY_BYTES];

    format_summary(&example, text);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_non_null(strstr(text, lines[i]));
}

static void without_a_prediction_there_is_none_in_the_summary(void **state)
{
    struct summary offline = example;
    char text[VIEW_SUMMARY_BYTES];

    (void)state;
    offline.total.predicted = (struct prediction){0};
    format_summary(&offline, text);
    assert_non_null(strstr(text, "\n  downtime       215 ms\n    suspend      1.00 ms\n"));
    assert_non_null(strstr(text, "\n    hand-off     5.00 ms\n"));
    assert_null(strstr(text, "predicted"));
}

static void disks_have_a_line_only_if_they_took_time(void **state)
{
    struct summary slow = example;
    char text[VIEW_SUMMARY_BYTES];

    (void)state;
    format_summary(&example, text);
    assert_null(strstr(text, "disks"));
    slow.downtime.engine.disks_ns = 1500 * NS_PER_MS;
    format_summary(&slow, text);
    assert_non_null(strstr(text, "\n    disks        1.50 s\n    state "));
}

static void reports_are_read_from_events(void **state)
{
    (void)state;
    json_t *o = json_pack("{s:i, s:i, s:i, s:i, s:I, s:f, s:i, s:I}", "round", 2, "round_pages", 10,
        "round_done_pages", 4, "round_sent_pages", 3, "wire_bytes", (json_int_t)1 << 40,
        "send_pages_per_s", 2.5, "dirty_pages_per_s", 3, "predicted_downtime_ns", (json_int_t)7);
    struct progress_report r;
    struct round_report round;

    assert_true(event_read_progress(o, &r));
    assert_int_equal(r.round, 2);
    assert_int_equal(r.wire_bytes, 1ull << 40);
    assert_true(r.send_pages_per_s > 2.4 && r.dirty_pages_per_s > 2.9);
    assert_false(event_read_round(o, &round));
    json_object_set_new(o, "wire_bytes", json_integer(-1));
    assert_false(event_read_progress(o, &r));
    json_decref(o);
    assert_false(event_read_progress(NULL, &r));
}

static void done_carries_what_the_summary_shows(void **state)
{
    (void)state;
    json_t *o = event_done(&example);
    struct total_report t;

    assert_non_null(o);
    assert_string_equal(event_name(o), "done");
    assert_false(event_read_total(o, &t)); /* the helper's total has the prediction whole */
    assert_int_equal(json_integer_value(json_object_get(o, "data_pages")), 70000);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(o, "downtime"), "receiver_ns")),
        4 * NS_PER_MS);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(o, "predicted"), "finish_ns")),
        110 * NS_PER_MS);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(o, "downtime"), "libxl_ns")),
        200 * NS_PER_MS);
    assert_int_equal(json_integer_value(json_object_get(o, "downtime_ns")), 215 * NS_PER_MS);
    json_decref(o);
}

static void an_event_is_one_line_with_its_time(void **state)
{
    (void)state;
    int fds[2];
    char text[1024];
    struct err why = ERR_INIT;

    err_set(&why, ERR_PEER, EPIPE, "two lines");
    why.text[3] = '\n'; /* err_set() lets none through */
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);

    const struct event_stream out = {.fd = fds[1], .start_ns = now_ns() - NS_PER_S};
    json_t *o = event_failed(&why, 3, "here");

    event_write(&out, o);
    json_decref(o);

    const ssize_t n = read(fds[0], text, sizeof(text) - 1);

    assert_true(n > 0);
    text[n] = '\0';
    assert_ptr_equal(strchr(text, '\n'), text + n - 1);
    o = json_loads(text, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(o, "text")), "two\nlines");
    assert_int_equal(json_integer_value(json_object_get(o, "exit_code")), 3);
    assert_true(json_integer_value(json_object_get(o, "elapsed_ns")) >= NS_PER_S);
    json_decref(o);
    close(fds[0]);
    close(fds[1]);
}

static void a_reader_that_stopped_holds_nobody_up(void **state)
{
    (void)state;
    char page[4096] = {0};
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(fds[1], page, sizeof(page)) > 0)
        ;
    assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);

    const int64_t start_ns = now_ns();

    assert_false(output_write(fds[1], "x", 1, 0));
    assert_false(output_write(fds[1], "x", 1, 50 * NS_PER_MS));
    assert_true(now_ns() - start_ns < 5 * NS_PER_S);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(progress_says_what_is_left_and_how_fast),
        cmocka_unit_test(progress_fits_eighty_columns),
        cmocka_unit_test(a_round_says_what_it_sent_and_what_it_left),
        cmocka_unit_test(the_summary_has_every_part),
        cmocka_unit_test(without_a_prediction_there_is_none_in_the_summary),
        cmocka_unit_test(disks_have_a_line_only_if_they_took_time),
        cmocka_unit_test(reports_are_read_from_events),
        cmocka_unit_test(done_carries_what_the_summary_shows),
        cmocka_unit_test(an_event_is_one_line_with_its_time),
        cmocka_unit_test(a_reader_that_stopped_holds_nobody_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
