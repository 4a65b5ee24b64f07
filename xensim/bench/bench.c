/*
 * How fast xensim itself is, measured from a toolstack's side: run it under `xensim run HOST --`,
 * or through `make bench-xensim`. Each figure is the median of several runs, with the CPU time of
 * this process and of the daemon together beside it, because a busy machine spoils the wall clock
 * first.
 *
 *   bench map DOMID          map 2 MiB runs of a pvh guest, read them, unmap
 *   bench populate           fresh domain: populate 2 MiB, map it, fill it
 *   bench write DOMID        a guest that writes as it can with log-dirty on, CLEANed each 100 ms
 *   bench tls DOMID          the guest through TLS into a fresh domain, and the same from
 *                            ordinary memory into ordinary memory
 */
#include "xensim/client.h"

#include "base/deadline.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>

enum { PAGES = 512, RUNS = 5 };
#define RUN_BYTES (2ull << 20)

static xc_interface *xch;
static xenforeignmemory_handle *fmem;
static pid_t daemon_pid;
static int command_sock;

static void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* CPU time of this process and the daemon, in ns. */
static int64_t cpu_ns(void)
{
    char path[64];
    struct timespec own;
    unsigned long long daemon_ns = 0;
    FILE *f;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    /* Of all its threads: the ones that serve us and the guest's. */
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)daemon_pid);
    f = fopen(path, "re");
    if (f) {
        unsigned long long user = 0, sys = 0;

        if (fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                &sys) == 2)
            daemon_ns = (user + sys) * (NS_PER_S / (unsigned long long)sysconf(_SC_CLK_TCK));
        fclose(f);
    }
    return own.tv_sec * NS_PER_S + own.tv_nsec + (int64_t)daemon_ns;
}

struct sample {
    double gbs;      /* GB/s by the clock */
    double cpu_s_gb; /* CPU-seconds a GB */
};

static int by_gbs(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;

    return x->gbs < y->gbs ? -1 : x->gbs > y->gbs;
}

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

static void report_median(const char *what, struct sample s[static RUNS])
{
    qsort(s, RUNS, sizeof(s[0]), by_gbs);
    printf("%-44s %7.2f GB/s   %6.3f CPU-s/GB\n", what, s[RUNS / 2].gbs, s[RUNS / 2].cpu_s_gb);
    fflush(stdout);
}

static void report(const char *what, uint64_t (*run)(void *arg), void *arg)
{
    struct sample s[RUNS];

    for (int i = 0; i < RUNS; i++)
        s[i] = measure(run, arg);
    report_median(what, s);
}

