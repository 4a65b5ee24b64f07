/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/estimate.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/session_lanes.h"
#include "cmd/xmigrate/budget.h"
#include "cmd/xmigrate/negotiate.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/ui/view.h"
#include "engine/probe/link_probe.h"
#include "engine/probe/survey.h"
#include "engine/source.h"
#include "sched/forecast.h"
#include "transport/aux.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

/* How long the link is filled, and with how much at most; how long the guest is observed. */
#define PROBE_NS         (2 * NS_PER_S)
#define PROBE_MOST_BYTES (16ull << 30)
#define OBSERVE_NS       (5 * NS_PER_S)
/* How long to wait for a failed destination to say why. */
#define REASON_NS NS_PER_S

enum { LINE_BYTES = DECISION_WORDS_BYTES + 256 };

struct estimate {
    struct negotiation a;
    struct view view;
    struct event_stream events;
    struct session_lanes lanes;
    struct budget budget;

    struct link_probe link;
    struct survey survey;
    bool capable; /* the guest could be slowed down */

    /* What follows from them. */
    enum codec codec;
    double send_pages_per_s; /* of memory */
    struct forecast of[ON_STALLS];
};

/* --- measuring --- */

static int open_lanes(struct estimate *t, struct err *e)
{
    const struct options *o = t->a.options;
    const struct session session = {
        .tls = t->a.tls,
        .id = t->a.accept.session,
        .key = t->a.accept.key,
        .fingerprint = t->a.peer.fingerprint,
        .cancel = &t->a.cancel,
        .stall_ns = o->silent_ns,
        .connect_ns = link_connect_ns(o->silent_ns),
        .lanes = t->a.accept.lanes,
        .by_kernel = o->kernel_tls,
        .bits_per_s = budget_bits_per_s(&t->budget),
    };

    return session_lanes_connect(&t->lanes, &session, &o->address, NULL, NULL, e);
}

/* When a connection broke, the other host may know why and say so. */
static void ask_why(struct estimate *t, struct err *e)
{
    struct err ignored = ERR_INIT, why = ERR_INIT;
    enum control_type type;
    const void *body;
    size_t len;

    if (e->class != ERR_PEER ||
        mailbox_wait(
            t->a.mailbox, &type, &body, &len, &t->a.cancel, deadline_in(REASON_NS), &ignored) < 0 ||
        type != CONTROL_FAILED)
        return;
    negotiate_read_reason(&t->a, body, len, &why);
    *e = why;
}

/* Afterwards the other host is done. */
static int measure_link(struct estimate *t, struct err *e)
{
    struct channel *const control = t->a.control.ch;
    const struct options *o = t->a.options;
    struct err ignored = ERR_INIT;
    int rc = budget_read(&t->budget, o->config_dir, &t->a.log, e);

    if (!rc)
        rc = budget_join(&t->budget, o->bandwidth_bits_per_s, e);
    if (!rc)
        rc = open_lanes(t, e);
    if (!rc)
        rc = link_probe_run(
            t->lanes.lanes, t->a.accept.lanes, PROBE_NS, PROBE_MOST_BYTES, &t->link, e);
    session_lanes_close(&t->lanes);
    budget_leave(&t->budget);
    if (rc)
        ask_why(t, e);
    else if (control->ops->finish(control, &ignored))
        log_debug(&t->a.log, "%s", ignored.text);
    return rc ? -e->code : 0;
}

/* What --recover has to know, on disk before it is done. */
static int note_logging(void *arg, struct err *e)
{
    struct estimate *t = arg;

    t->a.journal.now.logging = true;
    return journal_save(&t->a.journal, e);
}

static int survey_guest(struct estimate *t, struct err *e)
{
    const struct survey_params p = {
        .domid = t->a.domain.domid,
        .observe_ns = OBSERVE_NS,
        .log = &t->a.log,
        .cancel = &t->a.cancel,
        .logging = note_logging,
        .arg = t,
    };
    struct err none = ERR_INIT;
    unsigned cap;

    t->capable = !xl_cap(&t->a.xl, t->a.domain.domid, &cap, &none);
    return survey_run(&p, &t->survey, e);
}

