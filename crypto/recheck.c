/* SPDX-License-Identifier: MIT */
#include "crypto/recheck.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int is_this_host(const char *config_dir, const char *fingerprint, bool *own, struct err *e)
{
    struct identity id;
    const int rc = identity_open(&id, config_dir, e);

    if (rc)
        return rc;
    *own = !strcmp(id.fingerprint, fingerprint);
    identity_close(&id);
    return 0;
}

static int has_ca(const char *config_dir, bool *ca, struct err *e)
{
    char path[CONFIG_PATH_BYTES];
    const int rc = config_path(config_dir, "ca.pem", path, e);

    *ca = !rc && !access(path, F_OK);
    return rc;
}

int peer_recheck(const char *config_dir, struct tls_peer *peer, struct err *e)
{
    char name[TRUST_NAME_BYTES];
    bool good = false;
    int rc = trust_find(config_dir, peer->fingerprint, &good, name, &peer->rights, e);

    if (!rc && good)
        memcpy(peer->name, name, sizeof(peer->name));
    else
        peer->rights = TRUST_ALL; /* this host's, and a CA's: `trusted` does not limit them */
    if (!rc && !good)
        rc = is_this_host(config_dir, peer->fingerprint, &good, e);
    if (!rc && !good)
        rc = has_ca(config_dir, &good, e);
    if (rc || good)
        return rc;
    return err_set(e, ERR_REFUSED, EACCES, "%s is not trusted here", peer->fingerprint);
}
