/* SPDX-License-Identifier: MIT */
/* Makers of the corpora that targets begin with. */
#ifndef TESTS_FUZZ_SEEDS_H
#define TESTS_FUZZ_SEEDS_H

#include "base/err.h"

#include <stddef.h>

/* Write one seed of a target below dir. */
void save(
    const char *dir, const char *target, const char *seed, const void *bytes, size_t len_bytes);
/* Ends the program when rc is a failure. */
void check(int rc, const struct err *e);

void make_messages(const char *dir); /* JSON that we write ourselves */
void make_restores(const char *dir); /* whole guests, as plain streams */
void make_saved(const char *dir);    /* files of saved guests */
void make_compact(const char *dir);  /* compact ones */
void make_aux(const char *dir);      /* auxiliary data */
void make_legacy(const char *dir);   /* of a Xen before 4.6 */
void make_texts(const char *dir);    /* files and words that people write, and libxl's JSON */

#endif
