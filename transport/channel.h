/* SPDX-License-Identifier: MIT */
/*
 * A channel is one connection that carries bytes reliably and in order: TCP here, TLS in crypto/.
 * One thread sends and one thread receives at a time (they may be the same); shutdown may come
 * from any thread and wakes both. The owner closes after its threads have ended.
 *
 * send  puts every byte of iov[0..count) on its way (the array may be used up). It fails with
 *       -ETIMEDOUT when no byte moved for stall_ns.
 * recv  fills all of iov[0..count) by deadline_ns (and may use it up). -ENODATA, with no text in
 * *e, is a clean end before the first byte; -EBADMSG an end in the middle or of a TLS stream
 * without goodbye. Both fail with -ECANCELED once the cancel object fired. Text in *e begins with
 * the name.
 */
#ifndef TRANSPORT_CHANNEL_H
#define TRANSPORT_CHANNEL_H

#include "base/cancel.h"
#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { CHANNEL_NAME_BYTES = 96, CHANNEL_BINDING_BYTES = 32, CHANNEL_ENCRYPTION_BYTES = 48 };

struct channel;

struct channel_ops {
    int (*send)(struct channel *ch, struct iovec *iov, int count, struct err *e);
    int (*recv)(
        struct channel *ch, struct iovec *iov, int count, int64_t deadline_ns, struct err *e);
    /* Bytes known only to the two ends of this connection (TLS exporter); zeros on plain TCP. */
    int (*binding)(struct channel *ch, uint8_t out[static CHANNEL_BINDING_BYTES], struct err *e);
    /* Say goodbye: nothing more will be sent, and the peer sees a clean end. */
    int (*finish)(struct channel *ch, struct err *e);
    /* Keep little unsent in the kernel, or let it take what it has room for. NULL: it never holds
     * anything. */
    void (*limit_unsent)(struct channel *ch, bool limited);
    void (*shutdown)(struct channel *ch);
    /* Frees; never blocks. */
    void (*close)(struct channel *ch);
};

/* What sending has cost so far; written by the thread that sends, which alone may read it. */
struct channel_costs {
    int64_t seal_cpu_ns;  /* encryption */
    int64_t write_cpu_ns; /* handing it to the kernel */
    int64_t wait_ns;      /* asleep until the kernel took more */
    int64_t paced_ns;     /* asleep in throttle() */
};

struct channel {
    const struct channel_ops *ops;
    char name[CHANNEL_NAME_BYTES]; /* for messages: "lane 3 to host2:8002" */
    int fd;                        /* non-blocking, CLOEXEC, owned */
    /* For people: "TLS 1.3, AES-128-GCM, by OpenSSL"; "": there is none. */
    char encryption[CHANNEL_ENCRYPTION_BYTES];
    const struct cancel *cancel; /* set by the owner before use */
    int64_t stall_ns;
    /* Asked with the number of bytes about to be sent, about slice_bytes at a time, and may sleep:
     * --bandwidth. NULL: not paced. */
    void (*throttle)(void *arg, size_t bytes);
    void *throttle_arg;
    _Atomic size_t slice_bytes; /* 0: all at once; any thread may change it */
    /* What is sent may wait for what follows, up to finish(): the sender's. Each write wakes the
     * receiver. */
    bool held;
    struct channel_costs costs;
    /* --insecure: CRC-32C of all that was sent and received so far, for the checksums of records
     * and control frames. Set with the first byte still to come; each sum belongs to the thread of
     * its direction. TLS has better. */
    bool summed;
    uint32_t sent_sum, received_sum;
    /* The receiver's: SO_RCVLOWAT as last set, and the most it may be; 0: not known yet. */
    size_t wake_bytes, most_wake_bytes;
    atomic_uint_fast64_t
        sent_bytes; /* on the wire as far as this layer sees it; any thread reads */
    atomic_uint_fast64_t received_bytes;
};

static inline int channel_send(struct channel *ch, struct iovec *iov, int count, struct err *e)
{
    return ch->ops->send(ch, iov, count, e);
}

static inline int channel_recv(
    struct channel *ch, void *buf, size_t len_bytes, int64_t deadline_ns, struct err *e)
{
    struct iovec iov = {buf, len_bytes};

    return ch->ops->recv(ch, &iov, 1, deadline_ns, e);
}

/* Into several places, one after the other. */
static inline int channel_recv_parts(
    struct channel *ch, struct iovec *iov, int count, int64_t deadline_ns, struct err *e)
{
    return ch->ops->recv(ch, iov, count, deadline_ns, e);
}

/* Limited suits a sender that is always ahead of the network; one that is busy between sends needs
 * the kernel to keep the link busy meanwhile. */
static inline void channel_limit_unsent(struct channel *ch, bool limited)
{
    if (ch->ops->limit_unsent)
        ch->ops->limit_unsent(ch, limited);
}

static inline void channel_shutdown(struct channel *ch)
{
    ch->ops->shutdown(ch);
}

static inline int channel_binding(
    struct channel *ch, uint8_t out[static CHANNEL_BINDING_BYTES], struct err *e)
{
    return ch->ops->binding(ch, out, e);
}

static inline int channel_finish(struct channel *ch, struct err *e)
{
    return ch->ops->finish(ch, e);
}

/* For implementations: an error that says which channel, what it was doing and why (an -errno as
 * of base/io.h). Returns rc. */
int channel_fail(const struct channel *ch, const char *doing, int rc, struct err *e);

/* For implementations, counting the costs: ask throttle(), if there is one, for that many bytes;
 * wait until the socket takes more (0 or an -errno as of base/io.h). */
void channel_throttle(struct channel *ch, size_t bytes);
size_t channel_slice(const struct channel *ch, size_t bytes); /* how many to send at once */
int channel_await_room(struct channel *ch, int64_t deadline_ns);
/* Of what was sent, the bytes that still wait in this host for the network to take them; 0 if that
 * is not known. Any thread. */
size_t channel_unsent_bytes(const struct channel *ch);
/* limit_unsent of channels whose fd is a TCP socket. */
void channel_limit_socket(struct channel *ch, bool limited);
/* Wait until least_bytes (1 or more), or enough of them to be worth a wake-up, or the end of the
 * stream can be read. 0 or an -errno as of base/io.h. */
int channel_await_bytes(struct channel *ch, size_t least_bytes, int64_t deadline_ns);

/* NULL is allowed. */
static inline void channel_close(struct channel *ch)
{
    if (ch)
        ch->ops->close(ch);
}

#endif
