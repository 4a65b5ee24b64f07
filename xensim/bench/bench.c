/* SPDX-License-Identifier: MIT */
/*
 * How fast xensim itself is, measured from a toolstack's side: run it under `xensim run HOST --`,
 * or through `make bench-xensim`. Each figure is the median of several runs, with the CPU time of
 * this process and of the daemon together beside it, because a busy machine spoils the wall clock
 * first.
 *
 *   bench map DOMID          map 2 MiB runs of a pvh guest, read them, unmap
 *   bench populate           fresh domain: populate 2 MiB, map it, fill it
 *   bench write DOMID        a guest that writes as it can with log-dirty on, CLEANed each 100 ms
 *   bench tls DOMID          the guest through TLS into another domain, and the same from
 *                            ordinary memory into ordinary memory
 */
#include "xensim/client.h"

#include "base/deadline.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>

enum { PAGES = 512, RUNS = 7, COPIES = 21 };
#define RUN_BYTES (2ull << 20)
/* What a copy maps at a time: much, or as much as the engine and Xen's own helper do. */
enum { MOST_WINDOW_RUNS = 8, ENGINE_WINDOW_RUNS = 2 };

static xc_interface *xch;
static xenforeignmemory_handle *fmem;
static pid_t daemon_pid, receiver;
static int command_sock;

static void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t cpu_ns_of(pid_t pid)
{
    clockid_t clock;
    struct timespec t;

    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
        die("CPU clock");
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* CPU time of this process, the daemon and, if there is one, the receiver: all their threads. */
static int64_t cpu_ns(void)
{
    return cpu_ns_of(getpid()) + cpu_ns_of(daemon_pid) + (receiver ? cpu_ns_of(receiver) : 0);
}

struct sample {
    double gbs;      /* GB/s by the clock */
    double cpu_s_gb; /* CPU-seconds a GB */
};

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static struct sample measure(uint64_t (*run)(void *arg), void *arg)
{
    int64_t start = now_ns(), cpu = cpu_ns();
    uint64_t bytes = run(arg);

    return (struct sample){.gbs = (double)bytes / (double)(now_ns() - start),
        .cpu_s_gb = (double)(cpu_ns() - cpu) / (double)bytes};
}

static double median(double *v, int count)
{
    qsort(v, (size_t)count, sizeof(v[0]), by_value);
    return v[count / 2];
}

static void report_medians(const char *what, const struct sample *s, int count)
{
    double gbs[COPIES], cpu_s_gb[COPIES];

    for (int i = 0; i < count; i++) {
        gbs[i] = s[i].gbs;
        cpu_s_gb[i] = s[i].cpu_s_gb;
    }
    printf(
        "%-44s %7.2f GB/s   %6.3f CPU-s/GB\n", what, median(gbs, count), median(cpu_s_gb, count));
    fflush(stdout);
}

static void report(const char *what, uint64_t (*run)(void *arg), void *arg)
{
    struct sample s[RUNS];

    for (int i = 0; i < RUNS; i++)
        s[i] = measure(run, arg);
    report_medians(what, s, RUNS);
}

static void open_xen(void)
{
    xch = xc_interface_open(NULL, NULL, 0);
    fmem = xenforeignmemory_open(NULL, 0);
    if (!xch || !fmem)
        die("cannot open Xen");
}

/* Up to MOST_WINDOW_RUNS. */
static void *map_runs(uint32_t domid, int prot, uint64_t first_run, unsigned runs)
{
    xen_pfn_t gfns[MOST_WINDOW_RUNS * PAGES];
    int errs[MOST_WINDOW_RUNS * PAGES];
    void *p;

    for (unsigned i = 0; i < runs * PAGES; i++)
        gfns[i] = first_run * PAGES + i;
    p = xenforeignmemory_map(fmem, domid, prot, runs * PAGES, gfns, errs);
    if (!p)
        die("map");
    return p;
}

static void unmap_runs(void *p, unsigned runs)
{
    xenforeignmemory_unmap(fmem, p, runs * PAGES);
}

static uint64_t guest_runs(uint32_t domid)
{
    xc_dominfo_t info;

    if (xc_domain_getinfo(xch, domid, 1, &info) != 1 || info.domid != domid)
        die("no such domain");
    return (uint64_t)(info.nr_pages / PAGES);
}

static uint64_t run_map(void *arg)
{
    uint32_t domid = *(uint32_t *)arg;
    uint64_t runs = guest_runs(domid), sum = 0;

    for (uint64_t r = 0; r < runs; r++) {
        uint64_t *p = map_runs(domid, PROT_READ, r, 1);

        for (uint64_t i = 0; i < RUN_BYTES / 8; i += 4)
            sum += p[i] ^ p[i + 1] ^ p[i + 2] ^ p[i + 3];
        unmap_runs(p, 1);
    }
    __asm__ volatile("" ::"r"(sum));
    return runs * RUN_BYTES;
}

static uint32_t fresh_domain(uint64_t bytes)
{
    struct xen_domctl_createdomain c = {.max_vcpus = 1,
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
        .max_evtchn_port = 1023,
        .max_grant_frames = 16,
        .max_maptrack_frames = 16,
        .arch.emulation_flags = XEN_X86_EMU_LAPIC};
    uint32_t domid = DOMID_INVALID;

    if (xc_domain_create(xch, &domid, &c) || xc_domain_max_vcpus(xch, domid, 1) ||
        xc_domain_setmaxmem(xch, domid, bytes >> 10))
        die("cannot create a domain");
    return domid;
}

static void populate_run(uint32_t domid, uint64_t run)
{
    xen_pfn_t gfns[PAGES];

    for (unsigned i = 0; i < PAGES; i++)
        gfns[i] = run * PAGES + i;
    if (xc_domain_populate_physmap_exact(xch, domid, PAGES, 0, 0, gfns))
        die("populate");
}

static uint64_t run_populate(void *arg)
{
    enum { RUNS_OF_MEMORY = 128 };
    uint32_t domid = fresh_domain(RUNS_OF_MEMORY * RUN_BYTES);

    (void)arg;
    for (uint64_t r = 0; r < RUNS_OF_MEMORY; r++) {
        void *p;

        populate_run(domid, r);
        p = map_runs(domid, PROT_READ | PROT_WRITE, r, 1);
        memset(p, (int)r, RUN_BYTES);
        unmap_runs(p, 1);
    }
    xc_domain_destroy(xch, domid);
    return RUNS_OF_MEMORY * RUN_BYTES;
}

static uint64_t guest_writes(uint32_t domid)
{
    struct err e = ERR_INIT;
    char id[16];
    char *text = NULL;
    unsigned long long writes = 0;

    snprintf(id, sizeof(id), "%u", domid);
    if (!client_commandl(command_sock, &text, &e, "writes", id, NULL))
        writes = strtoull(text, NULL, 10);
    free(text);
    return writes;
}

static uint64_t run_guest(void *arg)
{
    uint32_t domid = *(uint32_t *)arg;
    uint64_t pages = guest_runs(domid) * PAGES, before;
    DECLARE_HYPERCALL_BUFFER(uint8_t, map);

    map = xc_hypercall_buffer_alloc_pages(xch, map, (int)(pages / 8 / 4096 + 1));
    if (!map || xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, NULL, 0))
        die("log-dirty");
    before = guest_writes(domid);
    for (int i = 0; i < 10; i++) {
        xc_shadow_op_stats_t stats;

        sleep_until_ns(deadline_in(100 * NS_PER_MS));
        xc_logdirty_control(
            xch, domid, XEN_DOMCTL_SHADOW_OP_CLEAN, HYPERCALL_BUFFER(map), pages, 0, &stats);
    }
    pages = guest_writes(domid) - before;
    xc_shadow_control(xch, domid, XEN_DOMCTL_SHADOW_OP_OFF, NULL, 0);
    xc_hypercall_buffer_free_pages(xch, map, (int)(guest_runs(domid) * PAGES / 8 / 4096 + 1));
    return pages * 4096;
}

