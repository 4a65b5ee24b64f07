/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/options.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/xmigrate/ui/limits.h"
#include "crypto/config.h"
#include "cmd/xmigrate/ui/option_values.h"
#include "cmd/link.h"
#include "cmd/xmigrate/ui/option_rules.h"
#include "transport/tcp_local.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

enum { DEFAULT_MAX_LANES = 8, DEFAULT_MAX_ROUNDS = 30 };

#define DEFAULT_DELTA_CACHE_BYTES (64ull << 20)
#define DEFAULT_DOWNTIME_NS       (300 * NS_PER_MS)
#define DEFAULT_CONNECT_NS        (10 * NS_PER_S)
#define DEFAULT_SILENT_NS         (30 * NS_PER_S)
#define DEFAULT_SUSPEND_NS        (60 * NS_PER_S)
#define DEFAULT_HOOK_NS           (10 * NS_PER_S)

/* Below that a healthy peer or helper on a busy machine would count as dead. */
#define MIN_SILENT_NS (6 * NS_PER_S)
#define MIN_LIMIT_NS  (100 * NS_PER_MS)

#define MODE_OF(i) ((enum mode)((i) + 1 + MODE_NONE))

_Static_assert(MODE_OF(OPT_LIVE) == MODE_LIVE && MODE_OF(OPT_LAST_MODE) == MODE_VERSION,
    "the options that say what to do come in the order of enum mode");

const char *options_name(unsigned i)
{
    /* --monitor and --announce are for our own exec only. */
    if (i >= OPT_MONITOR)
        i += 2;
    return i < OPTIONS ? option_rules[i].name : NULL;
}

/* xl finds domains by name or by number. */
static int take_name(
    struct options *o, const char *text, const struct option_rule *r, struct err *e)
{
    if (!text[0] || strlen(text) > OPTIONS_MAX_NAME_BYTES ||
        strspn(text, "0123456789") == strlen(text) || strchr(text, '/'))
        return option_usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    o->name = text;
    return 0;
}

static int take_disk(
    struct options *o, const char *text, const struct option_rule *r, struct err *e)
{
    const char *target = strchr(text, '=');

    if (!target || target == text || target[1] != '/')
        return option_usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
    if (o->disk_count == OPTIONS_MAX_DISKS)
        return option_usage(e, "--%s: at most %u of them", r->name, OPTIONS_MAX_DISKS);
    o->disks[o->disk_count++] = text;
    return 0;
}

static int take_resume_as(
    enum resume_as *as, const char *text, const struct option_rule *r, struct err *e)
{
    *as = !strcmp(text, "cooperative") ? RESUME_AS_COOPERATIVE
          : !strcmp(text, "revive")    ? RESUME_AS_REVIVE
                                       : RESUME_AS_CHOSEN;
    return *as == RESUME_AS_CHOSEN
               ? option_usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument)
               : 0;
}

static int take_early_disks(
    enum early_disks *early, const char *text, const struct option_rule *r, struct err *e)
{
    static const char *const words[] = {
        [EARLY_SAFE] = "safe", [EARLY_NONE] = "none", [EARLY_ALL] = "all"};

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (!strcmp(text, words[i])) {
            *early = (enum early_disks)i;
            return 0;
        }
    return option_usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
}

static int take_parent(
    struct options *o, const char *text, const struct option_rule *r, struct err *e)
{
    if (!text[0])
        return option_usage(e, "--%s: wanted is %s", r->name, r->argument);
    if (o->parent_count == OPTIONS_MAX_PARENTS)
        return option_usage(e, "--%s: at most %u of them", r->name, OPTIONS_MAX_PARENTS);
    o->parents[o->parent_count++] = text;
    return 0;
}

static int take_mode(struct options *o, enum option_id id, struct err *e)
{
    /* Look for help first: people add it to whatever they have typed. */
    if (o->mode == MODE_HELP || o->mode == MODE_OF(id))
        return 0;
    /* To a file, --offline says how. */
    if (id == OPT_OFFLINE || o->mode == MODE_OFFLINE)
        o->offline = true;
    if (id == OPT_OFFLINE && OPTION_IN_FILE & OPTION_IN(o->mode))
        return 0;
    if (o->mode == MODE_OFFLINE && OPTION_IN_FILE & OPTION_IN(MODE_OF(id)))
        o->mode = MODE_NONE;
    if (o->mode != MODE_NONE && id != OPT_HELP)
        return option_usage(e, "--%s and --%s cannot be done at once",
            option_rules[o->mode - 1].name, option_rules[id].name);
    o->mode = MODE_OF(id);
    return 0;
}

