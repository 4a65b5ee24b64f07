/*
 * What the xensim command can be told: one table of its verbs and their options, from which come
 * what --help prints and what a refusal says. A test compares the man page with it.
 */
#ifndef XENSIM_USAGE_H
#define XENSIM_USAGE_H

#include "base/err.h"

#include <stdio.h>

struct option {
    const char *name;     /* NULL ends a table */
    const char *value;    /* what it is called; NULL: the option is all */
    const char *takes;    /* what the value may be, or what the option does */
    const char *standard; /* without the option; NULL: nothing */
};

struct verb {
    const char *name; /* NULL ends the table */
    const char
        *words; /* those in brackets need not be there; NULL: not for people, anything goes */
    const char *does;
    const struct option *options; /* may be NULL */
};

extern const struct verb verbs[];

const struct verb *verb_named(const char *name);

/* The option of this verb that a word names, with a value (NULL: no word follows). NULL: there is
 * no such option, or its value is missing. */
const struct option *option_of(
    const struct verb *v, const char *word, const char *value, struct err *e);

/* For a value that its option does not take. */
int option_refused(const struct option *o, const char *value, struct err *e);

/* Whether so many words (options aside) are as many as the verb wants; `extra` is the first that
 * would be too many. */
int verb_check_words(const struct verb *v, int count, char *const *words, struct err *e);

/* Everything, or one verb. */
void usage_print(const struct verb *only, FILE *to);

#endif
