/* SPDX-License-Identifier: MIT */
#include "crypto/tls.h"

#include "crypto/reason.h"
#include "crypto/tls_stream.h"
#include "crypto/tls_verify.h"
#include "transport/tcp.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* With AES instructions AES-128 is the cheapest, and no known attack makes it weaker than the
 * others; without them ChaCha20 is several times as fast. */
#define CIPHERS_AES_FIRST                                                                          \
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_CHACHA_FIRST                                                                       \
    "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"

/* What the server says inside TLS when it has accepted the client. */
enum { CONFIRM_BYTE = 0x01, PEER_TEXT_BYTES = 288 };

struct tls_base {
    SSL_CTX *ssl_ctx;
};

/* The key stands beside ssl_ctx, which every connection keeps: it is a connection's for the time of
 * its handshake. */
struct tls_context {
    SSL_CTX *ssl_ctx;
    EVP_PKEY *key;
    bool has_ca;
    struct trusted *trusted;
    char config_dir[CONFIG_PATH_BYTES];
    char fingerprint[FINGERPRINT_BYTES];
};

/* What is nobody's, and the context */

static int limit_protocol(SSL_CTX *ctx, struct err *e)
{
    const bool has_aes = __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");

    if (!SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(ctx, has_aes ? CIPHERS_AES_FIRST : CIPHERS_CHACHA_FIRST))
        return err_set(e, ERR_LOCAL, EIO, "cannot set up TLS 1.3: %s", openssl_reason());
    /* No resumption: every connection authenticates. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    return 0;
}

static int load_identity(struct tls_context *ctx, struct err *e)
{
    char cert_path[CONFIG_PATH_BYTES];
    struct identity id;
    int rc = identity_open(&id, ctx->config_dir, e);

    if (rc)
        return rc;
    memcpy(ctx->fingerprint, id.fingerprint, sizeof(ctx->fingerprint));
    rc = config_path(ctx->config_dir, "cert.pem", cert_path, e);
    /* The file, not id.cert: a CA's certificate may be followed by its chain. */
    if (!rc && SSL_CTX_use_certificate_chain_file(ctx->ssl_ctx, cert_path) != 1)
        rc = err_set(e, ERR_LOCAL, EINVAL, "%s: cannot be used: %s", cert_path, openssl_reason());
    if (!rc) {
        ctx->key = id.key;
        id.key = NULL;
    }
    identity_close(&id);
    return rc;
}

/* 1: the store has what is in that file; 0: there is no such file. */
static int load_store(const struct tls_context *ctx, X509_STORE *store, const char *name,
    const char *what, struct err *e)
{
    char path[CONFIG_PATH_BYTES];
    const int rc = config_path(ctx->config_dir, name, path, e);

    if (rc)
        return rc;
    if (access(path, F_OK))
        return errno == ENOENT ? 0 : err_sys(e, ERR_LOCAL, errno, "cannot read %s", path);
    return X509_STORE_load_file(store, path) == 1
               ? 1
               : err_set(e, ERR_LOCAL, EINVAL, "%s holds no usable %s in PEM: %s", path, what,
                     openssl_reason());
}

/* With a list of revoked certificates every one in a chain is looked up, and has to be covered. */
static int load_ca(struct tls_context *ctx, struct err *e)
{
    X509_STORE *store = X509_STORE_new();
    int rc, crl = 0;

    if (!store)
        return err_sys(e, ERR_LOCAL, ENOMEM, "cannot set up TLS");
    rc = load_store(ctx, store, "ca.pem", "CA certificate", e);
    ctx->has_ca = rc > 0;
    if (ctx->has_ca) {
        rc = crl = load_store(ctx, store, "crl.pem", "list of revoked certificates", e);
        SSL_CTX_set1_cert_store(ctx->ssl_ctx, store);
    }
    if (crl > 0)
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    X509_STORE_free(store);
    return rc < 0 ? rc : 0;
}

int tls_base_open(struct tls_base **base, struct err *e)
{
    int rc = 0;

    ERR_clear_error();
    *base = calloc(1, sizeof(**base));
    if (!*base)
        return err_sys(e, ERR_LOCAL, ENOMEM, "cannot set up TLS");
    (*base)->ssl_ctx = SSL_CTX_new(TLS_method());
    if (!(*base)->ssl_ctx)
        rc = err_set(e, ERR_LOCAL, EIO, "cannot set up TLS: %s", openssl_reason());
    else
        rc = limit_protocol((*base)->ssl_ctx, e);
    if (!rc) {
        tls_verify_install((*base)->ssl_ctx);
        return 0;
    }
    tls_base_close(*base);
    *base = NULL;
    return rc;
}

void tls_base_close(struct tls_base *base)
{
    if (base)
        SSL_CTX_free(base->ssl_ctx);
    free(base);
}

int tls_open(struct tls_context **ctx, const char *config_dir, struct err *e)
{
    struct tls_base *base;
    int rc = tls_base_open(&base, e);

    *ctx = NULL;
    if (rc)
        return rc;
    rc = tls_open_on(ctx, base, config_dir, e);
    tls_base_close(base);
    return rc;
}

int tls_open_on(
    struct tls_context **ctx, const struct tls_base *base, const char *config_dir, struct err *e)
{
    struct tls_context *c = calloc(1, sizeof(*c));
    int rc;

    ERR_clear_error();
    *ctx = NULL;
    if (!c)
        return err_sys(e, ERR_LOCAL, ENOMEM, "cannot set up TLS");
    SSL_CTX_up_ref(base->ssl_ctx);
    c->ssl_ctx = base->ssl_ctx;
    if (strlen(config_dir) >= sizeof(c->config_dir)) {
        rc = err_set(e, ERR_USAGE, ENAMETOOLONG, "%s: the path is too long", config_dir);
    } else {
        strcpy(c->config_dir, config_dir);
        rc = load_identity(c, e);
    }
    if (!rc)
        rc = load_ca(c, e);
    if (!rc)
        rc = trust_load(config_dir, &c->trusted, e);
    if (rc)
        tls_close(c);
    else
        *ctx = c;
    return rc;
}

