/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/metrics.h"

#include "cmd/version.h"
#include "cmd/xmigrate/admin_client.h"
#include "cmd/xmigrate/shared_file.h"
#include "crypto/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_FILE "metrics"

/* NULL: none is counted. */
static const char *outcome_name(unsigned code)
{
    static const char *const names[METRICS_OUTCOMES] = {[EXIT_DONE] = "done",
        [EXIT_REFUSED] = "refused",
        [EXIT_FAILED] = "failed",
        [EXIT_DOUBT] = "doubt"};

    return code < METRICS_OUTCOMES ? names[code] : NULL;
}

/* --- the counters' file --- */

static const struct field sum_fields[] = {
    FIELD_COUNT("count", struct metrics_sum, count),
    FIELD_COUNT("duration_ns", struct metrics_sum, duration_ns),
    FIELD_COUNT("wire_bytes", struct metrics_sum, wire_bytes),
    FIELD_COUNT("delta_pages", struct metrics_sum, delta_pages),
    FIELD_COUNT("delta_saved_bytes", struct metrics_sum, delta_saved_bytes),
    FIELD_COUNT("downtime_ns", struct metrics_sum, downtime_ns),
    FIELD_COUNT("predicted_downtime_ns", struct metrics_sum, predicted_ns),
    FIELDS_END,
};

static void name_sum(unsigned role, unsigned code, char name[static 32])
{
    snprintf(name, 32, "%s-%s", admin_direction_name((int)role), outcome_name(code));
}

/* What makes no sense counts from zero, as after a reboot. */
static void read_counters(const json_t *o, struct metrics *m)
{
    *m = (struct metrics){0};
    for (unsigned role = 0; role <= LINK_DESTINATION; role++)
        for (unsigned code = 0; code < METRICS_OUTCOMES; code++) {
            char name[32];

            if (!outcome_name(code))
                continue;
            name_sum(role, code, name);
            if (!fields_read(sum_fields, json_object_get(o, name), &m->of[role][code]))
                m->of[role][code] = (struct metrics_sum){0};
        }
}

int metrics_load(struct metrics *m, struct err *e)
{
    json_t *o = shared_file_read(METRICS_FILE, e);

    if (!o)
        return -e->code;
    read_counters(o, m);
    json_decref(o);
    return 0;
}

struct ended {
    enum link_role role;
    unsigned code;
    const struct metrics_sum *one;
};

static bool add(void *arg, json_t *o)
{
    const struct ended *ended = arg;
    struct metrics_sum *sum;
    struct metrics m;
    char name[32];

    read_counters(o, &m);
    sum = &m.of[ended->role][ended->code];
    sum->count++;
    sum->duration_ns += ended->one->duration_ns;
    sum->wire_bytes += ended->one->wire_bytes;
    sum->delta_pages += ended->one->delta_pages;
    sum->delta_saved_bytes += ended->one->delta_saved_bytes;
    sum->downtime_ns += ended->one->downtime_ns;
    sum->predicted_ns += ended->one->predicted_ns;
    name_sum(ended->role, ended->code, name);
    json_object_set_new(o, name, fields_pack(sum_fields, sum));
    return true;
}

void metrics_count(
    enum link_role role, int exit_code, const struct metrics_sum *one, const struct log *log)
{
    struct ended ended = {role, (unsigned)exit_code, one};
    struct err e = ERR_INIT;

    if (outcome_name(ended.code) && shared_file_change(METRICS_FILE, add, &ended, &e))
        log_debug(log, "it is not counted for --metrics: %s", e.text);
}

/* --- the text --- */

static void write_head(FILE *f, const char *name, const char *type, const char *help)
{
    fprintf(f, "# TYPE xmigrate_%s %s\n# HELP xmigrate_%s %s\n", name, type, name, help);
}

static double seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

