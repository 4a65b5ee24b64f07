/* SPDX-License-Identifier: MIT */
/*
 * What libxl's stream has behind the save helper's part when the guest has a device model: its
 * entries in xenstore, if it has any, its state, and END. Of a device model that was started early
 * the destination takes the records apart by itself: its libxl was told END before they came.
 */
#ifndef CMD_XMIGRATE_SESSION_EMULATOR_RECORDS_H
#define CMD_XMIGRATE_SESSION_EMULATOR_RECORDS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EMULATOR_FRONT_BYTES = 8 };

struct emulator_records {
    uint8_t front[EMULATOR_FRONT_BYTES]; /* of the record, or of its body, which comes now */
    size_t front_bytes;                  /* that are there */
    bool in_body;
    uint32_t type;
    uint64_t left_bytes, pad_bytes; /* of the body, and behind it */
    bool has_state, ended;
};

/* Whoever loads the state: some more of it. */
typedef int emulator_state_fn(void *arg, const uint8_t *data, size_t len_bytes, struct err *e);

/* The next bytes behind the head, of one that was all zero before the first. ERR_PEER when they
 * make no sense; ERR_GUEST when there are entries in xenstore, which the device model would have
 * had to read when it was started. */
int emulator_records_feed(struct emulator_records *r, const uint8_t *data, size_t len_bytes,
    emulator_state_fn *state, void *arg, struct err *e);

#endif
