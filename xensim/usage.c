/* SPDX-License-Identifier: MIT */
#include "xensim/usage.h"

#include <errno.h>
#include <string.h>

static const struct option host_options[] = {
    {"--mem", "SIZE", "16M to 8T, a multiple of 2M", NULL},
    {"--prealloc", NULL, "touch all of its memory first", NULL},
    {"--fragment", "PERCENT", "0 to 100", "0"},
    {"--dom0", "SIZE", "a multiple of 4K", "0"},
    {"--no-shadow", NULL, "refuse log-dirty for PV guests", NULL},
    {"--old-cpu", NULL, "have a processor that lacks what other hosts' have (SSE3)", NULL},
    {"--tmem", NULL, "have transcendent memory", NULL},
    {"--sched", "SCHEDULER", "credit, credit2 or null", "credit2"},
    {"--foreground", NULL, "stay, and end with SIGINT or SIGTERM", NULL},
    {0},
};

static const struct option create_options[] = {
    {"--type", "TYPE", "pv, pv32, pvh or hvm", "pvh"},
    {"--memory", "SIZE", "1M to 512G, a multiple of 4K", "256M"},
    {"--address-space", "SIZE", "8G to 32T, a multiple of 4K", NULL},
    {"--vcpus", "N", "1 to 64", "1"},
    {"--dirty", "PAGES_PER_S", "0 to 1000000000, or max", "1000"},
    {"--pattern", "PATTERN", "idle, uniform, hot, sequential or file:TRACE", "uniform"},
    {"--content", "MIX", "zero=A,text=B,random=C that add up to 100, write=BYTES; sqlite or kv",
        "25, 50, 25"},
    {"--p2m", "LAYOUT", "list or tree", "list"},
    {"--remap", "N", "0 to 1000000 a second", "0"},
    {"--fork", "N", "0 to 100000 a second", "0"},
    {"--balloon", "N", "0 to 1000000 a second", "0"},
    {"--tmem", "SIZE", "256K to 8G, a multiple of 256K", NULL},
    {"--tmem-rate", "N", "0 to 1000000 operations a second", "0"},
    {"--dma", "N", "1 to 100000 a second", "20"},
    {"--suspend", "HOW", "normal, refuse, slow:TIME or late:TIME", "normal"},
    {"--feature-suspend", "WORD", "what it says of that in xenstore: 1, 0 or none", "1"},
    {"--suspend-cancel", "WORD", "what its notes say of it: yes, no or none", "yes"},
    {"--pte-mark", "MASK:VALUE", "of the low 12 bits, without bit 0", NULL},
    {"--disk", "DISK", "phy:PATH or qdisk:PATH, with ,script=SCRIPT if any; up to 8", NULL},
    {"--disk-delay", "TIME", "a time, or never", "0"},
    {"--versioned-disk", NULL, "it writes versions to its first disk, and checks them", NULL},
    {"--vif", NULL, "one more", NULL},
    {"--seed", "N", "a whole number below 2^64", "1"},
    {"--name", "NAME", "1 to 63 characters", NULL},
    {"--paused", NULL, "do not start it", NULL},
    {0},
};

#define LIVE                                                                                       \
    {                                                                                              \
        "--live", NULL, "while the guest runs", NULL                                               \
    }
#define DEBUG                                                                                      \
    {                                                                                              \
        "--debug", NULL, "with the helper's own check of what it sent", NULL                       \
    }
#define PAUSED                                                                                     \
    {                                                                                              \
        "--paused", NULL, "do not start it", NULL                                                  \
    }
#define NAMED                                                                                      \
    {                                                                                              \
        "--name", "NAME", "1 to 63 characters", NULL                                               \
    }
#define HELPER                                                                                     \
    {                                                                                              \
        "--helper", "PATH", "a save helper", "LIBXL_SAVE_HELPER, else Debian's"                    \
    }
#define HELPER_TO                                                                                  \
    {                                                                                              \
        "--helper-to", "PATH", "a save helper for HOST2", "that of --helper"                       \
    }
#define VERBOSE                                                                                    \
    {                                                                                              \
        "--verbose", NULL, "print what the helpers log", NULL                                      \
    }

#define TIME                                                                                       \
    {                                                                                              \
        "--time", NULL, "print nanoseconds, too, from the first page to the receiver's end", NULL  \
    }

static const struct option save_options[] = {LIVE, DEBUG, HELPER, VERBOSE, {0}};
static const struct option restore_options[] = {NAMED, PAUSED, HELPER, VERBOSE, {0}};
static const struct option migrate_options[] = {
    LIVE, DEBUG, NAMED, PAUSED, HELPER, HELPER_TO, TIME, VERBOSE, {0}};

