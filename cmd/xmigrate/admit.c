/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/admit.h"

#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/emulator.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/newcomer.h"
#include "cmd/xmigrate/session/policy_check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_name(struct xl *xl, const char *name, const char *offered_uuid, struct err *e)
{
    struct err none = ERR_INIT;
    struct xl_domain d;
    const int rc = xl_by_name(xl, name, &d, &none);

    if (rc == -ESRCH)
        return 0;
    if (rc)
        return err_take(e, &none);
    /* Within one host the guest itself still has the name; it gives it up before GO. */
    if (!strcmp(d.uuid, offered_uuid) && journal_exists(HANDOFF_SOURCE, d.uuid))
        return 0;
    return err_set(e, ERR_REFUSED, EEXIST,
        "a domain named \"%s\" exists on the destination (domain %u): rename or remove it there "
        "first",
        name, d.domid);
}

static int check_type(struct xl *xl, struct admission *a, struct err *e)
{
    const libxl_domain_type type = a->config.c_info.type;
    struct xl_host host;
    const int rc = xl_host(xl, &host, e);

    if (!rc)
        a->xen = host.xen;
    if (rc || (type == LIBXL_DOMAIN_TYPE_PV ? host.pv : host.hvm))
        return rc;
    return err_set(e, ERR_REFUSED, EOPNOTSUPP,
        "the destination's Xen cannot run %s guests (xl info shows virt_caps)", xl_type_name(type));
}

static struct device_model_version version_of(const struct message_offer *offer)
{
    struct device_model_version v = {0};

    sscanf(offer->device_model, "%u.%u", &v.major, &v.minor);
    return v;
}

static int check_policy(struct xl *xl, const struct policy *policy, const char *name,
    libxl_domain_config *config, struct err *e)
{
    char *text;
    int rc = xl_config_text(xl, config, &text, e);

    if (rc)
        return rc;
    rc = policy_check(policy, text, name, e);
    free(text);
    for (int i = 0; i < config->num_disks && !rc; i++)
        if (config->disks[i].pdev_path)
            rc = policy_check_disk(policy, config->disks[i].pdev_path, name, e);
    return rc;
}

/* Where it is free. */
static void keep_domid(struct xl *xl, const struct message_offer *offer, struct admission *a)
{
    struct err none = ERR_INIT;
    struct xl_domain d;
    const bool is_free = xl_look(xl, offer->domid, &d, &none) == -ESRCH;

    a->config.c_info.domid = is_free ? offer->domid : INVALID_DOMID;
    if (!is_free)
        log_warn(xl->log, "the number %u of \"%s\" is not free here: it gets another", offer->domid,
            offer->name);
}

static int check_config(struct xl *xl, const struct policy *policy,
    const struct message_offer *offer, enum early_disks early, struct admission *a, struct err *e)
{
    char uuid[XL_UUID_TEXT_BYTES];
    const char *why;
    int rc = xl_config_parse(xl, offer->config, strlen(offer->config), &a->config, e);

    if (rc)
        return rc;
    xl_uuid_text(&a->config.c_info.uuid, uuid);
    if (strcmp(uuid, offer->uuid) || strcmp(a->config.c_info.name, offer->name))
        return err_set(e, ERR_PEER, EBADMSG,
            "the offer and the configuration in it speak of different domains");
    /* A number in the source's FLASK policy, which libxl gives every guest; here it may be another
     * label. */
    if (!policy_allows(policy, "c_info.ssidref"))
        a->config.c_info.ssidref = 0;
    rc = xl_config_check_movable(&a->config, e);
    if (!rc)
        rc = check_policy(xl, policy, offer->name, &a->config, e);
    if (!rc)
        rc = check_type(xl, a, e);
    if (!rc)
        rc = emulator_check(&a->config, version_of(offer), e);
    if (!rc)
        rc = xl_config_for_restore(&a->config, a->name, e);
    a->early = offer->early && xl_config_builds_early(&a->config, early, xl->log, &why);
    if (!a->early)
        a->devices = xl_config_devices(&a->config);
    return rc;
}

int admit_identity(
    struct xl *xl, const struct message_offer *offer, struct admission *a, struct err *e)
{
    int rc = check_name(xl, offer->name, offer->uuid, e);

    if (!rc)
        rc = check_name(xl, a->name, offer->uuid, e);
    if (!rc && offer->domid)
        keep_domid(xl, offer, a);
    return rc;
}

int admit_offer(struct xl *xl, const struct policy *policy, const struct message_offer *offer,
    enum early_disks early, struct admission *a, struct err *e)
{
    int rc;

    snprintf(a->name, sizeof(a->name), "%s%s", offer->name, HANDOFF_INCOMING);
    rc = check_config(xl, policy, offer, early, a, e);
    if (!rc)
        rc = admit_identity(xl, offer, a, e);
    if (!rc && offer->measure)
        rc = newcomer_check(xl, &a->config, offer->name, e);
    return rc;
}
