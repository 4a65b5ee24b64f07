/* SPDX-License-Identifier: MIT */
#include "transport/tcp.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/units.h"
#include "transport/resolve.h"
#include "transport/tcp_local.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LISTEN_BACKLOG = 4096, /* the kernel caps it; a full queue costs a client a second */
    KEEPALIVE_IDLE_S = 10,
    KEEPALIVE_INTERVAL_S = 5,
    KEEPALIVE_PROBES = 4,
    IPV6_MIN_COLONS = 2,
    /* Left alone, megabytes wait to be received and fall out of the caches. This is as much as
     * keeps a link of 40 Gb/s busy over the round trip. */
    WINDOW_BYTES_PER_US = 5000,
    LEAST_WINDOW_BYTES = 128 << 10,
    MOST_WINDOW_BYTES = 2 << 20, /* on a longer way the kernel tunes the window */
};

/* Addresses */

static bool is_host_name(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i]))
            return false;
    return len > 0;
}

static bool is_ipv6(const char *text, size_t len)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    const char *const scope = memchr(text, '%', len);
    const size_t address_len = scope ? (size_t)(scope - text) : len;

    if (address_len >= sizeof(address))
        return false;
    memcpy(address, text, address_len);
    address[address_len] = '\0';
    return inet_pton(AF_INET6, address, &ignored) == 1 &&
           (!scope || is_host_name(scope + 1, len - address_len - 1));
}

static unsigned count_colons(const char *text)
{
    unsigned n = 0;

    for (; *text; text++)
        n += *text == ':';
    return n;
}

static bool is_number(const char *text)
{
    return text[0] && strspn(text, "0123456789") == strlen(text);
}

/* Find where the host ends and where the port, if given, begins. False: not an address. */
static bool split_address(
    const char *text, bool listening, const char **host, size_t *host_len, const char **port)
{
    const char *const colon = strrchr(text, ':');

    *host = text;
    *host_len = strlen(text);
    *port = NULL;
    if (text[0] == '[') {
        const char *const end = strchr(text, ']');

        if (!end || (end[1] && end[1] != ':'))
            return false;
        *host = text + 1;
        *host_len = (size_t)(end - text - 1);
        *port = end[1] ? end + 2 : NULL;
        return is_ipv6(*host, *host_len);
    }
    if (count_colons(text) >= IPV6_MIN_COLONS)
        return is_ipv6(text, *host_len);
    if (colon) {
        *host_len = (size_t)(colon - text);
        *port = colon + 1;
    } else if (listening && is_number(text)) {
        *host_len = 0;
        *port = text;
    }
    return (listening && *host_len == 0) || is_host_name(*host, *host_len);
}

int tcp_parse_address(const char *text, bool listening, struct tcp_address *a, struct err *e)
{
    const char *host, *port_text;
    uint64_t port = TCP_DEFAULT_PORT;
    size_t host_len;

    if (!split_address(text, listening, &host, &host_len, &port_text) ||
        host_len >= sizeof(a->host))
        return err_set(e, ERR_USAGE, EINVAL, "\"%s\" is not an address; write %s", text,
            listening ? "ADDR:PORT, :PORT or [V6]:PORT" : "HOST, HOST:PORT or [V6]:PORT");
    if (port_text && !parse_u64(port_text, listening ? 0 : 1, UINT16_MAX, &port))
        return err_set(e, ERR_USAGE, EINVAL, "\"%s\": the port must be a number from %d to %d",
            text, listening ? 0 : 1, UINT16_MAX);
    memcpy(a->host, host, host_len);
    a->host[host_len] = '\0';
    a->port = (uint16_t)port;
    return 0;
}

void tcp_format_address(const struct tcp_address *a, char buf[static TCP_ADDRESS_BYTES])
{
    const char *const format = strchr(a->host, ':') ? "[%s]:%u" : "%s:%u";

    snprintf(buf, TCP_ADDRESS_BYTES, format, a->host, a->port);
}

