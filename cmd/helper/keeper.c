/* SPDX-License-Identifier: MIT */
#include "cmd/helper/keeper.h"

#include "cmd/link.h"
#include "cmd/paths.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum { RECOVER = 'r' };

static void keep(const void *program)
{
    prctl(PR_SET_NAME, "xmigrate-keeper");
    unsetenv(LINK_ENV);
    if (bystander_hear() == RECOVER && !bystander_hear())
        bystander_become(program, (char *[]){"xmigrate", "--recover", NULL});
}

int keeper_start(struct bystander *k, struct err *e)
{
    char program[PATHS_BYTES];
    const int rc = find_program("xmigrate", program, e);

    return rc ? rc : bystander_start(k, keep, program, e);
}

void keeper_ask_recovery(const struct bystander *k)
{
    const char word = RECOVER;

    if (k->sock >= 0)
        send(k->sock, &word, 1, MSG_NOSIGNAL);
}
