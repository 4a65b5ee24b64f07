/* SPDX-License-Identifier: MIT */
#include "engine/in/in.h"

#include <errno.h>

struct in_event in_state_of(const struct v3_record *r)
{
    return (struct in_event){.kind = IN_STATE,
        .v3_type = r->type,
        .body = r->body,
        .len_bytes = r->len_bytes,
        .more = r->more};
}

int in_refuse_checkpoint(const struct in *in, struct err *e)
{
    return err_set(e, ERR_PEER, EPROTO,
        "%s: a checkpointed stream (Remus or COLO), which is not supported", in->name);
}
