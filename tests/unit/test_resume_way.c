/* SPDX-License-Identifier: MIT */
/* How a suspended guest runs on, by what is known of it. */
#include "cmd/xmigrate/resume_way.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void ways_are_chosen_by_what_is_known(void **state)
{
    static const struct {
        bool hvm, drivers, resumable;
        enum notes_origin notes;
        const char *os;
        bool cancel;
        enum resume_way way;
        bool is_known;
    } cases[] = {
        {false, true, false, NOTES_FILE, "linux", true, RESUME_COOPERATIVE, true},
        {false, true, false, NOTES_MEMORY, "linux", true, RESUME_COOPERATIVE, true},
        {false, true, false, NOTES_FILE, "linux", false, RESUME_REVIVE, true},
        {false, true, true, NOTES_FILE, "linux", false, RESUME_COOPERATIVE, true},
        {false, true, true, NOTES_NONE, "", false, RESUME_COOPERATIVE, true},
        {false, true, false, NOTES_NONE, "", false, RESUME_COOPERATIVE, false},
        {false, true, false, NOTES_FILE, "GRUB", false, RESUME_COOPERATIVE, false},
        {true, false, false, NOTES_MEMORY, "linux", false, RESUME_COOPERATIVE, true},
        {true, true, false, NOTES_MEMORY, "linux", true, RESUME_COOPERATIVE, true},
        {true, true, false, NOTES_MEMORY, "linux", false, RESUME_REVIVE, true},
        {true, true, false, NOTES_NONE, "", false, RESUME_COOPERATIVE, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct suspend_facts facts = {SUSPEND_CAN, cases[i].resumable, cases[i].drivers};
        struct kernel_notes notes = {.origin = cases[i].notes, .suspend_cancel = cases[i].cancel};

        snprintf(notes.os, sizeof(notes.os), "%s", cases[i].os);

        const struct resume_choice c = resume_choose(cases[i].hvm, &facts, &notes);

        assert_int_equal(c.way, cases[i].way);
        assert_int_equal(c.is_known, cases[i].is_known);
        assert_true(strlen(c.why) > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways_are_chosen_by_what_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
