/* SPDX-License-Identifier: MIT */
/* How lines for people are laid out, and what is known of the terminal that they are laid out for.
 */
#include "base/deadline.h"
#include "cmd/xmigrate/ui/layout.h"
#include "cmd/xmigrate/ui/terminal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <pty.h>
#include <unistd.h>

#include <cmocka.h>

enum { GUEST_PAGES = 262144 };

/* 430 of 1024 MiB, at 1.27 Gbit/s. */
static const struct meter example_meter = {
    .guest_pages = GUEST_PAGES,
    .there_pages = 110080,
    .wire_bits_per_s = 1.27e9,
    .eta_ns = 2500 * NS_PER_MS,
};
static const struct progress_report first_round = {.round = 1};
static const struct progress_report second_round = {
    .round = 2,
    .dirty_pages_per_s = 19336,
    .predicted_downtime_ns = 505 * NS_PER_MS,
};
static const struct progress_report watching = {
    .round = 3,
    .dirty_pages_per_s = 19336,
    .predicted_downtime_ns = 505 * NS_PER_MS,
    .watch_left_ns = 6200 * NS_PER_MS,
};

/* Without escape sequences. */
static const char *strip(const char *text)
{
    static char plain[LAYOUT_PROGRESS_BYTES];
    size_t at = 0;

    while (*text) {
        if (*text == '\033')
            text += strcspn(text, "m") + 1;
        else
            plain[at++] = *text++;
    }
    plain[at] = '\0';
    return plain;
}

