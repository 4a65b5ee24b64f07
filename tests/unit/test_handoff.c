/* SPDX-License-Identifier: MIT */
/* The hand-off's machine: every role, state and event, the impossible ones too; and what no step
 * may ever do. */
#include "cmd/handoff/machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* All that is possible, in words. */
static const struct expected {
    const char *role, *state, *event, *next, *actions;
} table[] = {
    {"source", "live", "ready_came", "given", "disarm record check_limit send_go"},
    {"source", "live", "failed_came", "back", "resume send_heard forget"},
    {"source", "live", "trouble", "back", "resume send_heard forget"},
    {"source", "live", "found_none", "back", "forget"},
    {"source", "live", "found_running", "back", "resume forget"},
    {"source", "live", "found_stopped", "back", "resume forget"},
    {"source", "live", "resume_asked", "back", "resume forget"},
    {"source", "live", "resume_forced", "back", "resume forget"},
    {"source", "given", "go_unsent", "back", "take_back resume send_heard forget"},
    {"source", "given", "started_came", "moved",
        "record pass_on rename_away send_heard destroy forget"},
    {"source", "given", "failed_came", "back", "take_back resume send_heard forget"},
    {"source", "given", "no_answer", "given", "rename_away advise"},
    {"source", "given", "found_none", "moved", "forget"},
    {"source", "given", "found_running", "back", "forget"},
    {"source", "given", "found_stopped", "given", "rename_away advise"},
    {"source", "given", "resume_asked", "given", "advise"},
    {"source", "given", "resume_forced", "back", "take_back resume forget"},
    {"source", "moved", "found_none", "moved", "forget"},
    {"source", "moved", "found_running", "moved", "advise"},
    {"source", "moved", "found_stopped", "moved", "destroy forget"},
    {"source", "moved", "resume_asked", "moved", "advise"},
    {"source", "moved", "resume_forced", "moved", "advise"},
    {"destination", "incoming", "built", "ready", "note send_ready"},
    {"destination", "incoming", "peer_asks", "ready", ""},
    {"destination", "incoming", "trouble", "gone", "unbuild forget send_failed"},
    {"destination", "incoming", "found_none", "gone", "forget"},
    {"destination", "incoming", "found_running", "gone", "unbuild forget"},
    {"destination", "incoming", "found_stopped", "gone", "unbuild forget"},
    {"destination", "ready", "go_came", "taken", "record check_limit unpause"},
    {"destination", "ready", "trouble", "gone", "record unbuild send_failed"},
    {"destination", "ready", "found_none", "gone", "record"},
    {"destination", "ready", "found_running", "gone", "record unbuild"},
    {"destination", "ready", "found_stopped", "gone", "record unbuild"},
    {"destination", "taken", "runs", "started", "send_started"},
    {"destination", "taken", "unsure", "taken", "advise"},
    {"destination", "taken", "trouble", "gone", "record unbuild send_failed"},
    {"destination", "taken", "peer_asks", "gone", "hold record unbuild"},
    {"destination", "taken", "passed_on", "moved_on", "record"},
    {"destination", "taken", "found_none", "ended", "record"},
    {"destination", "taken", "found_running", "started", "record rename_own monitor"},
    {"destination", "taken", "found_stopped", "taken", "advise"},
    {"destination", "started", "heard_came", "started", "rename_own forget"},
    {"destination", "started", "dismissed", "started", "forget"},
    {"destination", "started", "unheard", "started", "record rename_own advise"},
    {"destination", "started", "passed_on", "moved_on", "record"},
    {"destination", "started", "found_none", "ended", "record"},
    {"destination", "started", "found_running", "started", "rename_own monitor"},
    {"destination", "started", "found_stopped", "started", ""},
    {"destination", "ended", "heard_came", "ended", "forget"},
    {"destination", "ended", "dismissed", "ended", "forget"},
    {"destination", "ended", "unheard", "ended", ""},
    {"destination", "ended", "found_none", "ended", ""},
    {"destination", "ended", "found_running", "ended", ""},
    {"destination", "ended", "found_stopped", "ended", ""},
    {"destination", "moved_on", "heard_came", "moved_on", "forget"},
    {"destination", "moved_on", "dismissed", "moved_on", "forget"},
    {"destination", "moved_on", "unheard", "moved_on", ""},
    {"destination", "moved_on", "found_none", "moved_on", ""},
    {"destination", "moved_on", "found_running", "moved_on", ""},
    {"destination", "moved_on", "found_stopped", "moved_on", ""},
    {"destination", "gone", "heard_came", "gone", "forget"},
    {"destination", "gone", "dismissed", "gone", "forget"},
    {"destination", "gone", "unheard", "gone", ""},
    {"destination", "gone", "found_none", "gone", ""},
    {"destination", "gone", "found_running", "gone", ""},
    {"destination", "gone", "found_stopped", "gone", "unbuild"},
};

