/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/options.h"

#include "base/deadline.h"
#include "base/units.h"
#include "crypto/config.h"
#include "cmd/link.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>

enum { DEFAULT_MAX_LANES = 8, DEFAULT_MAX_ROUNDS = 30 };

#define DEFAULT_DOWNTIME_NS (300 * NS_PER_MS)
#define DEFAULT_CONNECT_NS  (10 * NS_PER_S)
#define DEFAULT_SILENT_NS   (30 * NS_PER_S)
#define DEFAULT_SUSPEND_NS  (60 * NS_PER_S)
#define DEFAULT_HOOK_NS     (10 * NS_PER_S)

/* Below that a healthy peer or helper on a busy machine would count as dead. */
#define MIN_SILENT_NS (6 * NS_PER_S)
#define MIN_LIMIT_NS  (100 * NS_PER_MS)
#define MAX_LIMIT_NS  (24 * 3600 * NS_PER_S)

enum option_id {
    OPT_LIVE,
    OPT_OFFLINE,
    OPT_ESTIMATE,
    OPT_CHECKPOINT,
    OPT_SAVE,
    OPT_RESTORE,
    OPT_INSPECT,
    OPT_CHECK,
    OPT_LISTEN,
    OPT_IDENTITY,
    OPT_TRUST,
    OPT_UNTRUST,
    OPT_RECOVER,
    OPT_RESOLVE,
    OPT_RESUME,
    OPT_DISMISS,
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
    OPT_CONNECT_TIMEOUT,
    OPT_SILENT_TIMEOUT,
    OPT_SUSPEND_TIMEOUT,
    OPT_START_TIMEOUT,
    OPT_CONFIG_DIR,
    OPT_INSECURE,
    OPT_AS_ROOT,
    OPT_NO_ANNOUNCE,
    OPT_FORCE,
    OPT_RESUME_AS,
    OPT_WHILE_SUSPENDED,
    OPT_HOOK_TIMEOUT,
    OPT_EVERY,
    OPT_KEEP,
    OPT_NAME,
    OPT_DISK,
    OPT_DISKS_AS_THEY_ARE,
    OPT_CLONE,
    OPT_PAUSED,
    OPT_JSON,
    OPT_QUIET,
    OPT_VERBOSE,
};

#define IN(mode)    (1u << (mode))
#define IN_SEND     (IN(MODE_LIVE) | IN(MODE_OFFLINE))
#define IN_FILE     (IN(MODE_CHECKPOINT) | IN(MODE_SAVE))
#define IN_ANY_FILE (IN_FILE | IN(MODE_RESTORE))
#define IN_PLAN     (IN(MODE_LIVE) | IN(MODE_ESTIMATE) | IN_FILE)
#define IN_REACH    (IN_SEND | IN(MODE_ESTIMATE))
#define IN_MOVE     (IN_REACH | IN(MODE_LISTEN))
#define IN_TRUST    (IN(MODE_IDENTITY) | IN(MODE_TRUST) | IN(MODE_UNTRUST))
#define IN_ASK      (IN_REACH | IN(MODE_RESOLVE) | IN(MODE_CHECK))
#define IN_CHANGE                                                                                  \
    (IN_MOVE | IN_ANY_FILE | IN(MODE_CHECK) | IN(MODE_RECOVER) | IN(MODE_RESOLVE) |                \
        IN(MODE_RESUME) | IN(MODE_DISMISS))
#define MODE_OF(i) ((enum mode)((i) + 1 + MODE_NONE))

_Static_assert(MODE_OF(OPT_LIVE) == MODE_LIVE && MODE_OF(OPT_LAST_MODE) == MODE_VERSION,
    "the options that say what to do come in the order of enum mode");

