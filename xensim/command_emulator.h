/* SPDX-License-Identifier: MIT */
/* dm DOMAIN [ACTION]: a guest's device model, for the stand-in for libxl and for tests. */
#ifndef XENSIM_COMMAND_EMULATOR_H
#define XENSIM_COMMAND_EMULATOR_H

#include "xensim/command_io.h"
#include "xensim/hypervisor/domain.h"

int act_emulator(struct domain *d, struct words *w, struct answer *a);

#endif
