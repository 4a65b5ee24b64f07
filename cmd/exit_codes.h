/* SPDX-License-Identifier: MIT */
/* The programs' exit codes, as docs/design.md has them. */
#ifndef CMD_EXIT_CODES_H
#define CMD_EXIT_CODES_H

enum exit_code {
    EXIT_DONE = 0,
    EXIT_USAGE = 1,
    EXIT_REFUSED = 2, /* nothing was changed */
    EXIT_FAILED = 3,  /* the guest runs at the source */
    EXIT_DOUBT = 4,   /* not known where it runs, or whether it does */
};

#endif
