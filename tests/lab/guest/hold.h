/* SPDX-License-Identifier: MIT */
/*
 * hold: keeps known values in every SSE (or AVX) register through a long spin and compares them
 * afterwards. Wrong values mean that somebody below (an emulator, a hypervisor, a migration that
 * lost extended state) mixes up the registers of two contexts.
 */
#ifndef LAB_HOLD_H
#define LAB_HOLD_H

#include <stdbool.h>
#include <stdint.h>

bool hold_has_avx(void);

/* One round of `spins` loop turns; `salt` makes each round's values its own. True when right. */
bool hold_round(uint64_t salt, uint64_t spins);

#endif
