/* SPDX-License-Identifier: MIT */
/* Who has to go when too many strangers are at the door. */
#include "cmd/xmigrate/session/crowd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 8 };

static const struct crowd_limits limits = {.per_address = 3, .in_all = 6};

/* Each letter is a connection of that address, the oldest first. */
static int victim(const char *of, char next)
{
    struct crowd_address all[MOST] = {{{0}}}, one = {{(unsigned char)next}};
    const unsigned count = (unsigned)strlen(of);

    assert_true(count <= MOST);
    for (unsigned i = 0; i < count; i++)
        all[i].bytes[0] = (unsigned char)of[i];
    return crowd_victim(all, count, &one, &limits);
}

static void nobody_goes_while_there_is_room(void **state)
{
    (void)state;
    assert_int_equal(victim("", 'a'), -1);
    assert_int_equal(victim("aa", 'a'), -1);
    assert_int_equal(victim("aaabb", 'b'), -1);
}

static void an_address_has_its_share_and_its_oldest_goes(void **state)
{
    (void)state;
    assert_int_equal(victim("aaa", 'a'), 0);
    assert_int_equal(victim("bbaaa", 'a'), 2);
}

static void a_full_room_loses_the_oldest_of_who_has_most(void **state)
{
    (void)state;
    assert_int_equal(victim("abccdd", 'e'), 2);
    assert_int_equal(victim("cabccd", 'e'), 0);
    assert_int_equal(victim("abcdef", 'g'), 0); /* all alike: the oldest of all */
    assert_int_equal(victim("babaab", 'a'), 1); /* its own share comes first */
}

static void a_newcomer_is_never_turned_away(void **state)
{
    const char letters[] = "abcdefgh";
    char of[MOST + 1] = "";

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        const char next = letters[i * 7919 % (sizeof(letters) - 1)];
        const int goes = victim(of, next);

        if (goes >= 0)
            memmove(of + goes, of + goes + 1, strlen(of + goes));
        assert_true(strlen(of) < limits.in_all);
        strncat(of, &next, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_goes_while_there_is_room),
        cmocka_unit_test(an_address_has_its_share_and_its_oldest_goes),
        cmocka_unit_test(a_full_room_loses_the_oldest_of_who_has_most),
        cmocka_unit_test(a_newcomer_is_never_turned_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
