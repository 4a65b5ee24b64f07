/* SPDX-License-Identifier: MIT */
#include "crypto/peer.h"

#include "base/io.h"
#include "crypto/proof.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

_Static_assert((int)PEER_KEY_BYTES == (int)PROOF_KEY_BYTES, "one key");
_Static_assert((int)PEER_SESSION_BYTES == (int)PROOF_SESSION_BYTES, "one session");

enum { WHERE_BYTES = CHANNEL_NAME_BYTES - 16, MOST_TRIES = 8 };

#define FIRST_PAUSE_NS (100 * NS_PER_MS)
#define MOST_PAUSE_NS  (400 * NS_PER_MS)

/* "lane 3 to host2:8002" */
static void name_channel(
    uint16_t lane, const char *way, const char *where, char out[static CHANNEL_NAME_BYTES])
{
    if (lane == LANE_CONTROL)
        snprintf(out, CHANNEL_NAME_BYTES, "control %s %.*s", way, WHERE_BYTES, where);
    else if (lane == LANE_TRUNK)
        snprintf(out, CHANNEL_NAME_BYTES, "trunk %s %.*s", way, WHERE_BYTES, where);
    else
        snprintf(out, CHANNEL_NAME_BYTES, "lane %u %s %.*s", lane, way, WHERE_BYTES, where);
}

/* The client's proof, or control's first frames: none of them waits for a word of the server's. */
static int speak(void *arg, struct channel *ch, struct err *e)
{
    const struct peer_params *p = arg;

    if (p->key)
        return proof_offer(ch, p->key, p->session, p->lane, e);
    return p->speak ? p->speak(p->speak_arg, ch, e) : 0;
}

static void refuse(struct channel **ch)
{
    struct err ignored = ERR_INIT;

    channel_finish(*ch, &ignored); /* refused, not broken: the peer can tell them apart */
    channel_close(*ch);
    *ch = NULL;
}

/* TLS with the preamble (or NULL) before it, unless insecure, and the proof. host is NULL for the
 * server. Owns fd. */
static int secure(int fd, const char *name, const char *host, const struct preamble *preamble,
    const char *where, const struct peer_params *p, struct channel **ch, struct tls_peer *peer,
    struct err *e)
{
    const struct tls_params tls = {
        .server = !host,
        .host = host,
        .expected_fingerprint = p->expected_fingerprint,
        .rights = p->rights,
        .name = name,
        .by_kernel = p->by_kernel,
        .cancel = p->cancel,
        .stall_ns = p->stall_ns,
        .deadline_ns = p->deadline_ns,
        .preamble = preamble,
        .preamble_to = where,
        .speak = host ? speak : NULL,
        .speak_arg = (void *)p,
    };
    int rc;

    *peer = (struct tls_peer){.fingerprint = ""};
    rc = p->tls ? tls_channel(p->tls, fd, &tls, ch, peer, e)
                : tcp_channel(fd, name, p->cancel, p->stall_ns, ch, e);
    if (rc)
        return rc;
    (*ch)->summed = !p->tls;
    if (!p->tls && host)
        rc = speak((void *)p, *ch, e);
    if (!rc && p->key)
        rc = proof_settle(*ch, p->key, p->session, p->lane, !host, p->deadline_ns, e);
    if (rc)
        refuse(ch);
    return rc;
}

/* Control has no key, and an expected fingerprint only if the peer was met before; the others have
 * both, and a session. */
static int check_params(const struct peer_params *p, struct err *e)
{
    const bool control = p->lane == LANE_CONTROL;

    if (control ? p->key != NULL : !p->key || !p->session || (p->tls && !p->expected_fingerprint))
        return err_set(e, ERR_INTERNAL, EINVAL, "a connection without what proves it");
    return 0;
}

int peer_connect(const struct tcp_address *a, const struct peer_params *p, struct channel **ch,
    struct tls_peer *peer, struct err *e)
{
    struct preamble preamble = {
        .major = WIRE_MAJOR, .minor = WIRE_MINOR, .insecure = !p->tls, .lane = p->lane};
    char where[TCP_ADDRESS_BYTES], name[CHANNEL_NAME_BYTES];
    int rc = check_params(p, e);

