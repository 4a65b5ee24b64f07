/* SPDX-License-Identifier: MIT */
/*
 * What passes between the daemon and a client (the preload library, or the xensim command):
 * SOCK_SEQPACKET messages, one request and one reply at a time on each connection.
 *
 * A *session* is one client process: its control connection lives as long as the process, and
 * when it goes the daemon drops every mapping the process had. Shared with the daemon are
 *
 * - the arena: memory that /dev/xen/hypercall hands out; every pointer in a hypercall lies in it.
 *
 * - releases: one byte per mapping slot; the client sets it after munmap, the daemon sweeps when it
 *   matters. A client's own state, as its page tables are; nothing else but guest memory itself is
 *   shared writable.
 *
 * A *connection* is one open of /dev/xen/privcmd, with a window for bulk arguments.
 */
#ifndef XENSIM_PROTO_H
#define XENSIM_PROTO_H

#include <stdint.h>

#define PROTO_VERSION 3u
#define ARENA_BYTES   (1ull << 30)
#define WINDOW_BYTES  (1ull << 20)
#define MAX_MAPPINGS  65536u
/* Pages in one MAP request: frame numbers (8 bytes) and errors (4) fit into the window. */
#define MAX_MAP_PAGES 65536u
#define WINDOW_ERRORS (MAX_MAP_PAGES * 8ull)

enum proto_op {
    OP_SESSION = 1,   /* arg: version, pid, arena address -> value: token; fds: machine, arena,
                         releases */
    OP_CONNECT,       /* arg: token -> fd: window */
    OP_HYPERCALL,     /* arg: op, args[5] */
    OP_MAP,           /* arg: domid, writable, count; window: gfns -> value: slot; window: MFNs;
                         result: how many pages failed, and only if any did, window: errors.
                         -ENOSPC: no slot left */
    OP_MAP_RESOURCE,  /* arg: domid, type, id, first, count -> window: MFNs; value: slot. Of no
                         frames:  result: how many there are */
    OP_COMMAND,       /* data: a command line of NUL-ended words -> data: text */
    OP_UNKNOWN_IOCTL, /* arg: number, for the log */
};

enum { PROTO_MAX_DATA = 60000 };

/* The first byte that a connection to a device model (qmp.h) brings. */
#define QMP_ALIVE "a"
#define QMP_DEAD  "d"
#define QMP_NONE  "n"

struct proto_request {
    uint32_t op;
    uint32_t data_bytes; /* follow in the same message */
    uint64_t arg[6];
};

struct proto_reply {
    int64_t result; /* of the call, or -errno */
    uint64_t value;
    uint32_t data_bytes;
    uint32_t daemon_pid; /* OP_SESSION: who may write to the client's memory */
};

#endif
