/* SPDX-License-Identifier: MIT */
/*
 * For tests of connections: hosts, each a configuration directory of its own, and TCP pairs
 * between them on the loopback.
 */
#ifndef TESTS_UNIT_HOSTS_H
#define TESTS_UNIT_HOSTS_H

#include "base/deadline.h"
#include "crypto/tls.h"
#include "transport/tcp.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define TEST_LIMIT_NS (20 * NS_PER_S)

struct host {
    char dir[64];
    struct tls_context *tls;
};

void make_host_dir(struct host *h);
void open_host(struct host *h);
/* Fails if anything but the known files was left in it. */
void drop_host(struct host *h);
/* Its files have changed. */
void open_host_again(struct host *h);
void let_trust(struct host *who, const struct host *whom);
/* dir/name holds text now. */
void put_file(const struct host *h, const char *name, const char *text, mode_t mode);

/* ends[0] connected to ends[1]. */
void make_tcp_pair(int ends[2]);

/* One end of a handshake, to be run in a thread. */
struct end {
    struct tls_context *tls;
    struct tls_params params;
    int fd;
    struct channel *ch;
    struct tls_peer peer;
    struct err err;
    int rc;
};

struct end new_end(const struct host *h, int fd, bool server);
void *run_end(void *arg);
void shake_hands(struct end *client, struct end *server);

void assert_says(const struct err *e, const char *what);

#endif