/* Indexed by enum option_id. */
static const struct rule {
    const char *name;
    const char *argument; /* NULL: takes none */
    unsigned modes;       /* modes that it goes with; 0: it is a mode */
} rules[] = {
    [OPT_LIVE] = {"live", NULL, 0},
    [OPT_OFFLINE] = {"offline", NULL, 0},
    [OPT_ESTIMATE] = {"estimate", NULL, 0},
    [OPT_CHECKPOINT] = {"checkpoint", NULL, 0},
    [OPT_SAVE] = {"save", NULL, 0},
    [OPT_RESTORE] = {"restore", NULL, 0},
    [OPT_INSPECT] = {"inspect", NULL, 0},
    [OPT_CHECK] = {"check", NULL, 0},
    [OPT_LISTEN] = {"listen", NULL, 0},
    [OPT_IDENTITY] = {"identity", NULL, 0},
    [OPT_TRUST] = {"trust", NULL, 0},
    [OPT_UNTRUST] = {"untrust", NULL, 0},
    [OPT_RECOVER] = {"recover", NULL, 0},
    [OPT_RESOLVE] = {"resolve", NULL, 0},
    [OPT_RESUME] = {"resume", NULL, 0},
    [OPT_DISMISS] = {"dismiss", NULL, 0},
    [OPT_MONITOR] = {"monitor", NULL, 0},
    [OPT_ANNOUNCE] = {"announce", NULL, 0},
    [OPT_HELP] = {"help", NULL, 0},
    [OPT_VERSION] = {"version", NULL, 0},
    [OPT_LANES] = {"lanes", "a whole number from 1 to 64", IN_REACH},
    [OPT_MAX_DOWNTIME] = {"max-downtime", "a time such as 300ms or 2s", IN_PLAN},
    [OPT_MAX_ROUNDS] = {"max-rounds", "a whole number from 1 to 1000000", IN_PLAN},
    [OPT_MAX_TIME] = {"max-time", "a time from 100ms to a day", IN_PLAN},
    [OPT_MAX_BYTES] = {"max-bytes", "a size such as 800M or 20G", IN_PLAN},
    [OPT_ON_STALL] = {"on-stall", "suspend, throttle or abort", IN_PLAN},
    [OPT_BANDWIDTH] = {"bandwidth", "bits a second, at least 1M, such as 800M or 10G", IN_REACH},
    [OPT_COMPRESS] = {"compress", "none, lz4, zstd or auto", IN_REACH},
    [OPT_CONNECT_TIMEOUT] = {"connect-timeout", "a time from 100ms to a day", IN_ASK},
    [OPT_SILENT_TIMEOUT] = {"silent-timeout", "a time from 6s to a day",
        IN_MOVE | IN_ASK | IN_ANY_FILE},
    [OPT_SUSPEND_TIMEOUT] = {"suspend-timeout", "a time from 100ms to a day", IN_SEND | IN_FILE},
    [OPT_START_TIMEOUT] = {"start-timeout", "a time from 100ms to a day",
        IN_SEND | IN(MODE_LISTEN)},
    [OPT_CONFIG_DIR] = {"config-dir", "a directory", IN_MOVE | IN_ASK | IN_TRUST},
    [OPT_INSECURE] = {"insecure", NULL, IN_MOVE | IN(MODE_CHECK)},
    [OPT_AS_ROOT] = {"as-root", NULL, IN(MODE_LISTEN)},
    [OPT_NO_ANNOUNCE] = {"no-announce", NULL, IN(MODE_LISTEN)},
    [OPT_FORCE] = {"force", NULL, IN(MODE_RESUME)},
    [OPT_RESUME_AS] = {"resume-as", "cooperative or revive", IN(MODE_CHECKPOINT)},
    [OPT_WHILE_SUSPENDED] = {"while-suspended", "a command for sh", IN(MODE_CHECKPOINT)},
    [OPT_HOOK_TIMEOUT] = {"hook-timeout", "a time from 100ms to a day", IN(MODE_CHECKPOINT)},
    [OPT_EVERY] = {"every", "a time from 1s to a day", IN(MODE_CHECKPOINT)},
    [OPT_KEEP] = {"keep", "a whole number from 1 to 1000", IN(MODE_CHECKPOINT)},
    [OPT_NAME] = {"name", "a name for the domain", IN(MODE_RESTORE)},
    [OPT_DISK] = {"disk", "VDEV=TARGET, such as xvda=/dev/vg/copy", IN(MODE_RESTORE)},
    [OPT_DISKS_AS_THEY_ARE] = {"disks-as-they-are", NULL, IN(MODE_RESTORE)},
    [OPT_CLONE] = {"clone", NULL, IN(MODE_RESTORE)},
    [OPT_PAUSED] = {"paused", NULL, IN(MODE_RESTORE)},
    [OPT_JSON] = {"json", NULL, IN_REACH | IN_ANY_FILE | IN(MODE_INSPECT) | IN(MODE_CHECK)},
    [OPT_QUIET] = {"quiet", NULL, IN_CHANGE},
    [OPT_VERBOSE] = {"verbose", NULL, IN_CHANGE},
};

