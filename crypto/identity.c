/* SPDX-License-Identifier: MIT */
#include "crypto/identity.h"

#include "crypto/reason.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHA256_BYTES = 32, SERIAL_BYTES = 16, BASE64_GROUP = 3 };

void identity_host_name(char out[static IDENTITY_HOST_BYTES])
{
    if (gethostname(out, IDENTITY_HOST_BYTES) || !out[0])
        strcpy(out, "localhost");
    out[IDENTITY_HOST_BYTES - 1] = '\0';
}

/* Fingerprints */

static void format_fingerprint(
    const uint8_t digest[static SHA256_BYTES], char out[static FINGERPRINT_BYTES])
{
    char base64[(SHA256_BYTES / BASE64_GROUP + 1) * 4 + 1];

    EVP_EncodeBlock((unsigned char *)base64, digest, SHA256_BYTES);
    base64[strcspn(base64, "=")] = '\0';
    snprintf(out, FINGERPRINT_BYTES, "SHA256:%s", base64);
}

int identity_fingerprint(X509 *cert, char out[static FINGERPRINT_BYTES], struct err *e)
{
    uint8_t digest[EVP_MAX_MD_SIZE], *der = NULL;
    const int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    const bool good = len > 0 && EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL);

    OPENSSL_free(der);
    if (!good)
        return err_set(e, ERR_PEER, EBADMSG, "a certificate without a usable public key: %s",
            openssl_reason());
    format_fingerprint(digest, out);
    return 0;
}

/* The key */

/* A service cannot use a key with a passphrase: never prompt. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

static int check_key_file(const char *path, const struct stat *st, struct err *e)
{
    if (st->st_mode & (S_IRWXG | S_IRWXO))
        return err_set(e, ERR_LOCAL, EPERM,
            "%s can be used by others (mode %04o), who could pose as this host; run: chmod 600 %s",
            path, st->st_mode & 07777, path);
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return err_set(e, ERR_LOCAL, EPERM,
            "%s belongs to user %u, who could pose as this host; run: chown root %s", path,
            st->st_uid, path);
    return 0;
}

/* -ENOENT without text when there is none. */
static int load_key(EVP_PKEY **key, const char *path, struct err *e)
{
    struct stat st;
    size_t len_bytes;
    char *text;
    int rc = config_read(path, &text, &len_bytes, &st, e);

    if (rc)
        return rc;
    rc = check_key_file(path, &st, e);
    if (!rc) {
        BIO *bio = BIO_new_mem_buf(text, (int)len_bytes);

        *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
        BIO_free(bio);
        if (!*key)
            rc = err_set(e, ERR_LOCAL, EINVAL,
                "%s holds no private key in PEM without passphrase: %s", path, openssl_reason());
    }
    OPENSSL_cleanse(text, len_bytes);
    free(text);
    return rc;
}

/* Make one, unless another process has just made it. */
static int make_key(const char *path, struct err *e)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
    char *text;
    int rc;

    if (!key || !bio || !PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) {
        rc = err_set(e, ERR_LOCAL, EIO, "cannot make a key: %s", openssl_reason());
    } else {
        const long len_bytes = BIO_get_mem_data(bio, &text);

        rc = config_write(path, text, (size_t)len_bytes, 0600, false, e);
    }
    BIO_free(bio);
    EVP_PKEY_free(key);
    return rc == -EEXIST ? 0 : rc;
}

/* The certificate */

/* A subject holds no more than 64 characters; the alternative name is what gets verified. */
static bool name_certificate(X509 *cert, const char *host)
{
    char alternative[IDENTITY_HOST_BYTES + 4];
    X509_NAME *const subject = X509_get_subject_name(cert);

    snprintf(alternative, sizeof(alternative), "DNS:%s", host);

    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternative);
    const bool good = ext && X509_add_ext(cert, ext, -1) &&
                      X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                          (const unsigned char *)host, -1, -1, 0) &&
                      X509_set_issuer_name(cert, subject);

    X509_EXTENSION_free(ext);
    return good;
}

static bool number_certificate(X509 *cert)
{
    uint8_t serial[SERIAL_BYTES];

    if (RAND_bytes(serial, sizeof(serial)) != 1)
        return false;
    serial[0] &= 0x7f; /* positive */

    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    const bool good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));

    BN_free(number);
    return good;
}

