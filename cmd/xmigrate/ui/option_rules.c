/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/option_rules.h"

#include <limits.h>
#include <stddef.h>

#define IN(mode)    OPTION_IN(mode)
#define IN_SEND     (IN(MODE_LIVE) | IN(MODE_OFFLINE))
#define IN_FILE     OPTION_IN_FILE
#define IN_ANY_FILE (IN_FILE | IN(MODE_RESTORE))
#define IN_CONVERT  (IN(MODE_EXPORT) | IN(MODE_FLATTEN))
#define IN_READ     (IN(MODE_RESTORE) | IN(MODE_INSPECT) | IN_CONVERT)
#define IN_PLAN     (IN(MODE_LIVE) | IN(MODE_ESTIMATE) | IN_FILE)
#define IN_REACH    (IN_SEND | IN(MODE_ESTIMATE))
#define IN_MOVE     (IN_REACH | IN(MODE_LISTEN))
#define IN_TRUST    (IN(MODE_IDENTITY) | IN(MODE_TRUST) | IN(MODE_UNTRUST) | IN(MODE_PAIR))
#define IN_ASK      (IN_REACH | IN(MODE_RESOLVE) | IN(MODE_CHECK) | IN(MODE_STATUS) | IN(MODE_CLEANUP))
#define IN_CHANGE                                                                                  \
    (IN_MOVE | IN_ANY_FILE | IN_CONVERT | IN(MODE_CHECK) | IN(MODE_RECOVER) | IN(MODE_RESOLVE) |   \
        IN(MODE_RESUME) | IN(MODE_DISMISS) | IN(MODE_CLEANUP))

const struct option_rule option_rules[OPTIONS] = {
    [OPT_LIVE] = {"live", NULL, 0},
    [OPT_OFFLINE] = {"offline", NULL, 0},
    [OPT_ESTIMATE] = {"estimate", NULL, 0},
    [OPT_CHECKPOINT] = {"checkpoint", NULL, 0},
    [OPT_SAVE] = {"save", NULL, 0},
    [OPT_RESTORE] = {"restore", NULL, 0},
    [OPT_INSPECT] = {"inspect", NULL, 0},
    [OPT_EXPORT] = {"export", NULL, 0},
    [OPT_FLATTEN] = {"flatten", NULL, 0},
    [OPT_CHECK] = {"check", NULL, 0},
    [OPT_LISTEN] = {"listen", NULL, 0},
    [OPT_IDENTITY] = {"identity", NULL, 0},
    [OPT_TRUST] = {"trust", NULL, 0},
    [OPT_UNTRUST] = {"untrust", NULL, 0},
    [OPT_RECOVER] = {"recover", NULL, 0},
    [OPT_RESOLVE] = {"resolve", NULL, 0},
    [OPT_RESUME] = {"resume", NULL, 0},
    [OPT_DISMISS] = {"dismiss", NULL, 0},
    [OPT_CLEANUP] = {"cleanup", NULL, 0},
    [OPT_STATUS] = {"status", NULL, 0},
    [OPT_CANCEL] = {"cancel", NULL, 0},
    [OPT_SET] = {"set", NULL, 0},
    [OPT_METRICS] = {"metrics", NULL, 0},
    [OPT_PAIR] = {"pair", NULL, 0},
    [OPT_MONITOR] = {"monitor", NULL, 0},
    [OPT_ANNOUNCE] = {"announce", NULL, 0},
    [OPT_HELP] = {"help", NULL, 0},
    [OPT_VERSION] = {"version", NULL, 0},
    [OPT_LANES] = {"lanes", "a whole number from 1 to 64", IN_REACH | IN_FILE | IN_READ},
    [OPT_MAX_DOWNTIME] = {"max-downtime", "a time such as 300ms or 2s", IN_PLAN},
    [OPT_MAX_ROUNDS] = {"max-rounds", "a whole number from 1 to 1000000", IN_PLAN},
    [OPT_MAX_TIME] = {"max-time", "a time from 100ms to a day", IN_PLAN},
    [OPT_MAX_BYTES] = {"max-bytes", "a size such as 800M or 20G", IN_PLAN},
    [OPT_ON_STALL] = {"on-stall", "suspend, throttle or abort", IN_PLAN},
    [OPT_BANDWIDTH] = {"bandwidth", "bits a second, at least 1M, such as 800M or 10G", IN_REACH},
    [OPT_COMPRESS] = {"compress", "none, lz4, zstd or auto", IN_REACH | IN_FILE | IN(MODE_FLATTEN)},
    [OPT_DELTA_CACHE] = {"delta-cache", "0, or a size from 1M on, such as 256M", IN_REACH},
    [OPT_CONNECT_TIMEOUT] = {"connect-timeout", "a time from 100ms to a day", IN_ASK},
    [OPT_SILENT_TIMEOUT] = {"silent-timeout", "a time from 6s to a day",
        IN_MOVE | IN_ASK | IN_ANY_FILE},
    [OPT_SUSPEND_TIMEOUT] = {"suspend-timeout", "a time from 100ms to a day", IN_SEND | IN_FILE},
    [OPT_START_TIMEOUT] = {"start-timeout", "a time from 100ms to a day",
        IN_SEND | IN(MODE_LISTEN)},
    [OPT_CONFIG_DIR] = {"config-dir", "a directory", IN_MOVE | IN_ASK | IN_TRUST},
    [OPT_INSECURE] = {"insecure", NULL, IN_MOVE | IN(MODE_CHECK) | IN(MODE_STATUS)},
    [OPT_KERNEL_TLS] = {"kernel-tls", NULL, IN_REACH},
    [OPT_AS_ROOT] = {"as-root", NULL, IN(MODE_LISTEN)},
    [OPT_NO_ANNOUNCE] = {"no-announce", NULL, IN(MODE_LISTEN)},
    [OPT_MAX_INCOMING] = {"max-incoming", "a whole number from 1 to 64", IN(MODE_LISTEN)},
    [OPT_EARLY_DISKS] = {"early-disks", "safe, none or all", IN(MODE_LIVE) | IN(MODE_LISTEN)},
    [OPT_FORCE] = {"force", NULL, IN(MODE_RESUME) | IN_FILE | IN_CONVERT},
    [OPT_RESUME_AS] = {"resume-as", "cooperative, or with --checkpoint revive", IN_SEND | IN_FILE},
    [OPT_WHILE_SUSPENDED] = {"while-suspended", "a command for sh", IN(MODE_CHECKPOINT)},
    [OPT_HOOK_TIMEOUT] = {"hook-timeout", "a time from 100ms to a day", IN(MODE_CHECKPOINT)},
    [OPT_EVERY] = {"every", "a time from 1s to a day", IN(MODE_CHECKPOINT)},
    [OPT_KEEP] = {"keep", "a whole number from 1 to 1000", IN(MODE_CHECKPOINT)},
    [OPT_COMPACT] = {"compact", NULL, IN_FILE},
    [OPT_PARENT] = {"parent", "a compact file", IN_FILE | IN_READ},
    [OPT_ENCRYPT] = {"encrypt", "a key file", IN_FILE},
    [OPT_KEY] = {"key", "a key file", IN_READ},
    [OPT_NAME] = {"name", "a name for the domain", IN(MODE_RESTORE) | IN_SEND},
    [OPT_DISK] = {"disk", "VDEV=TARGET, such as xvda=/dev/vg/copy", IN(MODE_RESTORE)},
    [OPT_DISKS_AS_THEY_ARE] = {"disks-as-they-are", NULL, IN(MODE_RESTORE)},
    [OPT_CLONE] = {"clone", NULL, IN(MODE_RESTORE)},
    [OPT_PAUSED] = {"paused", NULL, IN(MODE_RESTORE) | IN_SEND},
    [OPT_CONFIG] = {"config", "a file with libxl's JSON of a domain", IN_SEND},
    [OPT_PRESERVE_DOMID] = {"preserve-domid", NULL, IN_SEND},
    [OPT_BIND] = {"bind", "an address of this host, in numbers", IN_REACH},
    [OPT_DSCP] = {"dscp", "a whole number from 0 to 63", IN_REACH},
    [OPT_PEER] = {"peer", "HOST or HOST:PORT", IN(MODE_STATUS)},
    [OPT_JSON] = {"json", NULL,
        IN_REACH | IN_ANY_FILE | IN(MODE_INSPECT) | IN(MODE_CHECK) | IN(MODE_STATUS) |
            IN(MODE_LISTEN) | IN(MODE_RECOVER)},
    [OPT_QUIET] = {"quiet", NULL, IN_CHANGE},
    [OPT_VERBOSE] = {"verbose", NULL, IN_CHANGE},
};