enum { RULES = sizeof(rules) / sizeof(rules[0]) };

/* What each mode wants after its options. */
static const struct operands {
    unsigned least, most;
    const char *wanted;
} operands[] = {
    [MODE_LIVE] = {2, 2, "--live wants HOST[:PORT] and DOM"},
    [MODE_OFFLINE] = {2, 2, "--offline wants HOST[:PORT] and DOM"},
    [MODE_ESTIMATE] = {2, 2, "--estimate wants HOST[:PORT] and DOM"},
    [MODE_CHECKPOINT] = {2, 2, "--checkpoint wants FILE and DOM"},
    [MODE_SAVE] = {2, 2, "--save wants FILE and DOM"},
    [MODE_RESTORE] = {1, 1, "--restore wants one FILE"},
    [MODE_INSPECT] = {1, 1, "--inspect wants one FILE"},
    [MODE_CHECK] = {1, 2, "--check wants DOM, perhaps after HOST[:PORT]"},
    [MODE_LISTEN] = {0, 1, "--listen takes at most one ADDR:PORT"},
    [MODE_IDENTITY] = {0, 0, "--identity takes no argument"},
    [MODE_TRUST] = {1, 3, "--trust wants a fingerprint, and perhaps a NAME and RIGHTS"},
    [MODE_UNTRUST] = {1, 1, "--untrust wants one fingerprint or name"},
    [MODE_RECOVER] = {0, 0, "--recover takes no argument"},
    [MODE_RESOLVE] = {0, 1, "--resolve takes at most one DOM"},
    [MODE_RESUME] = {1, 1, "--resume wants one DOM"},
    [MODE_DISMISS] = {1, 1, "--dismiss wants one DOM or UUID"},
    [MODE_MONITOR] = {2, 2, "--monitor wants DOMID and UUID"},
    [MODE_ANNOUNCE] = {2, UINT_MAX, "--announce wants DOMID and interfaces"},
    [MODE_HELP] = {0, 0, "--help takes no argument"},
    [MODE_VERSION] = {0, 0, "--version takes no argument"},
};

#define usage(e, ...) err_set(e, ERR_USAGE, EINVAL, __VA_ARGS__)

const char *options_name(unsigned i)
{
    /* --monitor and --announce are for our own exec only. */
    if (i >= OPT_MONITOR)
        i += 2;
    return i < RULES ? rules[i].name : NULL;
}

static int take_limit(
    int64_t *ns, const char *text, int64_t least_ns, const struct rule *r, struct err *e)
{
    int64_t n;

    if (!parse_duration_ns(text, &n) || n < least_ns || n > MAX_LIMIT_NS)
        return usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    *ns = n;
    return 0;
}

static int take_number(
    unsigned *value, const char *text, unsigned most, const struct rule *r, struct err *e)
{
    uint64_t n;

    if (!parse_u64(text, 1, most, &n))
        return usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    *value = (unsigned)n;
    return 0;
}

