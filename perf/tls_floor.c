/*
 * What TLS costs on this machine: our channel beside a bare OpenSSL loop (blocking, 128 KiB
 * writes, same suite), in turns, one connection over the loopback, both ends in this process.
 *
 *   build/perf/tls_floor [MIB [TURNS [PIECE_BYTES]]]
 *
 * PIECE_BYTES is the size of the iovec entries that the channel is given (one send is 1 MiB).
 * CPU is of both ends together, per GiB; other load on the machine makes the rate, not the CPU,
 * a poor guide.
 */
#include "base/deadline.h"
#include "base/io.h"
#include "base/units.h"
#include "crypto/tls.h"
#include "transport/tcp.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SEND_BYTES = 1 << 20, BARE_WRITE_BYTES = 128 << 10, MIN_PIECE_BYTES = 512 };

#define LIMIT_NS (30 * NS_PER_S)

struct side {
    struct tls_context *tls;
    char dir[64];
    int fd;
    bool server, bare;
    uint64_t total_bytes;
    size_t piece_bytes;
    uint8_t *buf; /* SEND_BYTES */
    int rc;
};

static void run_channel(struct side *s)
{
    const struct tls_params p = {.server = s->server,
        .host = s->server ? NULL : "127.0.0.1",
        .name = "floor",
        .stall_ns = LIMIT_NS,
        .deadline_ns = deadline_in(LIMIT_NS)};
    static _Thread_local struct iovec iov[SEND_BYTES / MIN_PIECE_BYTES];
    struct err e = ERR_INIT;
    struct tls_peer peer;
    struct channel *ch;

    s->rc = tls_channel(s->tls, s->fd, &p, &ch, &peer, &e);
    for (uint64_t done = 0; done < s->total_bytes && !s->rc; done += SEND_BYTES) {
        const int count = (int)(SEND_BYTES / s->piece_bytes);

        for (int i = 0; i < count; i++)
            iov[i] = (struct iovec){s->buf + (size_t)i * s->piece_bytes, s->piece_bytes};
        s->rc = s->server ? channel_recv(ch, s->buf, SEND_BYTES, deadline_in(LIMIT_NS), &e)
                          : channel_send(ch, iov, count, &e);
    }
    if (s->rc)
        fprintf(stderr, "%s\n", e.text);
    channel_close(ch);
}

static int accept_any(X509_STORE_CTX *chain, void *unused)
{
    (void)chain;
    (void)unused;
    return 1;
}

static SSL *open_bare(struct side *s, SSL_CTX *ctx)
{
    char path[CONFIG_PATH_BYTES];
    struct err e = ERR_INIT;
    SSL *ssl;

    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_num_tickets(ctx, 0); /* unread, they would turn the close into a reset */
    SSL_CTX_set_cert_verify_callback(ctx, accept_any, NULL);
    config_path(s->dir, "cert.pem", path, &e);
    SSL_CTX_use_certificate_chain_file(ctx, path);
    config_path(s->dir, "key.pem", path, &e);
    SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM);
    ssl = SSL_new(ctx);
    io_set_nonblocking(s->fd, false);
    SSL_set_fd(ssl, s->fd);
    s->rc = (s->server ? SSL_accept(ssl) : SSL_connect(ssl)) == 1 ? 0 : -1;
    return ssl;
}

static void run_bare(struct side *s)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    SSL *ssl = open_bare(s, ctx);

    for (uint64_t done = 0; done < s->total_bytes && !s->rc;) {
        const int n = s->server ? SSL_read(ssl, s->buf, BARE_WRITE_BYTES)
                                : SSL_write(ssl, s->buf, BARE_WRITE_BYTES);

        if (n <= 0)
            s->rc = -1;
        else
            done += (uint64_t)n;
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(s->fd);
}

static void *run_side(void *arg)
{
    struct side *s = arg;

    if (s->bare)
        run_bare(s);
    else
        run_channel(s);
    return NULL;
}

static double cpu_s(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int connect_sides(struct side side[2], struct err *e)
{
    struct tcp_address at = {.host = "127.0.0.1"};
    const int listener = tcp_listen(&at, &at.port, e);

    if (listener < 0)
        return listener;
    side[0].fd = tcp_connect(&at, NULL, deadline_in(LIMIT_NS), e);
    io_set_nonblocking(listener, false);
    side[1].fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    close(listener);
    tcp_tune(side[0].fd, LIMIT_NS);
    tcp_tune(side[1].fd, LIMIT_NS);
    return side[0].fd < 0 || side[1].fd < 0 ? -1 : 0;
}

static int measure(struct side side[2], bool bare, struct err *e)
{
    pthread_t server;

    if (connect_sides(side, e))
        return -1;
    side[0].bare = side[1].bare = bare;

    const double cpu_begin_s = cpu_s();
    const int64_t begin_ns = now_ns();

    if (pthread_create(&server, NULL, run_side, &side[1]))
        return -1;
    run_side(&side[0]);
    pthread_join(server, NULL);
    if (side[0].rc || side[1].rc)
        return -1;

    const double gib = (double)side[0].total_bytes / (1 << 30);

    printf("%-8s %6.2f GiB/s %6.2f CPU-s/GiB\n", bare ? "openssl" : "channel",
        gib * 1e9 / (double)(now_ns() - begin_ns), (cpu_s() - cpu_begin_s) / gib);
    fflush(stdout);
    return 0;
}

static void drop_dir(const char *dir)
{
    static const char *const names[] = {"key.pem", "cert.pem", "trusted"};
    char path[CONFIG_PATH_BYTES];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

int main(int argc, char **argv)
{
    struct side side[2] = {{.dir = "/tmp/xmigrate-floor.XXXXXX"}, {.server = true}};
    uint64_t mib = 2048, turns = 3, piece_bytes = SEND_BYTES;
    struct err e = ERR_INIT;

    signal(SIGPIPE, SIG_IGN);
    if ((argc > 1 && !parse_u64(argv[1], 1, 1 << 20, &mib)) ||
        (argc > 2 && !parse_u64(argv[2], 1, 1000, &turns)) ||
        (argc > 3 && !parse_u64(argv[3], MIN_PIECE_BYTES, SEND_BYTES, &piece_bytes))) {
        fprintf(stderr, "usage: tls_floor [MIB [TURNS [PIECE_BYTES]]]\n");
        return 1;
    }
    if (!mkdtemp(side[0].dir) || tls_open(&side[0].tls, side[0].dir, &e) ||
        trust_add(side[0].dir, tls_own_fingerprint(side[0].tls), "self", &e)) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    memcpy(side[1].dir, side[0].dir, sizeof(side[0].dir));
    side[1].tls = side[0].tls;
    for (int i = 0; i < 2; i++) {
        side[i].buf = aligned_alloc(4096, SEND_BYTES);
        memset(side[i].buf, i, SEND_BYTES);
        side[i].total_bytes = mib << 20;
        side[i].piece_bytes = piece_bytes;
    }

    int rc = 0;

    for (uint64_t turn = 0; turn < turns && !rc; turn++) {
        rc = measure(side, true, &e);
        if (!rc)
            rc = measure(side, false, &e);
    }
    tls_close(side[0].tls);
    drop_dir(side[0].dir);
    free(side[0].buf);
    free(side[1].buf);
    return rc ? 1 : 0;
}
