/* SPDX-License-Identifier: MIT */
#include "crypto/tls_stream.h"

#include "base/deadline.h"
#include "base/io.h"
#include "crypto/tls_kernel.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BINDING_LABEL "EXPORTER-xmigrate-lane"

/* One AES-GCM key is good for 2^24.5 full records (RFC 8446 5.5), which OpenSSL does not count. A
 * new key every 64 GiB stays far below and costs nothing. */
#define REKEY_BYTES (64ull << 30)

/* How an SSL call ended, in terms of base/io.h. */
enum {
    WANTS_INPUT = -EAGAIN,
    WANTS_OUTPUT = -ENOBUFS, /* `out` is full */
};

/* The peer's alerts are error reasons from here on. */
enum { ALERT_REASON_BASE = SSL_AD_REASON_OFFSET, ALERT_REASON_END = ALERT_REASON_BASE + 256 };

/* What OpenSSL reads from and writes to; always under the lock */

/* The next bytes from the connection into `in`, which is empty. As read(2), errors as -errno. */
static ssize_t read_in(struct tls_stream *s)
{
    if (s->is_deaf)
        return -EAGAIN;

    const ssize_t n = io_read_some(s->ch.fd, s->in, sizeof(s->in));

    if (n > 0) {
        atomic_fetch_add_explicit(&s->ch.received_bytes, (uint64_t)n, memory_order_relaxed);
        s->in_begin = 0;
        s->in_end = (size_t)n;
    }
    return n;
}

static int bio_read(BIO *bio, char *buf, int len)
{
    struct tls_stream *s = BIO_get_data(bio);
    const ssize_t got = s->in_begin < s->in_end ? 1 : read_in(s);

    BIO_clear_retry_flags(bio);
    if (got > 0) {
        const size_t there = s->in_end - s->in_begin;
        const size_t n = (size_t)len < there ? (size_t)len : there;

        memcpy(buf, s->in + s->in_begin, n);
        s->in_begin += n;
        return (int)n;
    }
    if (got == -EAGAIN)
        BIO_set_retry_read(bio);
    else if (got == 0)
        s->is_at_end = true;
    else
        s->io_error = (int)got;
    return got == 0 ? 0 : -1;
}

static int bio_write(BIO *bio, const char *buf, int len)
{
    struct tls_stream *s = BIO_get_data(bio);
    const size_t room = sizeof(s->out) - s->out_end;
    const size_t n = (size_t)len < room ? (size_t)len : room;

    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_write(bio);
        return -1;
    }
    memcpy(s->out + s->out_end, buf, n);
    s->out_end += n;
    return (int)n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    const struct tls_stream *s = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH: /* the stream writes when it chooses to */
        return 1;
    case BIO_CTRL_EOF:
        return s->is_at_end;
    default:
        return 0;
    }
}

static BIO_METHOD *new_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "xmigrate");

    if (m) {
        BIO_meth_set_read(m, bio_read);
        BIO_meth_set_write(m, bio_write);
        BIO_meth_set_ctrl(m, bio_ctrl);
    }
    return m;
}

/* Results and messages */

/* Judge an SSL call that returned result; under the lock. 0, or one of the codes above or of
 * base/io.h: -ENODATA for the peer's goodbye, -EBADMSG for an end without one or for bad bytes. */
static int judge_call(struct tls_stream *s, int result)
{
    const int code = SSL_get_error(s->ssl, result);

    switch (code) {
    case SSL_ERROR_NONE:
        return 0;
    case SSL_ERROR_WANT_READ:
        return WANTS_INPUT;
    case SSL_ERROR_WANT_WRITE:
        return WANTS_OUTPUT;
    case SSL_ERROR_ZERO_RETURN:
        return -ENODATA;
    }

    const unsigned long reason = (unsigned long)ERR_GET_REASON(ERR_peek_error());

    if (code == SSL_ERROR_SSL && reason > ALERT_REASON_BASE && reason < ALERT_REASON_END) {
        s->peer_alert = (int)(reason - ALERT_REASON_BASE);
        return -ECONNABORTED;
    }
    if (s->io_error)
        return s->io_error;
    if (s->is_at_end || reason == SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC)
        return -EBADMSG;
    return -EPROTO;
}