static int take_bandwidth(struct options *o, const char *text, const struct rule *r, struct err *e)
{
    const uint64_t least_bits_per_s = 1000000;

    if (!parse_rate_bits(text, &o->bandwidth_bits_per_s) ||
        o->bandwidth_bits_per_s < least_bits_per_s || o->bandwidth_bits_per_s > INT64_MAX)
        return usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    return 0;
}

static int take_size(uint64_t *bytes, const char *text, const struct rule *r, struct err *e)
{
    if (!parse_size_bytes(text, bytes) || !*bytes || *bytes > INT64_MAX)
        return usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    return 0;
}

static int take_on_stall(
    enum on_stall *on_stall, const char *text, const struct rule *r, struct err *e)
{
    return on_stall_parse(text, on_stall)
               ? 0
               : usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
}

/* xl finds domains by name or by number. */
static int take_name(struct options *o, const char *text, const struct rule *r, struct err *e)
{
    if (!text[0] || strspn(text, "0123456789") == strlen(text) || strchr(text, '/'))
        return usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    o->name = text;
    return 0;
}

static int take_disk(struct options *o, const char *text, const struct rule *r, struct err *e)
{
    const char *target = strchr(text, '=');

    if (!target || target == text || target[1] != '/')
        return usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    if (o->disk_count == OPTIONS_MAX_DISKS)
        return usage(e, "--%s: at most %u of them", r->name, OPTIONS_MAX_DISKS);
    o->disks[o->disk_count++] = text;
    return 0;
}

static int take_mode(struct options *o, enum option_id id, struct err *e)
{
    /* Look for help first: people add it to whatever they have typed. */
    if (o->mode == MODE_HELP || o->mode == MODE_OF(id))
        return 0;
    if (o->mode != MODE_NONE && id != OPT_HELP)
        return usage(
            e, "--%s and --%s cannot be done at once", rules[o->mode - 1].name, rules[id].name);
    o->mode = MODE_OF(id);
    return 0;
}

static int take_option(struct options *o, enum option_id id, const char *text, struct err *e)
{
    const struct rule *r = &rules[id];

    if (id <= OPT_LAST_MODE)
        return take_mode(o, id, e);
    switch (id) {
    case OPT_LANES:
        return take_number(&o->lanes, text, MAX_LANES, r, e);
    case OPT_MAX_DOWNTIME:
        return take_limit(&o->limits.max_downtime_ns, text, 0, r, e);
    case OPT_MAX_ROUNDS:
        return take_number(&o->limits.max_rounds, text, 1000000, r, e);
    case OPT_MAX_TIME:
        return take_limit(&o->limits.max_time_ns, text, MIN_LIMIT_NS, r, e);
    case OPT_MAX_BYTES:
        return take_size(&o->limits.max_bytes, text, r, e);
    case OPT_ON_STALL:
        return take_on_stall(&o->limits.on_stall, text, r, e);
    case OPT_BANDWIDTH:
        return take_bandwidth(o, text, r, e);
    case OPT_COMPRESS:
        if (!codec_parse(text, &o->compress))
            return usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
        return 0;
    case OPT_CONNECT_TIMEOUT:
        return take_limit(&o->connect_ns, text, MIN_LIMIT_NS, r, e);
    case OPT_SILENT_TIMEOUT:
        return take_limit(&o->silent_ns, text, MIN_SILENT_NS, r, e);
    case OPT_SUSPEND_TIMEOUT:
        return take_limit(&o->suspend_ns, text, MIN_LIMIT_NS, r, e);
    case OPT_START_TIMEOUT:
        return take_limit(&o->start_ns, text, MIN_LIMIT_NS, r, e);
    case OPT_CONFIG_DIR:
        if (!text[0] || strlen(text) >= LINK_PATH_BYTES)
            return usage(e, "--%s \"%s\": wanted is a directory", r->name, text);
        o->config_dir = text;
        return 0;
    case OPT_INSECURE:
        o->insecure = true;
        return 0;
    case OPT_AS_ROOT:
        o->as_root = true;
        return 0;
    case OPT_NO_ANNOUNCE:
        o->no_announce = true;
        return 0;
    case OPT_FORCE:
        o->force = true;
        return 0;
    case OPT_RESUME_AS:
        o->revive = !strcmp(text, "revive");
        if (!o->revive && strcmp(text, "cooperative"))
            return usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
        return 0;
    case OPT_WHILE_SUSPENDED:
        if (!text[0])
            return usage(e, "--%s: wanted is %s", r->name, r->argument);
        o->while_suspended = text;
        return 0;
    case OPT_HOOK_TIMEOUT:
        return take_limit(&o->hook_ns, text, MIN_LIMIT_NS, r, e);
    case OPT_EVERY:
        return take_limit(&o->every_ns, text, NS_PER_S, r, e);
    case OPT_KEEP:
        return take_number(&o->keep, text, 1000, r, e);
    case OPT_NAME:
        return take_name(o, text, r, e);
    case OPT_DISK:
        return take_disk(o, text, r, e);
    case OPT_DISKS_AS_THEY_ARE:
        o->disks_as_they_are = true;
        return 0;
    case OPT_CLONE:
        o->clone = true;
        return 0;
    case OPT_PAUSED:
        o->paused = true;
        return 0;
    case OPT_JSON:
        o->json = true;
        return 0;
    case OPT_QUIET:
        o->log_level = LOG_ERROR;
        return 0;
    case OPT_VERBOSE:
        o->log_level = LOG_DEBUG;
        return 0;
    default:
        return err_set(e, ERR_INTERNAL, EINVAL, "option %d is not known to the parser", (int)id);
    }
}

