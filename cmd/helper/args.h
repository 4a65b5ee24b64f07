/* SPDX-License-Identifier: MIT */
/*
 * The save helper's command line, as libxl 4.14 and later builds it:
 *   --save-domain FD RECV_FD DOMID FLAGS CBFLAGS STREAM_TYPE
 *   --restore-domain FD SEND_BACK_FD DOMID STORE_EVTCHN STORE_DOMID CONSOLE_EVTCHN CONSOLE_DOMID
 *                    CBFLAGS STREAM_TYPE
 */
#ifndef CMD_HELPER_ARGS_H
#define CMD_HELPER_ARGS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct helper_args {
    bool save;
    int stream_fd;
    uint32_t domid;
    uint32_t callbacks; /* bit 1 << message number for each callback that libxl answers */
    bool live;          /* save */
    bool verify;        /* save: XCFLAGS_DEBUG, send everything once more to be compared */
    uint32_t store_evtchn, store_domid, console_evtchn, console_domid; /* restore */
};

/* Refuses in one line what an older libxl says, checkpointed streams, and anything else. */
int parse_args(int argc, char **argv, struct helper_args *args, struct err *e);

#endif
