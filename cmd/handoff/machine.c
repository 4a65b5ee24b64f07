/* SPDX-License-Identifier: MIT */
#include "cmd/handoff/machine.h"

#include <errno.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static const char *const role_names[] = {
    [HANDOFF_SOURCE] = "source",
    [HANDOFF_DESTINATION] = "destination",
};

static const char *const state_names[] = {
    [HANDOFF_LIVE] = "live",
    [HANDOFF_GIVEN] = "given",
    [HANDOFF_BACK] = "back",
    [HANDOFF_MOVED] = "moved",
    [HANDOFF_COMING] = "incoming",
    [HANDOFF_READY] = "ready",
    [HANDOFF_TAKEN] = "taken",
    [HANDOFF_STARTED] = "started",
    [HANDOFF_GONE] = "gone",
};

static const char *const event_names[] = {
    [HANDOFF_READY_CAME] = "ready_came",
    [HANDOFF_GO_UNSENT] = "go_unsent",
    [HANDOFF_STARTED_CAME] = "started_came",
    [HANDOFF_FAILED_CAME] = "failed_came",
    [HANDOFF_NO_ANSWER] = "no_answer",
    [HANDOFF_BUILT] = "built",
    [HANDOFF_GO_CAME] = "go_came",
    [HANDOFF_RUNS] = "runs",
    [HANDOFF_UNSURE] = "unsure",
    [HANDOFF_TROUBLE] = "trouble",
    [HANDOFF_FOUND_NONE] = "found_none",
    [HANDOFF_FOUND_RUNNING] = "found_running",
    [HANDOFF_FOUND_STOPPED] = "found_stopped",
    [HANDOFF_RESUME_ASKED] = "resume_asked",
};

static const char *const action_names[] = {
    [HANDOFF_INDEX(HANDOFF_RENAME_AWAY)] = "rename_away",
    [HANDOFF_INDEX(HANDOFF_RECORD)] = "record",
    [HANDOFF_INDEX(HANDOFF_SEND_READY)] = "send_ready",
    [HANDOFF_INDEX(HANDOFF_SEND_GO)] = "send_go",
    [HANDOFF_INDEX(HANDOFF_RENAME_OWN)] = "rename_own",
    [HANDOFF_INDEX(HANDOFF_UNPAUSE)] = "unpause",
    [HANDOFF_INDEX(HANDOFF_SEND_STARTED)] = "send_started",
    [HANDOFF_INDEX(HANDOFF_TAKE_BACK)] = "take_back",
    [HANDOFF_INDEX(HANDOFF_RESUME)] = "resume",
    [HANDOFF_INDEX(HANDOFF_DESTROY)] = "destroy",
    [HANDOFF_INDEX(HANDOFF_MONITOR)] = "monitor",
    [HANDOFF_INDEX(HANDOFF_FORGET)] = "forget",
    [HANDOFF_INDEX(HANDOFF_SEND_FAILED)] = "send_failed",
    [HANDOFF_INDEX(HANDOFF_ADVISE)] = "advise",
    [HANDOFF_INDEX(HANDOFF_IMPOSSIBLE)] = "impossible",
};

_Static_assert(COUNT_OF(role_names) == HANDOFF_ROLES && COUNT_OF(state_names) == HANDOFF_STATES &&
                   COUNT_OF(event_names) == HANDOFF_EVENTS &&
                   COUNT_OF(action_names) == HANDOFF_ACTIONS,
    "everything has a name");

