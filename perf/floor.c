/* SPDX-License-Identifier: MIT */
/*
 * What this machine can do at best: the floors that a migration is measured against.
 *
 *   build/perf/floor memory|seal|open|tcp|tls [CONNECTIONS [MIB [NEAR_NET FAR_NET FAR_ADDRESS]]]
 *
 * memory: one thread copies. seal, open: one thread does that to records of 16 KiB, with
 * AES-128-GCM. tcp and tls:
 * so many connections over the loopback, a thread at each end, large writes, the least that a
 * program can do: from memory that nobody touched lately into such memory. TLS is OpenSSL behind
 * large buffers, so that a system call moves several records, with the cipher suite that xmigrate
 * picks. Not over the loopback but from one network
 * namespace (a file, as of setns(2)) to an address in another, if they are named. Prints one JSON
 * object; CPU is of both ends.
 */
#include "base/deadline.h"
#include "base/units.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_CONNECTIONS = 64,
    TLS_WRITE_BYTES = 128 << 10,
    TCP_WRITE_BYTES = 1 << 20,
    TLS_BUFFER_BYTES = 64 << 10, /* larger ones are slower */
    RECORD_BYTES = 16 << 10,
    GCM_IV_BYTES = 12,
    GCM_TAG_BYTES = 16,
};

/* Memory at each end: what is sent, but not more than this, which is more than caches hold. */
#define MAX_MEMORY_BYTES ((size_t)1 << 30)

struct memory {
    uint8_t *from, *to;
    size_t bytes; /* of each */
};

/* Where connections go; namespaces are NULL for this one. */
struct path {
    const char *near_net, *far_net;
    struct in_addr far;
};

struct end {
    SSL_CTX *ctx; /* NULL for plain TCP */
    SSL *ssl;
    int fd;
    bool server;
    uint8_t *memory;
    size_t memory_bytes;
    uint64_t total_bytes;
    pthread_barrier_t *start;
    bool failed;
    pthread_t thread;
};

static double cpu_s(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void print_figures(uint64_t bytes, int64_t wall_ns, double cpu)
{
    const double gb = (double)bytes / 1e9;

    printf("{\"GBps\": %.4f, \"cpu_s_per_GB\": %.4f}\n", gb * 1e9 / (double)wall_ns, cpu / gb);
}

/* Touched before anything is measured. */
static uint8_t *map_memory(size_t bytes, int fill)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, fill, bytes);
    return p;
}

static int measure_memory(const struct memory *m, uint64_t total_bytes)
{
    const double cpu = cpu_s();
    const int64_t begin_ns = now_ns();

    for (uint64_t at = 0; at < total_bytes; at += TCP_WRITE_BYTES)
        memcpy(m->to + at % m->bytes, m->from + at % m->bytes, TCP_WRITE_BYTES);
    print_figures(total_bytes, now_ns() - begin_ns, cpu_s() - cpu);
    return 0;
}

static int seal(EVP_CIPHER_CTX *ctx, const uint8_t *iv, uint8_t *to, const uint8_t *from)
{
    uint8_t tag[GCM_TAG_BYTES];
    int n;

    return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, iv, 1) &&
           EVP_CipherUpdate(ctx, to, &n, from, RECORD_BYTES) && EVP_CipherFinal_ex(ctx, tag, &n) &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, sizeof(tag), tag);
}

/* The tag is computed, too, and is wrong: nothing here was sealed. */
static int unseal(EVP_CIPHER_CTX *ctx, const uint8_t *iv, uint8_t *to, const uint8_t *from)
{
    uint8_t tag[GCM_TAG_BYTES] = {0};
    int n;

    return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, iv, 0) &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, sizeof(tag), tag) &&
           EVP_CipherUpdate(ctx, to, &n, from, RECORD_BYTES) &&
           EVP_CipherFinal_ex(ctx, tag, &n) <= 0;
}

