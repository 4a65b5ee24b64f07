/* SPDX-License-Identifier: MIT */
/*
 * The device model of an HVM guest: what QEMU is beside a real one. A thread that writes to a ring
 * of the guest's frames, as a network card does, whether or not the guest's vCPUs run. What it
 * writes is in Xen's log-dirty map only while its own log-dirty is on; and it stops after the vCPUs
 * do, with one write in between.
 *
 * Its state is not in the guest's memory: it travels in libxl's stream, as QEMU's does. The guest
 * reads the ring again and again and knows from the device how often each page was written.
 *
 * Everything in struct device is guarded by its domain's lock.
 */
#ifndef XENSIM_GUEST_DEVICE_H
#define XENSIM_GUEST_DEVICE_H

#include "xensim/guest/content.h"
#include "xensim/hypervisor/domain.h"

enum { DEVICE_RING_PAGES = 64, DEVICE_STATE_BYTES = 160 };

/* What moves with it. */
struct device_state {
    uint64_t seed, first_index, first_pfn, count;
    struct content_mix mix;
    uint64_t writes_per_s;
    uint64_t written; /* pages, one after the other around the ring */
};

enum device_status { DEVICE_RUNNING, DEVICE_PAUSED, DEVICE_DEAD };
/* What goes wrong with it. Ignores: says that its log-dirty is on, and it is not. */
enum device_fault { DEVICE_SOUND, DEVICE_REFUSES, DEVICE_IGNORES_LOG };

struct device {
    struct domain *domain;
    struct device_state state;
    enum device_status status;
    enum device_fault fault;
    bool logging, stopping;
    int64_t delay_ns; /* before it answers */
    pthread_cond_t changed;
    pthread_t thread;
};

/* Start one for d, which has none. 0 or -errno. */
int device_start(struct domain *d, const struct device_state *state, enum device_status status);
/* host_ops: end its thread; free it, when nobody can ask for it any more. */
void device_stop(struct domain *d);
void device_free(void *device);

/* What a toolstack may ask of it. Each takes the domain's lock and answers 0, -ESRCH (there is
 * none), -EPIPE (it is dead) or -EACCES (it refuses). */
int device_pause(struct domain *d);
int device_continue(struct domain *d);
int device_log(struct domain *d, bool enable);
int device_query(struct domain *d, enum device_status *status, bool *logging);
int device_read_state(struct domain *d, char text[static DEVICE_STATE_BYTES]);
bool device_parse_state(const char *text, struct device_state *state);

/* For tests. */
int device_set_fault(struct domain *d, enum device_fault fault, int64_t delay_ns);
int device_kill(struct domain *d);

/* How often it has written to a page of the ring, counted from the 1 of its first content. The
 * domain's lock is held. */
uint32_t device_version(const struct device_state *s, uint64_t slot);

#endif