const struct verb verbs[] = {
    {"host", "NAME", "start a host; --mem must be given", host_options},
    {"create", "HOST", "make a guest, start it and print its id", create_options},
    {"list", "HOST", "its domains", NULL},
    {"devices", "HOST [DOMID]", "what is attached: a line \"DOMID NAME WHAT\" each", NULL},
    {"info", "HOST", "how much memory there is and is free", NULL},
    {"stop", "HOST", "destroy its domains and end it", NULL},
    {"destroy", "HOST DOMAIN", "end a domain", NULL},
    {"pause", "HOST DOMAIN", "keep it from running", NULL},
    {"unpause", "HOST DOMAIN", "let it run again", NULL},
    {"suspend", "HOST DOMAIN [LIMIT]", "ask it to suspend and wait for it (60s)", NULL},
    {"resume", "HOST DOMAIN", "let it go on as after a move that failed", NULL},
    {"end", "HOST DOMAIN HOW", "it ends by itself: poweroff, reboot, crash or soft-reset (kexec)",
        NULL},
    {"verify", "HOST DOMAIN", "is its memory what it last wrote?", NULL},
    {"rename", "HOST DOMAIN NAME", "1 to 63 characters", NULL},
    {"rate", "HOST DOMAIN PAGES_PER_S", "how fast it writes: 0 to 1000000000, or max", NULL},
    {"cap", "HOST DOMAIN [PERCENT]", "the scheduler's cap, of one CPU; 0: none", NULL},
    {"vcpu-set", "HOST DOMAIN COUNT", "how many vCPUs it is told to use", NULL},
    {"dm", "HOST DOMAIN [ACTION [MORE]]", "its device model, or what is to happen to it", NULL},
    {"save", "HOST DOMAIN FILE", "and destroy it here", save_options},
    {"restore", "HOST FILE", "what was saved", restore_options},
    {"migrate", "HOST DOMAIN HOST2", "without libxl", migrate_options},
    {"run", "HOST -- COMMAND [ARGUMENT...]", "a program, on that host", NULL},
    /* For tests and the preload library. */
    {.name = "attach"},
    {.name = "detach"},
    {.name = "xenstore"},
    {.name = "rings"},
    {.name = "create-empty"},
    {.name = "describe"},
    {.name = "id"},
    {.name = "resume-slowly"},
    {.name = "dominfo"},
    {.name = "dom0"},
    {.name = "config"},
    {.name = "set-config"},
    {.name = "await"},
    {.name = "writes"},
    {0},
};

const struct verb *verb_named(const char *name)
{
    for (const struct verb *v = verbs; v->name; v++)
        if (!strcmp(v->name, name))
            return v;
    return NULL;
}

const struct option *option_of(
    const struct verb *v, const char *word, const char *value, struct err *e)
{
    for (const struct option *o = v->options; o && o->name; o++) {
        if (strcmp(o->name, word))
            continue;
        if (!o->value || value)
            return o;
        err_set(e, ERR_USAGE, EINVAL, "%s needs a value: %s", o->name, o->takes);
        return NULL;
    }
    err_set(e, ERR_USAGE, EINVAL, "%s takes no %s; see `xensim %s --help`", v->name, word, v->name);
    return NULL;
}

int option_refused(const struct option *o, const char *value, struct err *e)
{
    return err_set(e, ERR_USAGE, EINVAL, "%s %s: it takes %s", o->name, value, o->takes);
}

int verb_check_words(const struct verb *v, int count, char *const *words, struct err *e)
{
    int least = 0, most = 0;

    if (!v->words)
        return 0;
    for (const char *at = v->words; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        most++;
        least += *at != '[';
    }
    if (count < least)
        return err_set(e, ERR_USAGE, EINVAL, "it is: xensim %s %s", v->name, v->words);
    if (count > most)
        return err_set(e, ERR_USAGE, EINVAL, "%s is too much; it is: xensim %s %s", words[most],
            v->name, v->words);
    return 0;
}

static void print_verb(const struct verb *v, FILE *to)
{
    char line[80];

    snprintf(
        line, sizeof(line), "xensim %s %s%s", v->name, v->words, v->options ? " [OPTION...]" : "");
    fprintf(to, "  %-44s %s\n", line, v->does);
    for (const struct option *o = v->options; o && o->name; o++) {
        snprintf(line, sizeof(line), "%s %s", o->name, o->value ? o->value : "");
        fprintf(to, "      %-40s %s%s%s%s\n", line, o->takes, o->standard ? " (" : "",
            o->standard ? o->standard : "", o->standard ? ")" : "");
    }
}

void usage_print(const struct verb *only, FILE *to)
{
    fputs("usage:\n", to);
    for (const struct verb *v = verbs; v->name; v++)
        if (v->words && (!only || v == only))
            print_verb(v, to);
    fputs("Sizes take K, M, G and T, times ms, s and m. See xensim(1).\n", to);
}
