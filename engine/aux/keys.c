/* SPDX-License-Identifier: MIT */
#include "engine/aux/keys.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <sys/random.h>

enum { FIRST_SLOTS = 1024 };
enum slot_state { SLOT_FREE, SLOT_THERE, SLOT_WITHDRAWN };

struct aux_key_slot {
    uint64_t hash[2];
    uint32_t round; /* that it was last mentioned in */
    uint16_t bytes;
    uint8_t state;
};
_Static_assert(AUX_MAX_CONTENT_BYTES <= UINT16_MAX, "bytes of an entry");

/* ---- the hash ---- */

struct aux_seeds aux_seeds_draw(void)
{
    struct aux_seeds s = {{0x9E3779B97F4A7C15ull, 0xC2B2AE3D27D4EB4Full}};

    /* Without random numbers: the same tables, which somebody could make slow. */
    (void)!getrandom(&s, sizeof(s), GRND_NONBLOCK);
    return s;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 32) * 0xD6E8FEB86659FD93ull;
    x = (x ^ x >> 32) * 0xD6E8FEB86659FD93ull;
    return x ^ x >> 32;
}

void aux_hash(
    const struct aux_seeds *s, const uint8_t key[static AUX_KEY_BYTES], uint64_t hash[static 2])
{
    for (unsigned half = 0; half < 2; half++) {
        hash[half] = s->half[half];
        for (unsigned i = 0; i < AUX_KEY_BYTES; i += 8)
            hash[half] = mix(hash[half] ^ get_le64(key + i)) + s->half[!half];
    }
}

/* ---- the table ---- */

void aux_keys_init(struct aux_keys *k)
{
    *k = (struct aux_keys){.seeds = aux_seeds_draw()};
}

void aux_keys_destroy(struct aux_keys *k)
{
    free(k->slots);
    k->slots = NULL;
}

/* Where the hash stands, or could. There is a free slot. */
static struct aux_key_slot *find(const struct aux_keys *k, const uint64_t hash[static 2])
{
    uint64_t at = hash[0] & (k->capacity - 1);

    while (k->slots[at].state != SLOT_FREE &&
           (k->slots[at].hash[0] != hash[0] || k->slots[at].hash[1] != hash[1]))
        at = (at + 1) & (k->capacity - 1);
    return &k->slots[at];
}

static bool is_kept(const struct aux_key_slot *s, uint32_t round)
{
    return s->state == SLOT_THERE || (s->state == SLOT_WITHDRAWN && s->round == round);
}

static bool rebuild(struct aux_keys *k, uint32_t round)
{
    const struct aux_keys old = *k;
    uint64_t kept = 0;

    for (uint64_t i = 0; i < old.capacity; i++)
        kept += is_kept(&old.slots[i], round);
    for (k->capacity = FIRST_SLOTS; k->capacity < 2 * (kept + 1); k->capacity *= 2)
        ;
    k->slots = calloc(k->capacity, sizeof(*k->slots));
    if (!k->slots) {
        *k = old;
        return false;
    }
    for (uint64_t i = 0; i < old.capacity; i++)
        if (is_kept(&old.slots[i], round))
            *find(k, old.slots[i].hash) = old.slots[i];
    k->used = kept;
    free(old.slots);
    return true;
}

/* The key's slot; NULL: no memory. */
static struct aux_key_slot *slot_for(
    struct aux_keys *k, const uint8_t key[static AUX_KEY_BYTES], uint32_t round)
{
    uint64_t hash[2];

    if (k->used * 4 >= k->capacity * 3 && !rebuild(k, round))
        return NULL;
    aux_hash(&k->seeds, key, hash);

    struct aux_key_slot *s = find(k, hash);

    s->hash[0] = hash[0];
    s->hash[1] = hash[1];
    return s;
}

static void account(struct aux_keys *k, const struct aux_key_slot *s, bool there)
{
    k->entries += there ? 1 : (uint64_t)-1;
    k->bytes += there ? s->bytes : -(uint64_t)s->bytes;
}

enum aux_keys_answer aux_keys_set(
    struct aux_keys *k, const uint8_t key[static AUX_KEY_BYTES], uint32_t round, uint32_t bytes)
{
    struct aux_key_slot *s = slot_for(k, key, round);

    if (!s)
        return AUX_KEYS_NO_MEMORY;
    if (s->state != SLOT_FREE && s->round == round)
        return AUX_KEYS_REPEATED;
    if (s->state == SLOT_THERE)
        account(k, s, false);
    k->used += s->state == SLOT_FREE;
    s->state = SLOT_THERE;
    s->round = round;
    s->bytes = (uint16_t)bytes;
    account(k, s, true);
    return AUX_KEYS_FINE;
}

enum aux_keys_answer aux_keys_withdraw(
    struct aux_keys *k, const uint8_t key[static AUX_KEY_BYTES], uint32_t round)
{
    struct aux_key_slot *s = slot_for(k, key, round);

    if (!s)
        return AUX_KEYS_NO_MEMORY;
    if (s->state != SLOT_FREE && s->round == round)
        return AUX_KEYS_REPEATED;
    if (s->state != SLOT_THERE)
        return AUX_KEYS_NOT_THERE;
    account(k, s, false);
    s->state = SLOT_WITHDRAWN;
    s->round = round;
    return AUX_KEYS_FINE;
}
