/* SPDX-License-Identifier: MIT */
/*
 * logdirty is|on|off DOMID: whether Xen logs a domain's dirty pages, and the switch itself. To
 * enable the mode twice answers EINVAL, which is the only way to ask.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenctrl.h>

static int control(xc_interface *xch, uint32_t domid, unsigned op)
{
    return xc_logdirty_control(xch, domid, op, NULL, 0, 0, NULL) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: logdirty is|on|off DOMID\n");
        return 1;
    }
    const uint32_t domid = (uint32_t)strtoul(argv[2], NULL, 10);
    xc_interface *const xch = xc_interface_open(NULL, NULL, 0);
    int ret;

    if (xch == NULL) {
        perror("logdirty: xc_interface_open");
        return 1;
    }
    if (strcmp(argv[1], "off") == 0) {
        ret = control(xch, domid, XEN_DOMCTL_SHADOW_OP_OFF);
    } else {
        ret = control(xch, domid, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY);
        if (strcmp(argv[1], "is") == 0) {
            if (ret == 0)
                control(xch, domid, XEN_DOMCTL_SHADOW_OP_OFF);
            if (ret == 0 || ret == -EINVAL || ret == -EOPNOTSUPP) {
                puts(ret == -EINVAL ? "on" : "off");
                ret = 0;
            }
        }
    }
    if (ret < 0)
        fprintf(stderr, "logdirty: %s domain %u: %s\n", argv[1], domid, strerror(-ret));
    xc_interface_close(xch);
    return ret < 0;
}
