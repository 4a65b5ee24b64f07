/* SPDX-License-Identifier: MIT */
/*
 * The device model (QEMU) of an HVM guest, started at the destination while the guest still runs.
 *
 * libxl starts QEMU with the file into which it has written the state from its stream, and waits
 * until QEMU says in xenstore that it runs, which it does when it has loaded that. Here libxl's
 * stream ends before there is a state: in the file's place is a FIFO, held open here, so that
 * libxl's open does not wait. QEMU makes its devices, waits for the FIFO's first byte, and answers
 * on its QMP socket meanwhile; then libxl is told that it runs, and goes on. In the pause the state
 * goes into the FIFO as it comes, and QEMU is asked until it has loaded it: READY waits for that.
 *
 * QEMU opens its disks inactive, because it was started to load a state, and drops what it has read
 * when it has. It dies when the FIFO ends too soon, so one that waits does not outlive this
 * process.
 *
 * Belongs to build.h, and to its thread.
 */
#ifndef CMD_XMIGRATE_EARLY_MODEL_H
#define CMD_XMIGRATE_EARLY_MODEL_H

#include "base/err.h"
#include "cmd/device_model.h"
#include "cmd/xmigrate/session/emulator_records.h"

#include <poll.h>

enum early_model_phase {
    EARLY_MODEL_NONE,
    EARLY_MODEL_STARTING, /* libxl starts it */
    EARLY_MODEL_WAITING,  /* for its state; libxl was told that it runs */
    EARLY_MODEL_LOADING,
    EARLY_MODEL_LOADED,
};

struct early_model {
    enum early_model_phase phase;
    uint32_t domid;
    int fifo_fd; /* both ends of it; -1: none */
    struct device_model qmp;
    struct emulator_records records;
    bool asked;       /* it has not answered yet */
    bool gone;        /* it was there, and has died */
    int64_t look_ns;  /* when to do so again without having heard of it */
    int64_t limit_ns; /* when it must have loaded its state */
};

void early_model_init(struct early_model *m);

/* Before libxl's stream ends. */
int early_model_begin(struct early_model *m, uint32_t domid, struct err *e);

/* Poll this, until then, and serve what comes. ERR_LOCAL when it dies, which while it is STARTING
 * is libxl's to say. */
struct pollfd early_model_pollfd(const struct early_model *m);
int64_t early_model_wake_ns(const struct early_model *m);
int early_model_serve(struct early_model *m, const struct pollfd *fd, struct err *e);

/* What the source's libxl says behind the save helper's part; and that this was all. */
int early_model_take(struct early_model *m, const uint8_t *data, size_t len_bytes, struct err *e);
int early_model_take_end(struct early_model *m, struct err *e);

/* Right before the guest runs: does one that has loaded its state still live? */
int early_model_check(const struct early_model *m, struct err *e);

/* Let go of all, the FIFO's name too, which is there until libxl has started QEMU. Called while the
 * domain's number is still its own. Of one that was not begun it does nothing. */
void early_model_clear(struct early_model *m);

#endif