static int measure_gcm(const struct memory *m, uint64_t total_bytes, bool opens)
{
    static const uint8_t key[16] = "floor";
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t iv[GCM_IV_BYTES] = {0};
    int good = ctx && EVP_CipherInit_ex(ctx, EVP_aes_128_gcm(), NULL, key, iv, !opens);
    const double cpu = cpu_s();
    const int64_t begin_ns = now_ns();

    for (uint64_t at = 0; at < total_bytes && good; at += RECORD_BYTES) {
        memcpy(iv, &at, sizeof(at));
        good = (opens ? unseal : seal)(ctx, iv, m->to + at % m->bytes, m->from + at % m->bytes);
    }
    if (good)
        print_figures(total_bytes, now_ns() - begin_ns, cpu_s() - cpu);
    EVP_CIPHER_CTX_free(ctx);
    return good ? 0 : -1;
}

/* A key and a certificate for this run only; nobody checks it. */
static int make_identity(SSL_CTX *ctx)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    const int good = key && cert && X509_gmtime_adj(X509_getm_notBefore(cert), 0) &&
                     X509_gmtime_adj(X509_getm_notAfter(cert), 3600) &&
                     X509_set_pubkey(cert, key) && X509_sign(cert, key, EVP_sha256()) &&
                     SSL_CTX_use_certificate(ctx, cert) && SSL_CTX_use_PrivateKey(ctx, key);

    X509_free(cert);
    EVP_PKEY_free(key);
    return good ? 0 : -1;
}

static SSL_CTX *make_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") ||
        !SSL_CTX_set_num_tickets(ctx, 0) || make_identity(ctx)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static ssize_t move_some(struct end *e, uint8_t *at, size_t bytes)
{
    if (!e->ssl)
        return e->server ? recv(e->fd, at, bytes, MSG_WAITALL)
                         : send(e->fd, at, bytes, MSG_NOSIGNAL);
    return e->server ? SSL_read(e->ssl, at, (int)bytes) : SSL_write(e->ssl, at, (int)bytes);
}

/* The socket, with buffers before it: OpenSSL itself makes two reads and a write for each record.
 */
static SSL *open_tls(const struct end *e)
{
    BIO *buffers = BIO_new(BIO_f_buffer()), *socket = BIO_new_socket(e->fd, BIO_NOCLOSE);
    SSL *ssl = SSL_new(e->ctx);

    if (!buffers || !socket || !ssl || BIO_set_buffer_size(buffers, TLS_BUFFER_BYTES) != 1) {
        BIO_free(buffers);
        BIO_free(socket);
        SSL_free(ssl);
        return NULL;
    }
    BIO_push(buffers, socket);
    SSL_set_bio(ssl, buffers, buffers);
    return ssl;
}

static bool flush(const struct end *e)
{
    return !e->ssl || e->server || BIO_flush(SSL_get_wbio(e->ssl)) == 1;
}

static void *run_end(void *arg)
{
    struct end *e = arg;
    const size_t write_bytes = e->ctx ? TLS_WRITE_BYTES : TCP_WRITE_BYTES;

    if (e->ctx) {
        e->ssl = open_tls(e);
        e->failed = !e->ssl || (e->server ? SSL_accept(e->ssl) : SSL_connect(e->ssl)) != 1;
    }
    pthread_barrier_wait(e->start);
    for (uint64_t done = 0; done < e->total_bytes && !e->failed;) {
        const size_t offset = done % e->memory_bytes;
        const size_t room = e->memory_bytes - offset;
        const ssize_t n = move_some(e, e->memory + offset, room < write_bytes ? room : write_bytes);

        if (n <= 0)
            e->failed = true;
        else
            done += (uint64_t)n;
    }
    if (e->failed || !flush(e)) {
        e->failed = true;
        shutdown(e->fd, SHUT_RDWR);
    }
    return NULL;
}