/* --- what follows --- */

/* Such pages a second: what the lanes' threads can do, or the link. */
static double speed_of(const struct estimate *t, const struct survey_page *p)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const double threads = fmin(t->a.accept.lanes, cores > 0 ? (double)cores : 1);
    const double busy_ns = p->busy_ns + p->bytes * t->link.cpu_ns_per_byte;

    return fmin(t->link.bytes_per_s / p->bytes, threads * 1e9 / fmax(1, busy_ns));
}

static void choose_codec(struct estimate *t)
{
    const enum codec asked = t->a.options->compress;

    for (enum codec c = 0; c < CODECS; c++) {
        const double speed = speed_of(t, &t->survey.page[c]);

        if ((asked != CODEC_AUTO && asked != c) || speed <= t->send_pages_per_s)
            continue;
        t->codec = c;
        t->send_pages_per_s = speed;
    }
}

/* Pages of memory with contents, and auxiliary data, which is never zero and not compressed: what
 * one of both costs. */
static void count_aux(const struct estimate *t, struct forecast_of *of)
{
    const struct survey_page entry = {.bytes = PAGE_BYTES + AUX_ENTRY_BYTES};
    const uint64_t aux = aux_pages(t->survey.aux_bytes);
    const double memory = (double)of->pages * (1 - of->zero_share), both = memory + (double)aux;

    if (!aux)
        return;
    of->pages += aux;
    of->zero_share = 1 - both / (double)of->pages;
    of->page_bytes = (memory * of->page_bytes + (double)aux * entry.bytes) / both;
    of->send_pages_per_s = both /
                           (memory / of->send_pages_per_s + (double)aux / speed_of(t, &entry));
}

static void make_forecasts(struct estimate *t)
{
    struct forecast_of of = {
        .observed = &t->survey.observed,
        .pages = t->survey.pages,
        .zero_share = t->survey.zero_share,
        .send_pages_per_s = t->send_pages_per_s,
        .send_spread = t->link.spread,
        .page_bytes = t->survey.page[t->codec].bytes,
        .limits = t->a.options->limits,
        .costs = t->a.costs,
    };

    count_aux(t, &of);
    for (enum on_stall o = 0; o < ON_STALLS; o++) {
        of.limits.on_stall = o;
        forecast_run(&of, &t->of[o]);
    }
}

/* --- telling --- */

static json_t *describe_outcome(const struct forecast *f, enum on_stall o)
{
    const struct prediction *p = &f->last.now;

    return json_pack(
        "{s:s, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}",
        "on_stall", on_stall_name(o), "met", f->met, "action", action_name(f->last.action),
        "reason", reason_name(f->last.reason), "downtime_ns", (json_int_t)p->whole_ns, "low_ns",
        (json_int_t)p->low_ns, "high_ns", (json_int_t)p->high_ns, "suspend_ns",
        (json_int_t)p->suspend_ns, "last_round_ns", (json_int_t)prediction_last_round_ns(p),
        "finish_ns", (json_int_t)(p->state_ns + p->receiver_ns), "network_ns",
        (json_int_t)p->network_ns, "total_ns", (json_int_t)f->time_ns, "wire_bytes",
        (json_int_t)f->bytes, "rounds", (json_int_t)f->rounds, "cap_percent",
        (json_int_t)f->cap_percent, "text", f->words);
}

/* The choice that was asked for comes first, the others only if their outcome differs. */
static bool next_outcome(const struct estimate *t, unsigned i, enum on_stall *o)
{
    const enum on_stall asked = t->a.options->limits.on_stall;

    if (!i) {
        *o = asked;
        return true;
    }
    *o = (enum on_stall)(i - 1);
    return *o != asked && !t->of[ON_STALL_SUSPEND].met && (*o != ON_STALL_THROTTLE || t->capable);
}

