/* SPDX-License-Identifier: MIT */
/*
 * What a trusted peer's guests may ask of this host, and what all moves from it may send together:
 * the file `policy` in the configuration directory, a word and its value a line, with blank lines
 * and lines that begin with # between.
 *
 *   disk PATTERN          a disk's path              memory SIZE    what a guest has at most
 *   bridge PATTERN        where a vif is attached    vcpus N        the same
 *   script PATTERN        of a disk or a vif, by its name in Xen's folder of scripts
 *   kernel PATTERN        and ramdisk, as they are started with after a reboot
 *   bootloader PATTERN    the same
 *   allow FIELD           of libxl's JSON, such as vfbs.vnc.listen, and all that is in it
 *   bandwidth RATE        of all moves from here (budget.h)
 *
 * A pattern is fnmatch(3)'s; a wildcard stands for no slash and no leading dot. It adds to what is
 * built in; "disk none" drops what is built in for disks, and so for each. Without a file the
 * built-in ones hold. policy_check.h has what is done with it.
 *
 * Plain data: the listener reads it, and each migration's process has it by fork; one that moves a
 * guest away reads it itself.
 */
#ifndef CMD_XMIGRATE_SESSION_POLICY_H
#define CMD_XMIGRATE_SESSION_POLICY_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum policy_kind {
    POLICY_DISK,
    POLICY_BRIDGE,
    POLICY_SCRIPT,
    POLICY_KERNEL,
    POLICY_BOOTLOADER,
    POLICY_KINDS,
    POLICY_ALLOW = POLICY_KINDS,
};

enum {
    POLICY_MAX_RULES = 256,
    POLICY_WORD_BYTES = 256,
    POLICY_PATH_BYTES = 320,
};

struct policy_rule {
    enum policy_kind kind;
    char word[POLICY_WORD_BYTES]; /* a pattern, or a field */
};

struct policy {
    char path[POLICY_PATH_BYTES]; /* of the file, for messages */
    uint64_t max_memory_bytes;
    uint64_t max_vcpus;
    uint64_t bandwidth_bits_per_s; /* 0: no limit */
    bool built_in_dropped[POLICY_KINDS];
    unsigned rule_count;
    struct policy_rule rules[POLICY_MAX_RULES];
};

/* Of a file that says nothing. */
void policy_init(struct policy *p, const char *path);

/* *p is complete, or as it was and e says what is wrong with which line. */
int policy_parse(struct policy *p, const char *path, const char *text, struct err *e);

/* The same from config_dir; one that others can write to is refused. */
int policy_load(struct policy *p, const char *config_dir, struct err *e);

/* What a line calls it. */
const char *policy_word(enum policy_kind kind);

/* Does a pattern of that kind match? */
bool policy_matches(const struct policy *p, enum policy_kind kind, const char *text);

/* Is that field, or one that it is in, allowed whatever it says? */
bool policy_allows(const struct policy *p, const char *field);

#endif
