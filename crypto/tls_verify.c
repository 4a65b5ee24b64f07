/* SPDX-License-Identifier: MIT */
#include "crypto/tls_verify.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { SUBJECT_TEXT_BYTES = 96, DATE_TEXT_BYTES = 32 };

/* Each of these makes OpenSSL tell the peer a different alert (see tls_explain_refusal). */
enum {
    REFUSED_UNTRUSTED = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, /* unknown_ca */
    REFUSED_OTHER_KEY = X509_V_ERR_APPLICATION_VERIFICATION,          /* handshake_failure */
    REFUSED_RIGHTS = X509_V_ERR_INVALID_PURPOSE,                      /* unsupported_certificate */
    REFUSED_BY_OURSELVES = X509_V_ERR_UNSPECIFIED,                    /* our files, not the peer */
};

static void end_text(BIO *bio, char *out, size_t cap)
{
    const int n = BIO_read(bio, out, (int)cap - 1);

    out[n > 0 ? n : 0] = '\0';
    BIO_free(bio);
}

/* Made printable, whatever the peer put into it. */
static void describe_subject(X509 *cert, char out[static SUBJECT_TEXT_BYTES])
{
    BIO *bio = BIO_new(BIO_s_mem());

    X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);
    end_text(bio, out, SUBJECT_TEXT_BYTES);
}

static void describe_date(const ASN1_TIME *date, char out[static DATE_TEXT_BYTES])
{
    BIO *bio = BIO_new(BIO_s_mem());

    ASN1_TIME_print(bio, date);
    end_text(bio, out, DATE_TEXT_BYTES);
}

/* The name that it gives itself, if that is safe in a command line; otherwise a placeholder. */
static void suggest_name(X509 *cert, char out[static TRUST_NAME_BYTES])
{
    const int n = X509_NAME_get_text_by_NID(
        X509_get_subject_name(cert), NID_commonName, out, TRUST_NAME_BYTES);
    bool harmless = n > 0;

    for (int i = 0; i < n && harmless; i++)
        harmless = isalnum((unsigned char)out[i]) || (i && strchr("._-", out[i]));
    if (!harmless)
        strcpy(out, "NAME");
}

/* By its own name or by that under which it was reached. */
static bool had_another_key(
    const struct tls_verdict *v, const char *name, char fingerprint[static FINGERPRINT_BYTES])
{
    return trust_knows_name(v->trusted, name, fingerprint) ||
           trust_knows_name(v->trusted, v->host, fingerprint);
}

static int refuse_untrusted(struct tls_verdict *v, X509 *cert)
{
    char subject[SUBJECT_TEXT_BYTES], name[TRUST_NAME_BYTES], option[CONFIG_PATH_BYTES];
    char known[FINGERPRINT_BYTES];

    describe_subject(cert, subject);
    suggest_name(cert, name);
    config_dir_option(v->config_dir, option);
    if (had_another_key(v, name, known)) {
        err_set(&v->why_not, ERR_REFUSED, EACCES,
            "%s presents %s (%s), and is trusted here by another key, %s: either its key was "
            "replaced, or this is not that host; if it was replaced: xmigrate%s --untrust %s, then "
            "xmigrate%s --trust %s %s",
            v->host, v->peer->fingerprint, subject, known, option, known, option,
            v->peer->fingerprint, name);
        return REFUSED_UNTRUSTED;
    }
    err_set(&v->why_not, ERR_REFUSED, EACCES,
        "%s presents %s (%s), which is not trusted here%s; to trust it run: xmigrate%s --trust %s "
        "%s",
        v->host, v->peer->fingerprint, subject,
        v->has_ca ? " and not certified by the CA in ca.pem" : "", option, v->peer->fingerprint,
        name);
    return REFUSED_UNTRUSTED;
}

