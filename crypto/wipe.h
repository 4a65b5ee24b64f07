/* SPDX-License-Identifier: MIT */
/*
 * OpenSSL leaves copies of a key that it decodes in memory that it has given back. With this it
 * gives nothing back that was not wiped.
 */
#ifndef CRYPTO_WIPE_H
#define CRYPTO_WIPE_H

/* For the whole process, first thing in main(): later it does nothing. */
void wipe_freed_memory(void);

#endif
