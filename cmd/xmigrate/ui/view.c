/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/view.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/xmigrate/ui/layout.h"
#include "cmd/xmigrate/ui/output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CLEAR_LINE "\r\033[K"

/* How often a plain line says how far it is. */
#define PLAIN_NS (10 * NS_PER_S)

void format_round(const struct round_report *r, bool to_file, char out[static VIEW_LINE_BYTES])
{
    char sent[UNITS_TEXT_BYTES], took[UNITS_TEXT_BYTES], rate[UNITS_TEXT_BYTES],
        downtime[UNITS_TEXT_BYTES];
    const double seconds = (double)r->duration_ns / (double)NS_PER_S;
    const double bytes_per_s = seconds > 0 ? (double)r->wire_bytes / seconds : 0;

    if (to_file) {
        format_bytes(r->wire_bytes, sent);
        format_memory_rate(bytes_per_s, rate);
    } else {
        format_wire_bytes(r->wire_bytes, sent);
        format_rate(bytes_per_s * 8, rate);
    }

    int len = snprintf(out, VIEW_LINE_BYTES,
        "round %u%s: %" PRIu64 " pages (%" PRIu64 " zero) in %s, %s at %s", r->round,
        r->last ? " (last)" : "", r->data_pages + r->zero_pages, r->zero_pages,
        format_duration(r->duration_ns, took), sent, rate);

    if (r->aux_entries)
        len += snprintf(out + len, (size_t)(VIEW_LINE_BYTES - len), ", %s auxiliary",
            format_bytes(r->aux_bytes, rate));
    if (r->last || !r->predicted_downtime_ns)
        return;
    len += snprintf(out + len, (size_t)(VIEW_LINE_BYTES - len), "; %" PRIu64 " dirty (%.0f/s)",
        r->dirty_pages, r->dirty_pages_per_s);
    if (r->aux_left_bytes)
        len += snprintf(out + len, (size_t)(VIEW_LINE_BYTES - len), ", %s auxiliary",
            format_bytes(r->aux_left_bytes, rate));
    snprintf(out + len, (size_t)(VIEW_LINE_BYTES - len), ", downtime %s",
        format_duration(r->predicted_downtime_ns, downtime));
}

/* A row of the summary, or nothing if it took no time. */
static const char *format_disks(int64_t disks_ns, char row[static UNITS_TEXT_BYTES + 32])
{
    char b[UNITS_TEXT_BYTES];

    row[0] = '\0';
    if (disks_ns >= NS_PER_MS)
        snprintf(row, UNITS_TEXT_BYTES + 32, "    disks        %s\n", format_duration(disks_ns, b));
    return row;
}

enum { PREDICTED_BYTES = UNITS_TEXT_BYTES + 32 };

/* What was said before of a part of the downtime, or nothing: offline nothing is predicted. */
static const char *format_predicted(
    const struct prediction *p, int64_t part_ns, const char *of, char out[static PREDICTED_BYTES])
{
    char b[UNITS_TEXT_BYTES];

    out[0] = '\0';
    if (p->whole_ns)
        snprintf(out, PREDICTED_BYTES, " (%s%s)", format_duration(part_ns, b), of);
    return out;
}

static const char *format_predicted_whole(
    const struct prediction *p, char out[static 3 * PREDICTED_BYTES])
{
    char b[3][UNITS_TEXT_BYTES];

    out[0] = '\0';
    if (p->whole_ns)
        snprintf(out, 3 * PREDICTED_BYTES, " (predicted %s, %s to %s)",
            format_duration(p->whole_ns, b[0]), format_duration(p->low_ns, b[1]),
            format_duration(p->high_ns, b[2]));
    return out;
}

/* Rows of the summary, each with the newline before it; "" if there was none of that. */
enum { ROW_BYTES = UNITS_TEXT_BYTES + 96 };

static const char *format_differences(const struct total_report *t, char row[static ROW_BYTES])
{
    char b[UNITS_TEXT_BYTES];

    row[0] = '\0';
    if (t->delta_pages)
        snprintf(row, ROW_BYTES,
            "\n  differences    %" PRIu64 " of the pages with data, %s less to send",
            t->delta_pages, format_bytes(t->delta_saved_bytes, b));
    return row;
}

static const char *format_aux(const struct total_report *t, char row[static ROW_BYTES])
{
    char b[UNITS_TEXT_BYTES];

    row[0] = '\0';
    if (t->aux_entries)
        snprintf(row, ROW_BYTES, "\n  auxiliary      %s in %" PRIu64 " entries",
            format_bytes(t->aux_bytes, b), t->aux_entries);
    return row;
}

