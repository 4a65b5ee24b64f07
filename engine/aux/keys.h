/* SPDX-License-Identifier: MIT */
/*
 * Which entries of a source are at the destination, so that one that withdraws what is not there,
 * or comes twice in a round, is noticed. 24 bytes a slot: a key stands there as 128 bits of a hash
 * with random seeds. A key that was withdrawn is forgotten in a later round, so the table follows
 * what is there and not how much came.
 *
 * Pure; its owner locks.
 */
#ifndef ENGINE_AUX_KEYS_H
#define ENGINE_AUX_KEYS_H

#include "transport/aux_limits.h"

#include <stdbool.h>
#include <stdint.h>

/* A hash for keys, which the guest chooses: it cannot know which ones would meet. */
struct aux_seeds {
    uint64_t half[2];
};

struct aux_seeds aux_seeds_draw(void);
void aux_hash(
    const struct aux_seeds *s, const uint8_t key[static AUX_KEY_BYTES], uint64_t hash[static 2]);

struct aux_keys {
    struct aux_seeds seeds;
    struct aux_key_slot *slots;
    uint64_t capacity, used; /* used: there, or withdrawn and not forgotten */
    uint64_t entries, bytes; /* that are there */
};

enum aux_keys_answer {
    AUX_KEYS_FINE,
    AUX_KEYS_REPEATED,  /* the same key came in this round already */
    AUX_KEYS_NOT_THERE, /* it withdraws what is not there */
    AUX_KEYS_NO_MEMORY,
};

void aux_keys_init(struct aux_keys *k);
void aux_keys_destroy(struct aux_keys *k);

/* Rounds do not go back. */
enum aux_keys_answer aux_keys_set(
    struct aux_keys *k, const uint8_t key[static AUX_KEY_BYTES], uint32_t round, uint32_t bytes);
enum aux_keys_answer aux_keys_withdraw(
    struct aux_keys *k, const uint8_t key[static AUX_KEY_BYTES], uint32_t round);

#endif
