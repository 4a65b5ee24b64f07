/* SPDX-License-Identifier: MIT */
#include "cmd/handoff/advice.h"

#include <stdio.h>

void handoff_advice(const struct journal_record *s, uint32_t domid, char text[static ADVICE_BYTES])
{
    switch (s->state) {
    case HANDOFF_GIVEN:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" (domain %u, suspended here) was given to %s: it may run there, have run there, "
            "or still start. Look there with xl list and xmigrate --recover. If it runs or ran "
            "there, here: xl destroy %u. Only if it never ran there, and what came of it is "
            "destroyed there: xmigrate --resume --force %u here",
            s->name, domid, s->peer, domid, domid);
        break;
    case HANDOFF_MOVED:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" (domain %u here) has run on %s since: this copy is old and must not run: xl "
            "destroy %u",
            s->name, domid, s->peer, domid);
        break;
    case HANDOFF_STARTED:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" (domain %u) runs here, but %s was not told: its copy there is suspended and "
            "must be destroyed there (xl list, xl destroy), never resumed",
            s->name, domid, s->peer);
        break;
    default:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" (domain %u here) came from %s and was not seen to start: leave it paused. If "
            "it has used no processor time (xl list), here: xl destroy %u, and then, there: "
            "xmigrate --resume --force; else its copy there must be destroyed, and here: xl "
            "unpause %u",
            s->name, domid, s->peer, domid, domid);
        break;
    }
}

void handoff_history(const struct journal_record *s, char text[static ADVICE_BYTES])
{
    switch (s->state) {
    case HANDOFF_STARTED:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" came from %s and was started here: what is left of it there must be destroyed",
            s->name, s->peer);
        break;
    case HANDOFF_ENDED:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" came from %s, ran here, or may have, and is no more: what is left of it there "
            "must be destroyed",
            s->name, s->peer);
        break;
    case HANDOFF_MOVED_ON:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" came from %s, ran here and moved on to %s: what is left of it there must be "
            "destroyed",
            s->name, s->peer, s->moved_to);
        break;
    default:
        snprintf(text, ADVICE_BYTES,
            "\"%s\" from %s never ran here and never will: if it is still suspended there, "
            "xmigrate --resume --force lets it run on",
            s->name, s->peer);
        break;
    }
}
