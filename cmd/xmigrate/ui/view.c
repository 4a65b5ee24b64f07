/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/view.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/xmigrate/ui/output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { DEFAULT_COLUMNS = 80 };

#define CLEAR_LINE "\r\033[K"

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* Round 1 covers an address space that may be mostly holes: show no more than the guest has. */
static uint64_t pages_left(const struct progress_report *r, uint64_t guest_pages)
{
    const uint64_t left = minus(r->round_pages, r->round_done_pages);
    const uint64_t most = minus(guest_pages, r->round_sent_pages);

    return left < most ? left : most;
}

void format_progress(
    const struct progress_report *r, uint64_t guest_pages, char out[static VIEW_LINE_BYTES])
{
    const uint64_t left = pages_left(r, guest_pages);
    char downtime[UNITS_TEXT_BYTES];
    int len = snprintf(out, VIEW_LINE_BYTES, "round %u: %" PRIu64 " pages left, %.0f/s sent",
        r->round, left, r->send_pages_per_s);

    /* Unknown before the first CLEAN. */
    if (r->predicted_downtime_ns)
        snprintf(out + len, (size_t)(VIEW_LINE_BYTES - len), ", %.0f/s dirtied, downtime %s",
            r->dirty_pages_per_s, format_duration(r->predicted_downtime_ns, downtime));
}

void format_round(const struct round_report *r, char out[static VIEW_LINE_BYTES])
{
    char wire[UNITS_TEXT_BYTES], took[UNITS_TEXT_BYTES], rate[UNITS_TEXT_BYTES],
        downtime[UNITS_TEXT_BYTES];
    const double seconds = (double)r->duration_ns / (double)NS_PER_S;
    int len = snprintf(out, VIEW_LINE_BYTES,
        "round %u%s: %" PRIu64 " pages (%" PRIu64 " zero) in %s, %s at %s", r->round,
        r->last ? " (last)" : "", r->data_pages + r->zero_pages, r->zero_pages,
        format_duration(r->duration_ns, took), format_bytes(r->wire_bytes, wire),
        format_rate(seconds > 0 ? (double)r->wire_bytes * 8 / seconds : 0, rate));

    if (!r->last)
        snprintf(out + len, (size_t)(VIEW_LINE_BYTES - len),
            "; %" PRIu64 " dirty (%.0f/s), downtime %s", r->dirty_pages, r->dirty_pages_per_s,
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

void format_summary(const struct summary *s, char out[static VIEW_SUMMARY_BYTES])
{
    const struct downtime_parts *d = &s->downtime;
    const struct total_report *t = &s->total;
    const struct prediction *p = &t->predicted;
    char b[9][UNITS_TEXT_BYTES], disks[UNITS_TEXT_BYTES + 32];
    char whole[3 * PREDICTED_BYTES], suspend[PREDICTED_BYTES], pages[PREDICTED_BYTES];
    char finish[PREDICTED_BYTES];

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
        "  on the wire    %s\n"
        "  rounds         %u, %" PRIu64 " pages with data, %" PRIu64 " zero",
        s->name, s->host, format_duration(s->whole_ns, b[0]), format_duration(d->whole_ns, b[1]),
        format_predicted_whole(p, whole), format_duration(d->engine.suspend_ns, b[2]),
        format_predicted(p, p->suspend_ns, "", suspend),
        format_duration(d->engine.clean_ns + d->engine.last_round_ns, b[3]),
        format_predicted(p, p->pages_ns, "", pages), format_disks(d->engine.disks_ns, disks),
        format_duration(d->engine.state_ns, b[4]), format_duration(d->engine.receiver_ns, b[5]),
        format_duration(d->libxl_ns, b[6]), format_duration(d->hand_off_ns, b[7]),
        format_predicted(p, p->receiver_ns + p->network_ns, " for these four", finish),
        format_bytes(t->wire_bytes, b[8]), t->rounds, t->data_pages, t->zero_pages);
}

void view_init(struct view *v, bool quiet)
{
    *v = (struct view){
        .fd = STDERR_FILENO,
        .terminal = isatty(STDERR_FILENO) == 1,
        .quiet = quiet,
        .program = "xmigrate",
    };
    pthread_mutex_init(&v->lock, NULL);
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
    char line[VIEW_SUMMARY_BYTES + LOG_LINE_BYTES];
    const int len = snprintf(line, sizeof(line), "%s%s\n", v->line_shown ? CLEAR_LINE : "", text);

    v->line_shown = false;
    if (len > 0 && len < (int)sizeof(line))
        output_write(v->fd, line, (size_t)len, OUTPUT_PATIENCE_NS);
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

static void show(struct view *v, const char *text)
{
    if (v->quiet)
        return;
    pthread_mutex_lock(&v->lock);
    write_line(v, text);
    pthread_mutex_unlock(&v->lock);
}

/* How many columns a line may fill without wrapping: a wrapped one cannot be rewritten. */
static int columns(int fd)
{
    struct winsize size;

    return ioctl(fd, TIOCGWINSZ, &size) || size.ws_col < 2 ? DEFAULT_COLUMNS : size.ws_col;
}

void view_progress(struct view *v, const struct progress_report *r)
{
    char text[VIEW_LINE_BYTES], line[VIEW_LINE_BYTES + sizeof(CLEAR_LINE)];

    if (v->quiet || !v->terminal)
        return;
    format_progress(r, v->guest_pages, text);

    const int len = snprintf(line, sizeof(line), CLEAR_LINE "%.*s", columns(v->fd) - 1, text);

    pthread_mutex_lock(&v->lock);
    if (output_write(v->fd, line, (size_t)len, 0))
        v->line_shown = true;
    pthread_mutex_unlock(&v->lock);
}

void view_round(struct view *v, const struct round_report *r)
{
    char text[VIEW_LINE_BYTES];

    format_round(r, text);
    show(v, text);
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

void view_text(struct view *v, const char *text)
{
    show(v, text);
}

void view_summary(struct view *v, const struct summary *s)
{
    char text[VIEW_SUMMARY_BYTES];

    format_summary(s, text);
    show(v, text);
}

void view_say(struct view *v, const char *fmt, ...)
{
    char text[LOG_LINE_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    show(v, text);
}
