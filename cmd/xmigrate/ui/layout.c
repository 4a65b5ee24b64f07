/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/layout.h"

#include "base/deadline.h"
#include "base/limits.h"
#include "base/units.h"

#include <stdio.h>
#include <string.h>

/* The order is that on the line. */
enum piece { AMOUNT, AUXILIARY, SPEED, TIME, DOWNTIME, DIRTIED, PIECES };

/* What is left out last stands first. */
static const enum piece by_weight[PIECES] = {TIME, SPEED, AMOUNT, AUXILIARY, DOWNTIME, DIRTIED};

enum { PIECE_BYTES = 64, BAR_LEAST = 10, BAR_MOST = 60, BAR_FRAME = 2, GAP = 2 };
enum { HEAD_BYTES = 32, PERCENT_COLUMNS = 5 };

struct pieces {
    char head[HEAD_BYTES];
    char text[PIECES][PIECE_BYTES]; /* "": there is no such figure now */
    unsigned columns[PIECES];       /* that it takes in a bar's line, so that nothing moves */
};

/* ---- figures ---- */

static int64_t seconds_up(int64_t ns)
{
    return ns / NS_PER_S + (ns % NS_PER_S > 0);
}

/* Both in one unit, so that the eye compares them. */
static void format_amount(const struct meter *m, struct pieces *p)
{
    const double mib = 1 << 20, all = (double)m->guest_pages * PAGE_BYTES;
    const bool gib = all >= 10240 * mib;
    const double unit = gib ? 1024 * mib : mib;
    const int digits = gib ? 1 : 0;
    char whole[32];
    const int len = snprintf(
        whole, sizeof(whole), "%.*f %s", digits, all / unit, gib ? "GiB" : "MiB");

    snprintf(p->text[AMOUNT], PIECE_BYTES, "%.*f/%s", digits,
        (double)m->there_pages * PAGE_BYTES / unit, whole);
    p->columns[AMOUNT] = (unsigned)(2 * len - 3);
}

static void format_speed(double bits_per_s, bool to_file, struct pieces *p)
{
    char rate[UNITS_TEXT_BYTES];

    if (bits_per_s <= 0)
        return;
    if (to_file)
        format_memory_rate(bits_per_s / 8, rate);
    else
        format_rate(bits_per_s, rate);
    snprintf(p->text[SPEED], PIECE_BYTES, "%s", rate);
}

/* "0:07", "1:02:03" */
static void format_clock(int64_t s, char out[static PIECE_BYTES])
{
    const long long hours = s / 3600, minutes = s / 60 % 60, seconds = s % 60;

    if (hours)
        snprintf(out, PIECE_BYTES, "%lld:%02lld:%02lld left", hours, minutes, seconds);
    else
        snprintf(out, PIECE_BYTES, "%lld:%02lld left", minutes, seconds);
}

static void format_time(
    const struct progress_report *r, const struct meter *m, char out[static PIECE_BYTES])
{
    if (r->watch_left_ns)
        snprintf(out, PIECE_BYTES, "watching the guest, %lld s left",
            (long long)seconds_up(r->watch_left_ns));
    else if (m->eta_ns)
        format_clock(seconds_up(m->eta_ns), out);
}

static void format_pieces(
    const struct progress_report *r, const struct meter *m, bool to_file, struct pieces *p)
{
    char text[UNITS_TEXT_BYTES];

    *p = (struct pieces){.columns = {[SPEED] = 11, [TIME] = 10, [DOWNTIME] = 16, [DIRTIED] = 18}};
    snprintf(p->head, sizeof(p->head), "round %u", r->round);
    format_amount(m, p);
    format_time(r, m, p->text[TIME]);
    /* It comes before the round's pages, and can be most of it. */
    if (r->round_aux_bytes) {
        snprintf(p->text[AUXILIARY], PIECE_BYTES, "%s auxiliary",
            format_bytes(r->round_aux_bytes, text));
        p->columns[AUXILIARY] = 18;
    }
    /* While it is watched nothing is sent. */
    if (r->watch_left_ns)
        p->columns[SPEED] = 0;
    else
        format_speed(m->wire_bits_per_s, to_file, p);
    /* Unknown before the first CLEAN. */
    if (!r->predicted_downtime_ns) {
        p->columns[DOWNTIME] = p->columns[DIRTIED] = 0;
        return;
    }
    snprintf(p->text[DOWNTIME], PIECE_BYTES, "downtime %s",
        format_duration(r->predicted_downtime_ns, text));
    snprintf(p->text[DIRTIED], PIECE_BYTES, "%s dirtied",
        format_memory_rate(r->dirty_pages_per_s * PAGE_BYTES, text));
}

/* ---- the bar ---- */

/* The parts of a block, in eighths. */
static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

static size_t put(char *out, size_t at, size_t size, const char *text)
{
    const int n = snprintf(out + at, size - at, "%s", text);

    return n < 0 || (size_t)n >= size - at ? size - 1 : at + (size_t)n;
}

