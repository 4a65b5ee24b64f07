/* SPDX-License-Identifier: MIT */
/*
 * Which of an HVM container's parameters move with it: those that say where things are and how the
 * guest was built. The others (callbacks, event channels, timers, who emulates it, alternate p2ms)
 * are in the context, in the configuration or made anew, and are none of a source's business.
 */
#ifndef ENGINE_GUEST_HVM_PARAMS_H
#define ENGINE_GUEST_HVM_PARAMS_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/hvm/params.h>

/* HVM_PARAM_..., those that are sent. */
enum { HVM_MOVING_PARAMS = 16 };
extern const uint32_t hvm_moving_params[HVM_MOVING_PARAMS];

/* May it come? Those that are sent, and what sources older than Xen 4.9 sent for one of them. */
bool hvm_param_moves(uint64_t index);

#endif
