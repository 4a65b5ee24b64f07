/* SPDX-License-Identifier: MIT */
/*
 * Who this host is: a key and a self-signed certificate in the configuration directory, made at
 * the first start, as ssh does for its host keys. A fingerprint is of the public key alone
 * ("SHA256:" and unpadded base64 of the SHA-256 of its SubjectPublicKeyInfo), so a certificate may
 * expire or be replaced without anybody's trust changing.
 *
 * The key is on P-256: every TLS 1.3 peer and every CA takes it, and signing is quick.
 */
#ifndef CRYPTO_IDENTITY_H
#define CRYPTO_IDENTITY_H

#include "base/err.h"
#include "crypto/config.h"

#include <openssl/types.h>

enum { FINGERPRINT_BYTES = 64, IDENTITY_HOST_BYTES = 65 };

struct identity {
    EVP_PKEY *key;
    X509 *cert; /* the first of cert.pem; a CA's may be followed by its chain */
    char fingerprint[FINGERPRINT_BYTES];
};

/* Load it, or make it (directory 0700, key.pem 0600, cert.pem). Refuses a key that others may
 * read, and a certificate for another key. Two first starts at once end up with one key. */
int identity_open(struct identity *id, const char *config_dir, struct err *e);
void identity_close(struct identity *id);

/* The fingerprint of a certificate's public key. */
int identity_fingerprint(X509 *cert, char out[static FINGERPRINT_BYTES], struct err *e);

/* What this host calls itself, for certificates and for commands that people are told to run. */
void identity_host_name(char out[static IDENTITY_HOST_BYTES]);

#endif