enum { EXPECTED = sizeof(table) / sizeof(table[0]) };

static void spell(unsigned actions, char out[static 256])
{
    out[0] = '\0';
    for (unsigned i = 0; i < HANDOFF_ACTIONS; i++)
        if (actions & 1u << i)
            snprintf(out + strlen(out), 256 - strlen(out), "%s%s", out[0] ? " " : "",
                handoff_action_name(i));
}

static const struct expected *find(
    enum handoff_role role, enum handoff_state state, enum handoff_event event)
{
    for (const struct expected *x = table; x < table + EXPECTED; x++)
        if (!strcmp(x->role, handoff_role_name(role)) &&
            !strcmp(x->state, handoff_state_name(state)) &&
            !strcmp(x->event, handoff_event_name(event)))
            return x;
    return NULL;
}

static void every_step_is_as_expected(void **arg)
{
    unsigned possible = 0;

    (void)arg;
    for (int r = 0; r < HANDOFF_ROLES; r++)
        for (int s = 0; s < HANDOFF_STATES; s++)
            for (int v = 0; v < HANDOFF_EVENTS; v++) {
                const struct handoff_step step = handoff_next(r, s, v);
                const struct expected *x = find(r, s, v);
                char actions[256];

                spell(step.actions, actions);
                assert_string_equal(actions, x ? x->actions : "impossible");
                assert_string_equal(
                    handoff_state_name(step.next), x ? x->next : handoff_state_name(s));
                assert_int_equal(handoff_role_of(step.next), handoff_role_of(s));
                possible += x != NULL;
            }
    assert_int_equal(possible, EXPECTED);
}

/* For every possible step. */
static void all_steps(
    void (*check)(enum handoff_state from, enum handoff_event event, struct handoff_step step))
{
    for (int s = 0; s < HANDOFF_STATES; s++)
        for (int v = 0; v < HANDOFF_EVENTS; v++) {
            const struct handoff_step step = handoff_next(handoff_role_of(s), s, v);

            if (!(step.actions & HANDOFF_IMPOSSIBLE))
                check(s, v, step);
        }
}

