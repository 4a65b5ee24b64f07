/* SPDX-License-Identifier: MIT */
/* Which options there are, what each takes, and what it goes with: tables, and nothing else. */
#ifndef CMD_XMIGRATE_UI_OPTION_RULES_H
#define CMD_XMIGRATE_UI_OPTION_RULES_H

#include "cmd/xmigrate/ui/mode.h"

/* Those that say what to do come first, in the order of enum mode. */
enum option_id {
    OPT_LIVE,
    OPT_OFFLINE,
    OPT_ESTIMATE,
    OPT_CHECKPOINT,
    OPT_SAVE,
    OPT_RESTORE,
    OPT_INSPECT,
    OPT_EXPORT,
    OPT_FLATTEN,
    OPT_CHECK,
    OPT_LISTEN,
    OPT_IDENTITY,
    OPT_TRUST,
    OPT_UNTRUST,
    OPT_RECOVER,
    OPT_RESOLVE,
    OPT_RESUME,
    OPT_DISMISS,
    OPT_CLEANUP,
    OPT_STATUS,
    OPT_CANCEL,
    OPT_SET,
    OPT_METRICS,
    OPT_PAIR,
    OPT_MONITOR,
    OPT_ANNOUNCE,
    OPT_HELP,
    OPT_VERSION,
    OPT_LAST_MODE = OPT_VERSION,
    OPT_LANES,
    OPT_MAX_DOWNTIME,
    OPT_MAX_ROUNDS,
    OPT_MAX_TIME,
    OPT_MAX_BYTES,
    OPT_ON_STALL,
    OPT_BANDWIDTH,
    OPT_COMPRESS,
    OPT_DELTA_CACHE,
    OPT_CONNECT_TIMEOUT,
    OPT_SILENT_TIMEOUT,
    OPT_SUSPEND_TIMEOUT,
    OPT_START_TIMEOUT,
    OPT_CONFIG_DIR,
    OPT_INSECURE,
    OPT_KERNEL_TLS,
    OPT_AS_ROOT,
    OPT_NO_ANNOUNCE,
    OPT_MAX_INCOMING,
    OPT_EARLY_DISKS,
    OPT_FORCE,
    OPT_RESUME_AS,
    OPT_WHILE_SUSPENDED,
    OPT_HOOK_TIMEOUT,
    OPT_EVERY,
    OPT_KEEP,
    OPT_COMPACT,
    OPT_PARENT,
    OPT_ENCRYPT,
    OPT_KEY,
    OPT_NAME,
    OPT_DISK,
    OPT_DISKS_AS_THEY_ARE,
    OPT_CLONE,
    OPT_PAUSED,
    OPT_CONFIG,
    OPT_PRESERVE_DOMID,
    OPT_BIND,
    OPT_DSCP,
    OPT_PEER,
    OPT_JSON,
    OPT_QUIET,
    OPT_VERBOSE,
    OPTIONS,
};

#define OPTION_IN(mode) (1u << (mode))
/* A guest is written to a file. */
#define OPTION_IN_FILE (OPTION_IN(MODE_CHECKPOINT) | OPTION_IN(MODE_SAVE))

struct option_rule {
    const char *name;
    const char *argument; /* NULL: takes none */
    unsigned modes;       /* modes that it goes with; 0: it is a mode */
};

/* What a mode wants after its options. */
struct option_operands {
    unsigned least, most;
    const char *wanted;
};

/* Indexed by enum option_id, and by enum mode. */
extern const struct option_rule option_rules[OPTIONS];
extern const struct option_operands option_operands[MODE_VERSION + 1];

#endif
