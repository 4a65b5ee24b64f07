/* SPDX-License-Identifier: MIT */
/*
 * A policy file and, behind a NUL, a configuration that it is to judge: a refusal is one line, and
 * the line that it proposes for the file lets that field in.
 */
#include "cmd/xmigrate/session/policy_check.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "/etc/xmigrate/policy"

/* The line between 'write "' and the '" into' that is ours: the last one. */
static char *proposed(const char *refusal)
{
    const char *const from = strstr(refusal, "; to allow it, write \"");
    const char *to = NULL;

    for (const char *c = from; c && (c = strstr(c, "\" into " PATH)); c++)
        to = c;
    return to ? strndup(from + 22, (size_t)(to - from - 22)) : NULL;
}

static void check_proposal(const char *file, const char *config, const char *refusal)
{
    static struct policy p;
    struct err e = ERR_INIT, again = ERR_INIT;
    char *line = proposed(refusal), *wider;

    must(!line || asprintf(&wider, "%s\n%s", file, line) > 0);
    if (line && strcmp(line, "allow ?") && !policy_parse(&p, PATH, wider, &e) && policy_check(&p, config, "web1", &again))
        must(again.class == ERR_REFUSED && strcmp(again.text, refusal) != 0);
    if (line)
        free(wider);
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct policy p;
    struct err e = ERR_INIT;
    char *file = malloc(size + 2);

    memcpy(file, data, size);
    file[size] = file[size + 1] = '\0';

    const char *const config = file + strnlen(file, size) + 1;

    policy_init(&p, PATH);
    if (policy_parse(&p, PATH, file, &e)) {
        must(e.class == ERR_LOCAL && !strchr(e.text, '\n') && p.rule_count == 0);
    } else {
        must(!err_is_set(&e) && p.rule_count <= POLICY_MAX_RULES);
        if (policy_check(&p, config, "web1", &e)) {
            must(err_is_set(&e) && !strchr(e.text, '\n'));
            if (e.class == ERR_REFUSED)
                check_proposal(file, config, e.text);
        }
    }
    free(file);
    return 0;
}