static int take_operands(struct options *o, char *const words[], unsigned count, struct err *e)
{
    const struct operands *want = &operands[o->mode];

    if (count < want->least || count > want->most)
        return usage(e, "%s (see xmigrate --help)", want->wanted);
    switch (o->mode) {
    case MODE_LIVE:
    case MODE_OFFLINE:
    case MODE_ESTIMATE:
        o->domain = words[1];
        return tcp_parse_address(words[0], false, &o->address, e);
    case MODE_CHECK:
        o->domain = words[count - 1];
        return count > 1 ? tcp_parse_address(words[0], false, &o->address, e) : 0;
    case MODE_CHECKPOINT:
    case MODE_SAVE:
        o->file = words[0];
        o->domain = words[1];
        return 0;
    case MODE_RESTORE:
    case MODE_INSPECT:
        o->file = words[0];
        return 0;
    case MODE_LISTEN:
        return count ? tcp_parse_address(words[0], true, &o->address, e) : 0;
    case MODE_TRUST:
        o->peer = words[0];
        o->peer_name = count > 1 ? words[1] : NULL;
        o->peer_rights = count > 2 ? words[2] : NULL;
        return 0;
    case MODE_UNTRUST:
        o->peer = words[0];
        return 0;
    case MODE_RESOLVE:
        o->domain = count ? words[0] : NULL;
        return 0;
    case MODE_RESUME:
    case MODE_DISMISS:
        o->domain = words[0];
        return 0;
    case MODE_MONITOR:
        o->monitor_domid = words[0];
        o->monitor_uuid = words[1];
        return 0;
    case MODE_ANNOUNCE:
        o->announce_domid = words[0];
        o->announce_vifs = words + 1;
        o->announce_count = count - 1;
        return 0;
    default:
        return 0;
    }
}

