/* SPDX-License-Identifier: MIT */
/* What xmigrate is told to do: an option for each (option_rules.h), in this order. */
#ifndef CMD_XMIGRATE_UI_MODE_H
#define CMD_XMIGRATE_UI_MODE_H

enum mode {
    MODE_NONE,
    MODE_LIVE,
    MODE_OFFLINE,
    MODE_ESTIMATE,
    MODE_CHECKPOINT,
    MODE_SAVE,
    MODE_RESTORE,
    MODE_INSPECT,
    MODE_EXPORT,
    MODE_FLATTEN,
    MODE_CHECK,
    MODE_LISTEN,
    MODE_IDENTITY,
    MODE_TRUST,
    MODE_UNTRUST,
    MODE_RECOVER,
    MODE_RESOLVE,
    MODE_RESUME,
    MODE_DISMISS,
    MODE_CLEANUP,
    MODE_STATUS,
    MODE_CANCEL,
    MODE_SET,
    MODE_METRICS,
    MODE_PAIR,
    MODE_MONITOR,
    MODE_ANNOUNCE,
    MODE_HELP,
    MODE_VERSION,
};

#endif
