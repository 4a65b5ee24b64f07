/* SPDX-License-Identifier: MIT */
/*
 * The link: one AF_UNIX SOCK_SEQPACKET connection between a supervisor and the save helper that
 * libxl started for it. The supervisor listens on a path below the run directory and exports it as
 * XMIGRATE_LINK; the helper connects and gets its job. Each packet is one JSON object whose "msg"
 * names its kind. When either end dies, the other reads end of file.
 *
 * Both ends belong to the same user; the supervisor checks that (SO_PEERCRED). Every field of a
 * packet is checked all the same.
 */
#ifndef CMD_LINK_H
#define CMD_LINK_H

#include "base/cancel.h"
#include "base/codec.h"
#include "base/deadline.h"
#include "base/err.h"
#include "base/limits.h"
#include "cmd/fields.h"
#include "sched/decide.h"
#include "transport/kernel_notes.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LINK_ENV "XMIGRATE_LINK"

enum {
    LINK_SESSION_BYTES = 16,
    LINK_KEY_BYTES = 32,
    LINK_PREAMBLE_BYTES = 32,
    LINK_MAX_DOMID = 0x7fef, /* of a guest */
    LINK_HOST_BYTES = 256,
    LINK_FROM_BYTES = 64,
    LINK_MAX_DSCP = 63,
    LINK_PATH_BYTES = 256,
    LINK_FINGERPRINT_BYTES = 64,
    LINK_FILE_KEYS_BYTES = 80,
    LINK_MAX_FILES = 32, /* of a chain, a new one among them */
    /* A helper that does not say something at least this often hangs. */
    LINK_ALIVE_S = 2,
};

/* How long a helper may take to make one connection: its peer may be busy for as long as a peer may
 * be silent (the destination's libxl makes the domain first), but the helper says nothing
 * meanwhile.
 */
static inline int64_t link_connect_ns(int64_t silent_ns)
{
    return silent_ns - LINK_ALIVE_S * NS_PER_S;
}

enum link_role { LINK_SOURCE, LINK_DESTINATION };

/* What a helper has to do. Times in ns; limits are spans, not points. */
struct link_job {
    enum link_role role;
    uint32_t domid;
    uint8_t session[LINK_SESSION_BYTES];
    uint8_t key[LINK_KEY_BYTES]; /* proves that trunk and lanes belong to the session */
    unsigned lanes;              /* 1..MAX_LANES; the trunk is not counted */
    bool insecure;
    bool verbose; /* debug lines are wanted: each is a message to libxl */
    bool early;   /* the destination connects devices while the guest runs */
    bool asks;    /* the supervisor is asked before the guest is suspended */
    bool plain;   /* no trunk, no connections: the image is libxl's stream itself, or in files */
    bool frozen;  /* plain; by way of this host's memory, with lanes that copy there */
    /* How many LINK_FILE follow, of a compact file: the new one (source), the chain, from its
     * newest on. 0: it is none. */
    unsigned files;
    char config_dir[LINK_PATH_BYTES];
    char fingerprint[LINK_FINGERPRINT_BYTES]; /* the peer's, as seen on control; "" if insecure */
    char host[LINK_HOST_BYTES];               /* source: where trunk and lanes connect to */
    uint16_t port;
    char from[LINK_FROM_BYTES]; /* and from where; "": any */
    unsigned dscp;
    int64_t connect_ns;           /* limit for making one connection */
    int64_t control_handshake_ns; /* destination: how long control's took */
    int64_t silent_ns;            /* a peer that makes no progress for this long is dead */
    /* Source only. */
    enum codec compress;
    bool kernel_tls;               /* the kernel encrypts lanes, if it can */
    uint64_t delta_cache_bytes;    /* for what was sent; 0: nothing goes as a difference */
    uint64_t bandwidth_bits_per_s; /* 0: no cap */
    struct decide_limits limits;
    struct decide_costs costs;
    int64_t result_ns; /* last byte sent until the receiver's result */
    /* How long the guest may take to suspend when the helper asks it; 0: libxl asks it. */
    int64_t suspend_limit_ns;
    /* Its kernel's notes, as their record; 0 bytes: they are not known. */
    unsigned notes_bytes;
    uint8_t notes[KERNEL_NOTES_HEAD_BYTES + KERNEL_NOTES_BYTES];
};