void tcp_describe_peer(int fd, char *buf, size_t cap)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage storage;
    } peer;
    socklen_t len = sizeof(peer);
    char text[INET6_ADDRSTRLEN];

    snprintf(buf, cap, "?");
    if (getpeername(fd, &peer.any, &len))
        return;
    if (peer.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &peer.v4.sin_addr, text, sizeof(text));
        snprintf(buf, cap, "%s:%u", text, ntohs(peer.v4.sin_port));
    } else if (peer.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.v6.sin6_addr)) {
        inet_ntop(AF_INET, &peer.v6.sin6_addr.s6_addr[12], text, sizeof(text));
        snprintf(buf, cap, "%s:%u", text, ntohs(peer.v6.sin6_port));
    } else if (peer.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &peer.v6.sin6_addr, text, sizeof(text));
        snprintf(buf, cap, "[%s]:%u", text, ntohs(peer.v6.sin6_port));
    }
}

/* Sockets */

static void set_option(int fd, int level, int option, int value)
{
    /* Each only makes a good connection better; none is worth failing for. */
    setsockopt(fd, level, option, &value, sizeof(value));
}

void tcp_linger(int fd, const struct cancel *cancel)
{
    const int64_t deadline_ns = deadline_in(TCP_LINGER_NS);
    uint8_t thrown_away[4096];
    ssize_t n = 1;

    shutdown(fd, SHUT_WR);
    while (n > 0 && !io_wait(fd, POLLIN, cancel, deadline_ns) && !deadline_passed(deadline_ns))
        n = io_read_some(fd, thrown_away, sizeof(thrown_away));
}

int64_t tcp_round_trip_ns(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ? 0 : info.tcpi_rtt * NS_PER_US;
}

/* Fixed, because the kernel would only ever grow it. Without the privilege it does. */
static void fit_window(int fd, int trip_us)
{
    const int fitting = trip_us * WINDOW_BYTES_PER_US;
    const int bytes = fitting < LEAST_WINDOW_BYTES ? LEAST_WINDOW_BYTES : fitting;

    /* Kernels before 6.11 keep the window within what the handshake allowed, unless told. */
    if (!setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
        set_option(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, bytes);
}

/* BBR sets a timer for each piece that it sends: a fifth of a sender's processor time. */
static void do_without_bbr(int fd)
{
    static const char bbr[] = "bbr", cubic[] = "cubic", reno[] = "reno";
    char name[16];
    socklen_t len = sizeof(name);

    if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len) || len < strlen(bbr) ||
        memcmp(name, bbr, strlen(bbr)))
        return;
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cubic, strlen(cubic)))
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, reno, strlen(reno));
}

/* There is next to nothing under way, so neither the window nor the rate has to be found out. */
static void fit_short_way(int fd)
{
    const int64_t trip_us = tcp_round_trip_ns(fd) / NS_PER_US;

    if (!trip_us || trip_us > MOST_WINDOW_BYTES / WINDOW_BYTES_PER_US)
        return;
    fit_window(fd, (int)trip_us);
    do_without_bbr(fd);
}

void tcp_tune(int fd, int64_t silent_ns)
{
    const int64_t silent_ms = silent_ns / NS_PER_MS;

    fit_short_way(fd);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
    set_option(
        fd, IPPROTO_TCP, TCP_USER_TIMEOUT, silent_ms > INT32_MAX ? INT32_MAX : (int)silent_ms);
}

static int open_socket(int family)
{
    const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}

/* One address; the connected socket or -errno. */
static int connect_one(const struct addrinfo *ai, const struct tcp_address *a,
    const struct cancel *cancel, int64_t deadline_ns)
{
    const int fd = open_socket(ai->ai_family);
    int code = 0, rc = 0;
    socklen_t len = sizeof(code);

    if (fd < 0)
        return fd;
    if (a->dscp)
        tcp_mark(fd, ai->ai_family, a->dscp);
    if (a->from[0])
        rc = tcp_bind_from(fd, ai->ai_family, a->from);
    if (rc) {
        close(fd);
        return rc;
    }
    rc = connect(fd, ai->ai_addr, ai->ai_addrlen) ? -errno : 0;

    if (rc == -EINPROGRESS) {
        rc = io_wait(fd, POLLOUT, cancel, deadline_ns);
        if (!rc)
            rc = getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) ? -errno : -code;
    }
    if (rc) {
        close(fd);
        return rc;
    }
    return fd;
}