/* Trust is in the key, so the certificate never expires (RFC 5280 4.1.2.5). */
static X509 *new_certificate(EVP_PKEY *key)
{
    char host[IDENTITY_HOST_BYTES];
    X509 *cert = X509_new();

    identity_host_name(host);
    if (cert && X509_set_version(cert, X509_VERSION_3) && number_certificate(cert) &&
        ASN1_TIME_set_string(X509_getm_notBefore(cert), "20200101000000Z") &&
        ASN1_TIME_set_string(X509_getm_notAfter(cert), "99991231235959Z") &&
        X509_set_pubkey(cert, key) && name_certificate(cert, host) &&
        X509_sign(cert, key, EVP_sha256()))
        return cert;
    X509_free(cert);
    return NULL;
}

static int make_certificate(EVP_PKEY *key, const char *path, struct err *e)
{
    X509 *cert = new_certificate(key);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    int rc;

    if (!cert || !bio || !PEM_write_bio_X509(bio, cert)) {
        rc = err_set(e, ERR_LOCAL, EIO, "cannot make a certificate: %s", openssl_reason());
    } else {
        const long len_bytes = BIO_get_mem_data(bio, &text);

        rc = config_write(path, text, (size_t)len_bytes, 0644, false, e);
    }
    BIO_free(bio);
    X509_free(cert);
    return rc == -EEXIST ? 0 : rc;
}

static int load_certificate(X509 **cert, const char *path, struct err *e)
{
    struct stat st;
    size_t len_bytes;
    char *text;
    const int rc = config_read(path, &text, &len_bytes, &st, e);

    if (rc)
        return rc;

    BIO *bio = BIO_new_mem_buf(text, (int)len_bytes);

    *cert = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    free(text);
    if (!*cert)
        return err_set(
            e, ERR_LOCAL, EINVAL, "%s holds no certificate in PEM: %s", path, openssl_reason());
    return 0;
}

/* The two together */

/* A key that was lost, or forgotten when files were copied, is not replaced in silence: peers trust
 * the old one. */
static int load_or_make_key(
    struct identity *id, const char *path, const char *cert_path, struct err *e)
{
    int rc = load_key(&id->key, path, e);

    /* Looked for again: another process may have made both just now. */
    if (rc == -ENOENT && !err_is_set(e) && !access(cert_path, F_OK) &&
        (rc = load_key(&id->key, path, e)) == -ENOENT && !err_is_set(e))
        return err_set(e, ERR_LOCAL, ENOENT,
            "%s is missing, and there is a certificate beside it: put the key back, or remove %s "
            "to have both made anew",
            path, cert_path);
    if (rc == -ENOENT && !err_is_set(e)) {
        rc = make_key(path, e);
        if (!rc)
            rc = load_key(&id->key, path, e);
        if (rc == -ENOENT)
            return err_set(e, ERR_LOCAL, ENOENT, "%s: gone as soon as it was made", path);
    }
    return rc;
}

static int load_or_make_certificate(struct identity *id, const char *path, struct err *e)
{
    int rc = load_certificate(&id->cert, path, e);

    if (rc == -ENOENT && !err_is_set(e)) {
        rc = make_certificate(id->key, path, e);
        if (!rc)
            rc = load_certificate(&id->cert, path, e);
        if (rc == -ENOENT)
            return err_set(e, ERR_LOCAL, ENOENT, "%s: gone as soon as it was made", path);
    }
    if (!rc && X509_check_private_key(id->cert, id->key) != 1)
        return err_set(e, ERR_LOCAL, EINVAL,
            "%s is not of the key in key.pem beside it; remove it to have one made", path);
    return rc;
}

int identity_open(struct identity *id, const char *config_dir, struct err *e)
{
    char key_path[CONFIG_PATH_BYTES], cert_path[CONFIG_PATH_BYTES];

    *id = (struct identity){.key = NULL};
    ERR_clear_error();

    int rc = config_path(config_dir, "key.pem", key_path, e);

    if (!rc)
        rc = config_path(config_dir, "cert.pem", cert_path, e);
    if (!rc)
        rc = config_make_dir(config_dir, e);
    if (!rc)
        rc = load_or_make_key(id, key_path, cert_path, e);
    if (!rc)
        rc = load_or_make_certificate(id, cert_path, e);
    if (!rc)
        rc = identity_fingerprint(id->cert, id->fingerprint, e);
    if (rc)
        identity_close(id);
    return rc;
}

void identity_close(struct identity *id)
{
    EVP_PKEY_free(id->key);
    X509_free(id->cert);
    *id = (struct identity){.key = NULL};
}
