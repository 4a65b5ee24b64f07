#include "transport/channel.h"

#include "base/io.h"

#include <errno.h>

int channel_fail(const struct channel *ch, const char *doing, int rc, struct err *e)
{
    if (rc == -ECANCELED)
        return err_set(e, ERR_CANCELLED, -rc, "%s: cancelled", ch->name);
    if (rc == -ETIMEDOUT)
        return err_set(e, ERR_PEER, -rc, "%s: the peer is silent (%s)", ch->name, doing);
    return err_set(e, ERR_PEER, -rc, "%s: %s: %s", ch->name, doing, io_strerror(rc));
}
