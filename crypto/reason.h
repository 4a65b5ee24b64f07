/* Inside of crypto/: the last thing OpenSSL complained about in this thread, to end a line with. */
#ifndef CRYPTO_REASON_H
#define CRYPTO_REASON_H

#include <openssl/err.h>

static inline const char *openssl_reason(void)
{
    return ERR_reason_error_string(ERR_peek_last_error()) ?: "OpenSSL does not say why";
}

#endif