/* One end of TLS 1.3, as bare as it gets. */
static SSL *tls_end(int sock, bool server)
{
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    SSL *ssl;

    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
    if (server) {
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        X509 *cert = X509_new();

        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
        X509_gmtime_adj(X509_getm_notBefore(cert), 0);
        X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
        X509_set_pubkey(cert, key);
        X509_sign(cert, key, EVP_sha256());
        SSL_CTX_use_certificate(ctx, cert);
        SSL_CTX_use_PrivateKey(ctx, key);
    }
    ssl = SSL_new(ctx);
    SSL_set_fd(ssl, sock);
    if ((server ? SSL_accept(ssl) : SSL_connect(ssl)) != 1)
        die("TLS");
    return ssl;
}

/* From a domain into a fresh one, or, with `memory`, from ordinary memory into ordinary memory. */
struct copy {
    uint64_t runs;
    uint32_t domid;
    uint8_t *memory;
    unsigned window_runs;
    bool populate; /* the fresh domain gets its memory run by run while it receives */
    SSL *ssl;
};

static unsigned window_at(const struct copy *c, uint64_t run)
{
    return c->runs - run < c->window_runs ? (unsigned)(c->runs - run) : c->window_runs;
}

static void receive(const struct copy *c, uint32_t to_domid, uint8_t *to)
{
    unsigned n;

    for (uint64_t r = 0; r < c->runs; r += n) {
        uint8_t *p;

        n = window_at(c, r);
        for (unsigned i = 0; c->populate && i < n; i++)
            populate_run(to_domid, r + i);
        p = to ? to + r * RUN_BYTES : map_runs(to_domid, PROT_READ | PROT_WRITE, r, n);

        for (uint64_t done = 0; done < n * RUN_BYTES;) {
            int got = SSL_read(c->ssl, p + done, (int)(n * RUN_BYTES - done));

            if (got <= 0)
                die("TLS read");
            done += (uint64_t)got;
        }
        if (!to)
            unmap_runs(p, n);
    }
}

