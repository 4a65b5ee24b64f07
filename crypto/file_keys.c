/* SPDX-License-Identifier: MIT */
#include "crypto/file_keys.h"

#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INFO       "xmigrate compact file"
#define NOT_SECRET "xmigrate: not encrypted"

enum { INFO_BYTES = sizeof(INFO) - 1, NONCE_BYTES = 12, AAD_BYTES = FILE_UUID_BYTES + 3 * 8 };

_Static_assert(
    sizeof(struct file_keys) == FILE_CIPHER_KEY_BYTES + FILE_MAC_KEY_BYTES + FILE_CHECK_BYTES,
    "derived as one piece");

/* ---- keys ---- */

static int read_secret(struct file_secret *s, int fd, const char *path, struct err *e)
{
    uint8_t more;
    struct stat st;

    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        return err_set(e, ERR_REFUSED, EINVAL, "%s is not a regular file", path);
    while (s->len_bytes < sizeof(s->bytes)) {
        const ssize_t n = read(fd, s->bytes + s->len_bytes, sizeof(s->bytes) - s->len_bytes);

        if (n < 0)
            return err_sys(e, ERR_REFUSED, errno, "%s", path);
        if (!n)
            break;
        s->len_bytes += (size_t)n;
    }
    if (s->len_bytes < FILE_SECRET_MIN_BYTES || read(fd, &more, 1) != 0)
        return err_set(e, ERR_REFUSED, EINVAL,
            "%s is no key file: wanted are %d to %d bytes, such as of head -c 32 /dev/urandom",
            path, FILE_SECRET_MIN_BYTES, FILE_SECRET_MAX_BYTES);
    return 0;
}

int file_secret_read(struct file_secret *s, const char *path, struct err *e)
{
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    s->len_bytes = 0;
    if (fd < 0)
        return err_sys(e, ERR_REFUSED, errno, "%s", path);

    const int rc = read_secret(s, fd, path, e);

    close(fd);
    return rc;
}

static bool derive(const struct file_secret *secret, const uint8_t *salt, const uint8_t *info,
    size_t info_bytes, struct file_keys *keys)
{
    const bool secretive = secret->len_bytes != 0;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
            secretive ? (void *)secret->bytes : (void *)NOT_SECRET,
            secretive ? secret->len_bytes : sizeof(NOT_SECRET) - 1),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, FILE_SALT_BYTES),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_bytes),
        OSSL_PARAM_construct_end(),
    };
    const bool good = ctx && EVP_KDF_derive(ctx, (uint8_t *)keys, sizeof(*keys), params) > 0;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return good;
}

int file_keys_derive(const struct file_secret *secret, const uint8_t salt[static FILE_SALT_BYTES],
    const uint8_t uuid[static FILE_UUID_BYTES], struct file_keys *keys, struct err *e)
{
    uint8_t info[INFO_BYTES + FILE_UUID_BYTES];

    memcpy(info, INFO, INFO_BYTES);
    memcpy(info + INFO_BYTES, uuid, FILE_UUID_BYTES);
    return derive(secret, salt, info, sizeof(info), keys)
               ? 0
               : err_set(e, ERR_LOCAL, EIO, "OpenSSL cannot derive keys (HKDF)");
}

/* ---- sums ---- */

static bool mac_parts(EVP_MAC_CTX *ctx, const struct file_keys *keys, const struct iovec *parts,
    int count, uint8_t *mac)
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end()};
    size_t len_bytes = 0;
    bool good = ctx && EVP_MAC_init(ctx, keys->mac, sizeof(keys->mac), params);

    for (int i = 0; i < count && good; i++)
        good = EVP_MAC_update(ctx, parts[i].iov_base, parts[i].iov_len);
    return good && EVP_MAC_final(ctx, mac, &len_bytes, FILE_MAC_BYTES) &&
           len_bytes == FILE_MAC_BYTES;
}

int file_mac(const struct file_keys *keys, const struct iovec *parts, int count,
    uint8_t mac[static FILE_MAC_BYTES], struct err *e)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    const bool good = mac_parts(ctx, keys, parts, count, mac);

    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(hmac);
    return good ? 0 : err_set(e, ERR_LOCAL, EIO, "OpenSSL cannot make a MAC");
}

