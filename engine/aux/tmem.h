/* SPDX-License-Identifier: MIT */
/*
 * Transcendent memory as auxiliary data: a page of a persistent pool is an entry. Ephemeral pools
 * are made again, empty: a guest expects to lose what is in them.
 *
 *   key     u32 pool, u32 index, u64 object[3]
 *   head    u32 pools, u32 0, u64 pages that persistent ones may have; for each pool
 *           u32 number, u32 flags (1: persistent), u64 uuid[2]
 *
 * A round may put as many pages as it flushes, in any order, so twice as many as the pools may have
 * are announced.
 */
#ifndef ENGINE_AUX_TMEM_H
#define ENGINE_AUX_TMEM_H

#include "engine/aux/source.h"

extern const struct aux_out_ops aux_tmem_out;
extern const struct aux_in_ops aux_tmem_in;

#endif
