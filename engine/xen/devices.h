/* SPDX-License-Identifier: MIT */
/*
 * Which devices, and which of its vCPUs, the toolstack has given a domain, as parts of xenstore say
 * which the guest cannot write.
 */
#ifndef ENGINE_XEN_DEVICES_H
#define ENGINE_XEN_DEVICES_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct xs_handle;

/* "vbd/51712 vif/0 ", in xenstore's order. What does not fit is left out. */
enum { DEVICES_TEXT_BYTES = 4096 };

int devices_list(
    struct xs_handle *xs, uint32_t domid, char text[static DEVICES_TEXT_BYTES], struct err *e);

/* "0 2 ": those that it is told to use (xl vcpu-set). None where xenstore says nothing of them. */
enum { VCPUS_TEXT_BYTES = 4096 };

int vcpus_list_available(
    struct xs_handle *xs, uint32_t domid, char text[static VCPUS_TEXT_BYTES], struct err *e);

/* From now on devices_have_stirred() hears of every change to what these two list. */
int devices_watch(struct xs_handle *xs, uint32_t domid, struct err *e);

/* May they list something else than when this was asked last? One question to xenstored, where a
 * list takes one for each directory and vCPU. */
int devices_have_stirred(struct xs_handle *xs, uint32_t domid, bool *stirred, struct err *e);

#endif