/* Did the SSL call fail for good? */
static bool is_final(int rc)
{
    return rc && rc != WANTS_INPUT && rc != WANTS_OUTPUT;
}

/* Set *e for judge_call()'s rc where it needs a text; under the lock. Returns rc. */
static int explain_call(struct tls_stream *s, const char *doing, int rc, struct err *e)
{
    if (!is_final(rc))
        return rc;
    if (rc == -ENODATA)
        return err_set(e, ERR_PEER, ECONNRESET, "%s: %s: the peer said goodbye", s->ch.name, doing);

    const char *const reason = ERR_reason_error_string(ERR_peek_error());

    if (rc == -EBADMSG && !s->is_at_end)
        return err_set(e, ERR_PEER, EBADMSG,
            "%s: %s: a TLS record was changed on its way: somebody or something tampers with the "
            "connection",
            s->ch.name, doing);
    if (rc == -EBADMSG)
        return err_set(
            e, ERR_PEER, EBADMSG, "%s: %s: cut short, without TLS's goodbye", s->ch.name, doing);
    if (rc == -ECONNABORTED || rc == -EPROTO)
        return err_set(e, ERR_PEER, -rc, "%s: %s: TLS: %s", s->ch.name, doing,
            reason ? reason : "protocol error");
    return channel_fail(&s->ch, doing, rc, e);
}

/* Moving sealed bytes out */

/* One write; under the lock. 0 when nothing is left, -EAGAIN, -errno, or the bytes that moved. */
static ssize_t write_out(struct tls_stream *s)
{
    struct iovec piece = {s->out + s->out_begin, s->out_end - s->out_begin}, *iov = &piece;
    int count = 1;

    if (piece.iov_len == 0)
        return 0;
    if (s->is_cut)
        return -EPIPE;

    const ssize_t n = io_writev_some(s->ch.fd, &iov, &count);

    if (n <= 0)
        return n;
    atomic_fetch_add_explicit(&s->ch.sent_bytes, (uint64_t)n, memory_order_relaxed);
    s->out_begin += (size_t)n;
    if (s->out_begin == s->out_end)
        s->out_begin = s->out_end = 0;
    return n;
}

