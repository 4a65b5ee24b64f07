/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/operate.h"

#include "base/units.h"
#include "cmd/exit_codes.h"
#include "cmd/handoff/advice.h"
#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/admin_client.h"
#include "cmd/xmigrate/peer_status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum match { NO_MATCH, MATCH_NUMBER, MATCH_NAME };

static enum match match(const char *dom, const struct admin_status *s)
{
    uint64_t n;

    if (!strcmp(dom, s->domain) || !strcmp(dom, s->uuid))
        return MATCH_NAME;
    return parse_u64(dom, 1, UINT32_MAX, &n) && n == s->domid ? MATCH_NUMBER : NO_MATCH;
}

static bool is_about(const char *dom, const struct admin_status *s)
{
    return !dom || match(dom, s);
}

/* --- --status --- */

struct listing {
    const struct options *o;
    const struct log *log;
    unsigned count;
};

/* "-" for what is not known. */
static const char *or_dash(bool known, const char *text)
{
    return known ? text : "-";
}

static void show_line(const struct admin_status *s)
{
    char rate[UNITS_TEXT_BYTES], eta[UNITS_TEXT_BYTES], pause[UNITS_TEXT_BYTES], percent[16],
        pid[16];

    snprintf(percent, sizeof(percent), "%u %%", s->percent);
    snprintf(pid, sizeof(pid), "%u", s->pid);
    printf("%-4s %-20s %-24s %-10s %5s %12s %8s %8s %7s\n", admin_direction_name(s->role),
        s->domain, s->peer, s->phase, or_dash(s->percent, percent),
        or_dash(s->wire_bits_per_s, format_rate((double)s->wire_bits_per_s, rate)),
        or_dash(s->eta_ns, format_duration(s->eta_ns, eta)),
        or_dash(s->predicted_downtime_ns, format_duration(s->predicted_downtime_ns, pause)),
        or_dash(s->pid, pid));
}

static void show(struct listing *l, const struct admin_status *s)
{
    if (l->o->json) {
        json_t *o = admin_status_pack(s);
        char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

        puts(text ?: "");
        free(text);
        json_decref(o);
    } else {
        if (!l->count)
            printf("%-4s %-20s %-24s %-10s %5s %12s %8s %8s %7s\n", "", "DOMAIN", "PEER", "PHASE",
                "DONE", "RATE", "LEFT", "PAUSE", "PID");
        show_line(s);
    }
    l->count++;
}

/* No move of it is under way, and it is on the host that was asked. */
static void show_guest_there(struct listing *l, const json_t *guest)
{
    const char *name = json_string_value(json_object_get(guest, "domain")) ?: "";
    const char *uuid = json_string_value(json_object_get(guest, "uuid")) ?: "";
    const char *host = l->o->address.host;
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:s}", "domain", name, "uuid", uuid, "peer", host, "phase", "there");
    char *text = l->o->json && o ? json_dumps(o, JSON_COMPACT) : NULL;

    if (text)
        puts(text);
    else
        printf("\"%s\" is on %s, and no move of it is under way there\n", name, host);
    free(text);
    json_decref(o);
    l->count++;
}

static int show_under_way(struct listing *l, struct err *e)
{
    struct admin_list list;
    json_t *guests = NULL;
    const int rc = l->o->address.host[0] ? peer_status_ask(l->o, &list, &guests, e)
                                         : admin_collect(&list, l->log, e);

    for (unsigned i = 0; i < list.count && !rc; i++)
        if (is_about(l->o->domain, &list.of[i]))
            show(l, &list.of[i]);

    const json_t *guest = l->o->domain && !rc ? admin_guest(guests, l->o->domain) : NULL;

    if (guest && !l->count)
        show_guest_there(l, guest);
    json_decref(guests);
    admin_list_free(&list);
    return rc;
}

/* Nobody is in charge of it: pid 0. Its phase is the hand-off machine's word. */
static void show_record(void *arg, struct journal *j)
{
    struct listing *l = arg;
    const struct journal_record *now = &j->now;
    struct admin_status s = {
        .role = now->role == HANDOFF_SOURCE ? LINK_SOURCE : LINK_DESTINATION,
        .domid = now->domid == JOURNAL_NO_DOMID ? 0 : now->domid,
    };
    char text[ADVICE_BYTES] = "";

    snprintf(s.domain, sizeof(s.domain), "%s", now->name);
    snprintf(s.uuid, sizeof(s.uuid), "%s", now->uuid);
    snprintf(s.peer, sizeof(s.peer), "%s", now->peer);
    snprintf(s.phase, sizeof(s.phase), "%s", handoff_state_name(now->state));
    if (is_about(l->o->domain, &s)) {
        show(l, &s);
        if (journal_is_history(now))
            handoff_history(now, text);
        else if (now->state == HANDOFF_GIVEN || now->state == HANDOFF_TAKEN)
            handoff_advice(now, now->domid, text);
        else
            snprintf(
                text, sizeof(text), "nobody is in charge of it: xmigrate --recover settles it");
        if (!l->o->json && l->o->domain)
            printf("%s\n", text);
    }
    journal_keep(j);
}