/* Why the CA does not vouch for this certificate. */
static int refuse_certificate(struct tls_verdict *v, X509 *cert, int reason)
{
    char subject[SUBJECT_TEXT_BYTES], date[DATE_TEXT_BYTES], option[CONFIG_PATH_BYTES];
    const char *const dir_option = config_dir_option(v->config_dir, option);

    describe_subject(cert, subject);
    switch (reason) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        describe_date(reason == X509_V_ERR_CERT_HAS_EXPIRED ? X509_get0_notAfter(cert)
                                                            : X509_get0_notBefore(cert),
            date);
        err_set(&v->why_not, ERR_REFUSED, EACCES,
            "the certificate of %s (%s) %s %s; renew its cert.pem, or trust its key whatever the "
            "date: xmigrate%s --trust %s",
            v->host, subject,
            reason == X509_V_ERR_CERT_HAS_EXPIRED ? "expired on" : "is not valid before", date,
            dir_option, v->peer->fingerprint);
        return reason;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        err_set(&v->why_not, ERR_REFUSED, EACCES,
            "the certificate of %s (%s) is not for \"%s\"; use the name that it is for, or trust "
            "its key by whatever name: xmigrate%s --trust %s",
            v->host, subject, v->params->host, dir_option, v->peer->fingerprint);
        return reason;
    case X509_V_ERR_CERT_REVOKED:
        err_set(&v->why_not, ERR_REFUSED, EACCES,
            "the certificate of %s (%s) has been revoked, as crl.pem says; the host needs a new "
            "one",
            v->host, subject);
        return reason;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
        err_set(&v->why_not, ERR_LOCAL, EACCES,
            "crl.pem here does not tell whether the certificate of %s (%s) was revoked: %s; renew "
            "crl.pem",
            v->host, subject, X509_verify_cert_error_string(reason));
        return REFUSED_BY_OURSELVES;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return refuse_untrusted(v, cert);
    default:
        err_set(&v->why_not, ERR_REFUSED, EACCES,
            "the certificate of %s (%s) does not verify: %s; or trust its key: xmigrate%s --trust "
            "%s",
            v->host, subject, X509_verify_cert_error_string(reason), dir_option,
            v->peer->fingerprint);
        return reason;
    }
}

static int check_rights(struct tls_verdict *v)
{
    const unsigned wanted = v->params->rights;
    char has[TRUST_RIGHTS_BYTES], wants[TRUST_RIGHTS_BYTES], all[TRUST_RIGHTS_BYTES];
    char option[CONFIG_PATH_BYTES];

    if (!wanted || (v->peer->rights & wanted))
        return X509_V_OK;
    err_set(&v->why_not, ERR_REFUSED, EACCES,
        "%s (%s) is trusted here for %s, not for %s; to change that run: xmigrate%s --trust %s %s "
        "%s",
        v->host, v->peer->name, trust_rights_text(v->peer->rights, has),
        trust_rights_text(wanted, wants), config_dir_option(v->config_dir, option),
        v->peer->fingerprint, v->peer->name, trust_rights_text(v->peer->rights | wanted, all));
    return REFUSED_RIGHTS;
}

/* X509_V_OK, or what to tell OpenSSL; then why_not is set. */
static int judge_peer(struct tls_verdict *v, X509_STORE_CTX *chain, X509 *cert)
{
    bool pinned;

    if (identity_fingerprint(cert, v->peer->fingerprint, &v->why_not))
        return X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY;
    if (v->params->expected_fingerprint &&
        strcmp(v->peer->fingerprint, v->params->expected_fingerprint)) {
        err_set(&v->why_not, ERR_REFUSED, EACCES,
            "%s presents %s, but the migration is with %s: somebody else answers there", v->host,
            v->peer->fingerprint, v->params->expected_fingerprint);
        return REFUSED_OTHER_KEY;
    }
    /* A move within one host: whoever has our key is us. */
    if (!strcmp(v->peer->fingerprint, v->own_fingerprint)) {
        strcpy(v->peer->name, "this host");
        v->peer->rights = TRUST_ALL;
        return X509_V_OK;
    }
    if (trust_find_in(v->trusted, v->peer->fingerprint, &pinned, v->peer->name, &v->peer->rights,
            &v->why_not))
        return REFUSED_BY_OURSELVES;
    if (pinned)
        return check_rights(v);
    if (!v->has_ca)
        return refuse_untrusted(v, cert);
    if (X509_verify_cert(chain) != 1)
        return refuse_certificate(v, cert, X509_STORE_CTX_get_error(chain));

    char subject[SUBJECT_TEXT_BYTES];

    describe_subject(cert, subject);
    snprintf(v->peer->name, sizeof(v->peer->name), "CA: %s", subject);
    v->peer->rights = TRUST_ALL;
    return X509_V_OK;
}

