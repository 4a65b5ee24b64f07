/* SPDX-License-Identifier: MIT */
/* What the other supervisor says in JSON: a failure stays one, whatever it is called. */
#include "cmd/xmigrate/session/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void parse(const char *body, struct err *why)
{
    *why = (struct err)ERR_INIT;
    message_parse_error(body, strlen(body), why);
}

static void a_failure_is_told_as_it_was(void **state)
{
    struct err why;

    (void)state;
    parse("{\"class\":\"guest\",\"side\":\"source\",\"text\":\"it crashed\",\"code\":5}", &why);
    assert_int_equal(why.class, ERR_GUEST);
    assert_int_equal(why.side, SIDE_SOURCE);
    assert_int_equal(why.code, 5);
    assert_string_equal(why.text, "it crashed");
}

static void a_failure_of_class_none_is_a_failure(void **state)
{
    struct err why;

    (void)state;
    parse("{\"class\":\"none\",\"side\":\"unknown\",\"text\":\"all is well\",\"code\":5}", &why);
    assert_int_equal(why.class, ERR_INTERNAL);
    assert_string_equal(why.text, "all is well");
}

static void a_failure_without_sense_is_a_failure(void **state)
{
    static const char *const bodies[] = {"", "[]", "{}",
        "{\"class\":\"peer\",\"side\":\"source\",\"text\":\"x\",\"code\":0}",
        "{\"class\":\"peer\",\"side\":\"source\",\"text\":\"\",\"code\":1}",
        "{\"class\":\"peer\",\"side\":\"source\",\"text\":\"x\\n\",\"code\":1}"};
    struct err why;

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        parse(bodies[i], &why);
        assert_int_equal(why.class, ERR_PEER);
        assert_true(why.code > 0 && why.text[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_told_as_it_was),
        cmocka_unit_test(a_failure_of_class_none_is_a_failure),
        cmocka_unit_test(a_failure_without_sense_is_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
