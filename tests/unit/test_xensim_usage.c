/* SPDX-License-Identifier: MIT */
/* What the xensim command takes is one table: the man page says the same. */
#include "xensim/usage.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { DOCUMENT_BYTES = 64 << 10 };

/* As a reader sees it: no macros, no escapes, words parted by single spaces. */
static void read_man(char text[static DOCUMENT_BYTES])
{
    FILE *f = fopen("docs/man/xensim.1", "re");
    char line[512];
    size_t n = 0;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f) && n + 2 * sizeof(line) < DOCUMENT_BYTES) {
        const char *from = line;

        if (*from == '.') /* a macro's name */
            from += strcspn(from, " \n");
        for (; *from; from++) {
            if (*from == '\\' && from[1] == 'f')
                from += 2;
            else if (*from == ' ' || *from == '\n')
                n += n && text[n - 1] != ' ' ? (text[n] = ' ', 1) : 0;
            else if (*from != '\\' && *from != '"')
                text[n++] = *from;
        }
    }
    text[n] = '\0';
    fclose(f);
}

static void assert_names(const char *man, const char *what, const char *whose)
{
    const size_t len = strlen(what);

    for (const char *at = man; (at = strstr(at, what)); at += len)
        if (!strchr("-abcdefghijklmnopqrstuvwxyz0123456789", at[len]))
            return;
    fail_msg("the man page does not say '%s' (%s)", what, whose);
}

/* Run from the top of the tree, as `make check` does. */
static void the_man_page_names_every_verb_and_option_and_what_it_takes(void **state)
{
    char *man = malloc(DOCUMENT_BYTES);
    unsigned count = 0;

    (void)state;
    assert_non_null(man);
    read_man(man);
    for (const struct verb *v = verbs; v->name; v++) {
        if (!v->words)
            continue;
        assert_names(man, v->name, "a verb");
        for (const struct option *o = v->options; o && o->name; o++, count++) {
            assert_names(man, o->name, v->name);
            if (o->value)
                assert_names(man, o->takes, o->name);
        }
    }
    assert_true(count > 30);
    free(man);
}

static void options_are_found_with_their_values(void **state)
{
    const struct verb *create = verb_named("create");
    struct err e = ERR_INIT;

    (void)state;
    assert_string_equal(option_of(create, "--memory", "1G", &e)->name, "--memory");
    assert_string_equal(option_of(create, "--paused", NULL, &e)->name, "--paused");
    assert_false(err_is_set(&e));
    assert_null(option_of(create, "--memory", NULL, &e));
    assert_string_equal(e.text, "--memory needs a value: 1M to 512G, a multiple of 4K");
    assert_int_equal(e.class, ERR_USAGE);
    e = (struct err)ERR_INIT;
    assert_null(option_of(create, "--live", "x", &e));
    assert_int_equal(e.class, ERR_USAGE);
}

static void words_are_counted(void **state)
{
    const struct verb *cap = verb_named("cap");
    char *words[] = {"a", "g", "50", "more"};
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(verb_check_words(cap, 2, words, &e), 0);
    assert_int_equal(verb_check_words(cap, 3, words, &e), 0);
    assert_int_equal(verb_check_words(cap, 1, words, &e), -EINVAL);
    assert_string_equal(e.text, "it is: xensim cap HOST DOMAIN [PERCENT]");
    e = (struct err)ERR_INIT;
    assert_int_equal(verb_check_words(cap, 4, words, &e), -EINVAL);
    assert_string_equal(e.text, "more is too much; it is: xensim cap HOST DOMAIN [PERCENT]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_man_page_names_every_verb_and_option_and_what_it_takes),
        cmocka_unit_test(options_are_found_with_their_values),
        cmocka_unit_test(words_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
