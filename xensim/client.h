/* SPDX-License-Identifier: MIT */
/*
 * The client side of a host's socket, for the xensim command and the preload library: where the
 * socket is, and one command with its answer.
 */
#ifndef XENSIM_CLIENT_H
#define XENSIM_CLIENT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The directory that holds hosts' directories: $XENSIM_DIR, else /run/xensim for root, else
 * /tmp/xensim-UID. */
void client_run_dir(char *buf, size_t bytes);

/* Whoever can write there can pose as the host that we talk to. True for a directory (not a link to
 * one) that this user owns and nobody else can write to, and for one that does not exist yet. */
bool client_dir_is_ours(const char *dir, uid_t user);

/* Refuses a run directory that is not ours, but never the one that $XENSIM_DIR names. */
int client_check_run_dir(struct err *e);

/* Refuses names that are not a single path component, and what client_check_run_dir() refuses. */
int client_host_dir(const char *host, char *buf, size_t bytes, struct err *e);

/* A connected CLOEXEC socket, or -errno with a line that says what to do. -EHOSTDOWN, here and
 * below: the host does not run, or went away. */
int client_connect(const char *socket_path, const char *host, struct err *e);

/* Send words (bytes long, each ended by NUL) and wait for the answer. *text is malloc'ed and may
 * be empty. A refusal is -errno with the host's own line as the error; if it said more, that is the
 * last one and *text are those before it. EINVAL is ERR_USAGE: the words were wrong. */
int client_command(int sock, const char *words, size_t bytes, char **text, struct err *e);

/* Its two halves, for callers that wait for more than the answer: closing the socket in between
 * withdraws the request. */
int client_send(int sock, const char *words, size_t bytes, struct err *e);
int client_receive(int sock, char **text, struct err *e);

/* The same with separate words, NULL at the end. */
int client_commandl(int sock, char **text, struct err *e, ...);

#endif