/* Of memory alone. */
static uint64_t written_pages(const struct estimate *t)
{
    return t->survey.observed.last.dirty_pages - aux_pages(t->survey.aux_changed_bytes);
}

static void tell_event(const struct estimate *t)
{
    const struct stats *w = &t->survey.observed;
    const struct xl_domain *d = &t->a.domain;
    json_t *outcomes = json_array();
    enum on_stall o;

    for (unsigned i = 0; i <= ON_STALLS; i++)
        if (next_outcome(t, i, &o))
            json_array_append_new(outcomes, describe_outcome(&t->of[o], o));

    json_t *body = json_pack("{s:s, s:s, s:i, s:s, s:s, s:I, s:i, s:s, s:I, s:I, s:f, s:I, s:f, "
                             "s:I, s:I, s:f, s:f, s:i, s:s, s:f, s:f, s:I, s:o}",
        "event", "estimate", "domain", d->name, "domid", (int)d->domid, "uuid", d->uuid, "type",
        xl_type_name(d->type), "memory_bytes", (json_int_t)(d->memory_kb * 1024), "vcpus",
        (int)d->vcpus, "host", t->a.options->address.host, "watched_ns",
        (json_int_t)w->last.window_ns, "dirty_pages", (json_int_t)written_pages(t),
        "dirty_pages_per_s", stats_dirty_within(w, NS_PER_S), "guest_pages",
        (json_int_t)t->survey.pages, "zero_share", t->survey.zero_share, "aux_bytes",
        (json_int_t)t->survey.aux_bytes, "aux_changed_bytes",
        (json_int_t)t->survey.aux_changed_bytes, "link_bits_per_s", t->link.bytes_per_s * 8,
        "link_spread", t->link.spread, "lanes", (int)t->a.accept.lanes, "compress",
        codec_name(t->codec), "page_bytes", t->survey.page[t->codec].bytes, "send_pages_per_s",
        t->send_pages_per_s, "max_downtime_ns", (json_int_t)t->a.options->limits.max_downtime_ns,
        "outcomes", outcomes);

    event_tell(&t->events, body);
}

/* The answer goes to standard output, unless events do. */
static void say(struct estimate *t, const char *line)
{
    if (t->events.fd >= 0)
        view_say(&t->view, "%s", line);
    else
        puts(line);
}

static void say_outcome(struct estimate *t, const char *before, const struct forecast *f)
{
    const struct prediction *p = &f->last.now;
    char line[LINE_BYTES], time[UNITS_TEXT_BYTES], bytes[UNITS_TEXT_BYTES];
    char pause[UNITS_TEXT_BYTES], low[UNITS_TEXT_BYTES], high[UNITS_TEXT_BYTES];
    char asked[UNITS_TEXT_BYTES], cap[48] = "";
    const char *const plural = f->rounds == 1 ? "" : "s";

    format_duration(f->time_ns, time);
    format_wire_bytes(f->bytes, bytes);
    format_duration(p->whole_ns, pause);
    format_duration(p->low_ns, low);
    format_duration(p->high_ns, high);
    format_duration(t->a.options->limits.max_downtime_ns, asked);
    if (f->cap_percent)
        snprintf(cap, sizeof(cap), "slow it down to %u %% of a CPU, ", f->cap_percent);
    if (f->last.action == ACT_GIVE_UP)
        snprintf(line, sizeof(line), "%s give it up after %s, %u round%s and %s", before, time,
            f->rounds, plural, bytes);
    else
        snprintf(line, sizeof(line),
            "%s %stake %s, %u round%s and %s, and stop it for %s (%s to %s), %s the %s asked",
            before, cap, time, f->rounds, plural, bytes, pause, low, high,
            f->met ? "within" : "over", asked);
    say(t, line);
}