static int refuse_unknown(const struct options *o, struct err *e)
{
    if (o->address.host[0])
        return err_set(e, ERR_REFUSED, ESRCH,
            "no migration of \"%s\" is under way on %s (xl list there tells whether it runs)",
            o->domain, o->address.host);
    return err_set(e, ERR_REFUSED, ESRCH,
        "no migration of \"%s\" is under way or open here (xl list tells whether it runs here)",
        o->domain);
}

int status_main(const struct options *o, const struct log *log)
{
    struct listing l = {.o = o, .log = log};
    struct err e = ERR_INIT;
    int rc = show_under_way(&l, &e);

    /* The other host's journal is its own business. */
    if (!rc && !o->address.host[0])
        rc = journal_visit_orphans(log, show_record, &l, &e);
    if (rc >= 0 && fflush(stdout))
        rc = err_sys(&e, ERR_LOCAL, errno, "cannot write to standard output");
    if (rc >= 0 && !l.count && o->domain)
        rc = refuse_unknown(o, &e);
    if (rc >= 0)
        return EXIT_DONE;
    log_error(log, "%s", e.text);
    return EXIT_REFUSED;
}

/* --- --cancel, --set --- */

struct order {
    const char *dom;
    unsigned rank; /* of the best so far; 0: there is none */
    char path[ADMIN_PATH_BYTES];
};

/* Of a move within one host there are both ends, and the source decides. A name may look like
 * another guest's number. */
static int rank_socket(void *arg, const char *path, struct err *e)
{
    const struct admin_request who = {.verb = ADMIN_STATUS};
    struct order *d = arg;
    struct admin_status s;
    struct err ignored = ERR_INIT;
    json_t *o = admin_ask(path, &who, &ignored);
    unsigned rank = 0;

    (void)e;
    if (o && admin_status_read(json_object_get(o, "status"), &s) && match(d->dom, &s))
        rank = 2 * match(d->dom, &s) + (s.role == LINK_SOURCE);
    if (rank > d->rank) {
        d->rank = rank;
        snprintf(d->path, sizeof(d->path), "%s", path);
    }
    json_decref(o);
    return 0;
}

/* The exit code. */
static int carry_out(const char *path, const struct admin_request *r, struct err *e)
{
    json_t *o = admin_ask(path, r, e);
    const char *code = json_string_value(json_object_get(o, "code"));
    const char *text = json_string_value(json_object_get(o, "text"));
    const bool ok = json_is_true(json_object_get(o, "ok"));
    /* Whether it was given away is what the code is for. */
    const bool doubt = code && !strcmp(code, "too-late") && r->verb == ADMIN_CANCEL;

    if (o && !ok)
        err_set(e, ERR_REFUSED, EPERM, "%s", text ?: "the migration refuses, and does not say why");
    json_decref(o);
    return ok ? EXIT_DONE : doubt ? EXIT_DOUBT : EXIT_REFUSED;
}

static int give_order(const char *dom, const struct admin_request *r, const struct log *log)
{
    struct order d = {.dom = dom};
    struct err e = ERR_INIT;
    int code = EXIT_REFUSED;

    if (!admin_for_each(rank_socket, &d, &e) && d.rank)
        code = carry_out(d.path, r, &e);
    if (code == EXIT_DONE)
        return code;
    /* Or it ended just now. */
    if (!err_is_set(&e))
        err_set(&e, ERR_REFUSED, ESRCH, "no migration of \"%s\" is under way here", dom);
    log_error(log, "%s", e.text);
    return code;
}

int cancel_main(const struct options *o, const struct log *log)
{
    const struct admin_request r = {.verb = ADMIN_CANCEL};

    return give_order(o->domain, &r, log);
}

int set_main(const struct options *o, const struct log *log)
{
    const struct admin_request r = {
        .verb = ADMIN_SET,
        .bandwidth = o->set.bandwidth,
        .max_downtime = o->set.max_downtime,
        .on_stall = o->set.on_stall,
        .tune = {o->bandwidth_bits_per_s, o->limits.max_downtime_ns, o->limits.on_stall},
    };

    return give_order(o->domain, &r, log);
}
