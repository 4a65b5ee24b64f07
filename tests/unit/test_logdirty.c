/* SPDX-License-Identifier: MIT */
/* What is said when Xen does not switch log-dirty on: all of it before anything was changed. */
#include "engine/xen/logdirty.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void assert_said(
    bool pv, int code, enum err_class class, const char *what, const char *remedy)
{
    struct err e = ERR_INIT;

    assert_true(logdirty_explain(7, pv, code, &e) < 0);
    assert_int_equal(e.class, class);
    assert_non_null(strstr(e.text, "domain 7"));
    assert_non_null(strstr(e.text, what));
    assert_non_null(strstr(e.text, remedy));
}

static void each_refusal_says_why_and_what_to_do(void **state)
{
    (void)state;
    assert_said(false, EINVAL, ERR_REFUSED, "already on", "xmigrate --recover");
    assert_said(false, EINVAL, ERR_REFUSED, "assigned PCI device", "");
    assert_said(false, ENOMEM, ERR_REFUSED, "no memory for the log-dirty map", "free some");
    assert_said(true, EOPNOTSUPP, ERR_REFUSED, "no shadow paging", "use --offline");
    assert_said(false, EOPNOTSUPP, ERR_REFUSED, "no log-dirty mode", "use --offline");
    assert_said(false, ENOSYS, ERR_REFUSED, "no log-dirty mode", "use --offline");
}

static void what_is_not_known_is_told_as_it_is(void **state)
{
    (void)state;
    assert_said(false, EPERM, ERR_LOCAL, "cannot turn log-dirty on", strerror(EPERM));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_says_why_and_what_to_do),
        cmocka_unit_test(what_is_not_known_is_told_as_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
