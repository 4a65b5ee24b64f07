/* SPDX-License-Identifier: MIT */
/* Configurations that a peer offers and that libxl must not see. */
#include "cmd/xmigrate/libxl/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Before libxl is asked, so none is needed. */
static void assert_refused(const char *text, const char *because)
{
    libxl_domain_config config;
    struct err e = ERR_INIT;

    assert_int_equal(xl_config_parse(NULL, text, strlen(text), &config, &e), -EBADMSG);
    assert_int_equal(e.class, ERR_PEER);
    if (!strstr(e.text, because))
        fail_msg("\"%s\" does not say \"%s\"", e.text, because);
}

/* libxl 4.17 reads 32 characters of it, whatever its length is. */
static void a_cpuid_policy_of_another_length_is_refused(void **state)
{
    static const char *const registers[] = {
        "", "xxxxxxxx", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx?"};
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
        snprintf(text, sizeof(text),
            "{\"c_info\":{\"name\":\"web1\"},\"b_info\":{\"cpuid\":[{\"leaf\":1},"
            "{\"leaf\":2,\"edx\":\"%s\"}]}}",
            registers[i]);
        assert_refused(text, "CPUID");
        snprintf(text, sizeof(text),
            "{\"c_info\":{\"name\":\"web1\"},\"b_info\":{\"cpuid\":{\"cpuid\":["
            "{\"leaf\":2,\"edx\":\"%s\"}],\"msr\":[]}}}",
            registers[i]);
        assert_refused(text, "CPUID");
    }
}

/* libxl's own sign for the end of its list. */
static void an_msr_that_would_end_the_list_is_refused(void **state)
{
    static const char *const indexes[] = {"-1", "4294967295", "8589934591", "-4294967297"};
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
        snprintf(text, sizeof(text),
            "{\"c_info\":{\"name\":\"web1\"},\"b_info\":{\"cpuid\":{\"cpuid\":[],"
            "\"msr\":[{\"index\":%s,\"policy\":\"x\"}]}}}",
            indexes[i]);
        assert_refused(text, "MSR");
    }
}

static void what_two_readers_could_see_differently_is_refused(void **state)
{
    (void)state;
    assert_refused("", "expected");
    assert_refused("{\"c_info\":{\"name\":\"web1\"}", "expected");
    assert_refused("{\"c_info\":{\"name\":\"web1\",\"name\":\"web2\"}}", "duplicate");
    assert_refused("{\"c_info\":{\"name\":\"web1\\u0000\"}}", "u0000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cpuid_policy_of_another_length_is_refused),
        cmocka_unit_test(an_msr_that_would_end_the_list_is_refused),
        cmocka_unit_test(what_two_readers_could_see_differently_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
