/* SPDX-License-Identifier: MIT */
#include "transport/tcp_local.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

static struct addrinfo *parse_numeric(const char *text, int family)
{
    const struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST, .ai_family = family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;

    return getaddrinfo(text, NULL, &hints, &list) ? NULL : list;
}

bool tcp_is_numeric(const char *text)
{
    struct addrinfo *list = parse_numeric(text, AF_UNSPEC);

    if (list)
        freeaddrinfo(list);
    return list != NULL;
}

int tcp_bind_from(int fd, int family, const char *from)
{
    struct addrinfo *list = parse_numeric(from, family);
    int rc = -EAFNOSUPPORT;

    if (!list)
        return rc;
    rc = bind(fd, list->ai_addr, list->ai_addrlen) ? -errno : 0;
    freeaddrinfo(list);
    return rc;
}

void tcp_mark(int fd, int family, unsigned dscp)
{
    const int tos = (int)dscp << 2; /* the upper six bits of the type of service */

    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
    setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos)); /* of a mapped address, too */
}
