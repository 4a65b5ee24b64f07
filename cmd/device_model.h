/* SPDX-License-Identifier: MIT */
/*
 * The device model (QEMU) of an HVM guest, asked directly: for bringing a guest back when libxl is
 * gone, or has given up. QEMU has two QMP sockets from libxl; this is the one that libxl itself
 * leaves alone (xentop reads disk statistics there). It serves one client at a time, so
 * whoever holds it open keeps others waiting.
 *
 * Guests without a device model have no such socket. Every answer has a limit.
 */
#ifndef CMD_DEVICE_MODEL_H
#define CMD_DEVICE_MODEL_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct device_model_version {
    unsigned major, minor;
};

struct device_model {
    int sock; /* -1: none */
    uint32_t domid;
    struct device_model_version version;
};

/* How QEMU says that it is. */
enum device_model_run {
    DEVICE_MODEL_INCOMING, /* it waits for its state, or loads it */
    DEVICE_MODEL_RUNNING,
    DEVICE_MODEL_STILL, /* anything else */
};

/* -ENOENT without an error: the domain has no device model. -ECONNREFUSED: it is dead.
 * -ETIMEDOUT: it, or somebody who holds its socket, keeps us waiting. */
int device_model_open(struct device_model *m, uint32_t domid, struct err *e);
/* Its parts: one whose sock is readable after the first has something to say. */
int device_model_connect(struct device_model *m, uint32_t domid, struct err *e);
int device_model_greet(struct device_model *m, struct err *e);
void device_model_close(struct device_model *m);

/* It was there and is no more: it has died. */
bool device_model_is_gone(const struct device_model *m);

int device_model_query_run(struct device_model *m, enum device_model_run *run, struct err *e);
/* The same without waiting: ask, and when sock is readable hear what it says. 1: *run is the
 * answer; 0: it told of something else. */
int device_model_ask_run(const struct device_model *m, struct err *e);
int device_model_hear_run(const struct device_model *m, enum device_model_run *run, struct err *e);

/* Stopped, as libxl leaves it when it has saved its state. */
int device_model_is_paused(struct device_model *m, bool *paused, struct err *e);
/* Run on, and take its disks back. */
int device_model_continue(struct device_model *m, struct err *e);
int device_model_log_off(struct device_model *m, struct err *e);

#endif