/* A socket there; this thread stays there, but what it has open lies where it was opened. */
static int open_socket(const char *net)
{
    if (net) {
        const int fd = open(net, O_RDONLY | O_CLOEXEC);
        const int rc = fd < 0 ? -1 : setns(fd, CLONE_NEWNET);

        close(fd);
        if (rc)
            return -1;
    }
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int connect_pair(const struct path *path, int fd[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = path->far};
    socklen_t len = sizeof(at);
    const int listener = open_socket(path->far_net);

    fd[0] = open_socket(path->near_net);
    fd[1] = -1;
    if (!bind(listener, (struct sockaddr *)&at, len) && !listen(listener, 1) &&
        !getsockname(listener, (struct sockaddr *)&at, &len) &&
        !connect(fd[0], (struct sockaddr *)&at, len))
        fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    return fd[1] < 0 ? -1 : 0;
}

/* One of so many: its part of the memory, its share of the bytes. */
static int start_end(struct end *e, const struct end *common, unsigned i, unsigned connections)
{
    *e = *common;
    e->memory_bytes /= connections;
    e->memory += i * e->memory_bytes;
    e->total_bytes /= connections;
    return pthread_create(&e->thread, NULL, run_end, e);
}

static int measure_connections(SSL_CTX *ctx, const struct path *path, const struct memory *m,
    unsigned connections, uint64_t total_bytes)
{
    static struct end ends[MAX_CONNECTIONS][2];
    pthread_barrier_t start;
    struct end common = {
        .ctx = ctx, .memory_bytes = m->bytes, .total_bytes = total_bytes, .start = &start};
    bool failed = false;

    pthread_barrier_init(&start, NULL, 2 * connections + 1);
    for (unsigned i = 0; i < connections; i++) {
        int fd[2];

        if (connect_pair(path, fd))
            return -1;
        for (int server = 0; server < 2; server++) {
            common.fd = fd[server];
            common.server = server;
            common.memory = server ? m->to : m->from;
            if (start_end(&ends[i][server], &common, i, connections))
                return -1;
        }
    }
    pthread_barrier_wait(&start);

    const double cpu = cpu_s();
    const int64_t begin_ns = now_ns();

    for (unsigned i = 0; i < connections; i++)
        for (int server = 0; server < 2; server++) {
            pthread_join(ends[i][server].thread, NULL);
            failed |= ends[i][server].failed;
        }
    if (!failed)
        print_figures(total_bytes, now_ns() - begin_ns, cpu_s() - cpu);
    for (unsigned i = 0; i < connections; i++)
        for (int server = 0; server < 2; server++) {
            SSL_free(ends[i][server].ssl);
            close(ends[i][server].fd);
        }
    pthread_barrier_destroy(&start);
    return failed ? -1 : 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    uint64_t connections = 1, mib = 2048;
    struct path path = {.far = {htonl(INADDR_LOOPBACK)}};

    if (argc < 2 || (argc > 4 && argc != 7) ||
        (argc > 2 && !parse_u64(argv[2], 1, MAX_CONNECTIONS, &connections)) ||
        (argc > 3 && !parse_u64(argv[3], 1, 1 << 20, &mib)) ||
        (argc > 4 && inet_pton(AF_INET, argv[6], &path.far) != 1)) {
        fprintf(stderr, "usage: floor memory|seal|open|tcp|tls "
                        "[CONNECTIONS [MIB [NEAR_NET FAR_NET FAR_ADDRESS]]]\n");
        return 1;
    }
    if (argc > 4) {
        path.near_net = argv[4];
        path.far_net = argv[5];
    }
    signal(SIGPIPE, SIG_IGN);

    struct memory m = {.bytes = mib << 20 < MAX_MEMORY_BYTES ? mib << 20 : MAX_MEMORY_BYTES};
    SSL_CTX *ctx = NULL;
    int rc = -1;

    m.from = map_memory(m.bytes, 1);
    m.to = map_memory(m.bytes, 2);
    if (!m.from || !m.to)
        perror("memory");
    else if (!strcmp(what, "memory"))
        rc = measure_memory(&m, mib << 20);
    else if (!strcmp(what, "seal") || !strcmp(what, "open"))
        rc = measure_gcm(&m, mib << 20, !strcmp(what, "open"));
    else if (!strcmp(what, "tcp"))
        rc = measure_connections(NULL, &path, &m, (unsigned)connections, mib << 20);
    else if (!strcmp(what, "tls") && (ctx = make_context()))
        rc = measure_connections(ctx, &path, &m, (unsigned)connections, mib << 20);
    SSL_CTX_free(ctx);
    if (rc)
        fprintf(stderr, "floor: %s could not be measured\n", what);
    return rc ? 1 : 0;
}