static int verify_peer(X509_STORE_CTX *chain, void *unused)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_verdict *v = SSL_get_app_data(ssl);
    X509 *cert = X509_STORE_CTX_get0_cert(chain);
    const int reason = cert ? judge_peer(v, chain, cert) : REFUSED_UNTRUSTED;

    (void)unused;
    X509_STORE_CTX_set_error(chain, reason);
    return reason == X509_V_OK;
}

void tls_verify_install(SSL_CTX *ctx)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_peer, NULL);
}

static bool is_address(const char *host)
{
    uint8_t ignored[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, ignored) == 1 || inet_pton(AF_INET6, host, ignored) == 1;
}

int tls_verify_expect_host(SSL *ssl, const char *host, struct err *e)
{
    X509_VERIFY_PARAM *const param = SSL_get0_param(ssl);
    const int good = is_address(host) ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
                                      : X509_VERIFY_PARAM_set1_host(param, host, 0);

    return good ? 0 : err_set(e, ERR_LOCAL, EINVAL, "%s: no name for a certificate", host);
}

int tls_explain_refusal(int alert, const char *host, const char *own_fingerprint, struct err *e)
{
    char own_name[IDENTITY_HOST_BYTES];

    identity_host_name(own_name);
    switch (alert) {
    case SSL_AD_UNKNOWN_CA:
        return err_set(e, ERR_REFUSED, EACCES,
            "%s does not trust this host's identity %s; there run: xmigrate --trust %s %s", host,
            own_fingerprint, own_fingerprint, own_name);
    case SSL_AD_CERTIFICATE_EXPIRED:
        return err_set(e, ERR_REFUSED, EACCES,
            "%s refused this host's certificate, which has expired there; renew cert.pem, or there "
            "run: xmigrate --trust %s %s",
            host, own_fingerprint, own_name);
    case SSL_AD_BAD_CERTIFICATE:
        return err_set(e, ERR_REFUSED, EACCES,
            "%s refused this host's certificate, as it is not for the name or not valid yet; there "
            "run: xmigrate --trust %s %s",
            host, own_fingerprint, own_name);
    case SSL_AD_CERTIFICATE_REVOKED:
        return err_set(e, ERR_REFUSED, EACCES,
            "%s refused this host's certificate, which has been revoked; it needs a new cert.pem",
            host);
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
        return err_set(e, ERR_REFUSED, EACCES,
            "%s trusts this host's identity %s, but not for this; the log there names the right "
            "that is missing and the command that grants it",
            host, own_fingerprint);
    case SSL_AD_HANDSHAKE_FAILURE:
        return err_set(e, ERR_REFUSED, EACCES,
            "%s refused this connection: its migration is not with %s, or no cipher is common",
            host, own_fingerprint);
    case SSL_AD_INTERNAL_ERROR:
    case SSL_AD_CERTIFICATE_UNKNOWN:
        return err_set(e, ERR_PEER, EACCES,
            "%s could not decide about this host's identity %s; its log says why", host,
            own_fingerprint);
    case SSL_AD_PROTOCOL_VERSION:
        return err_set(e, ERR_REFUSED, EPROTONOSUPPORT, "%s does not speak TLS 1.3", host);
    default:
        return 0;
    }
}
