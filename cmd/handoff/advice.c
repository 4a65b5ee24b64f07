/* SPDX-License-Identifier: MIT */
#include "cmd/handoff/advice.h"

#include <errno.h>
#include <stdio.h>

void handoff_advice(const struct journal_record *s, uint32_t domid, char text[static ADVICE_BYTES])
{
    switch (s->state) {
    case HANDOFF_GIVEN:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" (domain %u, suspended here) was given to %s: it may run there, have run there, "
            "or still start. xmigrate --resolve %u settles it, while xmigrate --listen runs there. "
            "If that cannot be: xl destroy %u if it runs or ran there; xmigrate --resume --force "
            "%u only if it never did and its copy there is destroyed",
            s->name, domid, s->peer, domid, domid, domid);
        break;
    case HANDOFF_MOVED:
        if (s->file[0])
            snprintf(text, ADVICE_BYTES,
                "\"%s\" (domain %u here) is saved in %s: this copy must not run beside what is "
                "restored from that: xl destroy %u",
                s->name, domid, s->file, domid);
        else
            snprintf(text, ADVICE_BYTES,
                "\"%s\" (domain %u here) has run on %s since: this copy is old and must not run: "
                "xl destroy %u",
                s->name, domid, s->peer, domid);
        break;
    case HANDOFF_STARTED:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" (domain %u) runs here, but %s was not told: its copy there is suspended and "
            "must never be resumed; xmigrate --resolve there destroys it",
            s->name, domid, s->peer);
        break;
    default:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" (domain %u here) came from %s and was not seen to start: leave it paused. "
            "xmigrate --resolve there, while xmigrate --listen runs here, settles it",
            s->name, domid, s->peer);
        break;
    }
}

/* What ends each of them; %s: the UUID. */
#define DISMISS "; when nothing is left there, xmigrate --dismiss %s here forgets this"

void handoff_history(const struct journal_record *s, char text[static ADVICE_BYTES])
{
    switch (s->state) {
    case HANDOFF_STARTED:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" came from %s and was started here: what is left of it there must be destroyed "
            "(xmigrate --resolve there)" DISMISS,
            s->name, s->peer, s->uuid);
        break;
    case HANDOFF_ENDED:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" came from %s, ran here, or may have, and is no more: what is left of it there "
            "must be destroyed (xmigrate --resolve there)" DISMISS,
            s->name, s->peer, s->uuid);
        break;
    case HANDOFF_MOVED_ON:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" came from %s, ran here and moved on to %s: what is left of it there must be "
            "destroyed (xmigrate --resolve there)" DISMISS,
            s->name, s->peer, s->moved_to, s->uuid);
        break;
    default:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" from %s never ran here and never will: if it is still suspended there, "
            "xmigrate --resolve there lets it run on" DISMISS,
            s->name, s->peer, s->uuid);
        break;
    }
}

/* When a connection breaks, nobody knows at which end. */
static void name_culprit(const struct err *why, const char *peer, char who[static ERR_TEXT_BYTES])
{
    const bool is_hosts = why->class != ERR_GUEST && why->class != ERR_CANCELLED;

    switch (why->side) {
    case SIDE_UNKNOWN:
        snprintf(who, ERR_TEXT_BYTES, "%s, or the way there: ", peer);
        break;
    case SIDE_SOURCE:
        snprintf(who, ERR_TEXT_BYTES, "%s", is_hosts ? "this host: " : "");
        break;
    case SIDE_DESTINATION:
        snprintf(who, ERR_TEXT_BYTES, "%s: ", peer);
        break;
    }
}

static const char *what_to_do(const struct err *why)
{
    switch (why->class) {
    case ERR_PEER:
        return why->side == SIDE_UNKNOWN ? ": see whether xmigrate --listen there and the network "
                                           "are well, then try again"
                                         : ": try again";
    case ERR_LOCAL:
        return why->side == SIDE_DESTINATION ? ": put that right there, then try again"
                                             : ": put that right here, then try again";
    case ERR_GUEST:
        return ": try again when it can do that";
    case ERR_INTERNAL:
        return ": that is a fault of xmigrate, please report it";
    case ERR_CANCELLED:
        return ", and may be moved another time";
    default:
        return "";
    }
}

void handoff_failure(
    const struct err *why, const char *name, const char *peer, char text[static ADVICE_BYTES])
{
    char who[ERR_TEXT_BYTES] = "";

    name_culprit(why, peer, who);
    if (why->class == ERR_GUEST && why->code == ESHUTDOWN) /* it has ended by itself */
        snprintf(text, ADVICE_BYTES, "%.400s%s; \"%s\" is still here, and was not moved", who,
            why->text, name);
    else
        snprintf(text, ADVICE_BYTES, "%.400s%s; \"%s\" runs on here%s", who, why->text, name,
            what_to_do(why));
}

void handoff_unsettled(struct err *why, const char *name, const struct err *trouble, bool runs)
{
    struct err both = ERR_INIT;

    err_set(&both, why->class, why->code, "%s; bringing \"%s\" back: %s; %stry xmigrate --recover",
        why->text, name, trouble->text, runs ? "it runs here; " : "look with xl list, then ");
    both.side = why->side;
    *why = both;
}