static size_t count_unwritten(struct tls_stream *s)
{
    pthread_mutex_lock(&s->lock);
    const size_t n = s->out_end - s->out_begin;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* Whoever receives writes too (open_some()). So a failure counts only if bytes are left, and then
 * none of them may ever leave: who is told that a message was not sent can rely on that. */
static int cut_off(struct tls_stream *s, int rc)
{
    pthread_mutex_lock(&s->lock);
    const bool is_left = s->out_begin < s->out_end;

    s->is_cut |= is_left;
    pthread_mutex_unlock(&s->lock);
    return is_left ? rc : 0;
}

/* Write everything, unless no byte moves for stall_ns or the deadline passes. */
static int push_out(struct tls_stream *s, int64_t stall_ns, int64_t deadline_ns)
{
    int64_t until_ns = deadline_earlier(deadline_in(stall_ns), deadline_ns);

    for (;;) {
        pthread_mutex_lock(&s->lock);
        const ssize_t n = write_out(s);
        pthread_mutex_unlock(&s->lock);

        if (n == 0)
            return 0;
        if (n > 0) {
            until_ns = deadline_earlier(deadline_in(stall_ns), deadline_ns);
            continue;
        }

        const int rc = n == -EAGAIN ? channel_await_room(&s->ch, until_ns) : (int)n;

        if (rc)
            return cut_off(s, rc);
    }
}

/* One SSL_write() of at most a chunk; under the lock. */
static int seal(struct tls_stream *s, const void *buf, size_t len_bytes, size_t *sealed_bytes)
{
    ERR_clear_error();
    if (s->sealed_bytes >= REKEY_BYTES && SSL_key_update(s->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
        s->sealed_bytes = 0;

    const int rc = judge_call(s, SSL_write_ex(s->ssl, buf, len_bytes, sealed_bytes));

    if (!rc)
        s->sealed_bytes += *sealed_bytes;
    return rc;
}

/* Write what is sealed. */
static int write_sealed(struct tls_stream *s, struct err *e)
{
    const size_t n = count_unwritten(s);
    int rc = 0;

    s->ch.costs.seal_cpu_ns += lap_cpu_ns(&s->mark_cpu_ns);
    s->pending_bytes = 0;
    if (n) {
        channel_throttle(&s->ch, n);
        rc = push_out(s, s->ch.stall_ns, DEADLINE_NEVER);
    }
    s->ch.costs.write_cpu_ns += lap_cpu_ns(&s->mark_cpu_ns);
    return rc ? channel_fail(&s->ch, "sending", rc, e) : 0;
}

/* Seal len_bytes; a full chunk, or a slice where sending is paced, is written. */
static int send_bytes(struct tls_stream *s, const uint8_t *buf, size_t len_bytes, struct err *e)
{
    const size_t full_bytes = channel_slice(&s->ch, TLS_CHUNK_BYTES);
    /* A slice may have become smaller since something was sealed. */
    int rc = s->pending_bytes >= full_bytes ? write_sealed(s, e) : 0;

    while (len_bytes && !rc) {
        const size_t room_bytes = full_bytes - s->pending_bytes;
        const size_t n = len_bytes < room_bytes ? len_bytes : room_bytes;
        size_t sealed_bytes = 0;

        pthread_mutex_lock(&s->lock);
        rc = explain_call(s, "sending", seal(s, buf, n, &sealed_bytes), e);
        pthread_mutex_unlock(&s->lock);

        if (is_final(rc)) {
            s->pending_bytes = 0; /* nothing will ever be sent again */
            return rc;
        }
        s->pending_bytes += sealed_bytes;
        buf += sealed_bytes;
        len_bytes -= sealed_bytes;
        if (rc || s->pending_bytes == full_bytes)
            rc = write_sealed(s, e);
    }
    return rc;
}

/* The channel */

static struct tls_stream *stream_of(struct channel *ch)
{
    return (struct tls_stream *)((char *)ch - offsetof(struct tls_stream, ch));
}

/*
 * Records should be full, because sealing a few bytes costs nearly as much as sealing many. Pieces
 * smaller than a record are gathered; a larger piece first fills the record that was begun, then
 * whole records are sealed in place.
 */
static int send_gathered(struct tls_stream *s, struct err *e)
{
    const size_t n = s->gathered_bytes;

    s->gathered_bytes = 0;
    return send_bytes(s, s->gather, n, e);
}

static size_t gather(struct tls_stream *s, const uint8_t *at, size_t len_bytes)
{
    const size_t room = TLS_RECORD_BYTES - s->gathered_bytes;
    const size_t n = len_bytes < room ? len_bytes : room;

    memcpy(s->gather + s->gathered_bytes, at, n);
    s->gathered_bytes += n;
    return n;
}

static int send_piece(struct tls_stream *s, const uint8_t *at, size_t len_bytes, struct err *e)
{
    int rc = 0;

    while (len_bytes && !rc) {
        size_t n;

        if (!s->gathered_bytes && len_bytes >= TLS_RECORD_BYTES) {
            n = len_bytes / TLS_RECORD_BYTES * TLS_RECORD_BYTES;
            rc = send_bytes(s, at, n, e);
        } else {
            n = gather(s, at, len_bytes);
            if (s->gathered_bytes == TLS_RECORD_BYTES)
                rc = send_gathered(s, e);
        }
        at += n;
        len_bytes -= n;
    }
    return rc;
}

static int tls_send(struct channel *ch, struct iovec *iov, int count, struct err *e)
{
    struct tls_stream *s = stream_of(ch);
    int rc = cancel_is_fired(ch->cancel) ? channel_fail(ch, "sending", -ECANCELED, e) : 0;

    if (s->by_kernel)
        return tls_kernel_send(ch, iov, count, e);
    s->mark_cpu_ns = thread_cpu_ns();
    for (int i = 0; i < count && !rc; i++)
        rc = send_piece(s, iov[i].iov_base, iov[i].iov_len, e);
    if (rc || ch->held)
        return rc;
    rc = send_gathered(s, e);
    return rc ? rc : write_sealed(s, e);
}

/* One SSL_read(), and an attempt to write what it may have triggered (a key update's answer, an
 * alert). Under the lock. */
static int open_some(struct tls_stream *s, void *buf, size_t len_bytes, size_t *opened_bytes)
{
    const int rc = judge_call(s, SSL_read_ex(s->ssl, buf, len_bytes, opened_bytes));

    if (s->out_end > s->out_begin)
        write_out(s); /* a failure shows at the next send */
    return rc;
}

/* Decrypt into iov[*at] and on for as long as there is input; advances *at and the iovecs. */
static int open_parts(struct tls_stream *s, struct iovec *iov, int count, int *at, struct err *e)
{
    int rc = 0;

    pthread_mutex_lock(&s->lock);
    ERR_clear_error();
    while (*at < count && !rc) {
        size_t n = 0;

        if (iov[*at].iov_len)
            rc = open_some(s, iov[*at].iov_base, iov[*at].iov_len, &n);
        if (rc != -ENODATA) /* a goodbye may be a clean end */
            rc = explain_call(s, "receiving", rc, e);
        iov[*at].iov_base = (uint8_t *)iov[*at].iov_base + n;
        iov[*at].iov_len -= n;
        *at += !iov[*at].iov_len;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* left_bytes: what the caller still wants. OpenSSL may hold nearly all of a record, and a peer's
 * may be larger than ours. */
static int wait_for(struct tls_stream *s, int wants, size_t left_bytes, int64_t deadline_ns)
{
    const size_t longest_bytes = SSL3_RT_MAX_PLAIN_LENGTH;

    if (wants == WANTS_OUTPUT)
        return io_wait(s->ch.fd, POLLOUT, s->ch.cancel, deadline_ns);
    return channel_await_bytes(
        &s->ch, left_bytes > longest_bytes ? left_bytes - longest_bytes : 1, deadline_ns);
}

static int tls_recv(
    struct channel *ch, struct iovec *iov, int count, int64_t deadline_ns, struct err *e)
{
    struct tls_stream *s = stream_of(ch);
    const size_t len_bytes = io_sum_bytes(iov, count);
    int at = 0;

    if (cancel_is_fired(ch->cancel))
        return channel_fail(ch, "receiving", -ECANCELED, e);
    for (;;) {
        int rc = open_parts(s, iov, count, &at, e);
        const size_t left_bytes = io_sum_bytes(iov + at, count - at);

        if (rc == -ENODATA && left_bytes < len_bytes)
            return err_set(e, ERR_PEER, EBADMSG, "%s: receiving: cut short", s->ch.name);
        if (!rc || is_final(rc))
            return rc;
        rc = wait_for(s, rc, left_bytes, deadline_ns);
        if (rc)
            return channel_fail(&s->ch, "receiving", rc, e);
    }
}

static int tls_binding(struct channel *ch, uint8_t out[static CHANNEL_BINDING_BYTES], struct err *e)
{
    struct tls_stream *s = stream_of(ch);

    pthread_mutex_lock(&s->lock);
    const int good = SSL_export_keying_material(
        s->ssl, out, CHANNEL_BINDING_BYTES, BINDING_LABEL, strlen(BINDING_LABEL), NULL, 0, 0);
    pthread_mutex_unlock(&s->lock);
    return good == 1 ? 0 : err_set(e, ERR_INTERNAL, EIO, "%s: no TLS exporter", ch->name);
}

static int say_goodbye(struct tls_stream *s, struct err *e)
{
    pthread_mutex_lock(&s->lock);
    ERR_clear_error();
    const int result = SSL_shutdown(s->ssl);
    /* 0 means sent, the peer's has not arrived yet: as good as 1. */
    const int rc = explain_call(s, "closing", result < 0 ? judge_call(s, result) : 0, e);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int tls_finish(struct channel *ch, struct err *e)
{
    struct tls_stream *s = stream_of(ch);
    int rc = send_gathered(s, e);

    /* What the kernel encrypts goes straight into the socket, which may be full. */
    while (!rc && (rc = say_goodbye(s, e)) == WANTS_OUTPUT && s->by_kernel)
        rc = wait_for(s, rc, 1, deadline_in(ch->stall_ns));
    if (is_final(rc))
        return err_is_set(e) ? rc : channel_fail(ch, "closing", rc, e);
    rc = push_out(s, ch->stall_ns, DEADLINE_NEVER);
    return rc ? channel_fail(ch, "closing", rc, e) : 0;
}

static void tls_shutdown(struct channel *ch)
{
    shutdown(ch->fd, SHUT_RDWR);
}

static void tls_close_stream(struct channel *ch)
{
    struct tls_stream *s = stream_of(ch);

    SSL_free(s->ssl); /* wipes the keys */
    BIO_meth_free(s->bio_method);
    close(ch->fd);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static const struct channel_ops tls_ops = {
    .send = tls_send,
    .recv = tls_recv,
    .binding = tls_binding,
    .finish = tls_finish,
    .limit_unsent = channel_limit_socket,
    .shutdown = tls_shutdown,
    .close = tls_close_stream,
};

static int attach_ssl(struct tls_stream *s, SSL_CTX *ctx, bool server)
{
    BIO *bio;

    s->ssl = SSL_new(ctx);
    s->bio_method = new_bio_method();
    bio = s->bio_method ? BIO_new(s->bio_method) : NULL;
    if (!s->ssl || !bio) {
        BIO_free(bio);
        return -ENOMEM;
    }
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_max_send_fragment(s->ssl, TLS_RECORD_BYTES);
    if (server)
        SSL_set_accept_state(s->ssl);
    else
        SSL_set_connect_state(s->ssl);
    return 0;
}

int tls_stream_open(SSL_CTX *ctx, int fd, bool server, const char *name,
    const struct cancel *cancel, int64_t stall_ns, struct tls_stream **stream, struct err *e)
{
    struct tls_stream *s = calloc(1, sizeof(*s));

    *stream = NULL;
    if (!s) {
        close(fd);
        return err_sys(e, ERR_LOCAL, ENOMEM, "%s", name);
    }
    s->ch.ops = &tls_ops;
    s->ch.fd = fd;
    s->ch.cancel = cancel;
    s->ch.stall_ns = stall_ns;
    snprintf(s->ch.name, sizeof(s->ch.name), "%s", name);
    pthread_mutex_init(&s->lock, NULL);

    int rc = io_set_nonblocking(fd, true);

    if (!rc)
        rc = attach_ssl(s, ctx, server);
    if (rc) {
        tls_close_stream(&s->ch);
        return err_sys(e, ERR_LOCAL, -rc, "%s: cannot set up TLS", name);
    }
    *stream = s;
    return 0;
}

int tls_stream_begin(struct tls_stream *s, const uint8_t *before, size_t len_bytes,
    int64_t deadline_ns, struct err *e)
{
    pthread_mutex_lock(&s->lock);
    memcpy(s->out, before, len_bytes);
    s->out_end = len_bytes;
    s->is_deaf = true;
    ERR_clear_error();

    const int rc = explain_call(s, "TLS handshake", judge_call(s, SSL_do_handshake(s->ssl)), e);

    s->is_deaf = false;
    pthread_mutex_unlock(&s->lock);
    if (is_final(rc))
        return rc;

    const int pushed = push_out(s, s->ch.stall_ns, deadline_ns);

    return pushed ? channel_fail(&s->ch, "TLS handshake", pushed, e) : 0;
}

int tls_stream_handshake(struct tls_stream *s, int64_t deadline_ns, struct err *e)
{
    s->by_kernel = s->by_kernel && !tls_kernel_offer(s->ssl, s->ch.fd);
    for (;;) {
        pthread_mutex_lock(&s->lock);
        ERR_clear_error();
        const int rc = explain_call(s, "TLS handshake", judge_call(s, SSL_do_handshake(s->ssl)), e);
        if (is_final(rc))
            write_out(s); /* an alert tells the peer why */
        pthread_mutex_unlock(&s->lock);

        if (is_final(rc))
            return rc;

        int pushed = push_out(s, s->ch.stall_ns, deadline_ns);

        if (!pushed && rc)
            pushed = wait_for(s, rc, 1, deadline_ns);
        if (pushed)
            return channel_fail(&s->ch, "TLS handshake", pushed, e);
        if (!rc)
            break;
    }
    s->by_kernel = s->by_kernel && tls_kernel_settle(s->ssl, TLS_RECORD_BYTES);
    return 0;
}