const struct option_operands option_operands[MODE_VERSION + 1] = {
    [MODE_LIVE] = {2, 2, "--live wants HOST[:PORT] and DOM"},
    [MODE_OFFLINE] = {2, 2, "--offline wants HOST[:PORT] and DOM"},
    [MODE_ESTIMATE] = {2, 2, "--estimate wants HOST[:PORT] and DOM"},
    [MODE_CHECKPOINT] = {2, 2, "--checkpoint wants FILE and DOM"},
    [MODE_SAVE] = {2, 2, "--save wants FILE and DOM"},
    [MODE_RESTORE] = {1, 1, "--restore wants one FILE"},
    [MODE_INSPECT] = {1, 1, "--inspect wants one FILE"},
    [MODE_EXPORT] = {2, 2, "--export wants a new FILE and a compact one"},
    [MODE_FLATTEN] = {2, 2, "--flatten wants a new FILE and a compact one"},
    [MODE_CHECK] = {1, 2, "--check wants DOM, perhaps after HOST[:PORT]"},
    [MODE_LISTEN] = {0, 1, "--listen takes at most one ADDR:PORT"},
    [MODE_IDENTITY] = {0, 0, "--identity takes no argument"},
    [MODE_TRUST] = {1, 3, "--trust wants a fingerprint, and perhaps a NAME and RIGHTS"},
    [MODE_UNTRUST] = {1, 1, "--untrust wants one fingerprint or name"},
    [MODE_RECOVER] = {0, 0, "--recover takes no argument"},
    [MODE_RESOLVE] = {0, 1, "--resolve takes at most one DOM"},
    [MODE_RESUME] = {1, 1, "--resume wants one DOM"},
    [MODE_DISMISS] = {1, 1, "--dismiss wants one DOM or UUID"},
    [MODE_CLEANUP] = {1, 1, "--cleanup wants one NAME"},
    [MODE_STATUS] = {0, 1, "--status takes at most one DOM"},
    [MODE_CANCEL] = {1, 1, "--cancel wants one DOM"},
    [MODE_METRICS] = {1, 1, "--metrics wants one FILE, or -"},
    [MODE_PAIR] = {1, 2, "--pair wants HOST, as ssh does, and perhaps a NAME for it"},
    [MODE_SET] = {2, 4, "--set wants DOM and what to set, such as bandwidth=400M"},
    [MODE_MONITOR] = {2, 2, "--monitor wants DOMID and UUID"},
    [MODE_ANNOUNCE] = {2, UINT_MAX, "--announce wants DOMID and interfaces"},
    [MODE_HELP] = {0, 0, "--help takes no argument"},
    [MODE_VERSION] = {0, 0, "--version takes no argument"},
};
