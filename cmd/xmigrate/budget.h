/* SPDX-License-Identifier: MIT */
/*
 * What all moves from this host send together, at most: `bandwidth` in the policy
 * (session/policy.h).
 *
 * Each move has a file in the run directory, `sharing-N`, locked (flock) by its process, so that of
 * one that was killed does not count: it says what the move claims. All look at all of them every
 * 100 ms, and come to the same shares (sched/fair_share.h). A share that has become larger is taken
 * at the next look: by then the others have seen why, and have made way.
 *
 * A move claims all it can get until it is seen to use less. One whose guest is about to be
 * suspended, or is, comes first: it has its fair share at once, and nearly all at the next look.
 * The policy is looked at again every second.
 *
 * The story's thread's.
 */
#ifndef CMD_XMIGRATE_BUDGET_H
#define CMD_XMIGRATE_BUDGET_H

#include "base/deadline.h"
#include "base/err.h"
#include "base/log.h"
#include "cmd/paths.h"
#include "sched/fair_share.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define BUDGET_LOOK_NS   (100 * NS_PER_MS)
#define BUDGET_POLICY_NS NS_PER_S
/* How long a move's use is measured. */
#define BUDGET_USE_NS (500 * NS_PER_MS)

enum { BUDGET_PATH_BYTES = PATHS_BYTES + 32 };

struct budget {
    const char *config_dir;
    const struct log *log;
    uint64_t own_bits_per_s;    /* the move's own limit, --bandwidth; 0: none */
    uint64_t limit_bits_per_s;  /* the host's; 0: none, and the rest is idle */
    int64_t look_ns, policy_ns; /* when to look again; DEADLINE_NEVER: it is not in use */
    struct budget_version {
        struct timespec written, changed;
    } policy_version;
    bool warned; /* that it has no file, though there is a limit */

    int fd; /* -1: it has no file */
    char path[BUDGET_PATH_BYTES];
    struct fair_claim claim;
    unsigned moves;                            /* that share, this one among them */
    uint64_t due_bits_per_s, share_bits_per_s; /* by the last look; and what it takes of that */

    int64_t counted_ns; /* its use is counted from here; 0: not yet */
    uint64_t counted_bytes;
};

#define BUDGET_INIT                                                                                \
    (struct budget)                                                                                \
    {                                                                                              \
        .look_ns = DEADLINE_NEVER, .fd = -1                                                        \
    }

/* Before anything: a policy that makes no sense lets no move begin. Both outlive it. */
int budget_read(struct budget *b, const char *config_dir, const struct log *log, struct err *e);
/* Its share is known then. */
int budget_join(struct budget *b, uint64_t own_bits_per_s, struct err *e);
/* Also of one that never joined. */
void budget_leave(struct budget *b);

/* What it may send now, by its share and its own limit; 0: no limit. */
uint64_t budget_bits_per_s(const struct budget *b);

/* If it is time, or now. */
void budget_look(struct budget *b);

/* It has sent so much since it began. */
void budget_note_sent(struct budget *b, uint64_t wire_bytes);
/* The guest is observed, and nothing sent: that says nothing of what it will want. */
void budget_note_watching(struct budget *b);

/* Does it come first? Unless it does so already, it looks around at once. */
void budget_come_first(struct budget *b, bool first);

#endif