static int explain_connect(const char *where, const char *from, int rc, struct err *e)
{
    switch (-rc) {
    case ECANCELED:
        return err_set(e, ERR_CANCELLED, -rc, "cancelled while connecting to %s", where);
    case ECONNREFUSED:
        return err_set(e, ERR_PEER, -rc,
            "cannot connect to %s: nothing listens there; is xmigrate --listen running?", where);
    case ETIMEDOUT:
        return err_set(e, ERR_PEER, -rc,
            "cannot connect to %s: no answer in time; is the host up, does a firewall drop the "
            "port?",
            where);
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
        if (from[0])
            return err_set(e, ERR_REFUSED, -rc,
                "cannot connect to %s from %s: that is no address of this host's, or not of that "
                "kind (--bind)",
                where, from);
        /* fall through */
    default:
        return err_sys(e, ERR_PEER, -rc, "cannot connect to %s", where);
    }
}

static int count_addresses(const struct addrinfo *ai)
{
    int n = 0;

    for (; ai; ai = ai->ai_next)
        n++;
    return n;
}

int tcp_connect(
    const struct tcp_address *a, const struct cancel *cancel, int64_t deadline_ns, struct err *e)
{
    char where[TCP_ADDRESS_BYTES];
    struct addrinfo *list;
    int rc = resolve_host(a->host, a->port, 0, cancel, deadline_ns, &list, e);

    if (rc)
        return rc;

    int left = count_addresses(list);

    rc = -ETIMEDOUT;
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next, left--) {
        /* Each gets an equal share of the time, so that one that drops packets does not use it all
         * up. */
        const int64_t now = now_ns();
        const int64_t until_ns = deadline_ns == DEADLINE_NEVER ? deadline_ns
                                                               : now + (deadline_ns - now) / left;

        const int tried = connect_one(ai, a, cancel, until_ns);

        /* That one of them is of a family that this end has not says less than why another one
         * did not answer. */
        if (tried != -EAFNOSUPPORT || ai == list)
            rc = tried;
        if (rc >= 0 || rc == -ECANCELED)
            break;
    }
    freeaddrinfo(list);
    if (rc >= 0)
        return rc;
    tcp_format_address(a, where);
    return explain_connect(where, a->from, rc, e);
}

static int bind_and_listen(const struct sockaddr *sa, socklen_t len)
{
    const int fd = open_socket(sa->sa_family);

    if (fd < 0)
        return fd;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (sa->sa_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (bind(fd, sa, len) || listen(fd, LISTEN_BACKLOG)) {
        const int rc = -errno;

        close(fd);
        return rc;
    }
    return fd;
}

static int listen_on_all(uint16_t port)
{
    const struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_ANY_INIT};
    const struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int fd = bind_and_listen((const struct sockaddr *)&v6, sizeof(v6));

    if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) /* IPv6 is switched off */
        return bind_and_listen((const struct sockaddr *)&v4, sizeof(v4));
    return fd;
}

static int explain_listen(const struct tcp_address *a, int rc, struct err *e)
{
    if (rc == -EADDRINUSE)
        return err_set(e, ERR_LOCAL, EADDRINUSE,
            "cannot listen: port %u is in use%s%s; is an xmigrate --listen running already? "
            "Otherwise choose another with --listen ADDR:PORT",
            a->port, a->host[0] ? " at " : "", a->host);
    return err_sys(e, ERR_LOCAL, -rc, "cannot listen on %s port %u",
        a->host[0] ? a->host : "any address", a->port);
}

static uint16_t bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } sa = {.any.sa_family = AF_UNSPEC};
    socklen_t len = sizeof(sa);

    getsockname(fd, &sa.any, &len);
    return ntohs(sa.any.sa_family == AF_INET6 ? sa.v6.sin6_port : sa.v4.sin_port);
}

int tcp_listen(const struct tcp_address *a, uint16_t *port, struct err *e)
{
    int fd;

    if (a->host[0]) {
        struct addrinfo *list;
        const int rc = resolve_host(
            a->host, a->port, AI_PASSIVE, NULL, deadline_in(TCP_LOOKUP_NS), &list, e);

        if (rc)
            return rc;
        fd = bind_and_listen(list->ai_addr, list->ai_addrlen);
        freeaddrinfo(list);
    } else {
        fd = listen_on_all(a->port);
    }
    if (fd < 0)
        return explain_listen(a, fd, e);
    *port = bound_port(fd);
    return fd;
}
