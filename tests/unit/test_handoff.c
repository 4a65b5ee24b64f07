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
    {"source", "live", "ready_came", "given", "rename_away record send_go"},
    {"source", "live", "trouble", "back", "resume forget"},
    {"source", "live", "found_none", "back", "forget"},
    {"source", "live", "found_running", "back", "resume forget"},
    {"source", "live", "found_stopped", "back", "resume forget"},
    {"source", "live", "resume_asked", "back", "resume forget"},
    {"source", "given", "go_unsent", "back", "take_back resume forget"},
    {"source", "given", "started_came", "moved", "destroy forget"},
    {"source", "given", "failed_came", "back", "take_back resume forget"},
    {"source", "given", "no_answer", "given", "advise"},
    {"source", "given", "found_none", "moved", "forget"},
    {"source", "given", "found_running", "back", "forget"},
    {"source", "given", "found_stopped", "given", "advise"},
    {"source", "given", "resume_asked", "back", "resume forget"},
    {"destination", "incoming", "built", "ready", "send_ready"},
    {"destination", "incoming", "trouble", "gone", "destroy forget send_failed"},
    {"destination", "incoming", "found_none", "gone", "forget"},
    {"destination", "incoming", "found_running", "gone", "destroy forget"},
    {"destination", "incoming", "found_stopped", "gone", "destroy forget"},
    {"destination", "ready", "go_came", "taken", "record rename_own unpause"},
    {"destination", "ready", "trouble", "gone", "destroy forget send_failed"},
    {"destination", "taken", "runs", "started", "send_started forget"},
    {"destination", "taken", "unsure", "taken", "advise"},
    {"destination", "taken", "trouble", "gone", "destroy forget send_failed"},
    {"destination", "taken", "found_none", "gone", "forget"},
    {"destination", "taken", "found_running", "started", "monitor forget"},
    {"destination", "taken", "found_stopped", "taken", "advise"},
    {"destination", "started", "trouble", "started", "advise"},
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
    (void)from;
    (void)event;
    /* What gives the guest away, or lets it run, is on disk before. */
    if (step.actions & (HANDOFF_SEND_GO | HANDOFF_UNPAUSE)) {
        assert_true(step.actions & HANDOFF_RECORD);
        assert_true(handoff_is_in_doubt(step.next));
    }
    /* FAILED is only said of a copy that is gone. */
    if (step.actions & HANDOFF_SEND_FAILED)
        assert_true(step.actions & HANDOFF_DESTROY);
    /* Nobody keeps the guest and destroys it. */
    assert_false((step.actions & HANDOFF_RESUME) && (step.actions & HANDOFF_DESTROY));
    /* Advice is all there is, or it would be too late. */
    if (step.actions & HANDOFF_ADVISE)
        assert_int_equal(step.actions, HANDOFF_ADVISE);
}

static void what_must_come_first_does(void **arg)
{
    (void)arg;
    assert_true(HANDOFF_RECORD < HANDOFF_SEND_GO && HANDOFF_RECORD < HANDOFF_UNPAUSE);
    assert_true(HANDOFF_TAKE_BACK < HANDOFF_RESUME && HANDOFF_RESUME < HANDOFF_FORGET);
    assert_true(HANDOFF_DESTROY < HANDOFF_FORGET && HANDOFF_DESTROY < HANDOFF_SEND_FAILED);
    all_steps(check_order);
}

static void check_given(enum handoff_state from, enum handoff_event event, struct handoff_step step)
{
    if (from == HANDOFF_GIVEN && (step.actions & HANDOFF_RESUME))
        assert_true(event == HANDOFF_GO_UNSENT || event == HANDOFF_FAILED_CAME ||
                    event == HANDOFF_RESUME_ASKED);
}

static void silence_entitles_the_source_to_nothing(void **arg)
{
    (void)arg;
    all_steps(check_given);
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
    assert_int_equal(l.done[0], HANDOFF_RENAME_AWAY);
    assert_int_equal(l.done[1], HANDOFF_RECORD);
    assert_int_equal(l.done[2], HANDOFF_SEND_GO);
    l = (struct log_of){.fail_at = HANDOFF_RECORD};
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