    *ch = NULL;
    if (rc)
        return rc;
    memcpy(preamble.token, p->token, sizeof(preamble.token));
    tcp_format_address(a, where);
    name_channel(p->lane, "to", where, name);

    const int fd = tcp_connect(a, p->cancel, p->deadline_ns, e);

    if (fd < 0)
        return fd;
    tcp_tune(fd, p->stall_ns);
    if (p->tls)
        return secure(fd, name, a->host, &preamble, where, p, ch, peer, e);
    rc = preamble_exchange(fd, &preamble, where, p->cancel, p->deadline_ns, e);
    if (rc) {
        close(fd);
        return rc;
    }
    return secure(fd, name, a->host, NULL, NULL, p, ch, peer, e);
}

/* It said so, or made room by closing connections whose other end was not known yet. */
static bool is_turned_away(const struct err *e)
{
    switch (e->code) {
    case EBUSY:
        return true;
    case ENODATA:
    case EBADMSG:
    case ECONNRESET:
    case EPIPE:
        return e->class == ERR_PEER;
    default:
        return false;
    }
}

/* Before another try; not all who were turned away come back at the same moment. False: the
 * deadline comes first, or it was cancelled. */
static bool pause_for(int64_t most_ns, const struct peer_params *p)
{
    const int64_t until_ns = deadline_in(most_ns / 2 + now_ns() % (most_ns / 2));

    return until_ns < p->deadline_ns && io_wait(-1, 0, p->cancel, until_ns) == -ETIMEDOUT;
}

int peer_connect_patiently(const struct tcp_address *a, const struct peer_params *p,
    struct channel **ch, struct tls_peer *peer, struct err *e)
{
    const int64_t begin_ns = now_ns();
    int64_t pause_ns = FIRST_PAUSE_NS;
    unsigned tries = 1;

    for (;;) {
        struct err here = ERR_INIT;
        const int rc = peer_connect(a, p, ch, peer, &here);

        if (!rc)
            return 0;
        if (is_turned_away(&here) && tries < MOST_TRIES && pause_for(pause_ns, p)) {
            tries++;
            pause_ns = pause_ns < MOST_PAUSE_NS ? 2 * pause_ns : MOST_PAUSE_NS;
            continue;
        }
        if (tries == 1)
            return err_take(e, &here);
        return err_set(e, here.class, here.code, "%s (tried %u times within %.1f s)", here.text,
            tries, (double)(now_ns() - begin_ns) / NS_PER_S);
    }
}

/* The answer to a preamble; does not rely on the acceptor's routing. */
static enum preamble_status judge(const struct preamble *preamble, const struct peer_params *p)
{
    const enum preamble_status status = preamble_judge(preamble, !p->tls);

    if (status != PREAMBLE_OK)
        return status;
    if (preamble->lane != p->lane || memcmp(preamble->token, p->token, sizeof(p->token)))
        return PREAMBLE_UNKNOWN_TOKEN;
    return PREAMBLE_OK;
}

int peer_accept(int fd, const struct preamble *preamble, const struct peer_params *p,
    struct channel **ch, struct tls_peer *peer, struct err *e)
{
    const enum preamble_status status = judge(preamble, p);
    char where[WHERE_BYTES], name[CHANNEL_NAME_BYTES];
    int rc = check_params(p, e);

    *ch = NULL;
    tcp_describe_peer(fd, where, sizeof(where));
    name_channel(p->lane, "from", where, name);
    tcp_tune(fd, p->stall_ns);
    if (!rc)
        rc = preamble_answer(fd, status, p->cancel, p->deadline_ns, e);
    if (!rc && status != PREAMBLE_OK) {
        preamble_explain_refusal(preamble, status, e);
        tcp_linger(fd, p->cancel); /* its TLS came with the preamble */
        rc = -EACCES;
    }
    if (rc) {
        err_prepend(e, "%s", where);
        close(fd);
        return rc;
    }
    return secure(fd, name, NULL, NULL, NULL, p, ch, peer, e);
}
