/* SPDX-License-Identifier: MIT */
/* Inside of crypto/: OpenSSL's last error in this thread, as the end of a message. */
#ifndef CRYPTO_REASON_H
#define CRYPTO_REASON_H

#include <openssl/err.h>

static inline const char *openssl_reason(void)
{
    return ERR_reason_error_string(ERR_peek_last_error()) ?: "OpenSSL does not say why";
}

#endif
