/* SPDX-License-Identifier: MIT */
/*
 * Inside of crypto/: TLS by the kernel (its module tls), for what a connection sends. OpenSSL makes
 * the handshake, gives the kernel the key when that is done, and from then on what is written to
 * the socket is encrypted on its way. OpenSSL 3.0 can do that for sending alone.
 *
 * The kernel keeps one key (another is for Linux 6.14 to take), and so it may seal only so much.
 */
#ifndef CRYPTO_TLS_KERNEL_H
#define CRYPTO_TLS_KERNEL_H

#include "transport/channel.h"

#include <openssl/ssl.h>
#include <stdbool.h>

/* Of full records, AES-GCM seals 379 GiB with one key (RFC 8446 5.5). */
#define TLS_KERNEL_KEY_BYTES (256ull << 30)

/* A handshake that is under way, or begins: from here on OpenSSL writes to fd itself, or it could
 * not hand the key over. -ENOMEM: nothing has changed. */
int tls_kernel_offer(SSL *ssl, int fd);

/* After the handshake: did the kernel take the key? If not, OpenSSL writes as before the offer, in
 * records of that size. */
bool tls_kernel_settle(SSL *ssl, long record_bytes);

/* A channel's send(), of one whose key the kernel has. */
int tls_kernel_send(struct channel *ch, struct iovec *iov, int count, struct err *e);

#endif
