/* SPDX-License-Identifier: MIT */
/*
 * A long link between two network namespaces of its own, without kernel modules: a TUN device in
 * each, and a queue each way in this process.
 *
 *   build/link/emulate RATE_MBIT RTT_MS LOSS_PERCENT LOG
 *
 * A packet waits until those before it have left at RATE, is dropped when more than a BDP wait
 * (or by LOSS, one in so many by chance), and arrives half an RTT later. Prints two files that
 * `nsenter --net=FILE` takes, near and far, when the link is up; FAR_ADDRESS is at the far one.
 * LOG gets a line "NS NEAR_TO_FAR_BYTES FAR_TO_NEAR_BYTES" (since the start, arrived) every 5 ms
 * in which something arrived. Runs until it is killed or whoever started it is gone; devices and
 * namespaces go with it. Needs root.
 */
#include "base/deadline.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#define NEAR_ADDRESS "10.99.0.1"
#define FAR_ADDRESS  "10.99.0.2"
#define LOG_EVERY_NS (5 * NS_PER_MS)

enum {
    MTU_BYTES = 1500,
    LEAST_QUEUE_BYTES = 128 << 10,
    DEVICE_QUEUE_PACKETS = 10000, /* read at once: what waits waits here, and not in the device */
    BATCH_PACKETS = 64,
    BITS_PER_BYTE = 8,
};

struct link {
    double bytes_per_ns;
    int64_t delay_ns; /* one way */
    double loss;      /* 0..1 */
    double queue_bytes;
};

/* A packet in a way's ring; length 0: the rest of the ring is not used. */
struct packet {
    int64_t arrives_ns;
    uint32_t bytes;
    uint32_t unused;
    uint8_t data[];
};

/* One direction. Positions only grow; a position's place is its remainder by ring_bytes. */
struct way {
    int from, to;
    uint8_t *ring;
    uint64_t ring_bytes, head, tail; /* packets are between head and tail */
    int64_t free_ns;                 /* when the last packet has left */
    uint64_t random;
    uint64_t arrived_bytes;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void write_setting(const char *path, const char *value)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        die(path);
    close(fd);
}

static void set_address(int sock, const char *device, unsigned long request, const char *address)
{
    struct ifreq r = {0};
    struct sockaddr_in *const sa = (struct sockaddr_in *)&r.ifr_addr;

    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", device);
    sa->sin_family = AF_INET;
    inet_pton(AF_INET, address, &sa->sin_addr);
    if (ioctl(sock, request, &r))
        die("address");
}

static void bring_up(int sock, const char *device)
{
    struct ifreq r = {.ifr_flags = IFF_UP | IFF_RUNNING};

    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", device);
    if (ioctl(sock, SIOCSIFFLAGS, &r))
        die("up");
}

/* A namespace with one device that has the address; returns the device. This process is in it
 * afterwards, and *net holds it. */
static int make_namespace(const char *address, int *net)
{
    struct ifreq r = {.ifr_name = "wan", .ifr_flags = IFF_TUN | IFF_NO_PI};

    if (unshare(CLONE_NEWNET))
        die("unshare");

    const int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    const int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (tun < 0 || sock < 0 || ioctl(tun, TUNSETIFF, &r))
        die("/dev/net/tun");
    r.ifr_qlen = DEVICE_QUEUE_PACKETS;
    if (ioctl(sock, SIOCSIFTXQLEN, &r))
        die("queue length");
    set_address(sock, "wan", SIOCSIFADDR, address);
    set_address(sock, "wan", SIOCSIFNETMASK, "255.255.255.0");
    bring_up(sock, "wan");
    bring_up(sock, "lo");
    close(sock);
    /* What one connection learnt is not for the next. */
    write_setting("/proc/sys/net/ipv4/tcp_no_metrics_save", "1");
    /* The kernel's own, whatever this machine has been told. */
    write_setting("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456");
    write_setting("/proc/sys/net/ipv4/tcp_wmem", "4096 16384 4194304");
    *net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    return tun;
}

static bool by_chance(struct way *w, double share)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (double)(w->random >> 11) < share * (double)(1ull << 53);
}

static struct packet *packet_at(const struct way *w, uint64_t position)
{
    return (struct packet *)(w->ring + position % w->ring_bytes);
}

static uint64_t room_for(uint32_t bytes)
{
    return (sizeof(struct packet) + bytes + sizeof(int64_t) - 1) / sizeof(int64_t) *
           sizeof(int64_t);
}

/* Where a packet of so many bytes goes; NULL: the ring is full. */
static struct packet *add_packet(struct way *w, uint32_t bytes)
{
    const uint64_t to_end = w->ring_bytes - w->tail % w->ring_bytes;
    const uint64_t skipped = to_end < room_for(bytes) + sizeof(struct packet) ? to_end : 0;

    if (w->tail + skipped + room_for(bytes) - w->head > w->ring_bytes)
        return NULL;
    if (skipped)
        packet_at(w, w->tail)->bytes = 0;
    w->tail += skipped;

    struct packet *const p = packet_at(w, w->tail);

    w->tail += room_for(bytes);
    p->bytes = bytes;
    return p;
}

