/* SPDX-License-Identifier: MIT */
/*
 * Xen's public headers, the ones that both the daemon and the preload library read, in one
 * place: with the toolstack's interfaces, and with the 32-bit guest's structures beside the
 * 64-bit ones.
 */
#ifndef XENSIM_XEN_H
#define XENSIM_XEN_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xenctrl.h>
#include <xenguest.h>
#include <xen/xen.h>
#include <xen/memory.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xen/sched.h>
#include <xen/version.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/features.h>
#include <xen/hvm/params.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/save.h>
#include <xen/foreign/x86_32.h>
#include <xen/foreign/x86_64.h>
#include <xen/sys/privcmd.h>

#endif
