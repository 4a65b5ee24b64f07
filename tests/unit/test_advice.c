/* SPDX-License-Identifier: MIT */
/* A failure is told with the host that failed, why, where the guest is, and what to do. */
#include "cmd/handoff/advice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void expect(enum err_class class, enum err_side side, const char *why, const char *line)
{
    struct err e = ERR_INIT;
    char text[ADVICE_BYTES];

    err_set(&e, class, EIO, "%s", why);
    e.side = side;
    handoff_failure(&e, "g", "b (192.0.2.7)", text);
    assert_string_equal(text, line);
}

static void the_destination_is_named_for_what_is_its(void **state)
{
    (void)state;
    expect(ERR_LOCAL, SIDE_DESTINATION, "Xen has no memory for frame 0x8f75 of domain 21",
        "b (192.0.2.7): Xen has no memory for frame 0x8f75 of domain 21; \"g\" runs on here: put "
        "that right there, then try again");
    expect(ERR_LOCAL, SIDE_DESTINATION, "the save helper died",
        "b (192.0.2.7): the save helper died; \"g\" runs on here: put that right there, then try "
        "again");
    expect(ERR_CANCELLED, SIDE_DESTINATION, "cancelled with xmigrate --cancel",
        "b (192.0.2.7): cancelled with xmigrate --cancel; \"g\" runs on here, and may be moved "
        "another time");
}

static void of_a_connection_that_broke_neither_end_is_said_to_have_failed(void **state)
{
    (void)state;
    expect(ERR_PEER, SIDE_UNKNOWN, "control to b: receiving: cut short, without TLS's goodbye",
        "b (192.0.2.7), or the way there: control to b: receiving: cut short, without TLS's "
        "goodbye; \"g\" runs on here: see whether xmigrate --listen there and the network are "
        "well, then try again");
}

static void this_host_is_named_for_what_is_its(void **state)
{
    (void)state;
    expect(ERR_LOCAL, SIDE_SOURCE, "the save helper died",
        "this host: the save helper died; \"g\" runs on here: put that right here, then try "
        "again");
    expect(ERR_CANCELLED, SIDE_SOURCE, "stopped by a signal",
        "stopped by a signal; \"g\" runs on here, and may be moved another time");
    expect(ERR_GUEST, SIDE_SOURCE, "the guest did not suspend",
        "the guest did not suspend; \"g\" runs on here: try again when it can do that");
}

/* It crashed, say, and is kept for its administrator to look at. */
static void a_guest_that_has_ended_is_not_said_to_run(void **state)
{
    struct err e = ERR_INIT;
    char text[ADVICE_BYTES];

    (void)state;
    err_set(&e, ERR_GUEST, ESHUTDOWN, "domain 7 crashed while it was being moved");
    e.side = SIDE_SOURCE;
    handoff_failure(&e, "g", "b (192.0.2.7)", text);
    assert_string_equal(text, "domain 7 crashed while it was being moved; \"g\" is still here, and "
                              "was not moved");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_destination_is_named_for_what_is_its),
        cmocka_unit_test(of_a_connection_that_broke_neither_end_is_said_to_have_failed),
        cmocka_unit_test(this_host_is_named_for_what_is_its),
        cmocka_unit_test(a_guest_that_has_ended_is_not_said_to_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
