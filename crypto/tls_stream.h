/* SPDX-License-Identifier: MIT */
/*
 * Inside of crypto/: the TLS channel itself, from an SSL object that tls.c has set up.
 *
 * OpenSSL does no I/O of its own here. What it seals goes into `out`, and several records leave in
 * one write(2); what it opens comes from `in`, which is read in large pieces. (Its own read-ahead
 * would move all that it holds to the front of its buffer at every record.) So there is one place
 * that waits, and nobody waits under the lock: two threads must not share an SSL object, but a
 * channel may have a sender and a receiver.
 */
#ifndef CRYPTO_TLS_STREAM_H
#define CRYPTO_TLS_STREAM_H

#include "transport/channel.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>

enum {
    /* Payload of one record: four of them, with the 22 bytes that sealing adds to each and a
     * packet's headers, make 64 KiB. */
    TLS_RECORD_BYTES = (64 << 10) / 4 - 64,
    /* Sealed and then written in one go: still in the cache, and no more than one packet, or each
     * write would end with a tiny one. */
    TLS_CHUNK_BYTES = 4 * TLS_RECORD_BYTES,
    /* A chunk sealed (22 bytes a record), a handshake's flight with a long chain, and alerts. */
    TLS_OUT_BYTES = TLS_CHUNK_BYTES + (32 << 10),
    TLS_IN_BYTES = 128 << 10, /* per read(2) */
};

struct tls_stream {
    struct channel ch;
    BIO_METHOD *bio_method;

    pthread_mutex_t lock; /* guards the following */
    SSL *ssl;
    size_t out_begin, out_end; /* sealed bytes that are not written yet */
    uint64_t sealed_bytes;     /* with the current key */
    bool by_kernel;            /* before the handshake: if it can; then: it does */
    bool is_deaf;              /* nothing is read yet */
    bool is_cut;               /* what is not written never will be */
    int io_error;              /* of read(2) or write(2), -errno; 0: none */
    bool is_at_end;            /* the peer closed the connection */
    int peer_alert;            /* why the peer gave up, as TLS numbers it; 0: it did not say */
    uint8_t out[TLS_OUT_BYTES];
    size_t in_begin, in_end; /* bytes that OpenSSL has not taken yet */
    uint8_t in[TLS_IN_BYTES];

    /* The sender's: small pieces being gathered into a full record, and bytes sealed but not yet
     * written; both 0 between sends. */
    size_t gathered_bytes, pending_bytes;
    int64_t mark_cpu_ns; /* up to here this send is accounted for */
    uint8_t gather[TLS_RECORD_BYTES];
};

/* A stream on fd, which is taken over, also when this fails. The handshake is still to come. */
int tls_stream_open(SSL_CTX *ctx, int fd, bool server, const char *name,
    const struct cancel *cancel, int64_t stall_ns, struct tls_stream **s, struct err *e);

/* A client's first flight, behind those bytes. What answers them is to be read from the socket
 * before the handshake goes on. */
int tls_stream_begin(struct tls_stream *s, const uint8_t *before, size_t len_bytes,
    int64_t deadline_ns, struct err *e);

int tls_stream_handshake(struct tls_stream *s, int64_t deadline_ns, struct err *e);

#endif
