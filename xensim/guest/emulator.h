/* SPDX-License-Identifier: MIT */
/*
 * The device model of an HVM guest: what QEMU is beside a real one. A thread that writes to a ring
 * of the guest's frames, as a network card does, whether or not the guest's vCPUs run. What it
 * writes is in Xen's log-dirty map only while its own log-dirty is on; and it stops after the vCPUs
 * do, with one write in between.
 *
 * Its state is not in the guest's memory: it travels in libxl's stream, as QEMU's does. The guest
 * reads the ring again and again and knows from the device how often each page was written. One
 * that was started to load a state waits for it, as QEMU does with -incoming, and runs when it has
 * it.
 *
 * Everything in struct emulator is guarded by its domain's lock.
 */
#ifndef XENSIM_GUEST_EMULATOR_H
#define XENSIM_GUEST_EMULATOR_H

#include "xensim/guest/content.h"
#include "xensim/hypervisor/domain.h"

enum { EMULATOR_RING_PAGES = 64, EMULATOR_STATE_BYTES = 160 };

/* What moves with it. */
struct emulator_state {
    uint64_t seed, first_index, first_pfn, count;
    struct content_mix mix;
    uint64_t writes_per_s;
    uint64_t written; /* pages, one after the other around the ring */
};

enum emulator_status { EMULATOR_RUNNING, EMULATOR_PAUSED, EMULATOR_WAITING, EMULATOR_DEAD };
/* What goes wrong with it. Ignores: says that its log-dirty is on, and it is not. The last two:
 * with the state that it waits for. */
enum emulator_fault {
    EMULATOR_SOUND,
    EMULATOR_REFUSES,
    EMULATOR_IGNORES_LOG,
    EMULATOR_DIES_LOADING,
    EMULATOR_NEVER_LOADS,
};

struct emulator {
    struct domain *domain;
    struct emulator_state state;
    enum emulator_status status;
    enum emulator_fault fault;
    bool logging, stopping;
    bool told_to_log; /* told to switch off what is off, QEMU 7.2 dies of an assertion */
    int64_t delay_ns; /* before it answers */
    int state_fd;     /* where the state that it waits for comes from; -1: it does not wait */
    size_t incoming_bytes;
    char incoming[EMULATOR_STATE_BYTES];
    bool said_running; /* to libxl, by whomever */
    bool has_physmap;  /* in xenstore, as an old one has */
    pthread_cond_t changed;
    pthread_t thread;
};

/* What anybody may see of it, also when it is dead. */
struct emulator_view {
    enum emulator_status status;
    bool logging, said_running, has_physmap;
};

/* Start one for d, which has none. 0 or -errno. */
int emulator_start(
    struct domain *d, const struct emulator_state *state, enum emulator_status status);
/* One that waits for its state, a line, on state_fd, which is its own from then on. */
int emulator_start_waiting(struct domain *d, int state_fd);
/* host_ops: end its thread; free it, when nobody can ask for it any more. */
void emulator_stop(struct domain *d);
void emulator_free(void *emulator);

int emulator_query(struct domain *d, struct emulator_view *view);

/* What a toolstack may ask of it. Each takes the domain's lock and answers 0, -ESRCH (there is
 * none), -EPIPE (it is dead) or -EACCES (it refuses). */
int emulator_pause(struct domain *d);
int emulator_continue(struct domain *d);
int emulator_log(struct domain *d, bool enable);
/* What libxl waits for: that it runs, as somebody has said for it. */
int emulator_say_running(struct domain *d);
int emulator_read_state(struct domain *d, char text[static EMULATOR_STATE_BYTES]);
bool emulator_parse_state(const char *text, struct emulator_state *state);

/* For tests. */
int emulator_set_fault(struct domain *d, enum emulator_fault fault, int64_t delay_ns);
int emulator_set_physmap(struct domain *d, bool has);
int emulator_kill(struct domain *d);

/* How often it has written to a page of the ring, counted from the 1 of its first content. The
 * domain's lock is held. */
uint32_t emulator_version(const struct emulator_state *s, uint64_t slot);

#endif
