/* SPDX-License-Identifier: MIT */
/*
 * For a process that did not see the handshake and does not rely on the one that did (a relay):
 * does this host trust that peer? Its key is looked up, and its name and rights are taken from our
 * own list. Only the handshake can tell whether a CA vouches for a key; for that the relay's word
 * is taken.
 */
#ifndef CRYPTO_RECHECK_H
#define CRYPTO_RECHECK_H

#include "crypto/tls_params.h"

/* ERR_REFUSED: it is not. */
int peer_recheck(const char *config_dir, struct tls_peer *peer, struct err *e);

#endif
