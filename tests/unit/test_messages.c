/* SPDX-License-Identifier: MIT */
/* What the other supervisor says in JSON: a failure stays one, whatever it is called. */
#include "cmd/xmigrate/session/messages.h"

#include <errno.h>
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

static void a_listing_is_an_array(void **state)
{
    static const char good[] = "{\"migrations\":[{},{}]}", *const bad[] = {"", "[]", "{}",
                                                               "{\"migrations\":{}}",
                                                               "{\"migrations\":[]",
                                                               "{\"migrations\":[],\"guests\":{}}"};
    static const char both[] = "{\"migrations\":[],\"guests\":[{}]}";
    struct err e = ERR_INIT;
    json_t *list, *guests;

    (void)state;
    assert_int_equal(message_parse_listing(good, strlen(good), &list, &guests, &e), 0);
    assert_int_equal(json_array_size(list), 2);
    assert_null(guests);
    json_decref(list);
    assert_int_equal(message_parse_listing(both, strlen(both), &list, &guests, &e), 0);
    assert_int_equal(json_array_size(guests), 1);
    json_decref(list);
    json_decref(guests);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        e = (struct err)ERR_INIT;
        assert_true(message_parse_listing(bad[i], strlen(bad[i]), &list, &guests, &e) < 0);
        assert_int_equal(e.class, ERR_PEER);
        json_decref(list);
        json_decref(guests);
    }
}

static void a_wait_has_somebody_ahead(void **state)
{
    static const char good[] = "{\"ahead\":2,\"at_once\":1}", *const bad[] = {
                                                                  "{\"ahead\":0,\"at_once\":1}",
                                                                  "{\"ahead\":2}",
                                                                  "{\"ahead\":70000,\"at_once\":1}",
                                                                  "[]"};
    struct err e = ERR_INIT;
    struct message_wait wait;

    (void)state;
    assert_int_equal(message_parse_wait(good, strlen(good), &wait, &e), 0);
    assert_int_equal(wait.ahead, 2);
    assert_int_equal(wait.at_once, 1);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        e = (struct err)ERR_INIT;
        assert_int_equal(message_parse_wait(bad[i], strlen(bad[i]), &wait, &e), -EBADMSG);
        assert_int_equal(e.class, ERR_PEER);
    }
}

static int parse_accept(const char *lacks, struct message_accept *accept, struct err *e)
{
    char body[8192];
    const int len = snprintf(body, sizeof(body),
        "{\"session\":\"%032x\",\"key\":\"%064x\",\"lanes\":1,\"early\":false,"
        "\"journal\":\"%032x\",\"finish_ns\":2,\"finish_low_ns\":1,\"finish_high_ns\":3,"
        "\"xen_major\":4,\"xen_minor\":17%s}",
        1, 2, 3, lacks);

    return message_parse_accept(body, (size_t)len, accept, e);
}

static void what_a_host_lacks_is_told_in_lines(void **state)
{
    static const char *const bad[] = {",\"lacks\":1", ",\"lacks\":[1]", ",\"lacks\":[\"\"]",
        ",\"lacks\":[\"a\\nb\"]", ",\"lacks\":[\"\\u001b[2J\"]",
        ",\"lacks\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\","
        "\"13\","
        "\"14\",\"15\",\"16\",\"17\"]"};
    struct message_accept accept;
    struct err e = ERR_INIT;
    char large[6000];

    (void)state;
    assert_int_equal(parse_accept("", &accept, &e), 0);
    assert_string_equal(accept.lacks, "");
    assert_int_equal(parse_accept(",\"lacks\":[\"a disk\",\"a bridge\"]", &accept, &e), 0);
    assert_string_equal(accept.lacks, "a disk\na bridge");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        e = (struct err)ERR_INIT;
        assert_int_equal(parse_accept(bad[i], &accept, &e), -EBADMSG);
        assert_int_equal(e.class, ERR_PEER);
    }
    snprintf(large, sizeof(large), ",\"lacks\":[\"%05000d\"]", 0);
    e = (struct err)ERR_INIT;
    assert_int_equal(parse_accept(large, &accept, &e), -EBADMSG);
}

static void features_are_words_of_hex_digits(void **state)
{
    static const struct {
        const char *cpu;
        int rc;
    } cases[] = {{"0123abcd", 0}, {"0123abcd00000000", 0}, {"", 0}, {"0123abc", -EBADMSG},
        {"0123ABCD", -EBADMSG}, {"0123abc\\n", -EBADMSG}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message_offer offer;
        struct err e = ERR_INIT;
        char body[512];
        const int len = snprintf(body, sizeof(body),
            "{\"name\":\"g\",\"uuid\":\"01234567-89ab-cdef-0123-456789abcdef\",\"type\":\"pv\","
            "\"live\":true,\"early\":false,\"lanes\":1,\"paused\":false,\"domid\":0,"
            "\"config\":\"{}\",\"measure\":true,\"cpu\":\"%s\"}",
            cases[i].cpu);

        assert_int_equal(message_parse_offer(body, (size_t)len, &offer, &e), cases[i].rc);
        if (!cases[i].rc)
            assert_string_equal(offer.cpu, cases[i].cpu);
        message_offer_clear(&offer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_told_as_it_was),
        cmocka_unit_test(a_failure_of_class_none_is_a_failure),
        cmocka_unit_test(a_failure_without_sense_is_a_failure),
        cmocka_unit_test(a_listing_is_an_array),
        cmocka_unit_test(a_wait_has_somebody_ahead),
        cmocka_unit_test(what_a_host_lacks_is_told_in_lines),
        cmocka_unit_test(features_are_words_of_hex_digits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
