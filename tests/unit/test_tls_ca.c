/* SPDX-License-Identifier: MIT */
/* A CA beside pins: its word counts with dates and, for the one who connects, the host's name; a
 * pin counts without either. */
#include "tests/unit/hosts.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>

enum { DAY_S = 24 * 3600 };

struct authority {
    EVP_PKEY *key;
    X509 *cert;
};

/* A server that the client reaches as 127.0.0.1, both with certificates of one CA. */
struct pair {
    struct authority ca;
    struct host a, b;
    struct end client, server;
};

/* What a certificate says. */
struct words {
    const char *name;        /* common name */
    const char *alternative; /* NULL: it is a CA's */
    long from_s, to_s;       /* counted from now */
};

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

/* Of a host its last digit. */
static long serial_of(const char *name, const struct authority *by)
{
    return by->cert ? name[strlen(name) - 1] : 1;
}

static X509 *certify(EVP_PKEY *subject_key, const struct words *w, const struct authority *by)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);

    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial_of(w->name, by));
    X509_gmtime_adj(X509_getm_notBefore(cert), w->from_s);
    X509_gmtime_adj(X509_getm_notAfter(cert), w->to_s);
    X509_set_pubkey(cert, subject_key);
    X509_NAME_add_entry_by_NID(
        name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)w->name, -1, -1, 0);
    X509_set_issuer_name(cert, by->cert ? X509_get_subject_name(by->cert) : name);
    if (w->alternative)
        add_extension(cert, NID_subject_alt_name, w->alternative);
    else
        add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(cert, by->key, EVP_sha256()) > 0);
    return cert;
}

static struct authority new_authority(const char *name)
{
    struct authority ca = {.key = EVP_EC_gen("P-256")};

    ca.cert = certify(ca.key, &(struct words){name, NULL, -DAY_S, 10 * DAY_S}, &ca);
    return ca;
}

static void drop_authority(struct authority *ca)
{
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
}

static void put_certificate(const struct host *h, const char *name, X509 *cert)
{
    char path[CONFIG_PATH_BYTES];
    struct err e = ERR_INIT;

    config_path(h->dir, name, path, &e);

    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, cert), 1);
    fclose(f);
}

/* h gets a key and a certificate of ca with those words, and takes ca's word itself. */
static void certify_host(struct host *h, const struct authority *ca, const struct words *w)
{
    struct identity id;
    struct err e = ERR_INIT;

    assert_int_equal(identity_open(&id, h->dir, &e), 0);

    X509 *cert = certify(id.key, w, ca);

    put_certificate(h, "cert.pem", cert);
    put_certificate(h, "ca.pem", ca->cert);
    X509_free(cert);
    identity_close(&id);
}

/* h is told what ca revoked by the end of that time: the certificate of that host. */
static void put_crl(
    const struct host *h, const struct authority *ca, const char *revoked, long until_s)
{
    char path[CONFIG_PATH_BYTES];
    X509_CRL *crl = X509_CRL_new();
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    ASN1_TIME *from = X509_gmtime_adj(NULL, -5 * DAY_S), *until = X509_gmtime_adj(NULL, until_s);
    struct err e = ERR_INIT;

    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert));
    X509_CRL_set1_lastUpdate(crl, from);
    X509_CRL_set1_nextUpdate(crl, until);
    ASN1_INTEGER_set(serial, serial_of(revoked, ca));
    X509_REVOKED_set_serialNumber(entry, serial);
    X509_REVOKED_set_revocationDate(entry, from);
    X509_CRL_add0_revoked(crl, entry);
    assert_true(X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
    config_path(h->dir, "crl.pem", path, &e);

    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
    fclose(f);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_INTEGER_free(serial);
    X509_CRL_free(crl);
}

static const struct words good_client = {"host1", "DNS:host1", -DAY_S, DAY_S};
static const struct words good_server = {"host2", "DNS:host2,IP:127.0.0.1", -DAY_S, DAY_S};

static int make_pair(void **state)
{
    struct pair *p = calloc(1, sizeof(*p));

    p->ca = new_authority("our CA");
    make_host_dir(&p->a);
    make_host_dir(&p->b);
    *state = p;
    return 0;
}

static int drop_pair(void **state)
{
    struct pair *p = *state;

    channel_close(p->client.ch);
    channel_close(p->server.ch);
    drop_host(&p->a);
    drop_host(&p->b);
    drop_authority(&p->ca);
    free(p);
    return 0;
}

