/* SPDX-License-Identifier: MIT */
/*
 * A connection to xenstored and its watches: a program that calls fake_xenstore_... is linked with
 * these in place of libxenstore's. What xenstore holds, and which paths may be watched
 * (xs_watch()), is the program's own to play.
 */
#ifndef TESTS_UNIT_FAKE_XENSTORE_H
#define TESTS_UNIT_FAKE_XENSTORE_H

#include <xenstore.h>

/* 0, or -1. */
int fake_xenstore_begin(void);
int fake_xenstore_end(void);

/* One of the watches fires, as each does when it is set. */
void fake_xenstore_fire(void);

#endif
