/* SPDX-License-Identifier: MIT */
/*
 * Whom this host trusts: the file `trusted` in the configuration directory, one peer a line:
 *   SHA256:43-characters-of-base64 NAME [RIGHTS]
 * RIGHTS, such as "send,status", say what that peer may do here; without them, everything.
 * Blank lines and lines that begin with # are kept as they are. A changed file replaces the old
 * one whole. Read anew for every migration, so that a change works at once.
 */
#ifndef CRYPTO_TRUST_H
#define CRYPTO_TRUST_H

#include "base/err.h"
#include "crypto/identity.h"

#include <stdbool.h>

enum { TRUST_NAME_BYTES = 128 };

enum {
    TRUST_SEND = 1,    /* guests to this host, and measure the way */
    TRUST_RECEIVE = 2, /* guests from this host */
    TRUST_STATUS = 4,  /* ask what became of a guest; who may send may ask too */
    TRUST_ALL = TRUST_SEND | TRUST_RECEIVE | TRUST_STATUS,
};

enum { TRUST_RIGHTS_BYTES = 32 };
/* "send,receive"; returns out. */
const char *trust_rights_text(unsigned rights, char out[static TRUST_RIGHTS_BYTES]);

/* "SHA256:" and 43 characters of unpadded base64. */
bool trust_is_fingerprint(const char *text);

/* Add or change. name and rights (as in the file) may be NULL: what it has already, or "-" and all.
 * ERR_USAGE if it is not a fingerprint, if the name has blanks, or no such right is known;
 * ERR_REFUSED if another key has that name. */
int trust_add(const char *config_dir, const char *fingerprint, const char *name, const char *rights,
    struct err *e);
/* Remove by fingerprint or by name; ERR_REFUSED (-ENOENT) when there is none. */
int trust_remove(const char *config_dir, const char *fingerprint_or_name, struct err *e);
/* The list as it is now, for a process that will not be able to read it later. */
struct trusted;
int trust_load(const char *config_dir, struct trusted **t, struct err *e);
void trust_free(struct trusted *t); /* NULL is allowed */

/* Is it trusted? name gets what the file calls it, *rights what it may do. -errno only when the
 * file cannot be read or a line makes no sense. */
int trust_find_in(const struct trusted *t, const char *fingerprint, bool *found,
    char name[static TRUST_NAME_BYTES], unsigned *rights, struct err *e);
/* A host of that name is trusted, by that key. */
bool trust_knows_name(
    const struct trusted *t, const char *name, char fingerprint[static FINGERPRINT_BYTES]);
/* The same as trust_find_in() in the list as it is now. */
int trust_find(const char *config_dir, const char *fingerprint, bool *found,
    char name[static TRUST_NAME_BYTES], unsigned *rights, struct err *e);

#endif