/* Open both and let them meet; the client calls the server by that name. */
static void meet(struct pair *p, const char *host)
{
    int ends[2];

    open_host(&p->a);
    open_host(&p->b);
    make_tcp_pair(ends);
    p->client = new_end(&p->a, ends[0], false);
    p->server = new_end(&p->b, ends[1], true);
    p->client.params.host = host;
    shake_hands(&p->client, &p->server);
}

static void certify_both(
    struct pair *p, const struct words *client_words, const struct words *server_words)
{
    certify_host(&p->a, &p->ca, client_words);
    certify_host(&p->b, &p->ca, server_words);
}

static void assert_met(const struct pair *p)
{
    if (p->client.rc || p->server.rc)
        fail_msg("%s / %s", p->client.err.text, p->server.err.text);
}

static void test_good_certificates_are_accepted(void **state)
{
    struct pair *p = *state;

    certify_both(p, &good_client, &good_server);
    meet(p, "127.0.0.1");
    assert_met(p);
    assert_string_equal(p->client.peer.name, "CA: CN=host2");
    assert_string_equal(p->server.peer.name, "CA: CN=host1");
}

static void test_a_name_counts_as_an_address_does(void **state)
{
    struct pair *p = *state;

    certify_both(p, &good_client, &good_server);
    meet(p, "host2");
    assert_met(p);
}

static void test_a_certificate_for_another_host_is_refused(void **state)
{
    struct pair *p = *state;

    certify_both(p, &good_client, &good_server);
    meet(p, "host3");
    assert_int_equal(p->client.rc, -EACCES);
    assert_says(&p->client.err, "is not for \"host3\"");
    assert_says(&p->client.err, "--trust SHA256:");
    assert_int_equal(p->server.rc, -EACCES);
    assert_says(&p->server.err, "refused this host's certificate");
}

static void test_an_expired_server_is_refused(void **state)
{
    static const struct words old = {"host2", "IP:127.0.0.1", -10 * DAY_S, -DAY_S};
    struct pair *p = *state;

    certify_both(p, &good_client, &old);
    meet(p, "127.0.0.1");
    assert_int_equal(p->client.rc, -EACCES);
    assert_says(&p->client.err, "expired on ");
    assert_int_equal(p->server.rc, -EACCES);
    assert_says(&p->server.err, "has expired");
}

static void test_an_expired_client_is_refused(void **state)
{
    static const struct words old = {"host1", "DNS:host1", -10 * DAY_S, -DAY_S};
    struct pair *p = *state;

    certify_both(p, &old, &good_server);
    meet(p, "127.0.0.1");
    assert_int_equal(p->server.rc, -EACCES);
    assert_says(&p->server.err, "expired on ");
    assert_int_equal(p->client.rc, -EACCES);
    assert_says(&p->client.err, "has expired");
}

static void test_a_certificate_of_tomorrow_is_refused(void **state)
{
    static const struct words early = {"host2", "IP:127.0.0.1", DAY_S, 2 * DAY_S};
    struct pair *p = *state;

    certify_both(p, &good_client, &early);
    meet(p, "127.0.0.1");
    assert_int_equal(p->client.rc, -EACCES);
    assert_says(&p->client.err, "is not valid before ");
}

static void test_a_pin_asks_for_neither_date_nor_name(void **state)
{
    static const struct words old = {"host2", "DNS:elsewhere", -10 * DAY_S, -DAY_S};
    struct pair *p = *state;

    certify_both(p, &good_client, &old);
    open_host(&p->b);
    let_trust(&p->a, &p->b);
    tls_close(p->a.tls);
    tls_close(p->b.tls);
    meet(p, "127.0.0.1");
    assert_met(p);
    assert_string_equal(p->client.peer.name, "peer");
}

static void test_a_revoked_certificate_is_refused(void **state)
{
    struct pair *p = *state;

    certify_both(p, &good_client, &good_server);
    put_crl(&p->b, &p->ca, "host1", DAY_S);
    meet(p, "127.0.0.1");
    assert_int_equal(p->server.rc, -EACCES);
    assert_says(&p->server.err, "has been revoked, as crl.pem says");
    assert_int_equal(p->client.rc, -EACCES);
    assert_says(&p->client.err, "which has been revoked; it needs a new cert.pem");
}