void tls_close(struct tls_context *ctx)
{
    if (!ctx)
        return;
    SSL_CTX_free(ctx->ssl_ctx);
    EVP_PKEY_free(ctx->key); /* wipes it */
    trust_free(ctx->trusted);
    free(ctx);
}

const char *tls_library_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}

const char *tls_own_fingerprint(const struct tls_context *ctx)
{
    return ctx->fingerprint;
}

/* A connection */

/* As people know them: there are no others. */
static const char *cipher_name(const SSL *ssl)
{
    switch (SSL_CIPHER_get_id(SSL_get_current_cipher(ssl))) {
    case TLS1_3_CK_AES_128_GCM_SHA256:
        return "AES-128-GCM";
    case TLS1_3_CK_AES_256_GCM_SHA384:
        return "AES-256-GCM";
    default:
        return "ChaCha20-Poly1305";
    }
}

static void describe(struct tls_stream *s)
{
    snprintf(s->ch.encryption, sizeof(s->ch.encryption), "TLS 1.3, %s, by %s", cipher_name(s->ssl),
        s->by_kernel ? "the kernel" : "OpenSSL");
}

/* The server's confirmation, inside TLS, that it accepts the client. */
static int confirm(struct tls_stream *s, const struct tls_params *p, struct err *e)
{
    uint8_t byte = CONFIRM_BYTE;
    struct iovec iov = {&byte, 1};
    int rc;

    if (p->server)
        return channel_send(&s->ch, &iov, 1, e);
    rc = channel_recv(&s->ch, &byte, 1, p->deadline_ns, e);
    if (rc == -ENODATA || (!rc && byte != CONFIRM_BYTE))
        return err_set(
            e, ERR_PEER, EPROTO, "%s: the peer did not confirm the connection", s->ch.name);
    return rc;
}

/* The preamble and TLS's first flight together: the answer to one is there before that to the
 * other, and costs no round trip. */
static int send_preamble(struct tls_stream *s, const struct tls_params *p, struct err *e)
{
    uint8_t bytes[PREAMBLE_BYTES];
    int rc;

    preamble_encode(p->preamble, bytes);
    rc = tls_stream_begin(s, bytes, sizeof(bytes), p->deadline_ns, e);
    return rc ? rc : preamble_await_answer(s->ch.fd, p->preamble_to, p->cancel, p->deadline_ns, e);
}

/* What a client says at once, and the server's word that it is accepted. If that does not come, it
 * is why the other could not be sent. */
static int speak_and_confirm(struct tls_stream *s, const struct tls_params *p, struct err *e)
{
    struct err sending = ERR_INIT;
    int rc;

    if (p->speak)
        p->speak(p->speak_arg, &s->ch, &sending);
    rc = confirm(s, p, e);
    return rc ? rc : err_is_set(&sending) ? err_take(e, &sending) : 0;
}

/* Handshake and confirmation; an error says what to do. */
static int agree(struct tls_context *ctx, struct tls_stream *s, const struct tls_params *p,
    struct tls_verdict *v, struct err *e)
{
    struct err plain = ERR_INIT;
    int rc = p->preamble ? send_preamble(s, p, &plain) : 0;

    if (!rc)
        rc = tls_stream_handshake(s, p->deadline_ns, &plain);
    if (!rc)
        rc = speak_and_confirm(s, p, &plain);
    if (!rc)
        return 0;
    if (err_is_set(&v->why_not))
        return err_take(e, &v->why_not);
    if (s->peer_alert && tls_explain_refusal(s->peer_alert, v->host, ctx->fingerprint, &v->why_not))
        return err_take(e, &v->why_not);
    return err_take(e, &plain);
}

int tls_channel(struct tls_context *ctx, int fd, const struct tls_params *p, struct channel **ch,
    struct tls_peer *peer, struct err *e)
{
    char address[PEER_TEXT_BYTES];
    struct tls_stream *s;
    struct tls_verdict verdict = {
        .config_dir = ctx->config_dir,
        .trusted = ctx->trusted,
        .own_fingerprint = ctx->fingerprint,
        .has_ca = ctx->has_ca,
        .params = p,
        .host = p->host ? p->host : address,
        .peer = peer,
    };

    *ch = NULL;
    *peer = (struct tls_peer){.fingerprint = ""};
    tcp_describe_peer(fd, address, sizeof(address));

    int rc = tls_stream_open(ctx->ssl_ctx, fd, p->server, p->name, p->cancel, p->stall_ns, &s, e);

    if (rc)
        return rc;
    SSL_set_app_data(s->ssl, &verdict);
    if (SSL_use_PrivateKey(s->ssl, ctx->key) != 1)
        rc = err_set(e, ERR_LOCAL, EIO, "cannot use this host's key: %s", openssl_reason());
    s->by_kernel = p->by_kernel && !p->server;
    if (!rc && !p->server)
        rc = tls_verify_expect_host(s->ssl, p->host, e);
    if (!rc)
        rc = agree(ctx, s, p, &verdict, e);
    SSL_certs_clear(s->ssl);
    SSL_set_app_data(s->ssl, NULL);
    if (rc && p->server && rc != -ETIMEDOUT)
        tcp_linger(fd, p->cancel); /* the client may have said more already */
    if (rc) {
        channel_close(&s->ch);
        return rc;
    }
    describe(s);
    *ch = &s->ch;
    return 0;
}
