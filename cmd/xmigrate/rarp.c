/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/rarp.h"

#include "base/bytes.h"
#include "base/deadline.h"
#include "base/io.h"

/* musl's and Linux's headers go together in this order only. */
#include <net/ethernet.h>

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_NS (2 * NS_PER_S)

static const uint8_t everybody[RARP_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

void rarp_frame(const uint8_t mac[static RARP_MAC_BYTES], uint8_t frame[static RARP_FRAME_BYTES])
{
    static const uint8_t head[] = {ETHERTYPE_REVARP >> 8, ETHERTYPE_REVARP & 0xff, 0, ARPHRD_ETHER,
        ETHERTYPE_IP >> 8, ETHERTYPE_IP & 0xff, RARP_MAC_BYTES, sizeof(struct in_addr), 0,
        ARPOP_RREQUEST};
    enum { HEAD = 2 * RARP_MAC_BYTES, SENDER = HEAD + sizeof(head), TARGET = SENDER + 10 };

    memset(frame, 0, RARP_FRAME_BYTES); /* IP addresses, which nobody knows, and padding */
    memcpy(frame, everybody, RARP_MAC_BYTES);
    memcpy(frame + RARP_MAC_BYTES, mac, RARP_MAC_BYTES);
    memcpy(frame + HEAD, head, sizeof(head));
    memcpy(frame + SENDER, mac, RARP_MAC_BYTES);
    memcpy(frame + TARGET, mac, RARP_MAC_BYTES);
}

/* One of Linux, that is: not Open vSwitch's, nor a plain interface that routes. */
static bool is_bridge(int sock, const char *name)
{
    struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq request = {.ifr_data = (char *)&driver};

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    return !ioctl(sock, SIOCETHTOOL, &request) && !strcmp(driver.driver, "bridge");
}

int rarp_send(const char *bridge, const uint8_t mac[static RARP_MAC_BYTES], struct err *e)
{
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
        .sll_ifindex = (int)if_nametoindex(bridge),
        .sll_halen = RARP_MAC_BYTES};
    uint8_t frame[RARP_FRAME_BYTES];
    int rc = 0;
    const int sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (sock < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot make a packet socket");
    memcpy(to.sll_addr, everybody, sizeof(everybody));
    rarp_frame(mac, frame);
    if (!to.sll_ifindex || !is_bridge(sock, bridge))
        rc = err_set(e, ERR_LOCAL, ENODEV, "there is no bridge %s", bridge);
    else if (sendto(sock, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
        rc = err_sys(e, ERR_LOCAL, errno, "cannot send from %s", bridge);
    close(sock);
    return rc;
}

struct fdb_request {
    struct nlmsghdr head;
    struct ndmsg body;
    struct rtattr attribute;
    uint8_t mac[RTA_ALIGN(RARP_MAC_BYTES)];
};

/* 0 or -errno. */
static int ask_kernel(int sock, const struct fdb_request *request)
{
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
    } answer = {0};

    if (send(sock, request, sizeof(*request), 0) < 0)
        return -errno;

    const int rc = io_wait(sock, POLLIN, NULL, deadline_in(ANSWER_NS));

    if (rc)
        return rc;
    if (recv(sock, &answer, sizeof(answer), MSG_TRUNC) < (ssize_t)sizeof(answer.head) ||
        answer.head.nlmsg_type != NLMSG_ERROR)
        return -EPROTO;
    return answer.error.error;
}

int rarp_teach_bridge(const char *port, const uint8_t mac[static RARP_MAC_BYTES], struct err *e)
{
    struct fdb_request request = {
        .head = {.nlmsg_len = sizeof(request),
            .nlmsg_type = RTM_NEWNEIGH,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE},
        .body = {.ndm_family = PF_BRIDGE,
            .ndm_ifindex = (int)if_nametoindex(port),
            .ndm_state = NUD_REACHABLE, /* it ages */
            .ndm_flags = NTF_MASTER},
        .attribute = {.rta_len = RTA_LENGTH(RARP_MAC_BYTES), .rta_type = NDA_LLADDR},
    };

    if (!request.body.ndm_ifindex)
        return err_set(e, ERR_LOCAL, ENODEV, "there is no interface %s", port);

    const int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (sock < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot make a netlink socket");
    memcpy(request.mac, mac, RARP_MAC_BYTES);

    const int rc = ask_kernel(sock, &request);

    close(sock);
    return rc ? err_sys(e, ERR_LOCAL, -rc, "cannot tell the bridge of %s", port) : 0;
}
