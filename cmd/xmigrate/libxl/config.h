/* SPDX-License-Identifier: MIT */
/*
 * Domain configurations: libxl's own structure and its JSON, which travels on the control
 * connection. The caller owns a configuration after a successful call and gives it back with
 * xl_config_dispose().
 */
#ifndef CMD_XMIGRATE_LIBXL_CONFIG_H
#define CMD_XMIGRATE_LIBXL_CONFIG_H

#include "cmd/early.h"
#include "cmd/xmigrate/libxl/context.h"

#include <stdbool.h>
#include <stddef.h>

void xl_config_init(libxl_domain_config *config);

/* What libxl would build this domain from, as it is now. */
int xl_config_retrieve(struct xl *xl, uint32_t domid, libxl_domain_config *config, struct err *e);
/* From a peer: text need not end in NUL. ERR_PEER when it makes no sense. */
int xl_config_parse(
    struct xl *xl, const char *text, size_t len_bytes, libxl_domain_config *config, struct err *e);
/* malloc'ed JSON, NUL-terminated. */
int xl_config_text(struct xl *xl, libxl_domain_config *config, char **text, struct err *e);
void xl_config_dispose(libxl_domain_config *config);

/* It is to be built from a stream, under that name and with any domid. */
int xl_config_for_restore(libxl_domain_config *config, const char *name, struct err *e);

/* ERR_REFUSED, in one line, for what cannot be moved: assigned devices, vNUMA, a device model. */
int xl_config_check_movable(const libxl_domain_config *config, struct err *e);

enum { XL_MAC_BYTES = 6, XL_IFNAME_BYTES = 16, XL_MAX_VIFS = 32 };

/* A network interface that the script vif-bridge puts on a bridge of this host. */
struct xl_vif {
    unsigned devid;
    uint8_t mac[XL_MAC_BYTES];
    char bridge[XL_IFNAME_BYTES];
    char name[XL_IFNAME_BYTES]; /* of its end in this host */
};

/* Those that the domain of that number has; of more than fit, the first. */
unsigned xl_config_bridged_vifs(
    const libxl_domain_config *config, uint32_t domid, struct xl_vif vifs[static XL_MAX_VIFS]);

/* Devices for which libxl starts a backend, by what that takes. */
struct xl_devices {
    unsigned phy_disks;   /* block devices without a script */
    unsigned other_disks; /* files, and what needs a process or a script */
    unsigned nics;
    unsigned others;
};

struct xl_devices xl_config_devices(const libxl_domain_config *config);

/* May libxl build all but memory and vCPUs, with the devices, while the guest still runs elsewhere?
 * If not, *why becomes a few words, constant, that say why. It depends on the host where that is to
 * be (early_disks.h). What becomes of each disk, and why, is logged. */
bool xl_config_builds_early(const libxl_domain_config *config, enum early_disks early,
    const struct log *log, const char **why);

/* A configuration that somebody wrote, for the guest that `real` is of: it is that one's from here
 * on. ERR_REFUSED if it is of another type or size. */
int xl_config_adopt(libxl_domain_config *config, const libxl_domain_config *real, struct err *e);
int xl_config_rename(libxl_domain_config *config, const char *name, struct err *e);

/* What libxl would need to build it; name is what people know it by. */
int xl_config_need_memory(
    struct xl *xl, libxl_domain_config *config, const char *name, uint64_t *need_kb, struct err *e);
/* ERR_REFUSED when the host has not so much. */
int xl_config_check_memory(
    struct xl *xl, libxl_domain_config *config, const char *name, struct err *e);

#endif