static void tell(struct estimate *t)
{
    const struct stats *w = &t->survey.observed;
    const struct xl_domain *d = &t->a.domain;
    char line[LINE_BYTES], window[UNITS_TEXT_BYTES], written[UNITS_TEXT_BYTES];
    char rate[UNITS_TEXT_BYTES], speed[UNITS_TEXT_BYTES];
    enum on_stall o;

    tell_event(t);
    snprintf(line, sizeof(line),
        "%s (domain %u, %s, vCPUs: %u, %llu MiB): in %s it wrote to %s; %.0f %% of its pages are "
        "zero",
        d->name, d->domid, xl_type_name(d->type), d->vcpus, (unsigned long long)d->memory_kb / 1024,
        format_duration(w->last.window_ns, window),
        format_bytes(written_pages(t) * PAGE_BYTES, written), t->survey.zero_share * 100);
    say(t, line);
    if (t->survey.aux_bytes) {
        snprintf(line, sizeof(line), "it has %s of auxiliary data; %s changed",
            format_bytes(t->survey.aux_bytes, rate),
            format_bytes(t->survey.aux_changed_bytes, written));
        say(t, line);
    }
    snprintf(line, sizeof(line), "%s: %s, lanes: %u; its memory would go at %s, compression: %s",
        t->a.where, format_rate(t->link.bytes_per_s * 8, rate), t->a.accept.lanes,
        format_memory_rate(t->send_pages_per_s * PAGE_BYTES, speed), codec_name(t->codec));
    say(t, line);
    for (unsigned i = 0; i <= ON_STALLS; i++) {
        char before[64] = "moving it live would";

        if (!next_outcome(t, i, &o))
            continue;
        if (i)
            snprintf(before, sizeof(before), "with --on-stall %s it would", on_stall_name(o));
        say_outcome(t, before, &t->of[o]);
        if (!i && !t->of[o].met) {
            snprintf(line, sizeof(line), "  in the end: %s", t->of[o].words);
            say(t, line);
        }
    }
    fflush(stdout);
}

/* --- the story --- */

static int conclude_failed(struct estimate *t, struct err *why, int code)
{
    if (why->side == SIDE_UNKNOWN && why->class != ERR_PEER)
        why->side = SIDE_SOURCE;
    negotiate_end(&t->a, why);

    json_t *body = event_failed(why, code, "here");

    event_tell(&t->events, body);
    log_error(&t->a.log, "%s", why->text);
    return code;
}

/* Lines, which are used up. */
static void warn_of_lacks(struct estimate *t, char *lacks)
{
    char *rest;

    for (char *line = strtok_r(lacks, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        log_warn(&t->a.log, "%s: %s", t->a.where, line);
}

static int estimate(struct estimate *t)
{
    struct err e = ERR_INIT;
    char duration[UNITS_TEXT_BYTES];
    int rc = negotiate_begin(&t->a, &e);

    if (!rc)
        rc = negotiate_ask(&t->a, &e);
    if (rc)
        return conclude_failed(t, &e, EXIT_REFUSED);
    warn_of_lacks(t, t->a.accept.lacks);
    view_say(&t->view, "measuring the link to %s, then watching %s for %s", t->a.where,
        t->a.domain.name, format_duration(OBSERVE_NS, duration));
    rc = measure_link(t, &e);
    if (!rc)
        rc = survey_guest(t, &e);
    if (rc)
        return conclude_failed(t, &e, e.class == ERR_REFUSED ? EXIT_REFUSED : EXIT_FAILED);
    journal_remove(&t->a.journal);
    choose_codec(t);
    make_forecasts(t);
    tell(t);
    return EXIT_DONE;
}

int estimate_main(const struct options *o)
{
    struct estimate t = {
        .a = {.options = o, .lock = {.fd = -1}},
        .events = {.fd = o->json ? STDOUT_FILENO : -1, .start_ns = now_ns()},
    };

    view_init(&t.view, o->log_level == LOG_ERROR);
    t.a.log = (struct log){o->log_level, view_log, &t.view};

    const int code = estimate(&t);

    negotiate_release(&t.a);
    view_destroy(&t.view);
    return code;
}
