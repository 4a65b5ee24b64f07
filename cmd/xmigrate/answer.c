/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/answer.h"

#include "cmd/exit_codes.h"
#include "cmd/handoff/journal.h"
#include "cmd/handoff/machine.h"
#include "cmd/xmigrate/handoff/recover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static enum answer answer_of(enum handoff_state state)
{
    switch (state) {
    case HANDOFF_STARTED:
        return ANSWER_STARTED;
    case HANDOFF_ENDED:
        return ANSWER_ENDED;
    case HANDOFF_MOVED_ON:
        return ANSWER_MOVED_ON;
    case HANDOFF_GONE:
        return ANSWER_GONE;
    default:
        return ANSWER_IN_DOUBT;
    }
}

/* Under another id this is not the journal that the source's READY came from. */
static bool is_our_journal(const struct incoming *in, struct err *e)
{
    char id[JOURNAL_ID_BYTES];

    return !journal_id(id, e) && !strcmp(id, in->ask.journal);
}

/* The record, locked, when the answer is neither IN_DOUBT nor UNKNOWN. */
static int look_up(
    struct incoming *in, struct xl *xl, struct journal *j, enum answer *answer, struct err *e)
{
    struct err busy = ERR_INIT;
    int rc;

    *answer = ANSWER_UNKNOWN;
    if (!is_our_journal(in, e))
        return err_is_set(e) ? -e->code : 0;
    rc = journal_open_session(j, in->ask.uuid, in->ask.session, &busy);
    if (rc == -EBUSY)
        *answer = ANSWER_IN_DOUBT;
    if (rc == -EBUSY || (rc == -ENOENT && !err_is_set(&busy)))
        return 0;
    if (rc)
        return err_take(e, &busy);
    if (strcmp(j->now.peer_key, in->peer.fingerprint)) {
        journal_keep(j);
        return 0;
    }
    rc = recover_answer(xl, &in->log, j, e);
    *answer = answer_of(j->now.state);
    return rc;
}

static void conclude(struct incoming *in, struct xl *xl, struct journal *j)
{
    const bool heard = incoming_await_heard(in);
    struct err e = ERR_INIT;

    if (heard && j->lock_fd >= 0 && !handoff_is_in_doubt(j->now.state) &&
        recover_heard(xl, &in->log, j, &e))
        log_error(&in->log, "%s", e.text);
    journal_keep(j);
}

int answer_question(struct incoming *in, struct xl *xl)
{
    struct message_answer answer = {.moved_to = ""};
    struct err e = ERR_INIT;
    struct journal j = {.lock_fd = -1};
    int rc = look_up(in, xl, &j, &answer.answer, &e);

    if (!rc && answer.answer == ANSWER_MOVED_ON)
        snprintf(answer.moved_to, sizeof(answer.moved_to), "%s", j.now.moved_to);
    if (!rc)
        rc = message_send_answer(&in->control, &answer, &e);
    if (rc) {
        log_error(&in->log, "%s asked what became of a guest: %s", in->who, e.text);
        journal_keep(&j);
        incoming_tell_failure(in, CONTROL_REFUSE, &e);
        return EXIT_FAILED;
    }
    conclude(in, xl, &j);
    return EXIT_DONE;
}
