/* SPDX-License-Identifier: MIT */
/*
 * What is said over a migration's socket in the run directory (docs/operate.md): one JSON object
 * on a line each way. Here are the objects, for both ends; admin_socket.h serves them, operate.h
 * asks.
 */
#ifndef CMD_XMIGRATE_ADMIN_WORDS_H
#define CMD_XMIGRATE_ADMIN_WORDS_H

#include "base/err.h"
#include "cmd/link.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { ADMIN_LINE_BYTES = 4096, ADMIN_TEXT_BYTES = 400, ADMIN_WORD_BYTES = 32 };

/* Sockets are called so, and the process's number. */
#define ADMIN_PREFIX "admin-"

/* A migration as it is now. 0: not known (yet). */
struct admin_status {
    enum link_role role;
    char domain[ADMIN_TEXT_BYTES], uuid[40], peer[ADMIN_TEXT_BYTES];
    uint32_t domid;
    uint32_t pid; /* of its supervisor */
    char phase[ADMIN_WORD_BYTES];
    uint32_t round;
    uint32_t percent; /* of the guest's memory, at the destination as it is now */
    uint64_t wire_bytes, wire_bits_per_s;
    int64_t eta_ns; /* until the round is over and the guest, suspended then, runs on */
    int64_t predicted_downtime_ns, elapsed_ns;
    uint64_t share_bits_per_s; /* the source's, of what its host may send */
    struct link_tune tune;     /* the source's */
};

enum admin_verb { ADMIN_STATUS, ADMIN_CANCEL, ADMIN_SET, ADMIN_METRICS };

struct admin_request {
    enum admin_verb verb;
    /* ADMIN_SET: which of tune. */
    bool bandwidth, max_downtime, on_stall;
    struct link_tune tune;
};

/* The text without a newline, malloc'ed; NULL: no memory. */
char *admin_request_text(const struct admin_request *r);
/* ERR_USAGE for what makes no sense. */
int admin_request_parse(const char *text, size_t len_bytes, struct admin_request *r, struct err *e);

/* What r has, in the place of that in tune. */
void admin_apply(const struct admin_request *r, struct link_tune *tune);

/* "out" or "in". */
const char *admin_direction_name(int role);

json_t *admin_status_pack(const struct admin_status *s);
bool admin_status_read(const json_t *o, struct admin_status *s);

/* Of what another host's LISTING has in `guests` (docs/wire.md) the one of that name or UUID, or
 * NULL. */
const json_t *admin_guest(const json_t *guests, const char *dom);

#endif
