/* SPDX-License-Identifier: MIT */
#include "crypto/tls_kernel.h"

#include "base/io.h"
#include "transport/tcp.h"

#include <errno.h>

/* The kernel fills its records up, and knows no shorter ones. */
int tls_kernel_offer(SSL *ssl, int fd)
{
    BIO *socket = BIO_new_socket(fd, BIO_NOCLOSE);

    if (!socket)
        return -ENOMEM;
    SSL_set_options(ssl, SSL_OP_ENABLE_KTLS);
    SSL_set_max_send_fragment(ssl, SSL3_RT_MAX_PLAIN_LENGTH);
    SSL_set0_wbio(ssl, socket);
    return 0;
}

/* What is read still comes from where it came. */
bool tls_kernel_settle(SSL *ssl, long record_bytes)
{
    BIO *own = SSL_get_rbio(ssl);

    if (BIO_get_ktls_send(SSL_get_wbio(ssl)))
        return true;
    BIO_up_ref(own);
    SSL_set0_wbio(ssl, own);
    SSL_clear_options(ssl, SSL_OP_ENABLE_KTLS);
    SSL_set_max_send_fragment(ssl, record_bytes);
    return false;
}

int tls_kernel_send(struct channel *ch, struct iovec *iov, int count, struct err *e)
{
    if (atomic_load(&ch->sent_bytes) + io_sum_bytes(iov, count) > TLS_KERNEL_KEY_BYTES)
        return err_set(e, ERR_LOCAL, EKEYEXPIRED,
            "%s: the kernel has encrypted as much as it may with its key: without --kernel-tls "
            "there is no such limit",
            ch->name);
    return tcp_send(ch, iov, count, e);
}