/* Those that are there or not; else NULL. */
static bool *flag_of(struct options *o, enum option_id id)
{
    bool *const flags[OPTIONS] = {[OPT_INSECURE] = &o->insecure,
        [OPT_KERNEL_TLS] = &o->kernel_tls,
        [OPT_AS_ROOT] = &o->as_root,
        [OPT_NO_ANNOUNCE] = &o->no_announce,
        [OPT_FORCE] = &o->force,
        [OPT_COMPACT] = &o->compact,
        [OPT_DISKS_AS_THEY_ARE] = &o->disks_as_they_are,
        [OPT_CLONE] = &o->clone,
        [OPT_PAUSED] = &o->paused,
        [OPT_PRESERVE_DOMID] = &o->preserve_domid,
        [OPT_JSON] = &o->json};

    return flags[id];
}

static int take_option(struct options *o, enum option_id id, const char *text, struct err *e)
{
    const struct option_rule *r = &option_rules[id];
    bool *flag = flag_of(o, id);

    if (id <= OPT_LAST_MODE)
        return take_mode(o, id, e);
    if (flag) {
        *flag = true;
        return 0;
    }
    switch (id) {
    case OPT_LANES:
        return option_take_number(&o->lanes, text, 1, MAX_LANES, r, e);
    case OPT_MAX_INCOMING:
        return option_take_number(&o->max_incoming, text, 1, OPTIONS_MAX_INCOMING, r, e);
    case OPT_MAX_DOWNTIME:
        return option_take_limit(&o->limits.max_downtime_ns, text, 0, r, e);
    case OPT_MAX_ROUNDS:
        return option_take_number(&o->limits.max_rounds, text, 1, 1000000, r, e);
    case OPT_MAX_TIME:
        return option_take_limit(&o->limits.max_time_ns, text, MIN_LIMIT_NS, r, e);
    case OPT_MAX_BYTES:
        return option_take_size(&o->limits.max_bytes, text, r, e);
    case OPT_ON_STALL:
        return option_take_on_stall(&o->limits.on_stall, text, r, e);
    case OPT_BANDWIDTH:
        return option_take_bandwidth(&o->bandwidth_bits_per_s, text, r, e);
    case OPT_COMPRESS:
        if (!codec_parse(text, &o->compress))
            return option_usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
        return 0;
    case OPT_DELTA_CACHE:
        return option_take_delta_cache(&o->delta_cache_bytes, text, r, e);
    case OPT_CONNECT_TIMEOUT:
        return option_take_limit(&o->connect_ns, text, MIN_LIMIT_NS, r, e);
    case OPT_SILENT_TIMEOUT:
        return option_take_limit(&o->silent_ns, text, MIN_SILENT_NS, r, e);
    case OPT_SUSPEND_TIMEOUT:
        o->ask_again = true;
        return option_take_limit(&o->suspend_ns, text, MIN_LIMIT_NS, r, e);
    case OPT_START_TIMEOUT:
        return option_take_limit(&o->start_ns, text, MIN_LIMIT_NS, r, e);
    case OPT_CONFIG_DIR:
        if (!text[0] || strlen(text) >= LINK_PATH_BYTES)
            return option_usage(e, "--%s \"%s\": wanted is a directory", r->name, text);
        o->config_dir = text;
        return 0;
    case OPT_EARLY_DISKS:
        return take_early_disks(&o->early_disks, text, r, e);
    case OPT_RESUME_AS:
        return take_resume_as(&o->resume_as, text, r, e);
    case OPT_WHILE_SUSPENDED:
        if (!text[0])
            return option_usage(e, "--%s: wanted is %s", r->name, r->argument);
        o->while_suspended = text;
        return 0;
    case OPT_HOOK_TIMEOUT:
        return option_take_limit(&o->hook_ns, text, MIN_LIMIT_NS, r, e);
    case OPT_EVERY:
        return option_take_limit(&o->every_ns, text, NS_PER_S, r, e);
    case OPT_KEEP:
        return option_take_number(&o->keep, text, 1, 1000, r, e);
    case OPT_PARENT:
        return take_parent(o, text, r, e);
    case OPT_ENCRYPT:
    case OPT_KEY:
        o->key = text;
        return 0;
    case OPT_NAME:
        return take_name(o, text, r, e);
    case OPT_CONFIG:
        if (!text[0])
            return option_usage(e, "--%s: wanted is %s", r->name, r->argument);
        o->config_file = text;
        return 0;
    case OPT_BIND:
        if (strlen(text) >= sizeof(o->address.from) || !tcp_is_numeric(text))
            return option_usage(e, "--%s \"%s\": wanted is %s", r->name, text, r->argument);
        strcpy(o->address.from, text);
        return 0;
    case OPT_DSCP:
        return option_take_number(&o->address.dscp, text, 0, TCP_MAX_DSCP, r, e);
    case OPT_DISK:
        return take_disk(o, text, r, e);
    case OPT_PEER:
        return tcp_parse_address(text, false, &o->address, e);
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

/* "bandwidth=400M", as the option of that name would have it; "bandwidth=none". */
static int take_setting(struct options *o, const char *word, struct err *e)
{
    static const enum option_id ids[] = {OPT_BANDWIDTH, OPT_MAX_DOWNTIME, OPT_ON_STALL};
    bool *const given[] = {&o->set.bandwidth, &o->set.max_downtime, &o->set.on_stall};

    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        const size_t len = strlen(option_rules[ids[i]].name);

        if (strncmp(word, option_rules[ids[i]].name, len) || word[len] != '=')
            continue;
        *given[i] = true;
        if (ids[i] == OPT_BANDWIDTH && !strcmp(word + len, "=none"))
            return 0;
        return take_option(o, ids[i], word + len + 1, e);
    }
    return option_usage(e, "--set \"%s\": wanted is bandwidth=, max-downtime= or on-stall=", word);
}

static int take_settings(struct options *o, char *const words[], unsigned count, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < count && !rc; i++)
        rc = take_setting(o, words[i], e);
    return rc;
}

