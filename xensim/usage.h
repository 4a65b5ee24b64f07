/* SPDX-License-Identifier: MIT */
/*
 * The xensim command's verbs and their options in one table, from which --help and refusals are
 * made. A test compares the man page with it.
 */
#ifndef XENSIM_USAGE_H
#define XENSIM_USAGE_H

#include "base/err.h"

#include <stdio.h>

struct option {
    const char *name;     /* NULL ends a table */
    const char *value;    /* its name in --help; NULL: the option takes none */
    const char *takes;    /* what the value may be, or what the option does */
    const char *standard; /* the default; NULL: none */
};

struct verb {
    const char *name; /* NULL ends the table */
    const char
        *words; /* those in brackets are optional; NULL: an internal verb, nothing is checked */
    const char *does;
    const struct option *options; /* may be NULL */
};

extern const struct verb verbs[];

const struct verb *verb_named(const char *name);

/* The option of this verb that a word names, with a value (NULL: no word follows). NULL: there is
 * no such option, or its value is missing. */
const struct option *option_of(
    const struct verb *v, const char *word, const char *value, struct err *e);

/* The error for a value that the option does not take. */
int option_refused(const struct option *o, const char *value, struct err *e);

/* Whether so many words (options aside) are as many as the verb wants; `extra` is the first that
 * would be too many. */
int verb_check_words(const struct verb *v, int count, char *const *words, struct err *e);

/* Everything, or one verb. */
void usage_print(const struct verb *only, FILE *to);

#endif
