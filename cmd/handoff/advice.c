/* SPDX-License-Identifier: MIT */
#include "cmd/handoff/advice.h"

#include <stdio.h>

void handoff_advice(const struct journal_record *s, uint32_t domid, char text[static ADVICE_BYTES])
{
    switch (s->state) {
    case HANDOFF_GIVEN:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" (domain %u, suspended here) was given to %s: it may run there, have run there, "
            "or still start. xmigrate --resolve %u asks that host, where xmigrate --listen has to "
            "run, and settles it. If it cannot be asked: if it runs or ran there, here: xl destroy "
            "%u; only if it never ran there, and what came of it is destroyed there: xmigrate "
            "--resume --force %u here",
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