static void check_order(enum handoff_state from, enum handoff_event event, struct handoff_step step)
{
    /* What gives the guest away, or lets it run, is on disk before, and not too late. */
    if (step.actions & (HANDOFF_SEND_GO | HANDOFF_UNPAUSE)) {
        assert_true(step.actions & HANDOFF_RECORD);
        assert_true(step.actions & HANDOFF_CHECK_LIMIT);
        assert_true(handoff_is_in_doubt(step.next));
    }
    if (step.actions & HANDOFF_SEND_GO)
        assert_true(step.actions & HANDOFF_DISARM);
    /* FAILED is only said of a copy that is gone, and remembered where GO may be on its way. */
    if (step.actions & HANDOFF_SEND_FAILED) {
        assert_true(step.actions & HANDOFF_UNBUILD);
        assert_true((step.actions & HANDOFF_RECORD) || from == HANDOFF_COMING);
    }
    /* Nobody keeps the guest and destroys it. */
    assert_false((step.actions & HANDOFF_RESUME) && (step.actions & HANDOFF_DESTROY));
    /* Advice is all there is, or it would be too late; but that it runs is remembered. */
    if (step.actions & HANDOFF_ADVISE) {
        const unsigned besides = step.actions & ~(unsigned)HANDOFF_ADVISE;

        assert_false(
            besides & ~(unsigned)(HANDOFF_RENAME_AWAY | HANDOFF_RENAME_OWN | HANDOFF_RECORD));
        assert_true(!(besides & HANDOFF_RECORD) || event == HANDOFF_UNHEARD);
    }
    /* The source waits for STARTED and the network for what follows it: "taken" is on disk. */
    if (step.actions & HANDOFF_SEND_STARTED)
        assert_int_equal(step.actions, HANDOFF_SEND_STARTED);
    /* The guest stands still no longer than it must: not for names. And a copy that may be given
     * back has its own name still. */
    if (step.actions & HANDOFF_RENAME_AWAY)
        assert_true(from == HANDOFF_GIVEN && step.next != HANDOFF_BACK);
    if (step.actions & HANDOFF_RENAME_OWN)
        assert_int_equal(step.next, HANDOFF_STARTED);
    assert_false((step.actions & (HANDOFF_RENAME_AWAY | HANDOFF_RENAME_OWN)) &&
                 (step.actions & (HANDOFF_SEND_GO | HANDOFF_UNPAUSE | HANDOFF_SEND_STARTED)));
}

static void what_must_come_first_does(void **arg)
{
    (void)arg;
    assert_true(HANDOFF_DISARM < HANDOFF_RECORD && HANDOFF_RECORD < HANDOFF_CHECK_LIMIT);
    assert_true(HANDOFF_CHECK_LIMIT < HANDOFF_SEND_GO && HANDOFF_CHECK_LIMIT < HANDOFF_UNPAUSE);
    assert_true(HANDOFF_NOTE < HANDOFF_SEND_READY);
    /* Within one host the name is free when the destination hears of it, and only then asked for.
     */
    assert_true(HANDOFF_RECORD < HANDOFF_RENAME_AWAY && HANDOFF_RENAME_AWAY < HANDOFF_SEND_HEARD);
    assert_true(HANDOFF_RENAME_OWN < HANDOFF_FORGET);
    assert_true(HANDOFF_TAKE_BACK < HANDOFF_RESUME && HANDOFF_RESUME < HANDOFF_FORGET);
    assert_true(HANDOFF_RECORD < HANDOFF_SEND_HEARD && HANDOFF_SEND_HEARD < HANDOFF_DESTROY);
    assert_true(HANDOFF_TAKE_BACK < HANDOFF_SEND_HEARD && HANDOFF_DESTROY < HANDOFF_FORGET);
    assert_true(HANDOFF_HOLD < HANDOFF_RECORD);
    assert_true(HANDOFF_RECORD < HANDOFF_UNBUILD && HANDOFF_UNBUILD < HANDOFF_SEND_FAILED);
    all_steps(check_order);
}

/* What entitles whom to let old memory run, or to destroy what may be the newest. */
static void check_rights(
    enum handoff_state from, enum handoff_event event, struct handoff_step step)
{
    if (step.actions & HANDOFF_RESUME)
        assert_true(
            from == HANDOFF_LIVE ||
            (from == HANDOFF_GIVEN && (event == HANDOFF_GO_UNSENT || event == HANDOFF_FAILED_CAME ||
                                          event == HANDOFF_RESUME_FORCED)));
    if (event == HANDOFF_DISMISSED && !(step.actions & HANDOFF_IMPOSSIBLE))
        assert_true(step.actions == HANDOFF_FORGET &&
                    handoff_role_of(from) == HANDOFF_DESTINATION && from > HANDOFF_TAKEN);
    if (step.actions & HANDOFF_UNPAUSE)
        assert_true(from == HANDOFF_READY && event == HANDOFF_GO_CAME);
    if (step.actions & HANDOFF_DESTROY)
        assert_true(step.next == HANDOFF_MOVED);
    if (step.actions & HANDOFF_UNBUILD)
        assert_true(
            from == HANDOFF_COMING || from == HANDOFF_READY || from == HANDOFF_GONE ||
            (from == HANDOFF_TAKEN && (event == HANDOFF_TROUBLE || (step.actions & HANDOFF_HOLD))));
}

