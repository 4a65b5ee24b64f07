/* SPDX-License-Identifier: MIT */
/*
 * The command line as a plain structure. Parsing touches nothing but its arguments, so every rule
 * can be tested. An error is one line that names the word and what was expected.
 */
#ifndef CMD_XMIGRATE_UI_OPTIONS_H
#define CMD_XMIGRATE_UI_OPTIONS_H

#include "base/err.h"
#include "base/log.h"
#include "cmd/early.h"
#include "cmd/link.h"
#include "cmd/xmigrate/ui/mode.h"
#include "sched/decide.h"
#include "transport/tcp.h"

#include <stdbool.h>
#include <stdint.h>

/* From the guest's suspend to its start at the other host: usually, and where libxl takes long (a
 * device model, many devices). What a receiver allows a source is the longer one. */
#define START_NS      (10 * NS_PER_S)
#define SLOW_START_NS (30 * NS_PER_S)

enum {
    OPTIONS_MAX_NAME_BYTES = 200,
    OPTIONS_MAX_INCOMING = 64,
    OPTIONS_MAX_DISKS = 64,
    OPTIONS_MAX_PARENTS = 31
};

enum resume_as { RESUME_AS_CHOSEN, RESUME_AS_COOPERATIVE, RESUME_AS_REVIVE };

/* Strings without an array of their own point into argv. */
struct options {
    enum mode mode;

    /* MODE_LIVE, MODE_OFFLINE, MODE_ESTIMATE, MODE_CHECK and MODE_STATUS (perhaps: else without a
     * host): where to. MODE_LISTEN: where. */
    struct tcp_address address;
    const char *domain; /* those, MODE_CHECKPOINT, MODE_SAVE, MODE_RESUME, MODE_CANCEL, MODE_SET,
                         * MODE_CLEANUP, MODE_RESOLVE, MODE_STATUS (NULL: all): name or number */
    struct {
        bool bandwidth, max_downtime, on_stall; /* MODE_SET: which of them */
    } set;
    const char *file; /* MODE_CHECKPOINT, MODE_SAVE, MODE_RESTORE, MODE_INSPECT, MODE_METRICS;
                       * MODE_EXPORT, MODE_FLATTEN: what is written */
    const char *from; /* those two: what is read */

    /* Compact files. */
    bool compact;                             /* MODE_CHECKPOINT, MODE_SAVE */
    const char *parents[OPTIONS_MAX_PARENTS]; /* those two: one; else where more may be found */
    unsigned parent_count;
    const char *key; /* a key file; NULL: not encrypted */

    enum resume_as resume_as;    /* how it runs on after a suspend */
    bool ask_again;              /* it is asked to suspend, whatever is known of it */
    bool offline;                /* MODE_CHECKPOINT, MODE_SAVE: suspended first, then written */
    const char *while_suspended; /* MODE_CHECKPOINT: a command; NULL: none */
    int64_t hook_ns;             /* how long it may take */
    int64_t every_ns;            /* MODE_CHECKPOINT: one in each such span; 0: one */
    unsigned keep;               /* the newest of these; 0: all */

    /* MODE_LIVE, MODE_OFFLINE */
    const char *config_file; /* NULL: as it is here */
    bool preserve_domid;

    /* These and MODE_RESTORE */
    const char *name; /* NULL: its own */
    bool paused;

    /* MODE_RESTORE */
    const char *disks[OPTIONS_MAX_DISKS]; /* "VDEV=TARGET" */
    unsigned disk_count;
    bool disks_as_they_are;
    bool clone;

    const char *peer; /* MODE_TRUST: a fingerprint; MODE_UNTRUST: that or a name; MODE_PAIR: where
                         ssh goes */
    const char *peer_name;   /* MODE_TRUST, MODE_PAIR: NULL if none was given */
    const char *peer_rights; /* the same */

    const char *monitor_domid; /* MODE_MONITOR */
    const char *monitor_uuid;

    const char *announce_domid; /* MODE_ANNOUNCE */
    char *const *announce_vifs;
    unsigned announce_count;

    unsigned lanes;
    struct decide_limits limits;
    uint64_t bandwidth_bits_per_s; /* 0: no cap */
    enum codec compress;
    uint64_t delta_cache_bytes; /* 0: no differences */

    int64_t connect_ns; /* limit for the first connection */
    int64_t silent_ns;  /* a peer or helper that is silent for this long is dead */
    int64_t suspend_ns; /* asked to suspend until suspended */
    int64_t start_ns; /* suspended until started at the destination; 0: as is usual for the guest */

    const char *config_dir;
    bool insecure;
    bool kernel_tls;
    bool as_root;
    bool no_announce;             /* MODE_LISTEN */
    unsigned max_incoming;        /* MODE_LISTEN; 0: any number */
    enum early_disks early_disks; /* MODE_LIVE, MODE_LISTEN */
    bool force; /* what else is refused: MODE_RESUME, MODE_CHECKPOINT, MODE_SAVE */
    bool json;
    enum log_level log_level;
};

/* cores: how many this machine has, for the default number of lanes. argv is permuted. Fails with
 * ERR_USAGE only. */
int options_parse(struct options *o, int argc, char *const argv[], unsigned cores, struct err *e);

/* The name of the i'th long option that people may use, or NULL after the last. */
const char *options_name(unsigned i);

#endif
