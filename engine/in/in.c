/* SPDX-License-Identifier: MIT */
#include "engine/in/in.h"

#include <errno.h>

int in_refuse_checkpoint(const struct in *in, struct err *e)
{
    return err_set(e, ERR_PEER, EPROTO,
        "%s: a checkpointed stream (Remus or COLO), which is not supported", in->name);
}
