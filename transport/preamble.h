/* SPDX-License-Identifier: MIT */
/*
 * The preamble: what a connection says in clear before TLS, so that the acceptor can route it
 * (docs/wire.md). Nothing in it is trusted for anything else.
 *
 *   client: 32 bytes  magic, major, minor, flags, lane, token       answer: 16 bytes
 */
#ifndef TRANSPORT_PREAMBLE_H
#define TRANSPORT_PREAMBLE_H

#include "base/cancel.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PREAMBLE_BYTES = 32,
    PREAMBLE_ANSWER_BYTES = 16,
    PREAMBLE_TOKEN_BYTES = 16,
    WIRE_MAJOR = 3,
    WIRE_MINOR = 0,
    LANE_CONTROL = 0xffff,
    LANE_TRUNK = 0xfffe,
};

struct preamble {
    uint16_t major, minor;
    bool insecure;                       /* wants plaintext */
    uint16_t lane;                       /* LANE_CONTROL, LANE_TRUNK or a lane's number */
    uint8_t token[PREAMBLE_TOKEN_BYTES]; /* zero: a new migration */
};

enum preamble_status {
    PREAMBLE_OK = 0,
    PREAMBLE_OTHER_VERSION = 1,
    PREAMBLE_NEEDS_TLS = 2,       /* the client wants plaintext, the server does not */
    PREAMBLE_NEEDS_PLAINTEXT = 3, /* the server was started with --insecure, the client was not */
    PREAMBLE_UNKNOWN_TOKEN = 4,
    PREAMBLE_BUSY = 5,
};

void preamble_encode(const struct preamble *p, uint8_t out[static PREAMBLE_BYTES]);
/* ERR_PEER (-EPROTO) when it is no preamble of ours at all. Another major version is not an error
 * here. */
int preamble_decode(const uint8_t in[static PREAMBLE_BYTES], struct preamble *p, struct err *e);

/* Server: the answer, by what the client wants and how the server was started. Pure. */
enum preamble_status preamble_judge(const struct preamble *p, bool insecure);
/* Why the server refused, in the server's own words; not for PREAMBLE_OK. */
void preamble_explain_refusal(const struct preamble *p, enum preamble_status status, struct err *e);
/* Server: send the answer. */
int preamble_answer(int fd, enum preamble_status status, const struct cancel *cancel,
    int64_t deadline_ns, struct err *e);

/* Client: send it and read the answer; anything but OK is an error that says what to do. */
int preamble_exchange(int fd, const struct preamble *p, const char *host,
    const struct cancel *cancel, int64_t deadline_ns, struct err *e);
/* The second half alone, of one that was sent. */
int preamble_await_answer(
    int fd, const char *host, const struct cancel *cancel, int64_t deadline_ns, struct err *e);

/* Acceptor: many connections at once, without blocking. Call when readable: 1 when the preamble is
 * complete, 0 when more must come, -errno when it is not ours or the connection ended. */
struct preamble_reader {
    uint8_t bytes[PREAMBLE_BYTES];
    unsigned have_bytes;
};
int preamble_read(struct preamble_reader *r, int fd, struct preamble *p, struct err *e);

#endif
