/* SPDX-License-Identifier: MIT */
/*
 * Which of the program's descriptors are ours: opens of /dev/xen/privcmd, each a connection to the
 * daemon, and of /dev/xen/hypercall.
 */
#ifndef XENSIM_PRELOAD_DESCRIPTOR_H
#define XENSIM_PRELOAD_DESCRIPTOR_H

#include <pthread.h>
#include <stdint.h>

enum device { DEVICE_NONE, DEVICE_PRIVCMD, DEVICE_HYPERCALL };

/* One open of privcmd; dup shares it. */
struct connection {
    unsigned refs; /* descriptors: process.lock */
    int sock;      /* our own duplicate: the program's descriptors may come and go */
    uint8_t *window;
    pthread_mutex_t lock; /* held while it talks */
};

/* DEVICE_NONE for any other path, and for a process without a host. */
enum device device_named(const char *path);

/* As open(2): a descriptor, or -1 with errno. */
int device_open(enum device device, int flags);

enum device device_of(int fd);
struct connection *connection_of(int fd);

/* The program closes fd, or has made a duplicate of it. */
void descriptor_forget(int fd);
void descriptor_share(int fd, int duplicate);

#endif