enum link_kind {
    LINK_JOB,         /* to the helper, first; the domain's lock rides along */
    LINK_CONN,        /* to a destination's helper: a trunk or lane connection rides along */
    LINK_FILE,        /* to the helper, after the job: a compact file rides along, with its keys */
    LINK_ABORT,       /* to the helper: stop and clean up */
    LINK_NOTED,       /* to the helper: what LINK_LOGGING said is in the journal */
    LINK_PREPARED,    /* to a source's helper: the destination has built what it builds early */
    LINK_TUNE,        /* to a source's helper: these hold from now on */
    LINK_MAY_SUSPEND, /* to a source's helper: the guest may be suspended */
    LINK_CAP,         /* from the helper: cap the guest's processor time, or further */
    LINK_LOGGING,     /* from the helper: about to switch log-dirty on; LINK_NOTED follows */
    LINK_BEFORE_SUSPEND, /* from a source's helper: it would suspend; LINK_MAY_SUSPEND follows */
    LINK_BUILD,  /* from a destination's helper: libxl goes on, and builds around the domain */
    LINK_EVENT,  /* from the helper: an object of docs/events.md */
    LINK_FAILED, /* from the helper: the first cause, for people */
    LINK_DONE,   /* from the helper: it succeeded; "total" holds its figures */
    LINK_ALIVE,  /* from the helper: nothing else to say */
};

/* What may be changed while a guest moves. */
struct link_tune {
    uint64_t bandwidth_bits_per_s; /* 0: no cap */
    int64_t max_downtime_ns;
    enum on_stall on_stall;
};

extern const struct field link_tune_fields[];

/* A struct err, as links and control connections carry it. */
extern const struct field link_err_fields[];

struct link_message {
    enum link_kind kind;
    int fd; /* -1, or a descriptor that the reader now owns */
    struct link_job job;
    struct link_tune tune;
    uint16_t lane;                           /* LINK_CONN: as the preamble says */
    uint8_t preamble[LINK_PREAMBLE_BYTES];   /* LINK_CONN: as it was read */
    char file[LINK_PATH_BYTES];              /* LINK_FILE: its name, for messages */
    uint8_t file_keys[LINK_FILE_KEYS_BYTES]; /* LINK_FILE */
    unsigned cap_percent;                    /* LINK_CAP: of one processor */
    json_t *body;                            /* LINK_EVENT, LINK_DONE: a reference; else NULL */
    struct err failed;                       /* LINK_FAILED, LINK_ABORT: why */
};

/* Supervisor: listen on path (made 0600, replaced if stale). Returns the socket or -errno. */
int link_listen(const char *path, struct err *e);
/* Supervisor: the helper's connection (checked to be of our user), or -errno. */
int link_accept(int listen_fd, const struct cancel *cancel, int64_t deadline_ns, struct err *e);
/* Supervisor: a pidfd of the process that connected, and its number (0: not known). -1 when it is
 * gone already or cannot be held; the number alone is good for messages only. */
int link_peer_pidfd(int sock, pid_t *pid);
/* Helper: connect to the supervisor; returns the socket or -errno. */
int link_connect(const char *path, struct err *e);

/* Senders may be used by several threads at once: a packet is whole. lock_fd is -1 for none. */
int link_send_job(int sock, const struct link_job *job, int lock_fd, struct err *e);
int link_send_conn(int sock, uint16_t lane, const uint8_t preamble[static LINK_PREAMBLE_BYTES],
    int conn_fd, struct err *e);
int link_send_file(int sock, const char *name, const uint8_t keys[static LINK_FILE_KEYS_BYTES],
    int file_fd, struct err *e);
int link_send_abort(int sock, const struct err *why, struct err *e);
int link_send_logging(int sock, struct err *e);
int link_send_noted(int sock, struct err *e);
int link_send_prepared(int sock, struct err *e);
int link_send_may_suspend(int sock, struct err *e);
int link_send_before_suspend(int sock, struct err *e);
int link_send_tune(int sock, const struct link_tune *tune, struct err *e);
int link_send_build(int sock, struct err *e);
int link_send_cap(int sock, unsigned cap_percent, struct err *e);
/* Takes over the reference to body. */
int link_send_event(int sock, json_t *body, struct err *e);
int link_send_done(int sock, json_t *total, struct err *e);
int link_send_failed(int sock, const struct err *why, struct err *e);
int link_send_alive(int sock, struct err *e);

/* Read one packet. -ENODATA with no text: the other end is gone. Call link_message_clear() after
 * use: it closes fd unless the reader set it to -1, and drops body. */
int link_recv(int sock, struct link_message *m, const struct cancel *cancel, int64_t deadline_ns,
    struct err *e);
void link_message_clear(struct link_message *m);

#endif