static unsigned width(const char *text)
{
    unsigned columns = 0;

    for (; *text; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    return columns;
}

static const char *bar(const struct progress_report *r, unsigned columns, bool blocks)
{
    static char text[LAYOUT_PROGRESS_BYTES];
    const struct layout l = {.columns = columns, .blocks = blocks};

    layout_bar(r, &example_meter, &l, text);
    return strip(text);
}

static void eighty_columns_have_a_bar_and_what_matters(void **state)
{
    (void)state;
    assert_string_equal(bar(&first_round, 79, false),
        "round 1  [########             ]   41 %   430/1024 MiB  1.27 Gbit/s   0:03 left");
    assert_string_equal(bar(&second_round, 79, true),
        "round 2  [████████▊            ]   41 %   430/1024 MiB  1.27 Gbit/s   0:03 left");
}

static void more_columns_have_more_figures(void **state)
{
    (void)state;
    assert_string_equal(bar(&second_round, 119, false),
        "round 2  [#########              ]   41 %   430/1024 MiB  1.27 Gbit/s   0:03 left   "
        "downtime 505 ms  75.5 MiB/s dirtied");
}

static void auxiliary_data_has_a_figure_if_there_is_any(void **state)
{
    const struct progress_report r = {.round = 1, .round_aux_bytes = 700 << 20};

    (void)state;
    assert_string_equal(bar(&r, 99, false), "round 1  [########             ]   41 %   "
                                            "430/1024 MiB   700 MiB auxiliary  1.27 Gbit/s   "
                                            "0:03 left");
}

static void a_guest_that_is_watched_is_not_sent_at_nothing_a_second(void **state)
{
    (void)state;
    assert_string_equal(bar(&watching, 79, false),
        "round 3  [######          ]   41 %   430/1024 MiB  watching the guest, 7 s left");
}

/* Each figure, however large, at each width: nothing wraps, and a bar has room or is not there. */
static void no_line_is_wider_than_the_terminal(void **state)
{
    const struct progress_report large = {.round = 99999,
        .round_aux_bytes = UINT64_MAX,
        .dirty_pages_per_s = 1e12,
        .predicted_downtime_ns = INT64_MAX};
    const struct progress_report *const reports[] = {
        &first_round, &second_round, &watching, &large};
    struct meter m = example_meter;
    char text[LAYOUT_PROGRESS_BYTES];

    (void)state;
    for (unsigned columns = 22; columns < 300; columns++)
        for (unsigned i = 0; i < 8; i++) {
            const struct layout l = {columns, i % 2, i % 3 == 0};

            m.there_pages = i * GUEST_PAGES / 7;
            m.guest_pages = i == 5 ? UINT64_MAX >> 13 : GUEST_PAGES;
            layout_bar(reports[i / 2], &m, &l, text);
            if (width(strip(text)) > columns)
                fail_msg("%u of %u columns: %s", width(strip(text)), columns, text);
        }
}

static void a_line_keeps_its_figures_in_their_places(void **state)
{
    struct meter m = example_meter;
    char before[LAYOUT_PROGRESS_BYTES], after[LAYOUT_PROGRESS_BYTES];
    const struct layout l = {.columns = 119};

    (void)state;
    layout_bar(&second_round, &m, &l, before);
    m.there_pages = 256;
    m.wire_bits_per_s = 4e6;
    m.eta_ns = 1000 * NS_PER_S;
    layout_bar(&second_round, &m, &l, after);
    assert_int_equal(strlen(strip(before)), strlen(strip(after)));
    assert_int_equal(strcspn(strip(before), "]"), strcspn(strip(after), "]"));
}

static void a_bar_is_full_at_the_end_and_not_before(void **state)
{
    struct meter m = example_meter;
    char text[LAYOUT_PROGRESS_BYTES];
    const struct layout l = {.columns = 79};

    (void)state;
    m.there_pages = GUEST_PAGES - 1;
    layout_bar(&first_round, &m, &l, text);
    assert_non_null(strstr(strip(text), "# ]   99 %"));
    m.there_pages = GUEST_PAGES;
    layout_bar(&first_round, &m, &l, text);
    assert_non_null(strstr(strip(text), "#]  100 %"));
    m.there_pages = 0;
    layout_bar(&first_round, &m, &l, text);
    assert_non_null(strstr(strip(text), "[  "));
}

static void plain_words_say_the_same(void **state)
{
    char text[LAYOUT_PROGRESS_BYTES];
    const struct layout wire = {0}, file = {.to_file = true};

    (void)state;
    layout_plain(&second_round, &example_meter, &wire, text);
    assert_string_equal(text,
        "round 2: 41 %, 430/1024 MiB, 1.27 Gbit/s, 0:03 left, downtime 505 ms, "
        "75.5 MiB/s dirtied");
    layout_plain(&first_round, &example_meter, &file, text);
    assert_string_equal(text, "round 1: 41 %, 430/1024 MiB, 151 MiB/s, 0:03 left");
    layout_plain(&watching, &example_meter, &wire, text);
    assert_string_equal(text, "round 3: 41 %, 430/1024 MiB, watching the guest, 7 s left, downtime "
                              "505 ms, 75.5 MiB/s dirtied");
}

static const char *fold(const char *text, unsigned columns)
{
    static char out[1024];

    const size_t len = layout_fold(text, columns, out, sizeof(out));

    assert_int_equal(len, strlen(out));
    return out;
}

static void lines_are_folded_at_words(void **state)
{
    (void)state;
    assert_string_equal(fold("short enough", 12), "short enough");
    assert_string_equal(fold("not short enough", 12), "not short\n    enough");
    assert_string_equal(
        fold("  an indented one goes on", 14), "  an indented\n      one goes\n      on");
    assert_string_equal(fold("a  table   keeps its gaps", 25), "a  table   keeps its gaps");
    assert_string_equal(fold("one\ntwo two two\n", 7), "one\ntwo two\n    two\n");
    assert_string_equal(fold("", 10), "");
    assert_string_equal(fold("ends in spaces   ", 14), "ends in spaces");
    assert_string_equal(fold("it takes 1.95 s, in all", 14), "it takes\n    1.95 s, in\n    all");
    assert_string_equal(fold("they are 41 %", 12), "they are\n    41 %");
    /* Ten characters in more bytes. */
    assert_string_equal(fold("größer auß er", 10), "größer auß\n    er");
}

static void a_word_that_is_too_long_stays_whole(void **state)
{
    (void)state;
    assert_string_equal(
        fold("say SHA256:0123456789 to it", 12), "say\n    SHA256:0123456789\n    to it");
}

static void what_does_not_fit_is_cut_off(void **state)
{
    char out[8];

    (void)state;
    assert_int_equal(layout_fold("0123456789 0123456789", 5, out, sizeof(out)), 7);
    assert_string_equal(out, "0123456");
    assert_int_equal(layout_fold("01a34 b89", 6, out, sizeof(out)), 7);
    assert_string_equal(out, "01a34\n ");
}

static void a_rate_is_of_the_last_second(void **state)
{
    struct meter m = {0};
    struct progress_report r = {.round = 1, .round_pages = 1000};

    (void)state;
    meter_note_progress(&m, &r, 100 * NS_PER_MS);
    assert_true(m.wire_bits_per_s == 0);
    r.wire_bytes = 1000000;
    r.round_done_pages = 250;
    r.send_pages_per_s = 500;
    meter_note_progress(&m, &r, 500 * NS_PER_MS); /* the first comes early */
    assert_true(m.wire_bits_per_s == 2e7);
    assert_int_equal(meter_percent(&m), 25);
    assert_int_equal(m.eta_ns, 1500 * NS_PER_MS);
    r.wire_bytes = 5000000;
    meter_note_progress(&m, &r, 900 * NS_PER_MS);
    assert_true(m.wire_bits_per_s == 2e7);
    meter_note_progress(&m, &r, 1500 * NS_PER_MS);
    assert_true(m.wire_bits_per_s == 3.2e7);
    meter_note_progress(&m, &r, 2500 * NS_PER_MS);
    assert_true(m.wire_bits_per_s == 0);
}

static void what_is_left_counts_against_the_whole_guest(void **state)
{
    struct meter m = {0};
    struct progress_report r = {.round = 1, .round_pages = 1000, .round_done_pages = 1000};

    (void)state;
    meter_note_progress(&m, &r, NS_PER_S);
    assert_int_equal(meter_percent(&m), 100);
    r = (struct progress_report){.round = 2, .round_pages = 100, .round_done_pages = 50};
    meter_note_progress(&m, &r, 2 * NS_PER_S);
    assert_int_equal(meter_percent(&m), 95);
    /* Nothing is done while it is watched, and what is left grows. */
    r = (struct progress_report){.round = 2, .round_pages = 300, .watch_left_ns = 1};
    meter_note_progress(&m, &r, 3 * NS_PER_S);
    assert_int_equal(meter_percent(&m), 70);
    assert_int_equal(m.eta_ns, 0);
}

static struct terminal judge(const char *term, const char *no_color, const char *locale)
{
    return terminal_judge(true, &(struct terminal_words){term, no_color, locale, NULL});
}

static void only_a_willing_terminal_is_written_over(void **state)
{
    const struct terminal_words good = {"xterm", NULL, "en_US.UTF-8", NULL};

    (void)state;
    assert_true(judge("xterm", NULL, "C.UTF-8").rewrites);
    assert_true(judge("xterm", NULL, "de_DE.utf8").blocks);
    assert_false(judge("xterm", NULL, "C").blocks);
    assert_false(judge("xterm", NULL, NULL).blocks);
    assert_false(judge("linux", NULL, "C.UTF-8").blocks);
    assert_true(judge("linux", NULL, "C.UTF-8").rewrites);
    assert_false(judge("dumb", NULL, "C.UTF-8").rewrites);
    assert_false(judge(NULL, NULL, "C.UTF-8").rewrites);
    assert_false(judge("xterm", "1", "C.UTF-8").rewrites);
    assert_true(judge("dumb", "1", NULL).folds);
    assert_false(terminal_judge(false, &good).rewrites);
    assert_false(terminal_judge(false, &good).folds);
}

static void the_width_is_the_terminals_own(void **state)
{
    struct winsize size = {.ws_row = 24, .ws_col = 120};
    int ours, theirs;

    (void)state;
    assert_int_equal(openpty(&ours, &theirs, NULL, NULL, &size), 0);
    assert_int_equal(terminal_columns(theirs, "90"), 120);
    size.ws_col = 80;
    assert_int_equal(ioctl(ours, TIOCSWINSZ, &size), 0);
    assert_int_equal(terminal_columns(theirs, "90"), 80);
    size.ws_col = 0; /* a serial line */
    assert_int_equal(ioctl(ours, TIOCSWINSZ, &size), 0);
    assert_int_equal(terminal_columns(theirs, "90"), 90);
    assert_int_equal(terminal_columns(theirs, "many"), 80);
    assert_int_equal(terminal_columns(theirs, "1"), 80);
    assert_int_equal(terminal_columns(theirs, NULL), 80);
    close(ours);
    close(theirs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eighty_columns_have_a_bar_and_what_matters),
        cmocka_unit_test(more_columns_have_more_figures),
        cmocka_unit_test(auxiliary_data_has_a_figure_if_there_is_any),
        cmocka_unit_test(a_guest_that_is_watched_is_not_sent_at_nothing_a_second),
        cmocka_unit_test(no_line_is_wider_than_the_terminal),
        cmocka_unit_test(a_line_keeps_its_figures_in_their_places),
        cmocka_unit_test(a_bar_is_full_at_the_end_and_not_before),
        cmocka_unit_test(plain_words_say_the_same),
        cmocka_unit_test(lines_are_folded_at_words),
        cmocka_unit_test(a_word_that_is_too_long_stays_whole),
        cmocka_unit_test(what_does_not_fit_is_cut_off),
        cmocka_unit_test(a_rate_is_of_the_last_second),
        cmocka_unit_test(what_is_left_counts_against_the_whole_guest),
        cmocka_unit_test(only_a_willing_terminal_is_written_over),
        cmocka_unit_test(the_width_is_the_terminals_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