static void silence_entitles_the_source_to_nothing(void **arg)
{
    (void)arg;
    all_steps(check_rights);
}

static void names_are_unique(void **arg)
{
    const char *names[HANDOFF_STATES + HANDOFF_EVENTS + HANDOFF_ACTIONS];
    unsigned n = 0;

    (void)arg;
    for (int i = 0; i < HANDOFF_STATES; i++)
        names[n++] = handoff_state_name(i);
    for (int i = 0; i < HANDOFF_EVENTS; i++)
        names[n++] = handoff_event_name(i);
    for (int i = 0; i < HANDOFF_ACTIONS; i++)
        names[n++] = handoff_action_name(i);
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(names[i], names[k]);
}

/* --- carrying out --- */

struct log_of {
    unsigned done[4], count, fail_at;
};

static int do_it(struct log_of *l, unsigned what, struct err *e)
{
    l->done[l->count++] = what;
    return what == l->fail_at ? err_set(e, ERR_LOCAL, EIO, "no") : 0;
}

static int do_record(void *arg, struct err *e)
{
    return do_it(arg, HANDOFF_RECORD, e);
}

static int do_go(void *arg, struct err *e)
{
    return do_it(arg, HANDOFF_SEND_GO, e);
}

static int do_rename(void *arg, struct err *e)
{
    return do_it(arg, HANDOFF_RENAME_AWAY, e);
}

static void actions_come_in_order_until_one_fails(void **arg)
{
    handoff_doer *const doers[HANDOFF_ACTIONS] = {
        [HANDOFF_INDEX(HANDOFF_RECORD)] = do_record,
        [HANDOFF_INDEX(HANDOFF_SEND_GO)] = do_go,
        [HANDOFF_INDEX(HANDOFF_RENAME_AWAY)] = do_rename,
    };
    const struct handoff_step step = {
        HANDOFF_GIVEN, HANDOFF_SEND_GO | HANDOFF_RECORD | HANDOFF_RENAME_AWAY};
    struct log_of l = {0};
    struct err e = ERR_INIT;

    (void)arg;
    assert_int_equal(handoff_carry_out(step, doers, &l, &e), 0);
    assert_int_equal(l.count, 3);
    assert_int_equal(l.done[0], HANDOFF_RECORD);
    assert_int_equal(l.done[1], HANDOFF_SEND_GO);
    assert_int_equal(l.done[2], HANDOFF_RENAME_AWAY);
    l = (struct log_of){.fail_at = HANDOFF_SEND_GO};
    assert_int_equal(handoff_carry_out(step, doers, &l, &e), -EIO);
    assert_int_equal(l.count, 2);
}

static void what_nobody_can_do_is_refused_before_anything_is_done(void **arg)
{
    handoff_doer *const doers[HANDOFF_ACTIONS] = {
        [HANDOFF_INDEX(HANDOFF_RECORD)] = do_record,
    };
    static const unsigned bad[] = {HANDOFF_RECORD | HANDOFF_RESUME, HANDOFF_IMPOSSIBLE};
    struct log_of l = {0};

    (void)arg;
    for (size_t i = 0; i < 2; i++) {
        const struct handoff_step step = {HANDOFF_GIVEN, bad[i]};
        struct err e = ERR_INIT;

        assert_int_equal(handoff_carry_out(step, doers, &l, &e), -EINVAL);
        assert_int_equal(e.class, ERR_INTERNAL);
    }
    assert_int_equal(l.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_is_as_expected),
        cmocka_unit_test(what_must_come_first_does),
        cmocka_unit_test(silence_entitles_the_source_to_nothing),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(actions_come_in_order_until_one_fails),
        cmocka_unit_test(what_nobody_can_do_is_refused_before_anything_is_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
