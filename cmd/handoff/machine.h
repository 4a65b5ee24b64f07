/* SPDX-License-Identifier: MIT */
/*
 * Who has the guest: the hand-off as a pure state machine. Nothing else decides whether a copy may
 * run, is resumed or destroyed. A caller (the two supervisors, --recover, --resume, the save
 * helper whose supervisor died) says what happened, is told the next state and what to do, and does
 * it, in the order of the actions' bits; the first action that fails ends the step and is an
 * event in the next state. What a crash finds is what the journal last recorded.
 *
 * A step that has HANDOFF_IMPOSSIBLE changes nothing: the event cannot come in that state, and
 * whoever reports it has a bug. Nothing is done to the guest then.
 */
#ifndef CMD_HANDOFF_MACHINE_H
#define CMD_HANDOFF_MACHINE_H

#include "base/err.h"

enum handoff_role { HANDOFF_SOURCE, HANDOFF_DESTINATION, HANDOFF_ROLES };

enum handoff_state {
    /* The source's. */
    HANDOFF_LIVE,  /* the guest is ours, running or suspended: whatever fails, it runs on here */
    HANDOFF_GIVEN, /* GO was or may have been sent: nobody resumes it */
    HANDOFF_BACK,  /* it runs here (again), or has ended here */
    HANDOFF_MOVED, /* it runs or ran there: our copy goes, and never runs again */
    /* The destination's. */
    HANDOFF_COMING,   /* being built; never runs */
    HANDOFF_READY,    /* built and paused, and the source may know */
    HANDOFF_TAKEN,    /* GO came: it may run here, or have run */
    HANDOFF_STARTED,  /* it runs here */
    HANDOFF_ENDED,    /* it ran here, or that cannot be ruled out, and is no more */
    HANDOFF_MOVED_ON, /* it ran here and was given to another host */
    HANDOFF_GONE,     /* our copy never ran and never will */
    HANDOFF_STATES
};

enum handoff_event {
    /* The source's supervisor. */
    HANDOFF_READY_CAME,   /* READY, and our engine has ended and will not resume it */
    HANDOFF_GO_UNSENT,    /* something between READY and GO failed: GO was not sent */
    HANDOFF_STARTED_CAME, /* STARTED, or the answer that it was started there, whatever came then */
    HANDOFF_FAILED_CAME,  /* FAILED, or the answer GONE */
    HANDOFF_NO_ANSWER,    /* neither, and none will be heard */
    /* The destination's. */
    HANDOFF_BUILT,      /* libxl's restore is over and was well */
    HANDOFF_GO_CAME,    /* GO */
    HANDOFF_RUNS,       /* it was unpaused */
    HANDOFF_UNSURE,     /* it could not be started, and cannot be kept from starting either */
    HANDOFF_HEARD_CAME, /* HEARD: the source knows, on disk */
    HANDOFF_UNHEARD,    /* that did not come */
    HANDOFF_PEER_ASKS,  /* the source wants to know, and has heard READY */
    HANDOFF_PASSED_ON,  /* another host has started the guest that came here */
    /* Both. */
    HANDOFF_TROUBLE, /* anything else failed: a signal, a limit, a process, the other end, libxl */
    /* Nobody was in charge any more; Xen, asked for our copy, says: */
    HANDOFF_FOUND_NONE,    /* it is not there */
    HANDOFF_FOUND_RUNNING, /* it runs, or runs no more for another reason than us */
    HANDOFF_FOUND_STOPPED, /* it stands as we left it: suspended (source), paused (destination) */
    /* A person: --resume, with --force, and --dismiss. */
    HANDOFF_RESUME_ASKED,
    HANDOFF_RESUME_FORCED,
    HANDOFF_DISMISSED, /* nothing is left at the source that would have to ask */
    HANDOFF_EVENTS
};

/* In the order in which they are carried out. */
enum handoff_action {
    HANDOFF_DISARM =
        1 << 0, /* source: no rescuer resumes anything by itself any more, and has said so */
    HANDOFF_HOLD = 1 << 1, /* destination: our copy has not run, and nobody can start it any more */
    HANDOFF_RECORD = 1 << 2, /* the next state is in the journal, on disk */
    HANDOFF_NOTE = 1 << 3, /* the same for all but a power loss: the guest stands still meanwhile */
    HANDOFF_UNBUILD = 1 << 4, /* destination: our copy, which never ran, is destroyed */
    HANDOFF_CHECK_LIMIT =
        1 << 5, /* it is not too late yet: last before GO, and last before the unpause */
    HANDOFF_SEND_READY = 1 << 6,   /* destination */
    HANDOFF_SEND_GO = 1 << 7,      /* source */
    HANDOFF_UNPAUSE = 1 << 8,      /* destination */
    HANDOFF_SEND_STARTED = 1 << 9, /* destination */
    HANDOFF_TAKE_BACK =
        1 << 10, /* source: the journal says live again; a disk that will not stops nothing */
    HANDOFF_RESUME = 1 << 11,  /* source: name, cap, log-dirty as they were; it runs on */
    HANDOFF_PASS_ON = 1 << 12, /* source: what this host knows of its own arrival: it moved on */
    /* Names decide nothing, so a rename stops nothing: that it failed is said. Within one host the
     * destination's name is free once the source has renamed. */
    HANDOFF_RENAME_AWAY = 1 << 13, /* source: NAME to NAME--migratedaway */
    HANDOFF_SEND_HEARD = 1 << 14,  /* source: the destination may forget */
    HANDOFF_DESTROY = 1 << 15,     /* source: our copy, which never runs again */
    HANDOFF_RENAME_OWN = 1 << 16,  /* destination: NAME--incoming to NAME */
    HANDOFF_MONITOR = 1 << 17,     /* destination: somebody acts on its reboot and its end */
    HANDOFF_FORGET = 1 << 18,      /* the journal's record is removed */
    HANDOFF_SEND_FAILED = 1 << 19, /* destination: it never ran and never will */
    HANDOFF_ADVISE = 1 << 20, /* say what is known and what a person can do; touch nothing else */
    HANDOFF_IMPOSSIBLE = 1 << 21,
};
enum { HANDOFF_ACTIONS = 22 };

struct handoff_step {
    enum handoff_state next;
    unsigned actions; /* bits of enum handoff_action */
};

struct handoff_step handoff_next(
    enum handoff_role role, enum handoff_state state, enum handoff_event event);

/* What one action does; -errno with an error ends the step. */
typedef int handoff_doer(void *arg, struct err *e);

/* Carries a step out. Doers are indexed by the number of the action's bit. An action without a
 * doer, and HANDOFF_IMPOSSIBLE, are ERR_INTERNAL before anything is done. */
int handoff_carry_out(
    struct handoff_step step, handoff_doer *const doers[HANDOFF_ACTIONS], void *arg, struct err *e);

/* The bit's number, for tables of doers. */
#define HANDOFF_INDEX(action) __builtin_ctz(action)

/* As the journal, the log and the model spell them. */
const char *handoff_role_name(enum handoff_role role);
const char *handoff_state_name(enum handoff_state state);
const char *handoff_event_name(enum handoff_event event);
const char *handoff_action_name(unsigned index);

/* Whose state it is. */
enum handoff_role handoff_role_of(enum handoff_state state);

/* GO was or may have been said: who has the guest is not known here alone. */
bool handoff_is_in_doubt(enum handoff_state state);

#endif
