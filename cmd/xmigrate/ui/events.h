/* SPDX-License-Identifier: MIT */
/*
 * Events (docs/events.md): what a migration tells, as JSON objects. The save helper makes those
 * about rounds, the supervisor the others. Here they are read into plain structures for the view
 * and written to stdout for --json, one a line, each with when it was, and of what.
 *
 * Used by one thread.
 */
#ifndef CMD_XMIGRATE_UI_EVENTS_H
#define CMD_XMIGRATE_UI_EVENTS_H

#include "base/err.h"
#include "engine/report.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The guest's pause, from the suspend request until it was started at the destination. */
struct downtime_parts {
    struct downtime_report engine;
    int64_t libxl_ns;    /* libxl at both ends, from the engines' end to READY */
    int64_t hand_off_ns; /* READY to STARTED */
    int64_t journal_ns;  /* of that: both journals on disk */
    int64_t whole_ns;    /* the sum of all other parts */
};

struct summary {
    const char *name;
    const char *host;
    int64_t whole_ns; /* the command's start until STARTED */
    struct total_report total;
    struct downtime_parts downtime;
    json_t *lanes; /* per lane: what it did and where its time went, as the helper says; or NULL */
};

/* What the engine's events say. False for an object that lacks a field. */
bool event_read_progress(const json_t *body, struct progress_report *r);
/* A decision's words, or NULL; they live as long as body. */
const char *event_read_decision(const json_t *body);
bool event_read_round(const json_t *body, struct round_report *r);
/* The body of the link's "done" message. */
bool event_read_total(const json_t *body, struct total_report *t);

/* "progress", "round", ...; "" for an object without a name. */
const char *event_name(const json_t *body);

/* The supervisor's own. The caller owns the reference. */
json_t *event_done(const struct summary *s);
json_t *event_failed(const struct err *why, int exit_code, const char *guest);

enum { EVENT_ID_BYTES = 33 };

struct event_stream {
    int fd; /* -1: nobody wants them */
    int64_t start_ns;
    char migration[EVENT_ID_BYTES]; /* the session, or as event_name_migration() made it; "": none
                                       yet */
};

/* What is between this host and a file has its migration's name from nobody else. */
void event_name_migration(struct event_stream *out);

/* Write body with what every event has; body stays the caller's. If nobody reads, it is dropped:
 * progress at once, the rest after a second. */
void event_write(const struct event_stream *out, json_t *body);
/* The same, and takes over the reference. */
void event_tell(const struct event_stream *out, json_t *body);

#endif