static void write_counters(FILE *f, const struct metrics *m)
{
    write_head(f, "migrations", "counter", "Migrations that have ended.");
    for (unsigned role = 0; role <= LINK_DESTINATION; role++)
        for (unsigned code = 0; code < METRICS_OUTCOMES; code++)
            if (outcome_name(code))
                fprintf(f,
                    "xmigrate_migrations_total{direction=\"%s\",outcome=\"%s\"} %" PRIu64 "\n",
                    admin_direction_name((int)role), outcome_name(code), m->of[role][code].count);

    const struct metrics_sum *done = &m->of[LINK_SOURCE][EXIT_DONE];

    write_head(f, "duration_seconds", "counter", "What those took that moved a guest away.");
    fprintf(f, "xmigrate_duration_seconds_total %.9f\n", seconds(done->duration_ns));
    write_head(f, "wire_bytes", "counter", "Bytes that these sent, with TLS.");
    fprintf(f, "xmigrate_wire_bytes_total %" PRIu64 "\n", done->wire_bytes);
    write_head(f, "delta_pages", "counter", "Pages of these that were sent as differences.");
    fprintf(f, "xmigrate_delta_pages_total %" PRIu64 "\n", done->delta_pages);
    write_head(f, "delta_saved_bytes", "counter", "What that saved, to pages as they are.");
    fprintf(f, "xmigrate_delta_saved_bytes_total %" PRIu64 "\n", done->delta_saved_bytes);
    write_head(f, "downtime_seconds", "counter", "Pauses of the guests that were moved away.");
    fprintf(f, "xmigrate_downtime_seconds_total %.9f\n", seconds(done->downtime_ns));
    write_head(f, "predicted_downtime_seconds", "counter", "What these were predicted to be.");
    fprintf(f, "xmigrate_predicted_downtime_seconds_total %.9f\n", seconds(done->predicted_ns));
}

/* Quoted as OpenMetrics wants it. */
static void write_label(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', f);
        fputc(*text, f);
    }
}

static void write_gauge(FILE *f, const char *name, const struct admin_status *s, double value)
{
    fprintf(f, "xmigrate_%s{direction=\"%s\",domain=\"", name, admin_direction_name(s->role));
    write_label(f, s->domain);
    fputs("\",peer=\"", f);
    write_label(f, s->peer);
    fprintf(f, "\"} %.9g\n", value);
}

/* A destination does not know how much will come, and nobody at first what is predicted: no 0. */
static void write_under_way(FILE *f, const struct admin_status *list, unsigned count)
{
    unsigned of[LINK_DESTINATION + 1] = {0};

    for (unsigned i = 0; i < count; i++)
        of[list[i].role]++;
    write_head(f, "migrations_under_way", "gauge", "Migrations under way.");
    for (unsigned role = 0; role <= LINK_DESTINATION; role++)
        fprintf(f, "xmigrate_migrations_under_way{direction=\"%s\"} %u\n",
            admin_direction_name((int)role), of[role]);
    write_head(f, "migration_done_ratio", "gauge",
        "Share of the guest's memory that is at the destination as it is now.");
    for (unsigned i = 0; i < count; i++)
        if (list[i].round)
            write_gauge(f, "migration_done_ratio", &list[i], list[i].percent / 100.0);
    write_head(f, "migration_wire_bytes", "gauge", "Bytes that it has sent or received.");
    for (unsigned i = 0; i < count; i++)
        write_gauge(f, "migration_wire_bytes", &list[i], (double)list[i].wire_bytes);
    write_head(f, "migration_predicted_downtime_seconds", "gauge", "The pause as last predicted.");
    for (unsigned i = 0; i < count; i++)
        if (list[i].predicted_downtime_ns)
            write_gauge(f, "migration_predicted_downtime_seconds", &list[i],
                seconds(list[i].predicted_downtime_ns));
}

char *metrics_text(
    const struct metrics *m, const struct admin_status *under_way, unsigned under_way_count)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    if (!f)
        return NULL;
    write_head(f, "build", "info", "What it is.");
    fprintf(f, "xmigrate_build_info{version=\"%s\"} 1\n", xmigrate_version);
    write_counters(f, m);
    write_under_way(f, under_way, under_way_count);
    fputs("# EOF\n", f);
    return fclose(f) ? NULL : text;
}

/* --- --metrics --- */

static int write_text(const char *file, const char *text, struct err *e)
{
    if (strcmp(file, "-"))
        return config_write(file, text, strlen(text), 0644, true, e);
    if (fputs(text, stdout) == EOF || fflush(stdout))
        return err_sys(e, ERR_LOCAL, errno, "cannot write to standard output");
    return 0;
}

int metrics_main(const char *file, const struct log *log)
{
    struct admin_list list;
    struct metrics m;
    struct err e = ERR_INIT;
    int rc = admin_collect(&list, log, &e);
    char *text = NULL;

    if (!rc)
        rc = metrics_load(&m, &e);
    if (!rc)
        text = metrics_text(&m, list.of, list.count);
    if (!rc)
        rc = text ? write_text(file, text, &e) : err_sys(&e, ERR_LOCAL, ENOMEM, "no memory");
    free(text);
    admin_list_free(&list);
    if (!rc)
        return EXIT_DONE;
    log_error(log, "%s", e.text);
    return EXIT_REFUSED;
}