static int take_operands(struct options *o, char *const words[], unsigned count, struct err *e)
{
    const struct option_operands *want = &option_operands[o->mode];

    if (count < want->least || count > want->most)
        return option_usage(e, "%s (see xmigrate --help)", want->wanted);
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
    case MODE_METRICS:
        o->file = words[0];
        return 0;
    case MODE_EXPORT:
    case MODE_FLATTEN:
        o->file = words[0];
        o->from = words[1];
        return 0;
    case MODE_LISTEN:
        return count ? tcp_parse_address(words[0], true, &o->address, e) : 0;
    case MODE_TRUST:
    case MODE_PAIR:
        o->peer = words[0];
        o->peer_name = count > 1 ? words[1] : NULL;
        o->peer_rights = count > 2 ? words[2] : NULL;
        return 0;
    case MODE_UNTRUST:
        o->peer = words[0];
        return 0;
    case MODE_RESOLVE:
    case MODE_STATUS:
        o->domain = count ? words[0] : NULL;
        return 0;
    case MODE_RESUME:
    case MODE_DISMISS:
    case MODE_CLEANUP:
    case MODE_CANCEL:
        o->domain = words[0];
        return 0;
    case MODE_SET:
        o->domain = words[0];
        return take_settings(o, words + 1, count - 1, e);
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

static int check_together(const struct options *o, const bool given[static OPTIONS], struct err *e)
{
    for (unsigned i = OPT_LAST_MODE + 1; i < OPTIONS; i++)
        if (given[i] && !(option_rules[i].modes & OPTION_IN(o->mode)))
            return option_usage(e, "--%s does not go with --%s", option_rules[i].name,
                option_rules[o->mode - 1].name);
    if (o->resume_as == RESUME_AS_REVIVE && o->mode != MODE_CHECKPOINT)
        return option_usage(e, "--resume-as revive goes with --checkpoint: it wants a file");
    if (o->keep && !o->every_ns)
        return option_usage(e, "--keep goes with --every");
    if (OPTION_IN(o->mode) & OPTION_IN_FILE && !o->compact &&
        (o->parent_count || o->key || given[OPT_COMPRESS]))
        return option_usage(e, "--%s goes with --compact here",
            o->parent_count ? "parent"
            : o->key        ? "encrypt"
                            : "compress");
    if (o->every_ns && o->parent_count)
        return option_usage(e, "--parent and --every cannot be done at once");
    if (given[OPT_QUIET] && given[OPT_VERBOSE])
        return option_usage(e, "--%s and --%s contradict each other", "quiet", "verbose");
    return 0;
}

/* getopt_long() takes "--li" for "--live", and moves a guest. The option was the last word, or the
 * one before its argument. */
static bool is_whole(const char *name, char *const *last, const char *argument)
{
    const char *word = argument == last[0] ? last[-1] : last[0];

    return strcspn(word, "=") == strlen(name) + strlen("--");
}

/* The last three are xl's. */
#define LETTERS ":hqvpC:D"

static enum option_id letter_id(int letter)
{
    static const enum option_id ids[] = {['h'] = OPT_HELP,
        ['q'] = OPT_QUIET,
        ['v'] = OPT_VERBOSE,
        ['p'] = OPT_PAUSED,
        ['C'] = OPT_CONFIG,
        ['D'] = OPT_PRESERVE_DOMID};

    return ids[letter];
}

int options_parse(struct options *o, int argc, char *const argv[], unsigned cores, struct err *e)
{
    struct option longs[OPTIONS + 1] = {0};
    bool given[OPTIONS] = {false};
    int c, rc, index;

    for (int i = 0; i < OPTIONS; i++)
        longs[i] = (struct option){option_rules[i].name,
            option_rules[i].argument ? required_argument : no_argument, NULL, 0};
    *o = (struct options){
        .address = {.port = TCP_DEFAULT_PORT},
        .lanes = cores < 1                   ? 1
                 : cores > DEFAULT_MAX_LANES ? DEFAULT_MAX_LANES
                                             : cores,
        .limits = {.max_downtime_ns = DEFAULT_DOWNTIME_NS, .max_rounds = DEFAULT_MAX_ROUNDS},
        .compress = CODEC_AUTO,
        .delta_cache_bytes = DEFAULT_DELTA_CACHE_BYTES,
        .connect_ns = DEFAULT_CONNECT_NS,
        .silent_ns = DEFAULT_SILENT_NS,
        .suspend_ns = DEFAULT_SUSPEND_NS,
        .hook_ns = DEFAULT_HOOK_NS,
        .config_dir = CONFIG_DIR_DEFAULT,
        .log_level = LOG_INFO,
    };
    optind = 0;
    opterr = 0;
    while (index = -1, (c = getopt_long(argc, argv, LETTERS, longs, &index)) != -1) {
        const char letter[] = {'-', (char)optopt, '\0'};
        const char *word = optopt ? letter : optind > 0 ? argv[optind - 1] : "";

        if (c == ':')
            return option_usage(e, "%s wants an argument (see xmigrate --help)", word);
        if (c == '?')
            return option_usage(
                e, "%s is not an option, or takes no argument (see xmigrate --help)", word);
        if (!c && !is_whole(option_rules[index].name, argv + optind - 1, optarg))
            return option_usage(e, "%s is not an option; is --%s meant? (see xmigrate --help)",
                word, option_rules[index].name);
        if (c)
            index = letter_id(c);
        given[index] = true;
        rc = take_option(o, (enum option_id)index, optarg, e);
        if (rc)
            return rc;
    }
    if (o->mode == MODE_HELP)
        return 0;
    if (o->mode == MODE_NONE)
        return option_usage(e,
            "say what to do: --live or --offline to move a domain, --listen to receive"
            " (see xmigrate --help)");
    rc = check_together(o, given, e);
    if (!rc)
        rc = limits_check(&o->limits, e);
    return rc ? rc : take_operands(o, argv + optind, (unsigned)(argc - optind), e);
}
