/* SPDX-License-Identifier: MIT */
#include "engine/aux/source.h"
#include "engine/aux/tmem.h"

const struct aux_out_ops *const aux_out_sources[] = {&aux_tmem_out, NULL};
const struct aux_in_ops *const aux_in_sources[] = {&aux_tmem_in, NULL};
