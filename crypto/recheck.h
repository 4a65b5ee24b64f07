/* SPDX-License-Identifier: MIT */
/*
 * A peer that another process of ours has met in a handshake, and that is less trusted than this
 * one: is it a peer that this host trusts? Its key is looked up, and its name and rights taken from our
 * own list. Whether a CA vouches for a key only the handshake can tell; then its word is taken.
 */
#ifndef CRYPTO_RECHECK_H
#define CRYPTO_RECHECK_H

#include "crypto/tls_params.h"

/* ERR_REFUSED: it is not. */
int peer_recheck(const char *config_dir, struct tls_peer *peer, struct err *e);

#endif