/* Limits that no migration could keep. */
static int check_limits(const struct decide_limits *l, struct err *e)
{
    char time[UNITS_TEXT_BYTES], downtime[UNITS_TEXT_BYTES];

    if (l->max_time_ns && l->max_time_ns <= l->max_downtime_ns)
        return usage(e,
            "--max-time %s and --max-downtime %s contradict each other: the pause is part of the "
            "time",
            format_duration(l->max_time_ns, time), format_duration(l->max_downtime_ns, downtime));
    if (!l->max_downtime_ns && l->on_stall == ON_STALL_ABORT)
        return usage(e, "--max-downtime 0 and --on-stall abort contradict each other: there is "
                        "always some downtime, so it could only be given up");
    if (l->on_stall != ON_STALL_THROTTLE)
        return 0;
    if (!l->max_downtime_ns)
        return usage(e, "--max-downtime 0 and --on-stall throttle contradict each other: there is "
                        "always some downtime, so the guest would be slowed down in vain");
    if (l->max_rounds && l->max_rounds < DECIDE_THROTTLE_ROUNDS)
        return usage(e,
            "--max-rounds %u and --on-stall throttle contradict each other: with fewer than %u "
            "rounds the guest would be suspended before it could be slowed down",
            l->max_rounds, DECIDE_THROTTLE_ROUNDS);
    return 0;
}

static int check_together(const struct options *o, const bool given[static RULES], struct err *e)
{
    for (unsigned i = OPT_LAST_MODE + 1; i < RULES; i++)
        if (given[i] && !(rules[i].modes & IN(o->mode)))
            return usage(e, "--%s does not go with --%s", rules[i].name, rules[o->mode - 1].name);
    if (o->keep && !o->every_ns)
        return usage(e, "--keep goes with --every");
    if (given[OPT_QUIET] && given[OPT_VERBOSE])
        return usage(e, "--%s and --%s contradict each other", "quiet", "verbose");
    return 0;
}

int options_parse(struct options *o, int argc, char *const argv[], unsigned cores, struct err *e)
{
    struct option longs[RULES + 1] = {0};
    bool given[RULES] = {false};
    int c, rc, index;

    for (int i = 0; i < RULES; i++)
        longs[i] = (struct option){
            rules[i].name, rules[i].argument ? required_argument : no_argument, NULL, 0};
    *o = (struct options){
        .address = {.port = TCP_DEFAULT_PORT},
        .lanes = cores < 1                   ? 1
                 : cores > DEFAULT_MAX_LANES ? DEFAULT_MAX_LANES
                                             : cores,
        .limits = {.max_downtime_ns = DEFAULT_DOWNTIME_NS, .max_rounds = DEFAULT_MAX_ROUNDS},
        .compress = CODEC_AUTO,
        .connect_ns = DEFAULT_CONNECT_NS,
        .silent_ns = DEFAULT_SILENT_NS,
        .suspend_ns = DEFAULT_SUSPEND_NS,
        .hook_ns = DEFAULT_HOOK_NS,
        .config_dir = CONFIG_DIR_DEFAULT,
        .log_level = LOG_INFO,
    };
    optind = 0;
    opterr = 0;
    while (index = -1, (c = getopt_long(argc, argv, ":hqv", longs, &index)) != -1) {
        const char letter[] = {'-', (char)optopt, '\0'};
        const char *word = optopt ? letter : optind > 0 ? argv[optind - 1] : "";

        if (c == ':')
            return usage(e, "%s wants an argument (see xmigrate --help)", word);
        if (c == '?')
            return usage(
                e, "%s is not an option, or takes no argument (see xmigrate --help)", word);
        if (c)
            index = c == 'h' ? OPT_HELP : c == 'q' ? OPT_QUIET : OPT_VERBOSE;
        given[index] = true;
        rc = take_option(o, (enum option_id)index, optarg, e);
        if (rc)
            return rc;
    }
    if (o->mode == MODE_HELP)
        return 0;
    if (o->mode == MODE_NONE)
        return usage(e, "say what to do: --live or --offline to move a domain, --listen to receive"
                        " (see xmigrate --help)");
    rc = check_together(o, given, e);
    if (!rc)
        rc = check_limits(&o->limits, e);
    return rc ? rc : take_operands(o, argv + optind, (unsigned)(argc - optind), e);
}