/* The next packet on its way, or NULL. */
static struct packet *first_packet(struct way *w)
{
    if (w->head < w->tail && !packet_at(w, w->head)->bytes)
        w->head += w->ring_bytes - w->head % w->ring_bytes;
    return w->head < w->tail ? packet_at(w, w->head) : NULL;
}

static void send_off(const struct link *l, struct way *w, const uint8_t *data, uint32_t bytes)
{
    const int64_t now = now_ns(), begin_ns = w->free_ns > now ? w->free_ns : now;

    if (by_chance(w, l->loss) || (double)(begin_ns - now) * l->bytes_per_ns > l->queue_bytes)
        return;

    struct packet *const p = add_packet(w, bytes);

    if (!p)
        return;
    memcpy(p->data, data, bytes);
    w->free_ns = begin_ns + (int64_t)(bytes / l->bytes_per_ns);
    p->arrives_ns = w->free_ns + l->delay_ns;
}

static void take_packets(const struct link *l, struct way *w)
{
    uint8_t data[MTU_BYTES + sizeof(int64_t)];

    for (int i = 0; i < BATCH_PACKETS; i++) {
        const ssize_t n = read(w->from, data, sizeof(data));

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            die("read");
        if (n <= 0)
            return;
        send_off(l, w, data, (uint32_t)n);
    }
}

/* What is due arrives; returns when the next one will (DEADLINE_NEVER: there is none). */
static int64_t deliver_packets(struct way *w)
{
    const int64_t now = now_ns();
    struct packet *p;

    while ((p = first_packet(w)) && p->arrives_ns <= now) {
        if (write(w->to, p->data, p->bytes) == (ssize_t)p->bytes)
            w->arrived_bytes += p->bytes;
        w->head += room_for(p->bytes);
    }
    return p ? p->arrives_ns : DEADLINE_NEVER;
}

static void run(const struct link *l, struct way ways[2], FILE *log)
{
    const int64_t begin_ns = now_ns();
    struct pollfd fds[2] = {
        {.fd = ways[0].from, .events = POLLIN}, {.fd = ways[1].from, .events = POLLIN}};
    int64_t logged_ns = 0;
    uint64_t logged_bytes = 0;

    for (;;) {
        const int64_t a = deliver_packets(&ways[0]), b = deliver_packets(&ways[1]);
        const int64_t now = now_ns(), next = a < b ? a : b;
        const int64_t left_ns = next <= now ? 0 : next - now;
        const struct timespec limit = {.tv_sec = left_ns / NS_PER_S, .tv_nsec = left_ns % NS_PER_S};

        if (now - logged_ns >= LOG_EVERY_NS &&
            ways[0].arrived_bytes + ways[1].arrived_bytes != logged_bytes) {
            fprintf(log, "%lld %llu %llu\n", (long long)(now - begin_ns),
                (unsigned long long)ways[0].arrived_bytes,
                (unsigned long long)ways[1].arrived_bytes);
            logged_ns = now;
            logged_bytes = ways[0].arrived_bytes + ways[1].arrived_bytes;
        }
        if (ppoll(fds, 2, next == DEADLINE_NEVER ? NULL : &limit, NULL) < 0 && errno != EINTR)
            die("poll");
        take_packets(l, &ways[0]);
        take_packets(l, &ways[1]);
    }
}

static void make_ring(const struct link *l, struct way *w)
{
    /* Small packets take more than their bytes. */
    const double bytes = 4 * (l->queue_bytes + (double)l->delay_ns * l->bytes_per_ns) + (1 << 20);

    w->ring_bytes = (uint64_t)bytes / sizeof(int64_t) * sizeof(int64_t);
    w->ring = malloc(w->ring_bytes);
    if (!w->ring)
        die("memory");
}

int main(int argc, char **argv)
{
    const double mbit = argc == 5 ? atof(argv[1]) : 0, rtt_ms = argc == 5 ? atof(argv[2]) : 0;
    struct link l = {
        .bytes_per_ns = mbit * 1e6 / BITS_PER_BYTE / NS_PER_S,
        .delay_ns = (int64_t)(rtt_ms / 2 * NS_PER_MS),
        .loss = argc == 5 ? atof(argv[3]) / 100 : 0,
        .queue_bytes = mbit * 1e6 / BITS_PER_BYTE * rtt_ms / 1e3,
    };
    struct way ways[2] = {{.random = 88172645463325252ull}, {.random = 2463534242ull}};
    int near_net, far_net;

    if (mbit <= 0 || rtt_ms < 0 || l.loss < 0) {
        fprintf(stderr, "usage: emulate RATE_MBIT RTT_MS LOSS_PERCENT LOG\n");
        return 1;
    }
    if (l.queue_bytes < LEAST_QUEUE_BYTES)
        l.queue_bytes = LEAST_QUEUE_BYTES;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1);

    FILE *const log = fopen(argv[4], "we");

    if (!log)
        die(argv[4]);
    setvbuf(log, NULL, _IOLBF, 0);
    ways[0].from = ways[1].to = make_namespace(NEAR_ADDRESS, &near_net);
    ways[1].from = ways[0].to = make_namespace(FAR_ADDRESS, &far_net);
    make_ring(&l, &ways[0]);
    make_ring(&l, &ways[1]);
    printf("/proc/%d/fd/%d /proc/%d/fd/%d\n", getpid(), near_net, getpid(), far_net);
    fflush(stdout);
    run(&l, ways, log);
}
