/* SPDX-License-Identifier: MIT */
#include "cmd/helper/args.h"

#include "base/units.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

enum { XCFLAGS_LIVE = 1 << 0, XCFLAGS_DEBUG = 1 << 1, STREAM_PLAIN = 0 };

/* argv of either mode: how many numbers follow the mode. */
enum { SAVE_NUMBERS = 6, RESTORE_NUMBERS = 9, MAX_NUMBERS = RESTORE_NUMBERS };

static int refuse_dialect(const char *mode, int given, int wanted, struct err *e)
{
    return err_set(e, ERR_USAGE, EINVAL,
        "%s came with %d numbers where libxl 4.14 and later give %d: this libxl is of another "
        "version; unset LIBXL_SAVE_HELPER to use its own helper",
        mode, given, wanted);
}

int parse_args(int argc, char **argv, struct helper_args *args, struct err *e)
{
    uint64_t n[MAX_NUMBERS] = {0};
    const char *mode = argc > 1 ? argv[1] : "";
    const int given = argc - 2;

    *args = (struct helper_args){.save = !strcmp(mode, "--save-domain")};
    if (!args->save && strcmp(mode, "--restore-domain"))
        return err_set(e, ERR_USAGE, EINVAL,
            "this program is started by libxl, with LIBXL_SAVE_HELPER set to it; "
            "the one for people is xmigrate");

    const int wanted = args->save ? SAVE_NUMBERS : RESTORE_NUMBERS;

    if (given != wanted)
        return refuse_dialect(mode, given, wanted, e);
    for (int i = 0; i < given; i++) {
        /* The second number is a back channel we have no use for; libxl passes -1 for none. */
        if (i == 1 && !strcmp(argv[2 + i], "-1"))
            continue;
        if (!parse_u64(argv[2 + i], 0, UINT32_MAX, &n[i]))
            return err_set(e, ERR_USAGE, EINVAL, "%s: \"%s\" is not a number", mode, argv[2 + i]);
    }
    if (n[0] > INT_MAX || n[2] >= 0x7ff0)
        return err_set(e, ERR_USAGE, EINVAL, "%s: descriptor %s or domain %s is out of range", mode,
            argv[2], argv[4]);
    if (n[wanted - 1] != STREAM_PLAIN)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "checkpointed streams (Remus, COLO) are not supported; unset LIBXL_SAVE_HELPER for "
            "this domain");

    args->stream_fd = (int)n[0];
    args->domid = (uint32_t)n[2];
    args->callbacks = (uint32_t)n[wanted - 2];
    if (args->save) {
        args->live = n[3] & XCFLAGS_LIVE;
        args->verify = n[3] & XCFLAGS_DEBUG;
    } else {
        args->store_evtchn = (uint32_t)n[3];
        args->store_domid = (uint32_t)n[4];
        args->console_evtchn = (uint32_t)n[5];
        args->console_domid = (uint32_t)n[6];
    }
    return 0;
}
