/* SPDX-License-Identifier: MIT */
/*
 * Whom this host trusts: the file `trusted` in the configuration directory, one peer a line:
 *   SHA256:43-characters-of-base64 NAME
 * Blank lines and lines that begin with # are kept as they are. A changed file replaces the old
 * one whole. Read anew for every migration, so that a change works at once.
 */
#ifndef CRYPTO_TRUST_H
#define CRYPTO_TRUST_H

#include "base/err.h"
#include "crypto/identity.h"

#include <stdbool.h>

enum { TRUST_NAME_BYTES = 128 };

/* "SHA256:" and 43 characters of unpadded base64. */
bool trust_is_fingerprint(const char *text);

/* Add or rename. name NULL: "-". ERR_USAGE if it is not a fingerprint, or if the name has
 * blanks. */
int trust_add(const char *config_dir, const char *fingerprint, const char *name, struct err *e);
/* Remove by fingerprint or by name; ERR_REFUSED (-ENOENT) when there is none. */
int trust_remove(const char *config_dir, const char *fingerprint_or_name, struct err *e);
/* The list as it is now, for a process that will not be able to read it later. */
struct trusted;
int trust_load(const char *config_dir, struct trusted **t, struct err *e);
void trust_free(struct trusted *t); /* NULL is allowed */

/* Is it trusted? name gets what the file calls it. -errno only when the file cannot be read or
 * a line makes no sense. */
int trust_find_in(const struct trusted *t, const char *fingerprint, bool *found,
    char name[static TRUST_NAME_BYTES], struct err *e);
/* The same in the list as it is now. */
int trust_find(const char *config_dir, const char *fingerprint, bool *found,
    char name[static TRUST_NAME_BYTES], struct err *e);

#endif
