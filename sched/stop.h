/*
 * When to suspend: a pure function of a small struct, asked once after every CLEAN.
 *
 * The guest's pause has five parts: the suspend itself, the FINAL CLEAN, the pages that are left
 * (those found dirty now and those dirtied until the guest stands still), its state, and the
 * receiver's finish. The unit of speed is pages really sent per second, whatever compression or
 * zero marks made of them, because pages are what is left.
 */
#ifndef SCHED_STOP_H
#define SCHED_STOP_H

#include <stdint.h>

struct stop_input {
    unsigned rounds_done;     /* live rounds finished, the first (everything) included */
    uint64_t left_pages;      /* found dirty or deferred: to be sent if we suspend now */
    double send_pages_per_s;  /* as measured; 0 when nothing was sent yet */
    double dirty_pages_per_s; /* as measured; 0 when unknown */
    int64_t suspend_ns;       /* the parts that do not depend on pages, as measured or estimated */
    int64_t clean_ns;
    int64_t state_ns;
    int64_t receiver_ns;
    int64_t max_downtime_ns; /* what the administrator allows */
    unsigned max_rounds;     /* 0: no limit */
};

enum stop_reason {
    STOP_CONTINUE = 0,
    STOP_DOWNTIME, /* the predicted downtime is within the limit */
    STOP_FLOOR,    /* it is not, but the pages left are a small part: rounds cannot help */
    STOP_ROUNDS,   /* max_rounds live rounds were done */
};

struct stop_decision {
    enum stop_reason reason;
    int64_t predicted_downtime_ns; /* INT64_MAX when no speed is known and pages are left */
};

/* Pages are a small part of the pause when they take less than 1/STOP_FLOOR_SHARE of the rest. */
enum { STOP_FLOOR_SHARE = 8 };

struct stop_decision decide_stop(struct stop_input in);

/* "downtime", "floor", "rounds" as events spell it; "continue" for STOP_CONTINUE. */
const char *stop_reason_name(enum stop_reason reason);

#endif
