/* SPDX-License-Identifier: MIT */
#include "crypto/proof.h"

#include "base/bytes.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define CLIENT_LABEL "xmigrate lane client"
#define SERVER_LABEL "xmigrate lane server"

_Static_assert(sizeof(CLIENT_LABEL) == sizeof(SERVER_LABEL), "the two have one layout");

enum {
    LABEL_BYTES = sizeof(CLIENT_LABEL) - 1,
    SUBJECT_BYTES = LABEL_BYTES + PROOF_SESSION_BYTES + 2 + CHANNEL_BINDING_BYTES,
};

struct proof_subject {
    const uint8_t *key;     /* PROOF_KEY_BYTES */
    const uint8_t *session; /* PROOF_SESSION_BYTES */
    uint16_t lane;
    uint8_t binding[CHANNEL_BINDING_BYTES];
};

static int make_proof(
    const struct proof_subject *s, bool server, uint8_t out[static PROOF_BYTES], struct err *e)
{
    uint8_t subject[SUBJECT_BYTES];
    unsigned len = 0;
    struct bytes_out o = bytes_out_init(subject, sizeof(subject));

    bytes_out_copy(&o, server ? SERVER_LABEL : CLIENT_LABEL, LABEL_BYTES);
    bytes_out_copy(&o, s->session, PROOF_SESSION_BYTES);
    bytes_out_u16(&o, s->lane);
    bytes_out_copy(&o, s->binding, CHANNEL_BINDING_BYTES);

    const bool good = HMAC(
                          EVP_sha256(), s->key, PROOF_KEY_BYTES, subject, o.len_bytes, out, &len) &&
                      len == PROOF_BYTES;

    OPENSSL_cleanse(subject, sizeof(subject));
    return good ? 0 : err_set(e, ERR_INTERNAL, EIO, "cannot make a lane's proof");
}

static int send_proof(struct channel *ch, const struct proof_subject *s, bool server, struct err *e)
{
    uint8_t proof[PROOF_BYTES];
    struct iovec iov = {proof, sizeof(proof)};
    const int rc = make_proof(s, server, proof, e);

    return rc ? rc : channel_send(ch, &iov, 1, e);
}

static int check_proof(struct channel *ch, const struct proof_subject *s, bool server,
    int64_t deadline_ns, struct err *e)
{
    uint8_t proof[PROOF_BYTES], right[PROOF_BYTES];
    int rc = make_proof(s, server, right, e);

    if (!rc)
        rc = channel_recv(ch, proof, sizeof(proof), deadline_ns, e);
    if (rc == -ENODATA)
        rc = err_set(e, ERR_PEER, EACCES,
            "%s: the peer closed without proving that it belongs to this migration", ch->name);
    else if (!rc && CRYPTO_memcmp(proof, right, sizeof(right)))
        rc = err_set(e, ERR_REFUSED, EACCES,
            "%s: the peer does not prove that it belongs to this migration", ch->name);
    OPENSSL_cleanse(right, sizeof(right));
    return rc;
}

int proof_offer(
    struct channel *ch, const uint8_t *key, const uint8_t *session, uint16_t lane, struct err *e)
{
    struct proof_subject s = {.key = key, .session = session, .lane = lane};
    int rc = channel_binding(ch, s.binding, e);

    if (!rc)
        rc = send_proof(ch, &s, false, e);
    OPENSSL_cleanse(s.binding, sizeof(s.binding));
    return rc;
}

int proof_settle(struct channel *ch, const uint8_t *key, const uint8_t *session, uint16_t lane,
    bool server, int64_t deadline_ns, struct err *e)
{
    struct proof_subject s = {.key = key, .session = session, .lane = lane};
    int rc = channel_binding(ch, s.binding, e);

    if (!rc)
        rc = check_proof(ch, &s, !server, deadline_ns, e);
    if (!rc && server)
        rc = send_proof(ch, &s, true, e);
    OPENSSL_cleanse(s.binding, sizeof(s.binding));
    return rc;
}