/* What is possible; all else is not. The rows of a state stand together. */
static const struct row {
    enum handoff_state state;
    enum handoff_event event;
    enum handoff_state next;
    unsigned actions;
} rows[] = {
    {HANDOFF_LIVE, HANDOFF_READY_CAME, HANDOFF_GIVEN,
        HANDOFF_RENAME_AWAY | HANDOFF_RECORD | HANDOFF_SEND_GO},
    {HANDOFF_LIVE, HANDOFF_TROUBLE, HANDOFF_BACK, HANDOFF_RESUME | HANDOFF_FORGET},
    {HANDOFF_LIVE, HANDOFF_FOUND_NONE, HANDOFF_BACK, HANDOFF_FORGET},
    {HANDOFF_LIVE, HANDOFF_FOUND_RUNNING, HANDOFF_BACK, HANDOFF_RESUME | HANDOFF_FORGET},
    {HANDOFF_LIVE, HANDOFF_FOUND_STOPPED, HANDOFF_BACK, HANDOFF_RESUME | HANDOFF_FORGET},
    {HANDOFF_LIVE, HANDOFF_RESUME_ASKED, HANDOFF_BACK, HANDOFF_RESUME | HANDOFF_FORGET},

    {HANDOFF_GIVEN, HANDOFF_GO_UNSENT, HANDOFF_BACK,
        HANDOFF_TAKE_BACK | HANDOFF_RESUME | HANDOFF_FORGET},
    {HANDOFF_GIVEN, HANDOFF_STARTED_CAME, HANDOFF_MOVED, HANDOFF_DESTROY | HANDOFF_FORGET},
    {HANDOFF_GIVEN, HANDOFF_FAILED_CAME, HANDOFF_BACK,
        HANDOFF_TAKE_BACK | HANDOFF_RESUME | HANDOFF_FORGET},
    {HANDOFF_GIVEN, HANDOFF_NO_ANSWER, HANDOFF_GIVEN, HANDOFF_ADVISE},
    {HANDOFF_GIVEN, HANDOFF_FOUND_NONE, HANDOFF_MOVED, HANDOFF_FORGET},
    {HANDOFF_GIVEN, HANDOFF_FOUND_RUNNING, HANDOFF_BACK, HANDOFF_FORGET},
    {HANDOFF_GIVEN, HANDOFF_FOUND_STOPPED, HANDOFF_GIVEN, HANDOFF_ADVISE},
    {HANDOFF_GIVEN, HANDOFF_RESUME_ASKED, HANDOFF_BACK, HANDOFF_RESUME | HANDOFF_FORGET},

    {HANDOFF_COMING, HANDOFF_BUILT, HANDOFF_READY, HANDOFF_SEND_READY},
    {HANDOFF_COMING, HANDOFF_TROUBLE, HANDOFF_GONE,
        HANDOFF_DESTROY | HANDOFF_FORGET | HANDOFF_SEND_FAILED},
    {HANDOFF_COMING, HANDOFF_FOUND_NONE, HANDOFF_GONE, HANDOFF_FORGET},
    {HANDOFF_COMING, HANDOFF_FOUND_RUNNING, HANDOFF_GONE, HANDOFF_DESTROY | HANDOFF_FORGET},
    {HANDOFF_COMING, HANDOFF_FOUND_STOPPED, HANDOFF_GONE, HANDOFF_DESTROY | HANDOFF_FORGET},

    {HANDOFF_READY, HANDOFF_GO_CAME, HANDOFF_TAKEN,
        HANDOFF_RECORD | HANDOFF_RENAME_OWN | HANDOFF_UNPAUSE},
    {HANDOFF_READY, HANDOFF_TROUBLE, HANDOFF_GONE,
        HANDOFF_DESTROY | HANDOFF_FORGET | HANDOFF_SEND_FAILED},

    {HANDOFF_TAKEN, HANDOFF_RUNS, HANDOFF_STARTED, HANDOFF_SEND_STARTED | HANDOFF_FORGET},
    {HANDOFF_TAKEN, HANDOFF_UNSURE, HANDOFF_TAKEN, HANDOFF_ADVISE},
    {HANDOFF_TAKEN, HANDOFF_TROUBLE, HANDOFF_GONE,
        HANDOFF_DESTROY | HANDOFF_FORGET | HANDOFF_SEND_FAILED},
    {HANDOFF_TAKEN, HANDOFF_FOUND_NONE, HANDOFF_GONE, HANDOFF_FORGET},
    {HANDOFF_TAKEN, HANDOFF_FOUND_RUNNING, HANDOFF_STARTED, HANDOFF_MONITOR | HANDOFF_FORGET},
    {HANDOFF_TAKEN, HANDOFF_FOUND_STOPPED, HANDOFF_TAKEN, HANDOFF_ADVISE},

    {HANDOFF_STARTED, HANDOFF_TROUBLE, HANDOFF_STARTED, HANDOFF_ADVISE},
};

struct handoff_step handoff_next(
    enum handoff_role role, enum handoff_state state, enum handoff_event event)
{
    if (handoff_role_of(state) == role)
        for (const struct row *r = rows; r < rows + COUNT_OF(rows); r++)
            if (r->state == state && r->event == event)
                return (struct handoff_step){r->next, r->actions};
    return (struct handoff_step){state, HANDOFF_IMPOSSIBLE};
}

int handoff_carry_out(
    struct handoff_step step, handoff_doer *const doers[HANDOFF_ACTIONS], void *arg, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < HANDOFF_ACTIONS; i++)
        if ((step.actions & 1u << i) && !doers[i])
            return err_set(e, ERR_INTERNAL, EINVAL, "the hand-off wants \"%s\" where nobody can",
                handoff_action_name(i));
    for (unsigned i = 0; i < HANDOFF_ACTIONS && !rc; i++)
        if (step.actions & 1u << i)
            rc = doers[i](arg, e);
    return rc;
}

const char *handoff_role_name(enum handoff_role role)
{
    return role_names[role];
}

const char *handoff_state_name(enum handoff_state state)
{
    return state_names[state];
}

const char *handoff_event_name(enum handoff_event event)
{
    return event_names[event];
}

const char *handoff_action_name(unsigned index)
{
    return action_names[index];
}

enum handoff_role handoff_role_of(enum handoff_state state)
{
    return state < HANDOFF_COMING ? HANDOFF_SOURCE : HANDOFF_DESTINATION;
}

bool handoff_is_in_doubt(enum handoff_state state)
{
    return state == HANDOFF_GIVEN || state == HANDOFF_TAKEN;
}
