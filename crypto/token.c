/* SPDX-License-Identifier: MIT */
#include "crypto/token.h"

#include "base/bytes.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#define LABEL "xmigrate lane token"

enum { LABEL_BYTES = sizeof(LABEL) - 1, LANE_BYTES = 2, HASH_BYTES = 32 };

int lane_token(const uint8_t key[static TOKEN_KEY_BYTES],
    const uint8_t session[static TOKEN_SESSION_BYTES], uint16_t lane,
    uint8_t token[static TOKEN_BYTES], struct err *e)
{
    uint8_t subject[LABEL_BYTES + TOKEN_SESSION_BYTES + LANE_BYTES], hash[HASH_BYTES];
    struct bytes_out o = bytes_out_init(subject, sizeof(subject));
    unsigned len = 0;

    bytes_out_copy(&o, LABEL, LABEL_BYTES);
    bytes_out_copy(&o, session, TOKEN_SESSION_BYTES);
    bytes_out_u16(&o, lane);
    if (!HMAC(EVP_sha256(), key, TOKEN_KEY_BYTES, subject, o.len_bytes, hash, &len) ||
        len != HASH_BYTES)
        return err_set(e, ERR_INTERNAL, EIO, "cannot make a lane's token");
    memcpy(token, hash, TOKEN_BYTES);
    return 0;
}