static uint64_t send_all(void *arg)
{
    const struct copy *c = arg;
    uint8_t done;
    unsigned n;

    for (uint64_t r = 0; r < c->runs; r += n) {
        n = window_at(c, r);

        const int bytes = (int)(n * RUN_BYTES);
        uint8_t *p = c->memory ? c->memory + r * RUN_BYTES : map_runs(c->domid, PROT_READ, r, n);

        if (SSL_write(c->ssl, p, bytes) != bytes)
            die("TLS write");
        if (!c->memory)
            unmap_runs(p, n);
    }
    if (SSL_read(c->ssl, &done, 1) != 1)
        die("the receiver");
    return c->runs * RUN_BYTES;
}

/* Huge pages, and touched, as the memory of a host with --prealloc is: what the kernel takes for a
 * fresh page, or the machine below it, is no part of a copy. */
static uint8_t *touched_memory(uint64_t bytes)
{
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        die("memory");
    madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, 1, bytes);
    return p;
}

/* The other end is another process, as the other end of a migration is. It says when it has all,
 * and stays until its CPU time was read. */
static void receiver_main(struct copy *c, int sock)
{
    uint64_t bytes = c->runs * RUN_BYTES;
    uint8_t *to = c->memory ? touched_memory(bytes) : NULL;
    uint32_t to_domid = DOMID_INVALID;

    open_xen();
    if (!to)
        to_domid = fresh_domain(bytes);
    for (uint64_t r = 0; !to && !c->populate && r < c->runs; r++)
        populate_run(to_domid, r);
    c->ssl = tls_end(sock, true);
    receive(c, to_domid, to);
    if (SSL_write(c->ssl, "", 1) != 1)
        die("TLS write");
    while (read(sock, &(char){0}, 1) > 0)
        ;
    if (!to)
        xc_domain_destroy(xch, to_domid);
}

/* What comes and goes with a copy, a domain above all, is not measured. */
static struct sample measure_copy(struct copy c)
{
    int pair[2];
    struct sample s;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        die("socketpair");
    receiver = fork();
    if (receiver < 0)
        die("fork");
    if (!receiver) {
        close(pair[0]);
        receiver_main(&c, pair[1]);
        exit(0);
    }
    close(pair[1]);
    c.ssl = tls_end(pair[0], false);
    s = measure(send_all, &c);
    close(pair[0]);
    SSL_free(c.ssl);
    waitpid(receiver, NULL, 0);
    receiver = 0;
    return s;
}

/* The kinds of copy take turns, short ones and many, so that whatever else the machine does meets
 * them alike. */
static void bench_tls(uint32_t domid)
{
    enum { MEMORY, MAPPED, ENGINE, POPULATED, KINDS };
    static const char *const names[KINDS] = {"memory, TLS, memory", "map 16 MiB, TLS, map",
        "map 4 MiB, TLS, map", "map 4 MiB, TLS, populate and map"};
    const struct copy guest = {
        .domid = domid, .runs = guest_runs(domid), .window_runs = ENGINE_WINDOW_RUNS};
    struct copy kinds[KINDS] = {guest, guest, guest, guest};
    struct sample samples[KINDS][COPIES];
    double ratios[KINDS][COPIES];

    kinds[MEMORY].memory = touched_memory(guest.runs * RUN_BYTES);
    kinds[MAPPED].window_runs = MOST_WINDOW_RUNS;
    kinds[POPULATED].populate = true;
    for (uint64_t r = 0; r < guest.runs; r++) {
        void *p = map_runs(domid, PROT_READ, r, 1);

        memcpy(kinds[MEMORY].memory + r * RUN_BYTES, p, RUN_BYTES);
        unmap_runs(p, 1);
    }
    for (int i = 0; i < COPIES; i++)
        for (int k = 0; k < KINDS; k++) {
            samples[k][i] = measure_copy(kinds[k]);
            ratios[k][i] = samples[k][i].cpu_s_gb / samples[MEMORY][i].cpu_s_gb;
        }
    for (int k = 0; k < KINDS; k++) {
        report_medians(names[k], samples[k], COPIES);
        if (k != MEMORY)
            printf("    its CPU over that of ordinary memory %12.3f\n", median(ratios[k], COPIES));
    }
}

int main(int argc, char **argv)
{
    const char *path = getenv("XENSIM_SOCKET");
    uint32_t domid = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
    struct err e = ERR_INIT;
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (argc < 2 || !path) {
        fputs("run it under `xensim run HOST --`; see the comment in bench.c\n", stderr);
        return 1;
    }
    command_sock = client_connect(path, path, &e);
    if (command_sock < 0)
        die("cannot reach the host");
    open_xen();
    getsockopt(command_sock, SOL_SOCKET, SO_PEERCRED, &peer, &len);
    daemon_pid = peer.pid;
    if (!strcmp(argv[1], "map"))
        report("map a 2 MiB run, read it, unmap", run_map, &domid);
    else if (!strcmp(argv[1], "populate"))
        report("populate 2 MiB, map, fill, unmap", run_populate, NULL);
    else if (!strcmp(argv[1], "write"))
        report("guest writes, log-dirty on", run_guest, &domid);
    else if (!strcmp(argv[1], "tls"))
        bench_tls(domid);
    return 0;
}