static size_t put_bar(
    char *out, size_t at, size_t size, unsigned cells, bool blocks, const struct meter *m)
{
    const double share = m->guest_pages ? (double)m->there_pages / (double)m->guest_pages : 0;
    const unsigned filled = (unsigned)(share * cells * 8);
    const unsigned part = blocks ? filled % 8 : 0;
    unsigned cell = 0;

    at = put(out, at, size, "[\033[32m");
    for (; cell < filled / 8; cell++)
        at = put(out, at, size, blocks ? "█" : "#");
    at = put(out, at, size, eighths[part]);
    cell += part > 0;
    at = put(out, at, size, "\033[0m");
    for (; cell < cells; cell++)
        at = put(out, at, size, " ");
    return put(out, at, size, "]");
}

void layout_bar(const struct progress_report *r, const struct meter *m, const struct layout *l,
    char out[static LAYOUT_PROGRESS_BYTES])
{
    const size_t size = LAYOUT_PROGRESS_BYTES;
    const unsigned bar_least = GAP + BAR_FRAME + BAR_LEAST;
    bool shown[PIECES] = {false};
    struct pieces p;

    format_pieces(r, m, l->to_file, &p);

    unsigned used = (unsigned)strlen(p.head) + GAP + PERCENT_COLUMNS;

    for (unsigned i = 0; i < PIECES; i++) {
        const enum piece k = by_weight[i];
        const unsigned len = (unsigned)strlen(p.text[k]);
        const unsigned wide = len > p.columns[k] ? len : p.columns[k];

        shown[k] = wide && used + GAP + wide + bar_least <= l->columns;
        used += shown[k] ? GAP + wide : 0;
    }

    const unsigned room = l->columns > used + GAP + BAR_FRAME ? l->columns - used - GAP - BAR_FRAME
                                                              : 0;
    size_t at = put(out, 0, size, p.head);

    if (room >= BAR_LEAST) {
        at = put(out, at, size, "  ");
        at = put_bar(out, at, size, room < BAR_MOST ? room : BAR_MOST, l->blocks, m);
    }
    at += (size_t)snprintf(out + at, size - at, "  %3u %%", meter_percent(m));
    for (unsigned k = 0; k < PIECES; k++)
        if (shown[k])
            at += (size_t)snprintf(out + at, size - at, "  %*s", (int)p.columns[k], p.text[k]);
}

void layout_plain(const struct progress_report *r, const struct meter *m, const struct layout *l,
    char out[static LAYOUT_PROGRESS_BYTES])
{
    struct pieces p;

    format_pieces(r, m, l->to_file, &p);

    size_t at = (size_t)snprintf(out, LAYOUT_PROGRESS_BYTES, "%s: %u %%", p.head, meter_percent(m));

    for (unsigned k = 0; k < PIECES; k++)
        if (p.text[k][0])
            at += (size_t)snprintf(out + at, LAYOUT_PROGRESS_BYTES - at, ", %s", p.text[k]);
}

/* ---- folding ---- */

static unsigned columns_of(const char *text, size_t len)
{
    unsigned n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

struct folded {
    char *out;
    size_t at, size;
    unsigned column;
};

static void add(struct folded *f, const char *text, size_t len)
{
    if (len > f->size - 1 - f->at)
        len = f->size - 1 - f->at;
    memcpy(f->out + f->at, text, len);
    f->at += len;
    f->column += columns_of(text, len);
}

static void begin_line(struct folded *f, unsigned indent)
{
    add(f, "\n", 1);
    f->column = 0;
    while (f->column < indent && f->at < f->size - 1)
        add(f, " ", 1);
}

static bool is_number(const char *word, size_t len)
{
    return strspn(word, "(0123456789.") == len;
}

/* A word, or a number with its unit, which would look odd on the next line. */
static size_t word_len(const char *text)
{
    const size_t len = strcspn(text, " \n");
    const char *const next = text + len + 1;

    if (len && text[len] == ' ' && is_number(text, len) && *next != ' ')
        return len + 1 + strcspn(next, " \n");
    return len;
}

/* One line; spaces within it are kept, but for those where it is folded. */
static void fold_line(struct folded *f, const char *line, size_t len, unsigned columns)
{
    const size_t own = strspn(line, " ");
    const unsigned indent = (unsigned)own + 4;
    size_t i = own < len ? own : len;

    f->column = 0;
    add(f, line, i);
    while (i < len) {
        const size_t word = word_len(line + i), gap = strspn(line + i + word, " ");
        const size_t next = i + word + gap;
        const size_t after = next < len ? word_len(line + next) : 0;

        add(f, line + i, word);
        if (!after)
            break;
        if (f->column + gap + columns_of(line + next, after) > columns)
            begin_line(f, indent);
        else
            add(f, line + i + word, gap);
        i = next;
    }
}

size_t layout_fold(const char *text, unsigned columns, char *out, size_t out_bytes)
{
    struct folded f = {.out = out, .size = out_bytes};

    for (;;) {
        const size_t len = strcspn(text, "\n");

        fold_line(&f, text, len, columns);
        if (!text[len])
            break;
        add(&f, "\n", 1);
        text += len + 1;
    }
    out[f.at] = '\0';
    return f.at;
}
