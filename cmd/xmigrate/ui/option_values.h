/* SPDX-License-Identifier: MIT */
/* What stands behind options: a value parsed, or refused in one line that says what is wanted. */
#ifndef CMD_XMIGRATE_UI_OPTION_VALUES_H
#define CMD_XMIGRATE_UI_OPTION_VALUES_H

#include "base/err.h"
#include "cmd/xmigrate/ui/option_rules.h"
#include "sched/decide.h"

#include <stdint.h>

#define option_usage(e, ...) err_set(e, ERR_USAGE, EINVAL, __VA_ARGS__)

int option_take_limit(
    int64_t *ns, const char *text, int64_t least_ns, const struct option_rule *r, struct err *e);
int option_take_number(unsigned *value, const char *text, unsigned least, unsigned most,
    const struct option_rule *r, struct err *e);
int option_take_bandwidth(
    uint64_t *bits_per_s, const char *text, const struct option_rule *r, struct err *e);
int option_take_delta_cache(
    uint64_t *bytes, const char *text, const struct option_rule *r, struct err *e);
int option_take_size(uint64_t *bytes, const char *text, const struct option_rule *r, struct err *e);
int option_take_on_stall(
    enum on_stall *on_stall, const char *text, const struct option_rule *r, struct err *e);

#endif
