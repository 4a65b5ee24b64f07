/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/crowd.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

enum { NETWORK_BYTES = 8 }; /* of an IPv6 address */

struct crowd_address crowd_address_of(int fd)
{
    struct crowd_address a = {{0}};
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer;
    socklen_t len = sizeof(peer);

    if (getpeername(fd, &peer.any, &len))
        return a;
    if (peer.any.sa_family == AF_INET)
        memcpy(a.bytes, &peer.v4.sin_addr, sizeof(peer.v4.sin_addr));
    else if (peer.any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&peer.v6.sin6_addr))
        memcpy(a.bytes, peer.v6.sin6_addr.s6_addr + 12, sizeof(struct in_addr));
    else if (peer.any.sa_family == AF_INET6)
        memcpy(a.bytes, peer.v6.sin6_addr.s6_addr, NETWORK_BYTES);
    return a;
}

static bool is_same(const struct crowd_address *a, const struct crowd_address *b)
{
    return !memcmp(a, b, sizeof(*a));
}

static unsigned count_of(
    const struct crowd_address *of, unsigned count, const struct crowd_address *address)
{
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++)
        found += is_same(&of[i], address);
    return found;
}

static int find_oldest(
    const struct crowd_address *of, unsigned count, const struct crowd_address *address)
{
    for (unsigned i = 0; i < count; i++)
        if (is_same(&of[i], address))
            return (int)i;
    return -1;
}

int crowd_victim(const struct crowd_address *of, unsigned count, const struct crowd_address *next,
    const struct crowd_limits *limits)
{
    unsigned most = 0;
    int victim = -1;

    if (count_of(of, count, next) >= limits->per_address)
        return find_oldest(of, count, next);
    for (unsigned i = 0; i < count && count >= limits->in_all; i++) {
        const unsigned has = count_of(of, count, &of[i]);

        if (has > most) {
            most = has;
            victim = (int)i; /* the oldest of that address: it is met first */
        }
    }
    return victim;
}
