/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/policy.h"

#include "base/units.h"
#include "crypto/config.h"
#include "sched/bucket.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DROP_BUILT_IN "none"
#define DEFAULT_VCPUS 128

static const char *const words[] = {
    [POLICY_DISK] = "disk",
    [POLICY_BRIDGE] = "bridge",
    [POLICY_SCRIPT] = "script",
    [POLICY_KERNEL] = "kernel",
    [POLICY_BOOTLOADER] = "bootloader",
    [POLICY_ALLOW] = "allow",
};

/* Where people keep guests' things and not the host's own. /dev/GROUP/VOLUME is LVM's, the
 * mapper's or ZFS's; whole disks are not so deep, and what the host has mounted is refused besides.
 * br-mgmt and the like are the host's, so a bridge has a number. */
static const struct {
    enum policy_kind kind;
    const char *pattern;
} built_in[] = {
    {POLICY_DISK, "/dev/*/*"},
    {POLICY_DISK, "/dev/drbd[0-9]*"},
    {POLICY_DISK, "/var/lib/xen/images/*"},
    {POLICY_DISK, "/var/lib/xen/images/*/*"},
    {POLICY_BRIDGE, "xenbr*"},
    {POLICY_BRIDGE, "br[0-9]*"},
    {POLICY_BRIDGE, "virbr[0-9]*"},
    {POLICY_SCRIPT, "vif-*"},
    {POLICY_SCRIPT, "block"},
    {POLICY_KERNEL, "/boot/*"},
    {POLICY_KERNEL, "/usr/lib/grub-xen/*"},
    {POLICY_KERNEL, "/usr/lib/xen*/boot/*"},
    {POLICY_BOOTLOADER, "pygrub"},
    {POLICY_BOOTLOADER, "/usr/bin/pygrub"},
    {POLICY_BOOTLOADER, "/usr/lib/xen*/bin/pygrub"},
};

const char *policy_word(enum policy_kind kind)
{
    return words[kind];
}

void policy_init(struct policy *p, const char *path)
{
    *p = (struct policy){.max_memory_bytes = UINT64_MAX, .max_vcpus = DEFAULT_VCPUS};
    snprintf(p->path, sizeof(p->path), "%s", path);
}

/* --- reading --- */

static int refuse_line(const char *path, unsigned number, const char *why, struct err *e)
{
    return err_set(e, ERR_LOCAL, EINVAL, "%s line %u: %s", path, number, why);
}

static const char *take_pattern(struct policy *p, enum policy_kind kind, const char *value)
{
    struct policy_rule *r = &p->rules[p->rule_count];

    if (kind < POLICY_KINDS && !strcmp(value, DROP_BUILT_IN)) {
        p->built_in_dropped[kind] = true;
        return NULL;
    }
    if (strlen(value) >= sizeof(r->word))
        return "it is too long";
    if (p->rule_count == POLICY_MAX_RULES)
        return "there are too many lines before it";
    r->kind = kind;
    strcpy(r->word, value);
    p->rule_count++;
    return NULL;
}

/* NULL, or what is wrong. */
static const char *take(struct policy *p, const char *word, const char *value)
{
    if (!strcmp(word, "memory"))
        return parse_size_bytes(value, &p->max_memory_bytes) && p->max_memory_bytes
                   ? NULL
                   : "memory wants a size such as 64G";
    if (!strcmp(word, "vcpus"))
        return parse_u64(value, 1, UINT32_MAX, &p->max_vcpus) ? NULL : "vcpus wants a whole number";
    if (!strcmp(word, "bandwidth"))
        return parse_rate_bits(value, &p->bandwidth_bits_per_s) &&
                       p->bandwidth_bits_per_s >= BUCKET_LEAST_BITS_PER_S &&
                       p->bandwidth_bits_per_s <= INT64_MAX
                   ? NULL
                   : "bandwidth wants bits a second, at least 1M, such as 800M or 10G";
    for (unsigned kind = 0; kind < sizeof(words) / sizeof(words[0]); kind++)
        if (!strcmp(word, words[kind]))
            return take_pattern(p, kind, value);
    return "it begins with none of disk, bridge, script, kernel, bootloader, memory, vcpus, "
           "bandwidth and allow";
}

/* One line, which is cut into its words. */
static const char *take_line(struct policy *p, char *line)
{
    char *rest;

    for (const char *c = line; *c; c++)
        if (!isprint((unsigned char)*c) && *c != '\t' && *c != '\r')
            return "it holds what cannot be printed";

    const char *word = strtok_r(line, " \t\r", &rest);

    if (!word || word[0] == '#')
        return NULL;

    const char *value = strtok_r(NULL, " \t\r", &rest);

    if (!value || strtok_r(NULL, " \t\r", &rest))
        return "a line is a word and one value";
    return take(p, word, value);
}

int policy_parse(struct policy *p, const char *path, const char *text, struct err *e)
{
    struct policy *read = malloc(sizeof(*read));
    char *copy = strdup(text), *rest = copy, *line;
    int rc = 0;

    if (read && copy)
        policy_init(read, path);
    else
        rc = err_sys(e, ERR_LOCAL, ENOMEM, "%s", path);
    for (unsigned number = 1; !rc && (line = strsep(&rest, "\n")); number++) {
        const char *why = take_line(read, line);

        if (why)
            rc = refuse_line(path, number, why, e);
    }
    if (!rc)
        *p = *read;
    free(copy);
    free(read);
    return rc;
}

int policy_load(struct policy *p, const char *config_dir, struct err *e)
{
    char path[CONFIG_PATH_BYTES], *text;
    int rc = config_path(config_dir, "policy", path, e);

    _Static_assert((int)CONFIG_PATH_BYTES <= (int)POLICY_PATH_BYTES, "the path fits");
    if (rc)
        return rc;
    rc = config_read_ours(path, "could let anything in", &text, e);
    if (rc == -ENOENT && !err_is_set(e)) {
        policy_init(p, path);
        return 0;
    }
    if (rc)
        return rc;
    rc = config_make_dir(config_dir, e); /* is there; who can write to it? */
    if (!rc)
        rc = policy_parse(p, path, text, e);
    free(text);
    return rc;
}

/* --- asking --- */

static bool matches(const char *pattern, const char *text)
{
    return !fnmatch(pattern, text, FNM_PATHNAME | FNM_PERIOD);
}

bool policy_matches(const struct policy *p, enum policy_kind kind, const char *text)
{
    for (unsigned i = 0; i < p->rule_count; i++)
        if (p->rules[i].kind == kind && matches(p->rules[i].word, text))
            return true;
    for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++)
        if (!p->built_in_dropped[kind] && built_in[i].kind == kind &&
            matches(built_in[i].pattern, text))
            return true;
    return false;
}

bool policy_allows(const struct policy *p, const char *field)
{
    for (unsigned i = 0; i < p->rule_count; i++) {
        const char *word = p->rules[i].word;
        const size_t len = strlen(word);

        if (p->rules[i].kind == POLICY_ALLOW && !strncmp(field, word, len) &&
            (!field[len] || field[len] == '.'))
            return true;
    }
    return false;
}