void format_summary(const struct summary *s, char out[static VIEW_SUMMARY_BYTES])
{
    const struct downtime_parts *d = &s->downtime;
    const struct total_report *t = &s->total;
    const struct prediction *p = &t->predicted;
    char b[10][UNITS_TEXT_BYTES], disks[UNITS_TEXT_BYTES + 32];
    char whole[3 * PREDICTED_BYTES], suspend[PREDICTED_BYTES], pages[PREDICTED_BYTES];
    char finish[PREDICTED_BYTES], differences[ROW_BYTES], aux[ROW_BYTES];

    snprintf(out, VIEW_SUMMARY_BYTES,
        "%s runs on %s\n"
        "  total time     %s\n"
        "  downtime       %s%s\n"
        "    suspend      %s%s\n"
        "    last round   %s%s\n"
        "%s"
        "    state        %s\n"
        "    receiver     %s\n"
        "    libxl        %s (both ends)\n"
        "    hand-off     %s%s\n"
        "      journal    %s of it (both ends)\n"
        "  on the wire    %s\n"
        "  encryption     %s\n"
        "  rounds         %u, %" PRIu64 " pages with data, %" PRIu64 " zero%s%s",
        s->name, s->host, format_duration(s->whole_ns, b[0]), format_duration(d->whole_ns, b[1]),
        format_predicted_whole(p, whole), format_duration(d->engine.suspend_ns, b[2]),
        format_predicted(p, p->suspend_ns, "", suspend),
        format_duration(d->engine.clean_ns + d->engine.last_round_ns, b[3]),
        format_predicted(p, p->pages_ns, "", pages), format_disks(d->engine.disks_ns, disks),
        format_duration(d->engine.state_ns, b[4]), format_duration(d->engine.receiver_ns, b[5]),
        format_duration(d->libxl_ns, b[6]), format_duration(d->hand_off_ns, b[7]),
        format_predicted(p, p->receiver_ns + p->network_ns, " for these four", finish),
        format_duration(d->journal_ns, b[9]), format_wire_bytes(t->wire_bytes, b[8]),
        t->encryption[0] ? t->encryption : "none", t->rounds, t->data_pages, t->zero_pages,
        format_differences(t, differences), format_aux(t, aux));
}

void view_init(struct view *v, bool quiet)
{
    *v = (struct view){
        .fd = STDERR_FILENO,
        .words = terminal_environment(),
        .quiet = quiet,
        .program = "xmigrate",
    };
    v->terminal = terminal_judge(isatty(v->fd) == 1, &v->words);
    pthread_mutex_init(&v->lock, NULL);
}

/* One less than there are: a line that fills the last one wraps on some terminals, and a wrapped
 * one cannot be rewritten. */
static unsigned usable_columns(const struct view *v)
{
    return terminal_columns(v->fd, v->words.columns) - 1;
}

/* Under the lock. */
static void clear_line(struct view *v)
{
    if (v->line_shown)
        output_write(v->fd, CLEAR_LINE, strlen(CLEAR_LINE), OUTPUT_PATIENCE_NS);
    v->line_shown = false;
}

void view_destroy(struct view *v)
{
    clear_line(v);
    pthread_mutex_destroy(&v->lock);
}

/* Under the lock. */
static void write_line(struct view *v, const char *text)
{
    enum { MOST = VIEW_SUMMARY_BYTES + LOG_LINE_BYTES };
    char line[2 * MOST];
    size_t len = 0;

    if (v->line_shown)
        len = (size_t)snprintf(line, sizeof(line), "%s", CLEAR_LINE);
    v->line_shown = false;
    if (v->terminal.folds)
        len += layout_fold(text, usable_columns(v), line + len, sizeof(line) - len - 1);
    else
        len += (size_t)snprintf(line + len, MOST, "%s", text);
    line[len++] = '\n';
    output_write(v->fd, line, len, OUTPUT_PATIENCE_NS);
}

void view_log(void *arg, enum log_level level, const char *line)
{
    static const char *const marks[] = {"error: ", "warning: ", "", ""};
    struct view *v = arg;
    char text[LOG_LINE_BYTES + 64];

    snprintf(text, sizeof(text), "%s: %s%s", v->program, marks[level], line);
    pthread_mutex_lock(&v->lock);
    write_line(v, text);
    pthread_mutex_unlock(&v->lock);
}

void view_text(struct view *v, const char *text)
{
    if (v->quiet)
        return;
    pthread_mutex_lock(&v->lock);
    write_line(v, text);
    pthread_mutex_unlock(&v->lock);
}

static void rewrite_line(struct view *v, const char *text)
{
    char line[LAYOUT_PROGRESS_BYTES + sizeof(CLEAR_LINE)];
    const int len = snprintf(line, sizeof(line), CLEAR_LINE "%s", text);

    pthread_mutex_lock(&v->lock);
    if (output_write(v->fd, line, (size_t)len, 0))
        v->line_shown = true;
    pthread_mutex_unlock(&v->lock);
}

void view_progress(struct view *v, const struct progress_report *r)
{
    const struct layout l = {usable_columns(v), v->terminal.blocks, v->to_file};
    const int64_t at_ns = now_ns();
    char text[LAYOUT_PROGRESS_BYTES];

    meter_note_progress(&v->meter, r, at_ns);
    if (v->quiet)
        return;
    if (v->terminal.rewrites) {
        layout_bar(r, &v->meter, &l, text);
        rewrite_line(v, text);
        return;
    }
    if (at_ns < v->plain_ns)
        return;
    if (v->plain_ns) {
        layout_plain(r, &v->meter, &l, text);
        view_text(v, text);
    }
    v->plain_ns = at_ns + PLAIN_NS;
}

void view_round(struct view *v, const struct round_report *r)
{
    char text[VIEW_LINE_BYTES];

    format_round(r, v->to_file, text);
    view_text(v, text);
}

void view_event(struct view *v, const json_t *body)
{
    const char *name = event_name(body);
    struct progress_report progress;
    struct round_report round;

    if (!strcmp(name, "progress") && event_read_progress(body, &progress))
        view_progress(v, &progress);
    else if (!strcmp(name, "round") && event_read_round(body, &round))
        view_round(v, &round);
    else if (!strcmp(name, "decision") && event_read_decision(body))
        view_say(v, "  %s", event_read_decision(body));
}

void view_summary(struct view *v, const struct summary *s)
{
    char text[VIEW_SUMMARY_BYTES];

    format_summary(s, text);
    view_text(v, text);
}

void view_say(struct view *v, const char *fmt, ...)
{
    char text[LOG_LINE_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    view_text(v, text);
}
