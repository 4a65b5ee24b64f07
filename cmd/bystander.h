/* SPDX-License-Identifier: MIT */
/*
 * A process of ours that stands by for the day when the one that started it is dead, or can do
 * nothing more. It is in a session of its own, heeds no signal to end, and keeps of its parent's
 * descriptors standard error and a socket. They speak in single bytes; nobody else holds either end
 * of the socket, so that its end is the other's.
 */
#ifndef CMD_BYSTANDER_H
#define CMD_BYSTANDER_H

#include "base/err.h"

#include <sys/types.h>

struct bystander {
    pid_t pid;
    int sock; /* -1: there is none (any more) */
};

/* Before there are threads. The child runs body(arg) and exits when it returns. */
int bystander_start(
    struct bystander *b, void (*body)(const void *arg), const void *arg, struct err *e);

/* For the body: the other's next word, 0 when it is dead; a word for it; and another program. */
char bystander_hear(void);
void bystander_say(char word);
_Noreturn void bystander_become(const char *program, char *const argv[]);

#endif