int file_hash(
    const void *data, size_t len_bytes, uint8_t hash[static FILE_HASH_BYTES], struct err *e)
{
    return EVP_Q_digest(NULL, "SHA256", NULL, data, len_bytes, hash, NULL)
               ? 0
               : err_set(e, ERR_LOCAL, EIO, "OpenSSL cannot make a checksum");
}

/* ---- pieces ---- */

struct file_sealer {
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;
    uint8_t key[FILE_CIPHER_KEY_BYTES];
};

int file_sealer_create(const struct file_keys *keys, struct file_sealer **out, struct err *e)
{
    struct file_sealer *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    memcpy(s->key, keys->cipher, sizeof(s->key));
    s->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    s->ctx = EVP_CIPHER_CTX_new();
    if (!s->cipher || !s->ctx) {
        file_sealer_destroy(s);
        return err_set(e, ERR_LOCAL, EIO, "OpenSSL has no AES-256-GCM");
    }
    *out = s;
    return 0;
}

void file_sealer_destroy(struct file_sealer *s)
{
    if (!s)
        return;
    EVP_CIPHER_CTX_free(s->ctx);
    EVP_CIPHER_free(s->cipher);
    explicit_bzero(s->key, sizeof(s->key));
    free(s);
}

/* With seal, or to open. */
static bool begin(struct file_sealer *s, const struct file_piece *p, bool seal)
{
    uint8_t nonce[NONCE_BYTES], aad[AAD_BYTES];
    struct bytes_out n = bytes_out_init(nonce, sizeof(nonce));
    struct bytes_out b = bytes_out_init(aad, sizeof(aad));
    int len_bytes;

    bytes_out_u32(&n, p->kind);
    bytes_out_u64(&n, p->number);
    bytes_out_copy(&b, p->uuid, FILE_UUID_BYTES);
    bytes_out_u64(&b, p->number);
    bytes_out_u64(&b, p->extent);
    bytes_out_u64(&b, p->plain_bytes);
    return EVP_CipherInit_ex2(s->ctx, s->cipher, s->key, nonce, seal, NULL) &&
           EVP_CipherUpdate(s->ctx, NULL, &len_bytes, aad, sizeof(aad));
}

/* OpenSSL counts in int. */
static bool pass(struct file_sealer *s, const struct iovec *part)
{
    uint8_t *at = part->iov_base;

    for (size_t left = part->iov_len; left;) {
        const int n = left < (1u << 30) ? (int)left : 1 << 30;
        int len_bytes;

        if (!EVP_CipherUpdate(s->ctx, at, &len_bytes, at, n) || len_bytes != n)
            return false;
        at += n;
        left -= (size_t)n;
    }
    return true;
}

int file_seal(struct file_sealer *s, const struct file_piece *piece, const struct iovec *parts,
    int count, uint8_t tag[static FILE_TAG_BYTES], struct err *e)
{
    bool good = begin(s, piece, true);
    uint8_t none[1];
    int len_bytes;

    for (int i = 0; i < count && good; i++)
        good = pass(s, &parts[i]);
    if (good && EVP_CipherFinal_ex(s->ctx, none, &len_bytes) &&
        EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, FILE_TAG_BYTES, tag))
        return 0;
    return err_set(e, ERR_INTERNAL, EIO, "cannot encrypt");
}

int file_unseal(struct file_sealer *s, const struct file_piece *piece, const struct iovec *parts,
    int count, const uint8_t tag[static FILE_TAG_BYTES], struct err *e)
{
    bool good = begin(s, piece, false);
    uint8_t none[1];
    int len_bytes;

    for (int i = 0; i < count && good; i++)
        good = pass(s, &parts[i]);
    if (!good || !EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, FILE_TAG_BYTES, (void *)tag))
        return err_set(e, ERR_INTERNAL, EIO, "cannot decrypt");
    return EVP_CipherFinal_ex(s->ctx, none, &len_bytes) > 0 ? 0 : -EBADMSG;
}
