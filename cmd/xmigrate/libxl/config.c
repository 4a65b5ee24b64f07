/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/libxl/config.h"

#include "base/units.h"
#include "cmd/xmigrate/libxl/calls.h"
#include "cmd/xmigrate/libxl/early_disks.h"
#include "cmd/xmigrate/libxl/limited.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CANNOT_READ "libxl cannot make sense of the configuration that arrived"

struct retrieval {
    struct xl_call call;
    uint32_t domid;
    libxl_domain_config config;
};

static int make_retrieve(struct xl *xl, struct xl_call *call, struct err *e)
{
    struct retrieval *r = (struct retrieval *)call;

    xl_begin(xl);
    libxl_domain_config_init(&r->config);

    const int rc = libxl_retrieve_domain_configuration(xl->ctx, r->domid, &r->config, NULL);

    if (!rc)
        return 0;
    libxl_domain_config_dispose(&r->config);
    return xl_failed(xl, rc, ERR_LOCAL, e,
        "libxl has no configuration of domain %u (was it created by xl or libvirt?)", r->domid);
}

int xl_config_retrieve(struct xl *xl, uint32_t domid, libxl_domain_config *config, struct err *e)
{
    struct retrieval r = {.call = {make_retrieve, "tell the domain's configuration"}};

    r.domid = domid;

    const int rc = xl_call_limited(xl, &r.call, sizeof(r), deadline_in(XL_SHORT_NS), e);

    if (!rc)
        *config = r.config;
    return rc;
}

/* What libxl 4.17 believes and must not: it reads 32 characters of every register. */
static bool is_cpuid_policy(const json_t *policy)
{
    static const char *const registers[] = {"eax", "ebx", "ecx", "edx"};

    for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
        const char *text = json_string_value(json_object_get(policy, registers[i]));

        if (text && (strlen(text) != 32 || strspn(text, "01xks") != 32))
            return false;
    }
    return true;
}

/* An index of all ones ends libxl's list: it would silently drop what follows. */
static bool is_msr_policy(const json_t *policy)
{
    const double index = json_number_value(json_object_get(policy, "index"));

    return index >= 0 && index < UINT32_MAX;
}

static bool are_all(const json_t *list, bool (*is_one)(const json_t *))
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!is_one(json_array_get(list, i)))
            return false;
    return true;
}

/*
 * Before libxl sees it: is it JSON, without anything that its two readers could see differently?
 * And how many leaves has its CPUID policy?
 */
static int check_text(const char *text, size_t *leaves, struct err *e)
{
    json_error_t why;
    /* libxl has numbers of 64 bits without a sign. */
    json_t *config = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &why);
    const json_t *cpuid = json_object_get(json_object_get(config, "b_info"), "cpuid");
    const char *bad = config ? NULL : why.text;

    if (!are_all(json_object_get(cpuid, "msr"), is_msr_policy))
        bad = "an MSR policy has no valid index";
    /* A list of leaves; or that, and one of MSRs beside it, in what has been added to 4.17 since.
     */
    if (json_is_object(cpuid))
        cpuid = json_object_get(cpuid, "cpuid");
    if (!are_all(cpuid, is_cpuid_policy))
        bad = "a register of its CPUID policy has not 32 bits";
    *leaves = json_array_size(cpuid);

    const int rc = bad ? err_set(e, ERR_PEER, EBADMSG, CANNOT_READ ": %s", bad) : 0;

    json_decref(config);
    return rc;
}

/* libxl takes an entry without a valid leaf for the end of its list. */
static int check_parsed(const libxl_domain_config *config, size_t leaves, struct err *e)
{
    if (!config->c_info.name || !config->c_info.name[0])
        return err_set(e, ERR_PEER, EBADMSG, "the configuration that arrived names no domain");
    if ((size_t)libxl_cpuid_policy_list_length(&config->b_info.cpuid) != leaves)
        return err_set(
            e, ERR_PEER, EBADMSG, CANNOT_READ ": an entry of its CPUID policy has no valid leaf");
    return 0;
}

int xl_config_parse(
    struct xl *xl, const char *text, size_t len_bytes, libxl_domain_config *config, struct err *e)
{
    char *copy = strndup(text, len_bytes);
    size_t leaves;

    if (!copy)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for the configuration");

    int rc = check_text(copy, &leaves, e);

    if (rc) {
        free(copy);
        return rc;
    }
    xl_begin(xl);
    libxl_domain_config_init(config);
    rc = libxl_domain_config_from_json(xl->ctx, config, copy);
    free(copy);
    rc = rc ? xl_failed(xl, rc, ERR_PEER, e, CANNOT_READ) : check_parsed(config, leaves, e);
    if (rc)
        libxl_domain_config_dispose(config);
    return rc;
}

