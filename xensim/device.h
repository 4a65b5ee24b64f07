/* SPDX-License-Identifier: MIT */
/*
 * Devices of domains as the toolstack has them: what is attached to whom, and the few nodes of
 * xenstore by which disks are found. A device outlives its domain, as in Xen, until whoever ends
 * the domain detaches it.
 *
 * Each disk has two pages for its rings in its guest (guest/disk.h), and shows them as frontends
 * do: the first as one page, the second as a ring of two pages, the third as two queues; and so on.
 */
#ifndef XENSIM_DEVICE_H
#define XENSIM_DEVICE_H

#include "xensim/command_io.h"
#include "xensim/hypervisor/host.h"

enum { DEVICE_NAME_BYTES = 16, DEVICE_TEXT_BYTES = 512 };

struct devices;

/* For the whole life of a host. NULL if there is no memory for it. */
struct devices *devices_new(void);

/* name: "xvda" or "vif0". text: of a disk "BACKEND PATH [SCRIPT]", with phy or qdisk; of a vif
 * nothing. -EEXIST, -EINVAL, -ENOMEM. */
int device_attach(struct host *h, uint16_t domid, const char *name, const char *text);

/* One, or all if name is NULL. -ENOENT if there is no such. */
int device_detach(struct host *h, uint16_t domid, const char *name);
/* Which vCPUs a domain is to use has changed: xenstore tells who watches. */
void device_note_vcpus(struct host *h);

/* host_ops.disk_path */
bool device_first_disk(const struct domain *d, char *path, size_t bytes);

/* attach DOMID NAME TEXT; detach DOMID NAME; devices [DOMID]: a line "DOMID NAME TEXT" each;
 * xenstore read|list PATH. */
int do_attach(struct host *h, struct words *w, struct answer *a);
int do_detach(struct host *h, struct words *w, struct answer *a);
int do_devices(struct host *h, struct words *w, struct answer *a);
int do_xenstore(struct host *h, struct words *w, struct answer *a);

#endif