static void *map_run(uint32_t domid, int prot, uint64_t first)
{
    xen_pfn_t gfns[PAGES];
    int errs[PAGES];
    void *p;

    for (unsigned i = 0; i < PAGES; i++)
        gfns[i] = first + i;
    p = xenforeignmemory_map(fmem, domid, prot, PAGES, gfns, errs);
    if (!p)
        die("map");
    return p;
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
        uint64_t *p = map_run(domid, PROT_READ, r * PAGES);

        for (uint64_t i = 0; i < RUN_BYTES / 8; i += 4)
            sum += p[i] ^ p[i + 1] ^ p[i + 2] ^ p[i + 3];
        xenforeignmemory_unmap(fmem, p, PAGES);
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

static void *populate_run(uint32_t domid, uint64_t first)
{
    xen_pfn_t gfns[PAGES];

    for (unsigned i = 0; i < PAGES; i++)
        gfns[i] = first + i;
    if (xc_domain_populate_physmap_exact(xch, domid, PAGES, 0, 0, gfns))
        die("populate");
    return map_run(domid, PROT_READ | PROT_WRITE, first);
}

static uint64_t run_populate(void *arg)
{
    enum { RUNS_OF_MEMORY = 128 };
    uint32_t domid = fresh_domain(RUNS_OF_MEMORY * RUN_BYTES);

    (void)arg;
    for (uint64_t r = 0; r < RUNS_OF_MEMORY; r++) {
        void *p = populate_run(domid, r * PAGES);

        memset(p, (int)r, RUN_BYTES);
        xenforeignmemory_unmap(fmem, p, PAGES);
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

/* A pair of TLS 1.3 ends over a socket pair, as bare as it gets. */
static void make_tls(SSL *ends[2])
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *cert = X509_new();
    SSL_CTX *server = SSL_CTX_new(TLS_server_method()), *client = SSL_CTX_new(TLS_client_method());
    int pair[2];

    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_sign(cert, key, EVP_sha256());
    SSL_CTX_use_certificate(server, cert);
    SSL_CTX_use_PrivateKey(server, key);
    SSL_CTX_set_ciphersuites(server, "TLS_AES_128_GCM_SHA256");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        die("socketpair");
    ends[0] = SSL_new(client);
    ends[1] = SSL_new(server);
    SSL_set_fd(ends[0], pair[0]);
    SSL_set_fd(ends[1], pair[1]);
}

struct copy {
    SSL *ssl;
    uint64_t runs;
    uint32_t domid;
    uint8_t *memory;
};

static void *receive(void *arg)
{
    struct copy *c = arg;

    if (SSL_accept(c->ssl) != 1)
        die("TLS");
    for (uint64_t r = 0; r < c->runs; r++) {
        uint8_t *p = c->memory ? c->memory + r * RUN_BYTES : populate_run(c->domid, r * PAGES);

        for (uint64_t done = 0; done < RUN_BYTES;) {
            int n = SSL_read(c->ssl, p + done, (int)(RUN_BYTES - done));

            if (n <= 0)
                die("TLS read");
            done += (uint64_t)n;
        }
        if (!c->memory)
            xenforeignmemory_unmap(fmem, p, PAGES);
    }
    return NULL;
}

static void send_all(const struct copy *c)
{
    if (SSL_connect(c->ssl) != 1)
        die("TLS");
    for (uint64_t r = 0; r < c->runs; r++) {
        uint8_t *p = c->memory ? c->memory + r * RUN_BYTES
                               : map_run(c->domid, PROT_READ, r * PAGES);

        if (SSL_write(c->ssl, p, (int)RUN_BYTES) != (int)RUN_BYTES)
            die("TLS write");
        if (!c->memory)
            xenforeignmemory_unmap(fmem, p, PAGES);
    }
}

struct tls_job {
    uint32_t domid;
    uint8_t *from, *to; /* ordinary memory; NULL for the domain, and a fresh one */
    uint32_t to_domid;
};

static uint64_t run_tls(void *arg)
{
    const struct tls_job *j = arg;
    uint64_t runs = guest_runs(j->domid);
    SSL *ends[2];
    pthread_t thread;

    make_tls(ends);

    struct copy from = {.ssl = ends[0], .runs = runs, .domid = j->domid, .memory = j->from};
    struct copy to = {.ssl = ends[1], .runs = runs, .domid = j->to_domid, .memory = j->to};

    pthread_create(&thread, NULL, receive, &to);
    send_all(&from);
    pthread_join(thread, NULL);
    SSL_free(ends[0]);
    SSL_free(ends[1]);
    return runs * RUN_BYTES;
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

/* What comes and goes with a run, a domain above all, is not measured. */
static void bench_tls(uint32_t domid)
{
    uint64_t bytes = guest_runs(domid) * RUN_BYTES;
    struct tls_job memory = {
        .domid = domid, .from = touched_memory(bytes), .to = touched_memory(bytes)};
    struct tls_job guest = {.domid = domid};
    struct sample of_memory[RUNS], of_guest[RUNS];
    double ratios[RUNS];

    for (uint64_t r = 0; r < bytes / RUN_BYTES; r++) {
        void *p = map_run(domid, PROT_READ, r * PAGES);

        memcpy(memory.from + r * RUN_BYTES, p, RUN_BYTES);
        xenforeignmemory_unmap(fmem, p, PAGES);
    }
    for (int i = 0; i < RUNS; i++) {
        of_memory[i] = measure(run_tls, &memory);
        guest.to_domid = fresh_domain(bytes);
        of_guest[i] = measure(run_tls, &guest);
        xc_domain_destroy(xch, guest.to_domid);
    }

    for (int i = 0; i < RUNS; i++)
        ratios[i] = of_guest[i].cpu_s_gb / of_memory[i].cpu_s_gb;
    qsort(ratios, RUNS, sizeof(ratios[0]), by_value);
    report_median("memory, TLS, memory", of_memory);
    report_median("map, TLS, populate and map", of_guest);
    printf("%-44s %7.3f\n", "CPU of the second over the first", ratios[RUNS / 2]);
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
    xch = xc_interface_open(NULL, NULL, 0);
    fmem = xenforeignmemory_open(NULL, 0);
    if (command_sock < 0 || !xch || !fmem)
        die("cannot open Xen");
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
