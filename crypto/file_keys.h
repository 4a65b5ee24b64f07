/* SPDX-License-Identifier: MIT */
/*
 * What protects a compact file (docs/file.md, "Keys"): keys made from a key file and the file's own
 * salt, pieces sealed with AES-256-GCM, a MAC over the ends, checksums of sections.
 *
 * Keys are plain bytes, wiped by their owner. A sealer belongs to one thread.
 */
#ifndef CRYPTO_FILE_KEYS_H
#define CRYPTO_FILE_KEYS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    FILE_UUID_BYTES = 16,
    FILE_SALT_BYTES = 32,
    FILE_CIPHER_KEY_BYTES = 32,
    FILE_MAC_KEY_BYTES = 32,
    FILE_MAC_BYTES = 32,
    FILE_CHECK_BYTES = 16,
    FILE_HASH_BYTES = 32,
    FILE_TAG_BYTES = 16,
    FILE_SECRET_MIN_BYTES = 32,
    FILE_SECRET_MAX_BYTES = 4096,
};

/* A key file's contents. len_bytes 0: none, for files that are not encrypted. */
struct file_secret {
    uint8_t bytes[FILE_SECRET_MAX_BYTES];
    size_t len_bytes;
};

/* Of a regular file; ERR_REFUSED if it is too short or too long. */
int file_secret_read(struct file_secret *s, const char *path, struct err *e);

struct file_keys {
    uint8_t cipher[FILE_CIPHER_KEY_BYTES];
    uint8_t mac[FILE_MAC_KEY_BYTES];
    uint8_t check[FILE_CHECK_BYTES];
};

int file_keys_derive(const struct file_secret *secret, const uint8_t salt[static FILE_SALT_BYTES],
    const uint8_t uuid[static FILE_UUID_BYTES], struct file_keys *keys, struct err *e);

/* HMAC-SHA-256 of the parts, one behind the other. */
int file_mac(const struct file_keys *keys, const struct iovec *parts, int count,
    uint8_t mac[static FILE_MAC_BYTES], struct err *e);
/* SHA-256. */
int file_hash(
    const void *data, size_t len_bytes, uint8_t hash[static FILE_HASH_BYTES], struct err *e);

/* What a sealed piece is: makes its nonce and what is authenticated beside it. */
enum file_piece_kind { FILE_CHUNK = 1, FILE_SECTION = 2 };
struct file_piece {
    enum file_piece_kind kind;
    uint64_t number; /* of its kind, used once for a file */
    uint64_t extent;
    uint64_t plain_bytes;
    const uint8_t *uuid; /* the file's */
};

struct file_sealer;

int file_sealer_create(const struct file_keys *keys, struct file_sealer **s, struct err *e);
/* NULL is allowed. */
void file_sealer_destroy(struct file_sealer *s);

/* In place, the parts one behind the other. open: -EBADMSG without a text if the tag is not right;
 * what is in the parts is then worth nothing. */
int file_seal(struct file_sealer *s, const struct file_piece *piece, const struct iovec *parts,
    int count, uint8_t tag[static FILE_TAG_BYTES], struct err *e);
int file_unseal(struct file_sealer *s, const struct file_piece *piece, const struct iovec *parts,
    int count, const uint8_t tag[static FILE_TAG_BYTES], struct err *e);

#endif
