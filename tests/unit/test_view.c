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
        .journal_ns = 2 * NS_PER_MS,
        .whole_ns = 215 * NS_PER_MS},
};

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

    format_round(&r, false, text);
    assert_string_equal(text, "round 1: 65536 pages (5536 zero) in 2.00 s, 125 MB at 500 Mbit/s; "
                              "2000 dirty (1000/s), downtime 90.0 ms");
    r.last = true;
    format_round(&r, true, text);
    assert_string_equal(
        text, "round 1 (last): 65536 pages (5536 zero) in 2.00 s, 119 MiB at 59.6 MiB/s");
    r.duration_ns = 0;
    format_round(&r, false, text);
    assert_string_equal(text, "round 1 (last): 65536 pages (5536 zero) in 0 ns, 125 MB at 0 bit/s");
    r = (struct round_report){
        .round = 2, .aux_entries = 3, .aux_bytes = 12288, .predicted_downtime_ns = NS_PER_S};
    format_round(&r, false, text);
    assert_string_equal(text, "round 2: 0 pages (0 zero) in 0 ns, 0 B at 0 bit/s, 12.0 KiB "
                              "auxiliary; 0 dirty (0/s), downtime 1.00 s");
    r.aux_left_bytes = 5 << 20;
    format_round(&r, false, text);
    assert_string_equal(text, "round 2: 0 pages (0 zero) in 0 ns, 0 B at 0 bit/s, 12.0 KiB "
                              "auxiliary; 0 dirty (0/s), 5.00 MiB auxiliary, downtime 1.00 s");
}

static void the_summary_has_every_part(void **state)
{
    (void)state;
    static const char *const lines[] = {"g runs on hostB:8002\n", "total time     5.00 s\n",
        "downtime       215 ms (predicted 250 ms, 200 ms to 400 ms)\n",
        "suspend      1.00 ms (50.0 ms)\n", "last round   2.00 ms (80.0 ms)\n",
        "state        3.00 ms\n", "receiver     4.00 ms\n", "libxl        200 ms (both ends)\n",
        "hand-off     5.00 ms (120 ms for these four)\n",
        "  journal    2.00 ms of it (both ends)\n", "on the wire    105 MB\n",
        "encryption     none\n", "rounds         3, 70000 pages with data, 1000 zero"};
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

static void differences_have_a_line_only_if_there_were_any(void **state)
{
    struct summary s = example;
    char text[VIEW_SUMMARY_BYTES];

    (void)state;
    format_summary(&example, text);
    assert_null(strstr(text, "differences"));
    s.total.delta_pages = 500;
    s.total.delta_saved_bytes = 2 << 20;
    format_summary(&s, text);
    assert_non_null(
        strstr(text, "\n  differences    500 of the pages with data, 2.00 MiB less to send"));
}

static void auxiliary_data_has_a_line_only_if_there_was_any(void **state)
{
    struct summary s = example;
    char text[VIEW_SUMMARY_BYTES];

    (void)state;
    format_summary(&example, text);
    assert_null(strstr(text, "auxiliary"));
    s.total.aux_entries = 7;
    s.total.aux_bytes = 28672;
    format_summary(&s, text);
    assert_non_null(strstr(text, "\n  auxiliary      28.0 KiB in 7 entries"));
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
    json_t *o = json_pack("{s:i, s:i, s:i, s:i, s:i, s:I, s:f, s:i, s:I, s:I}", "round", 2,
        "round_pages", 10, "round_done_pages", 4, "round_sent_pages", 3, "round_aux_bytes", 5,
        "wire_bytes", (json_int_t)1 << 40, "send_pages_per_s", 2.5, "dirty_pages_per_s", 3,
        "predicted_downtime_ns", (json_int_t)7, "watch_left_ns", (json_int_t)8);
    struct progress_report r;
    struct round_report round;

    assert_true(event_read_progress(o, &r));
    assert_int_equal(r.round, 2);
    assert_int_equal(r.wire_bytes, 1ull << 40);
    assert_int_equal(r.watch_left_ns, 8);
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

    /* Nor do events that come again and again, which would wait a second each. */
    const struct event_stream out = {.fd = fds[1]};
    const char *const names[] = {"progress", "received", "written"};

    for (unsigned i = 0; i < 60; i++) {
        json_t *o = json_pack("{s:s}", "event", names[i % 3]);

        event_write(&out, o);
        json_decref(o);
    }
    assert_true(now_ns() - start_ns < 15 * NS_PER_S);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_says_what_it_sent_and_what_it_left),
        cmocka_unit_test(the_summary_has_every_part),
        cmocka_unit_test(without_a_prediction_there_is_none_in_the_summary),
        cmocka_unit_test(differences_have_a_line_only_if_there_were_any),
        cmocka_unit_test(auxiliary_data_has_a_line_only_if_there_was_any),
        cmocka_unit_test(disks_have_a_line_only_if_they_took_time),
        cmocka_unit_test(reports_are_read_from_events),
        cmocka_unit_test(done_carries_what_the_summary_shows),
        cmocka_unit_test(an_event_is_one_line_with_its_time),
        cmocka_unit_test(a_reader_that_stopped_holds_nobody_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