static void test_another_revoked_certificate_bothers_nobody(void **state)
{
    struct pair *p = *state;

    certify_both(p, &good_client, &good_server);
    put_crl(&p->b, &p->ca, "host3", DAY_S);
    put_crl(&p->a, &p->ca, "host1", DAY_S);
    meet(p, "127.0.0.1");
    assert_met(p);
}

/* What it does not tell today may have been revoked since. */
static void test_an_old_list_lets_nobody_in(void **state)
{
    struct pair *p = *state;

    certify_both(p, &good_client, &good_server);
    put_crl(&p->b, &p->ca, "host3", -DAY_S);
    meet(p, "127.0.0.1");
    assert_int_equal(p->server.rc, -EACCES);
    assert_says(&p->server.err, "crl.pem here does not tell whether");
    assert_true(p->client.rc < 0);
}

static void test_a_list_of_another_authority_lets_nobody_in(void **state)
{
    struct pair *p = *state;
    struct authority other = new_authority("another CA");

    certify_both(p, &good_client, &good_server);
    put_crl(&p->b, &other, "host3", DAY_S);
    meet(p, "127.0.0.1");
    assert_int_equal(p->server.rc, -EACCES);
    assert_says(&p->server.err, "crl.pem here does not tell whether");
    drop_authority(&other);
}

static void test_a_list_that_is_none_stops_everything(void **state)
{
    struct pair *p = *state;
    struct tls_context *ctx;
    struct err e = ERR_INIT;

    certify_both(p, &good_client, &good_server);
    put_file(&p->a, "crl.pem", "nothing\n", 0644);
    assert_true(tls_open(&ctx, p->a.dir, &e) < 0);
    assert_null(ctx);
    assert_says(&e, "crl.pem holds no usable list of revoked certificates");
}

static void test_another_authority_is_refused(void **state)
{
    struct pair *p = *state;
    struct authority other = new_authority("our CA"); /* of the same name */

    certify_both(p, &good_client, &good_server);
    certify_host(&p->a, &other, &good_client);
    put_certificate(&p->a, "ca.pem", p->ca.cert);
    meet(p, "127.0.0.1");
    assert_int_equal(p->server.rc, -EACCES);
    assert_true(p->client.rc < 0);
    drop_authority(&other);
}

static void test_a_self_signed_stranger_is_refused(void **state)
{
    struct pair *p = *state;

    certify_host(&p->b, &p->ca, &good_server);
    put_certificate(&p->a, "ca.pem", p->ca.cert); /* its own certificate is of nobody */
    meet(p, "127.0.0.1");
    assert_int_equal(p->server.rc, -EACCES);
    assert_says(&p->server.err, "not certified by the CA");
    assert_int_equal(p->client.rc, -EACCES);
    assert_says(&p->client.err, "does not trust this host's identity");
}

static void test_a_ca_file_that_is_none_stops_everything(void **state)
{
    struct pair *p = *state;
    struct tls_context *ctx;
    struct err e = ERR_INIT;

    put_file(&p->a, "ca.pem", "nothing\n", 0644);
    assert_true(tls_open(&ctx, p->a.dir, &e) < 0);
    assert_null(ctx);
    assert_says(&e, "ca.pem holds no usable CA certificate");
}

#define ON_PAIR(f) cmocka_unit_test_setup_teardown(f, make_pair, drop_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_PAIR(test_good_certificates_are_accepted),
        ON_PAIR(test_a_name_counts_as_an_address_does),
        ON_PAIR(test_a_certificate_for_another_host_is_refused),
        ON_PAIR(test_an_expired_server_is_refused),
        ON_PAIR(test_an_expired_client_is_refused),
        ON_PAIR(test_a_certificate_of_tomorrow_is_refused),
        ON_PAIR(test_a_pin_asks_for_neither_date_nor_name),
        ON_PAIR(test_a_revoked_certificate_is_refused),
        ON_PAIR(test_another_revoked_certificate_bothers_nobody),
        ON_PAIR(test_an_old_list_lets_nobody_in),
        ON_PAIR(test_a_list_of_another_authority_lets_nobody_in),
        ON_PAIR(test_a_list_that_is_none_stops_everything),
        ON_PAIR(test_another_authority_is_refused),
        ON_PAIR(test_a_self_signed_stranger_is_refused),
        ON_PAIR(test_a_ca_file_that_is_none_stops_everything),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