int xl_config_text(struct xl *xl, libxl_domain_config *config, char **text, struct err *e)
{
    xl_begin(xl);
    *text = libxl_domain_config_to_json(xl->ctx, config);
    return *text
               ? 0
               : xl_failed(xl, ERROR_NOMEM, ERR_LOCAL, e, "cannot write the configuration as JSON");
}

void xl_config_init(libxl_domain_config *config)
{
    libxl_domain_config_init(config);
}

void xl_config_dispose(libxl_domain_config *config)
{
    libxl_domain_config_dispose(config);
}

int xl_config_rename(libxl_domain_config *config, const char *name, struct err *e)
{
    char *copy = strdup(name);

    if (!copy)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for the configuration");
    free(config->c_info.name);
    config->c_info.name = copy;
    return 0;
}

int xl_config_for_restore(libxl_domain_config *config, const char *name, struct err *e)
{
    config->c_info.domid = INVALID_DOMID;
    return xl_config_rename(config, name, e);
}

int xl_config_adopt(libxl_domain_config *config, const libxl_domain_config *real, struct err *e)
{
    const libxl_domain_build_info *b = &config->b_info, *r = &real->b_info;

    if (config->c_info.type != real->c_info.type)
        return err_set(e, ERR_REFUSED, EINVAL, "it is of a %s guest, and this is a %s one",
            xl_type_name(config->c_info.type), xl_type_name(real->c_info.type));
    if (b->max_vcpus != r->max_vcpus || b->max_memkb != r->max_memkb)
        return err_set(e, ERR_REFUSED, EINVAL,
            "it has %d vCPUs and %llu KiB at most, and this guest %d and %llu: what it has does "
            "not change on the way",
            b->max_vcpus, (unsigned long long)b->max_memkb, r->max_vcpus,
            (unsigned long long)r->max_memkb);
    config->b_info.target_memkb = r->target_memkb;
    config->c_info.uuid = real->c_info.uuid;
    return xl_config_rename(config, real->c_info.name, e);
}

static bool is_on(libxl_defbool choice)
{
    return !libxl_defbool_is_default(choice) && libxl_defbool_val(choice);
}

/* HVM guests'. */
static int check_device_model(const libxl_domain_build_info *b, const char *name, struct err *e)
{
    if (b->device_model_version == LIBXL_DEVICE_MODEL_VERSION_QEMU_XEN_TRADITIONAL)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "%s has the old device model (qemu-xen-traditional), which is not moved: give it "
            "device_model_version=\"qemu-xen\" and start it anew",
            name);
    if (is_on(b->device_model_stubdomain))
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "%s has its device model in a stub domain, which is not moved: use xl migrate", name);
    return 0;
}

/* HVM and PVH guests'. */
static int check_processor(
    const libxl_domain_build_info *b, bool is_hvm, const char *name, struct err *e)
{
    if (is_on(b->nested_hvm) || (is_hvm && is_on(b->u.hvm.nested_hvm)))
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "%s may run guests of its own (nestedhvm), and Xen does not save their state: shut it "
            "down here and start it there",
            name);
    if (b->altp2m != LIBXL_ALTP2M_MODE_DISABLED || (is_hvm && is_on(b->u.hvm.altp2m)))
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "%s has alternate views of its memory (altp2m), which Xen does not save: shut it down "
            "here and start it there",
            name);
    return 0;
}

int xl_config_check_movable(const libxl_domain_config *config, struct err *e)
{
    const char *name = config->c_info.name ? config->c_info.name : "?";
    const libxl_domain_type type = config->c_info.type;
    const bool is_hvm = type == LIBXL_DOMAIN_TYPE_HVM;

    if (is_hvm && check_device_model(&config->b_info, name, e))
        return -e->code;
    if (type != LIBXL_DOMAIN_TYPE_PV && check_processor(&config->b_info, is_hvm, name, e))
        return -e->code;
    if (config->num_vtpms)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "%s has a virtual TPM, whose state does not move with it: detach it first "
            "(xl vtpm-detach), then move the guest",
            name);
    if (config->num_pcidevs || config->num_dtdevs || config->num_rdms)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "%s has a device of this host assigned to it (PCI passthrough): detach it first "
            "(xl pci-detach), then move the guest",
            name);
    if (config->num_usbdevs)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "%s has a USB device of this host assigned to it: detach it first "
            "(xl usbdev-detach), then move the guest",
            name);
    if (config->b_info.num_vnuma_nodes)
        return err_set(e, ERR_REFUSED, EOPNOTSUPP,
            "%s has virtual NUMA nodes (vnuma), which libxl cannot move: shut it down here and "
            "start it there",
            name);
    return 0;
}

