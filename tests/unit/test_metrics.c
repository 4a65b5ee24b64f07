/* SPDX-License-Identifier: MIT */
/* Figures as OpenMetrics text: names, labels, units. */
#include "cmd/xmigrate/metrics.h"

#include "base/deadline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_line(const char *text, const char *line)
{
    const char *at = strstr(text, line);

    if (!at || (at != text && at[-1] != '\n') || at[strlen(line)] != '\n')
        fail_msg("no line \"%s\" in:\n%s", line, text);
}

static void counters_are_told_by_direction_and_outcome(void **state)
{
    const struct metrics m = {.of = {[LINK_SOURCE] = {[EXIT_DONE] = {.count = 3,
                                                          .duration_ns = 4500 * NS_PER_MS,
                                                          .wire_bytes = 1 << 20,
                                                          .downtime_ns = 250 * NS_PER_MS,
                                                          .predicted_ns = 300 * NS_PER_MS,
                                                          .delta_pages = 7,
                                                          .delta_saved_bytes = 28000},
                                         [EXIT_DOUBT] = {.count = 1}},
                                  [LINK_DESTINATION] = {[EXIT_FAILED] = {.count = 2}}}};
    char *text = metrics_text(&m, NULL, 0);

    (void)state;
    assert_non_null(text);
    assert_line(text, "# TYPE xmigrate_migrations counter");
    assert_line(text, "xmigrate_migrations_total{direction=\"out\",outcome=\"done\"} 3");
    assert_line(text, "xmigrate_migrations_total{direction=\"out\",outcome=\"doubt\"} 1");
    assert_line(text, "xmigrate_migrations_total{direction=\"out\",outcome=\"refused\"} 0");
    assert_line(text, "xmigrate_migrations_total{direction=\"in\",outcome=\"failed\"} 2");
    assert_line(text, "xmigrate_duration_seconds_total 4.500000000");
    assert_line(text, "xmigrate_wire_bytes_total 1048576");
    assert_line(text, "xmigrate_delta_pages_total 7");
    assert_line(text, "xmigrate_delta_saved_bytes_total 28000");
    assert_line(text, "xmigrate_downtime_seconds_total 0.250000000");
    assert_line(text, "xmigrate_predicted_downtime_seconds_total 0.300000000");
    assert_line(text, "xmigrate_migrations_under_way{direction=\"out\"} 0");
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    free(text);
}

static void those_under_way_are_gauges_with_their_names_quoted(void **state)
{
    const struct metrics none = {0};
    const struct admin_status list[] = {
        {.role = LINK_SOURCE,
            .domain = "we\"ird\\",
            .peer = "hostB",
            .round = 1,
            .percent = 25,
            .wire_bytes = 5000,
            .predicted_downtime_ns = 90 * NS_PER_MS},
        {.role = LINK_DESTINATION, .domain = "g", .peer = "hostC"},
    };
    char *text = metrics_text(&none, list, 2);

    (void)state;
    assert_non_null(text);
    assert_line(text, "xmigrate_migrations_under_way{direction=\"in\"} 1");
    assert_line(text, "xmigrate_migration_done_ratio{direction=\"out\",domain=\"we\\\"ird\\\\\","
                      "peer=\"hostB\"} 0.25");
    assert_line(
        text, "xmigrate_migration_wire_bytes{direction=\"in\",domain=\"g\",peer=\"hostC\"} 0");
    assert_line(text, "xmigrate_migration_predicted_downtime_seconds{direction=\"out\",domain="
                      "\"we\\\"ird\\\\\",peer=\"hostB\"} 0.09");
    /* What is not known is not said. */
    assert_null(strstr(text, "ratio{direction=\"in\""));
    assert_null(strstr(text, "predicted_downtime_seconds{direction=\"in\""));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_are_told_by_direction_and_outcome),
        cmocka_unit_test(those_under_way_are_gauges_with_their_names_quoted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