/* Without a script libxl takes this one. */
static bool is_bridged(const libxl_device_nic *nic)
{
    const char *slash = nic->script ? strrchr(nic->script, '/') : NULL;
    const char *script = slash ? slash + 1 : nic->script;

    return (!script || !strcmp(script, "vif-bridge")) && !nic->gatewaydev && !nic->backend_domid &&
           !nic->backend_domname;
}

/* False if a name of this host's is too long to be one. */
static bool describe_vif(const libxl_device_nic *nic, uint32_t domid, struct xl_vif *vif)
{
    const char *bridge = nic->bridge ?: "xenbr0";
    int name_bytes;

    *vif = (struct xl_vif){.devid = (unsigned)nic->devid};
    memcpy(vif->mac, nic->mac, sizeof(vif->mac));
    name_bytes = nic->ifname
                     ? snprintf(vif->name, sizeof(vif->name), "%s", nic->ifname)
                     : snprintf(vif->name, sizeof(vif->name), "vif%u.%d", domid, nic->devid);
    return nic->devid >= 0 && name_bytes < (int)sizeof(vif->name) &&
           snprintf(vif->bridge, sizeof(vif->bridge), "%s", bridge) < (int)sizeof(vif->bridge);
}

unsigned xl_config_bridged_vifs(
    const libxl_domain_config *config, uint32_t domid, struct xl_vif vifs[static XL_MAX_VIFS])
{
    unsigned count = 0;

    for (int i = 0; i < config->num_nics && count < XL_MAX_VIFS; i++)
        count += is_bridged(&config->nics[i]) &&
                 describe_vif(&config->nics[i], domid, &vifs[count]);
    return count;
}

struct xl_devices xl_config_devices(const libxl_domain_config *config)
{
    const int others = config->num_vfbs + config->num_vkbs + config->num_vtpms + config->num_p9s +
                       config->num_pvcallsifs + config->num_vdispls + config->num_vsnds +
                       config->num_channels + config->num_usbctrls;
    struct xl_devices d = {.nics = (unsigned)config->num_nics, .others = (unsigned)others};

    for (int i = 0; i < config->num_disks; i++) {
        const libxl_device_disk *disk = &config->disks[i];

        if (disk->backend == LIBXL_DISK_BACKEND_PHY && !disk->script)
            d.phy_disks++;
        else
            d.other_disks++;
    }
    return d;
}

static bool disks_may_be_early(const libxl_domain_config *config, enum early_disks early,
    const struct log *log, const char **why)
{
    bool all = true;

    for (int i = 0; i < config->num_disks; i++) {
        const libxl_device_disk *disk = &config->disks[i];
        const char *because;
        const bool may = disk_may_be_early(disk, disk_device_at(disk->pdev_path), early, &because);

        log_debug(log, "disk %s (%s) %s: %s", disk->vdev ? disk->vdev : "?",
            disk->pdev_path ? disk->pdev_path : "empty",
            may ? "may be attached early" : "has to wait for the pause", because);
        if (!may)
            *why = because;
        all &= may;
    }
    return all;
}

/* libxl asks such a one itself, over QMP, and goes on only when it has loaded its state. */
static bool is_restricted(const libxl_domain_config *config)
{
    return config->c_info.type == LIBXL_DOMAIN_TYPE_HVM && is_on(config->b_info.dm_restrict);
}

bool xl_config_builds_early(const libxl_domain_config *config, enum early_disks early,
    const struct log *log, const char **why)
{
    if (!disks_may_be_early(config, early, log, why))
        return false;
    if (is_restricted(config))
        *why = "its device model is restricted (dm_restrict)";
    else if (xl_config_devices(config).others)
        *why = "it has a device that is neither a disk nor a network interface";
    else
        return true;
    return false;
}

int xl_config_need_memory(
    struct xl *xl, libxl_domain_config *config, const char *name, uint64_t *need_kb, struct err *e)
{
    int rc;

    xl_begin(xl);
    rc = libxl_domain_need_memory(xl->ctx, config, INVALID_DOMID, need_kb);
    return rc ? xl_failed(xl, rc, ERR_LOCAL, e, "cannot tell how much memory \"%s\" needs", name)
              : 0;
}

int xl_config_check_memory(
    struct xl *xl, libxl_domain_config *config, const char *name, struct err *e)
{
    char need_text[UNITS_TEXT_BYTES], free_text[UNITS_TEXT_BYTES];
    struct xl_host host;
    uint64_t need_kb;
    int rc = xl_host(xl, &host, e);

    if (!rc)
        rc = xl_config_need_memory(xl, config, name, &need_kb, e);
    if (rc || need_kb <= host.free_kb)
        return rc;
    return err_set(e, ERR_REFUSED, ENOMEM,
        "too little memory: \"%s\" needs %s and %s are free (xl info shows free_memory)", name,
        format_bytes(need_kb * 1024, need_text), format_bytes(host.free_kb * 1024, free_text));
}
