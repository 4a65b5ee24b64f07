/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/policy_check.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRIPTS        "/etc/xen/scripts/"
#define DEFAULT_BRIDGE "xenbr0" /* libxl's, of a vif that names none */

enum { FIELD_BYTES = 128, VALUE_BYTES = 100 };

enum terms {
    TERMS_ANY,      /* the guest's own business */
    TERMS_WORD,     /* goes to scripts and the like: letters, digits and some more */
    TERMS_NAME,     /* goes to QEMU: no file, no address, no list of options */
    TERMS_LOOPBACK, /* an address that only this host reaches */
    TERMS_MEMORY,   /* KiB */
    TERMS_VCPUS,
    TERMS_PATTERN, /* and all below, in the order of enum policy_kind */
    TERMS_DISK = TERMS_PATTERN,
    TERMS_BRIDGE,
    TERMS_SCRIPT,
    TERMS_KERNEL,
    TERMS_BOOTLOADER,
};

/* libxl 4.17's libxl_domain_config, without what reaches the host (devices, ports, other domains,
 * labels, files and programs that libxl opens as root) and of HVM's what QEMU opens. What is below
 * a field that is here may come with it; an array's elements have its name. */
static const struct field {
    const char *name;
    enum terms terms;
} fields[] = {
    {"c_info.type", TERMS_ANY},
    {"c_info.hap", TERMS_ANY},
    {"c_info.oos", TERMS_ANY},
    {"c_info.name", TERMS_ANY},
    {"c_info.domid", TERMS_ANY},
    {"c_info.uuid", TERMS_ANY},
    {"c_info.run_hotplug_scripts", TERMS_ANY},
    {"c_info.xend_suspend_evtchn_compat", TERMS_ANY},
    {"b_info.max_vcpus", TERMS_VCPUS},
    {"b_info.avail_vcpus", TERMS_ANY},
    {"b_info.cpumap", TERMS_ANY},
    {"b_info.nodemap", TERMS_ANY},
    {"b_info.vcpu_hard_affinity", TERMS_ANY},
    {"b_info.vcpu_soft_affinity", TERMS_ANY},
    {"b_info.numa_placement", TERMS_ANY},
    {"b_info.tsc_mode", TERMS_ANY},
    {"b_info.max_memkb", TERMS_MEMORY},
    {"b_info.target_memkb", TERMS_MEMORY},
    {"b_info.video_memkb", TERMS_MEMORY},
    {"b_info.shadow_memkb", TERMS_MEMORY},
    {"b_info.iommu_memkb", TERMS_MEMORY},
    {"b_info.rtc_timeoffset", TERMS_ANY},
    {"b_info.localtime", TERMS_ANY},
    {"b_info.disable_migrate", TERMS_ANY},
    {"b_info.cpuid", TERMS_ANY},
    {"b_info.blkdev_start", TERMS_WORD},
    {"b_info.max_grant_frames", TERMS_ANY},
    {"b_info.max_maptrack_frames", TERMS_ANY},
    {"b_info.max_grant_version", TERMS_ANY},
    {"b_info.device_model_version", TERMS_ANY},
    {"b_info.sched_params", TERMS_ANY},
    {"b_info.claim_mode", TERMS_ANY},
    {"b_info.event_channels", TERMS_ANY},
    {"b_info.kernel", TERMS_KERNEL},
    {"b_info.cmdline", TERMS_ANY},
    {"b_info.ramdisk", TERMS_KERNEL},
    {"b_info.acpi", TERMS_ANY},
    {"b_info.bootloader", TERMS_BOOTLOADER},
    {"b_info.timer_mode", TERMS_ANY},
    {"b_info.apic", TERMS_ANY},
    {"b_info.dm_restrict", TERMS_ANY},
    {"b_info.type.pv.kernel", TERMS_KERNEL},
    {"b_info.type.pv.slack_memkb", TERMS_MEMORY},
    {"b_info.type.pv.bootloader", TERMS_BOOTLOADER},
    {"b_info.type.pv.cmdline", TERMS_ANY},
    {"b_info.type.pv.ramdisk", TERMS_KERNEL},
    {"b_info.type.pv.features", TERMS_ANY},
    {"b_info.type.pvh.pvshim", TERMS_ANY},
    {"b_info.type.pvh.pvshim_cmdline", TERMS_ANY},
    {"b_info.type.pvh.pvshim_extra", TERMS_ANY},
    {"b_info.type.hvm.bios", TERMS_ANY},
    {"b_info.type.hvm.pae", TERMS_ANY},
    {"b_info.type.hvm.apic", TERMS_ANY},
    {"b_info.type.hvm.acpi", TERMS_ANY},
    {"b_info.type.hvm.acpi_s3", TERMS_ANY},
    {"b_info.type.hvm.acpi_s4", TERMS_ANY},
    {"b_info.type.hvm.acpi_laptop_slate", TERMS_ANY},
    {"b_info.type.hvm.nx", TERMS_ANY},
    {"b_info.type.hvm.viridian", TERMS_ANY},
    {"b_info.type.hvm.viridian_enable", TERMS_ANY},
    {"b_info.type.hvm.viridian_disable", TERMS_ANY},
    {"b_info.type.hvm.timeoffset", TERMS_ANY},
    {"b_info.type.hvm.hpet", TERMS_ANY},
    {"b_info.type.hvm.vpt_align", TERMS_ANY},
    {"b_info.type.hvm.mmio_hole_memkb", TERMS_ANY},
    {"b_info.type.hvm.timer_mode", TERMS_ANY},
    {"b_info.type.hvm.hdtype", TERMS_ANY},
    {"b_info.type.hvm.nographic", TERMS_ANY},
    {"b_info.type.hvm.vga.kind", TERMS_ANY},
    {"b_info.type.hvm.vnc.enable", TERMS_ANY},
    {"b_info.type.hvm.vnc.listen", TERMS_LOOPBACK},
    {"b_info.type.hvm.vnc.passwd", TERMS_ANY},
    {"b_info.type.hvm.vnc.display", TERMS_ANY},
    {"b_info.type.hvm.vnc.findunused", TERMS_ANY},
    {"b_info.type.hvm.keymap", TERMS_NAME},
    {"b_info.type.hvm.serial", TERMS_NAME},
    {"b_info.type.hvm.boot", TERMS_NAME},
    {"b_info.type.hvm.usbdevice", TERMS_NAME},
    {"b_info.type.hvm.soundhw", TERMS_NAME},
    {"b_info.type.hvm.usb", TERMS_ANY},
    {"b_info.type.hvm.usbversion", TERMS_ANY},
    {"b_info.type.hvm.vkb_device", TERMS_ANY},
    {"b_info.type.hvm.xen_platform_pci", TERMS_ANY},
    {"b_info.type.hvm.ms_vm_genid", TERMS_ANY},
    {"b_info.type.hvm.rdm.policy", TERMS_ANY}, /* says something by default, unlike rdm.strategy */
    {"b_info.type.hvm.rdm_mem_boundary_memkb", TERMS_ANY},
    {"b_info.type.hvm.mca_caps", TERMS_ANY},
    {"b_info.type.hvm.usbdevice_list", TERMS_NAME},
    {"b_info.type.hvm.serial_list", TERMS_NAME},
    {"b_info.arch_arm", TERMS_ANY},
    {"disks.pdev_path", TERMS_DISK},
    {"disks.vdev", TERMS_WORD},
    {"disks.backend", TERMS_ANY},
    {"disks.format", TERMS_ANY},
    {"disks.script", TERMS_SCRIPT},
    {"disks.removable", TERMS_ANY},
    {"disks.readwrite", TERMS_ANY},
    {"disks.is_cdrom", TERMS_ANY},
    {"disks.direct_io_safe", TERMS_ANY},
    {"disks.discard_enable", TERMS_ANY},
    {"disks.specification", TERMS_ANY},
    {"disks.transport", TERMS_ANY},
    {"disks.trusted", TERMS_ANY},
    {"nics.devid", TERMS_ANY},
    {"nics.mtu", TERMS_ANY},
    {"nics.model", TERMS_WORD},
    {"nics.mac", TERMS_ANY},
    {"nics.ip", TERMS_WORD},
    {"nics.bridge", TERMS_BRIDGE},
    {"nics.ifname", TERMS_WORD},
    {"nics.script", TERMS_SCRIPT},
    {"nics.nictype", TERMS_ANY},
    {"nics.rate_bytes_per_interval", TERMS_ANY},
    {"nics.rate_interval_usecs", TERMS_ANY},
    {"nics.gatewaydev", TERMS_BRIDGE},
    {"nics.trusted", TERMS_ANY},
    {"vfbs.devid", TERMS_ANY},
    {"vfbs.vnc.enable", TERMS_ANY},
    {"vfbs.vnc.listen", TERMS_LOOPBACK},
    {"vfbs.vnc.passwd", TERMS_ANY},
    {"vfbs.vnc.display", TERMS_ANY},
    {"vfbs.vnc.findunused", TERMS_ANY},
    {"vfbs.keymap", TERMS_WORD},
    {"vkbs.devid", TERMS_ANY},
    {"vkbs.backend_type", TERMS_ANY},
    {"vkbs.unique_id", TERMS_WORD},
    {"vkbs.feature_disable_keyboard", TERMS_ANY},
    {"vkbs.feature_disable_pointer", TERMS_ANY},
    {"vkbs.feature_abs_pointer", TERMS_ANY},
    {"vkbs.feature_raw_pointer", TERMS_ANY},
    {"vkbs.feature_multi_touch", TERMS_ANY},
    {"vkbs.width", TERMS_ANY},
    {"vkbs.height", TERMS_ANY},
    {"vkbs.multi_touch_width", TERMS_ANY},
    {"vkbs.multi_touch_height", TERMS_ANY},
    {"vkbs.multi_touch_num_contacts", TERMS_ANY},
    {"on_poweroff", TERMS_ANY},
    {"on_reboot", TERMS_ANY},
    {"on_watchdog", TERMS_ANY},
    {"on_crash", TERMS_ANY},
    {"on_soft_reset", TERMS_ANY},
};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

struct check {
    const struct policy *p;
    const char *name;
    struct err *e;
};

static const struct field *find_field(const char *name)
{
    for (unsigned i = 0; i < FIELDS; i++)
        if (!strcmp(fields[i].name, name))
            return &fields[i];
    return NULL;
}

/* Is it a list or a structure of fields that are listed one by one? */
static bool holds_fields(const char *name)
{
    const size_t len = strlen(name);

    for (unsigned i = 0; i < FIELDS; i++)
        if (!strncmp(fields[i].name, name, len) && fields[i].name[len] == '.')
            return true;
    return false;
}

/* --- refusing --- */

/* Could it stand in the file as it is, and mean itself? */
static bool is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!isgraph((unsigned char)*c) || strchr("*?[]\\", *c))
            return false;
    return *text && *text != '#' && strlen(text) < VALUE_BYTES && strcmp(text, "none");
}

static int refuse(const struct check *c, const char *field, const char *value, const char *word,
    const char *argument)
{
    return err_set(c->e, ERR_REFUSED, EPERM,
        "the destination's policy does not let \"%.64s\" have %s%s%.*s; to allow it, write \"%s "
        "%s\" into %s there and send its listener SIGHUP",
        c->name, field, value[0] ? " " : "", VALUE_BYTES, value, word, argument, c->p->path);
}

static int refuse_field(const struct check *c, const char *field, const char *value)
{
    return refuse(c, field, value, policy_word(POLICY_ALLOW), field);
}

/* --- terms --- */

static bool is_word(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._:/@ -", *c))
            return false;
    return text[0] != '-' && !strstr(text, "..");
}

static bool is_name(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_-", *c))
            return false;
    return text[0] != '-';
}

static bool is_loopback(const char *text)
{
    return !strcmp(text, "127.0.0.1") || !strcmp(text, "::1") || !strcmp(text, "localhost");
}

/* With ".." or "//" a path is not where it seems to be. */
static bool is_straight(const char *path)
{
    for (const char *c = path; (c = strchr(c, '/')); c++) {
        const size_t len = strcspn(c + 1, "/");

        if (!len || (len <= 2 && !strncmp(c + 1, "..", len)))
            return false;
    }
    return true;
}

static int check_pattern(
    const struct check *c, const char *field, enum policy_kind kind, const char *text)
{
    const size_t folder = strlen(SCRIPTS);
    const char *asked = kind == POLICY_SCRIPT && !strncmp(text, SCRIPTS, folder) ? text + folder
                                                                                 : text;

    if (is_straight(text) && policy_matches(c->p, kind, asked))
        return 0;
    return is_plain(asked) && is_straight(text) ? refuse(c, field, text, policy_word(kind), asked)
                                                : refuse_field(c, field, text);
}

/* libxl has numbers of 64 bits without a sign: they come as reals when they are large. */
static int check_number(
    const struct check *c, const char *field, double number, double most, const char *word)
{
    char value[32];

    if (number >= 0 && number <= most)
        return 0;
    snprintf(value, sizeof(value), "%.0f", number);
    return word ? refuse(c, field, value, word, value) : refuse_field(c, field, value);
}

static int check_memory(const struct check *c, const char *field, double kib)
{
    const double most_kib = (double)c->p->max_memory_bytes / 1024;
    char value[40], needed[40];

    if (kib >= 0 && kib <= most_kib)
        return 0;
    snprintf(value, sizeof(value), "%.0f KiB", kib);
    snprintf(needed, sizeof(needed), "%.0fK", kib);
    return refuse(c, field, value, "memory", needed);
}

static int check_text(const struct check *c, const struct field *f, const char *text)
{
    if (!text[0] && f->terms != TERMS_BRIDGE)
        return 0;
    if (f->terms >= TERMS_PATTERN)
        return check_pattern(c, f->name, (enum policy_kind)(f->terms - TERMS_PATTERN), text);
    if ((f->terms == TERMS_WORD && is_word(text)) || (f->terms == TERMS_NAME && is_name(text)) ||
        (f->terms == TERMS_LOOPBACK && is_loopback(text)))
        return 0;
    return refuse_field(c, f->name, text);
}

static int check_terms(const struct check *c, const struct field *f, const json_t *value)
{
    int rc = 0;

    if (f->terms == TERMS_ANY || json_is_null(value))
        return 0;
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value) && !rc; i++)
            rc = json_is_string(json_array_get(value, i))
                     ? check_text(c, f, json_string_value(json_array_get(value, i)))
                     : refuse_field(c, f->name, "");
        return rc;
    }
    if (f->terms == TERMS_MEMORY)
        return check_memory(c, f->name, json_number_value(value));
    if (f->terms == TERMS_VCPUS)
        return check_number(c, f->name, json_number_value(value), (double)c->p->max_vcpus, "vcpus");
    return json_is_string(value) ? check_text(c, f, json_string_value(value))
                                 : refuse_field(c, f->name, "");
}

/* --- walking --- */

static bool says_nothing(const json_t *value)
{
    static const char *const nothing[] = {
        "", "<default>", "default", "False", "none", "disabled", "unknown", "Pool-0"};

    if (json_is_object(value))
        return !json_object_size(value);
    if (json_is_array(value))
        return !json_array_size(value);
    for (size_t i = 0; json_is_string(value) && i < sizeof(nothing) / sizeof(nothing[0]); i++)
        if (!strcmp(json_string_value(value), nothing[i]))
            return true;
    return json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0);
}

static int check_value(const struct check *c, const char *name, const json_t *value);

/* Some of libxl's names are the peer's own words, which must not look like ours in a message. */
static bool is_field(const char *key)
{
    for (const char *c = key; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_-.", *c))
            return false;
    return true;
}

static int check_object(const struct check *c, const char *name, const json_t *object)
{
    char below[FIELD_BYTES];
    const char *key;
    json_t *value;
    int rc = 0;

    json_object_foreach((json_t *)object, key, value)
    {
        const int n = snprintf(below, sizeof(below), "%s%s%s", name, name[0] ? "." : "", key);

        rc = n < FIELD_BYTES && is_field(key) ? check_value(c, below, value)
                                              : refuse_field(c, name[0] ? name : "?", "");
        if (rc)
            break;
    }
    return rc;
}

static int check_array(const struct check *c, const char *name, const json_t *array)
{
    int rc = 0;

    for (size_t i = 0; i < json_array_size(array) && !rc; i++)
        rc = json_is_object(json_array_get(array, i))
                 ? check_object(c, name, json_array_get(array, i))
                 : refuse_field(c, name, "");
    return rc;
}

/* libxl attaches a vif that names no bridge to one. */
static int check_default_bridge(const struct check *c, const json_t *nics)
{
    int rc = 0;

    for (size_t i = 0; i < json_array_size(nics) && !rc; i++)
        if (!json_object_get(json_array_get(nics, i), "bridge"))
            rc = check_pattern(c, "nics.bridge", POLICY_BRIDGE, DEFAULT_BRIDGE);
    return rc;
}

static int check_value(const struct check *c, const char *name, const json_t *value)
{
    const struct field *f = find_field(name);

    if (policy_allows(c->p, name))
        return 0;
    if (f)
        return check_terms(c, f, value);
    if (says_nothing(value))
        return 0;
    if (json_is_object(value))
        return check_object(c, name, value);
    if (json_is_array(value) && holds_fields(name))
        return check_array(c, name, value);
    return refuse_field(c, name, json_is_string(value) ? json_string_value(value) : "");
}

int policy_check(const struct policy *p, const char *config_json, const char *name, struct err *e)
{
    const struct check c = {p, name, e};
    json_error_t why;
    json_t *config = json_loads(config_json, JSON_DECODE_INT_AS_REAL, &why);
    int rc;

    if (!json_is_object(config)) {
        json_decref(config);
        return err_set(e, ERR_LOCAL, EINVAL, "libxl's own configuration is no JSON: %s", why.text);
    }
    rc = check_object(&c, "", config);
    if (!rc && !policy_allows(p, "nics.bridge"))
        rc = check_default_bridge(&c, json_object_get(config, "nics"));
    json_decref(config);
    return rc;
}

/* --- a disk itself --- */

/* Exclusive, so that the kernel says whether it is mounted, swapped to, or part of something. */
static bool is_held_by_host(const char *path)
{
    const int fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EBUSY;
}

int policy_check_disk(const struct policy *p, const char *path, const char *name, struct err *e)
{
    struct stat st;

    if (path[0] != '/' || stat(path, &st) || S_ISREG(st.st_mode) ||
        policy_allows(p, "disks.pdev_path"))
        return 0;
    if (!S_ISBLK(st.st_mode))
        return err_set(e, ERR_REFUSED, EPERM,
            "\"%.64s\" wants %.*s for a disk, which is neither a file nor a block device there",
            name, VALUE_BYTES, path);
    if (!is_held_by_host(path))
        return 0;
    return err_set(e, ERR_REFUSED, EBUSY,
        "\"%.64s\" wants %.*s for a disk, which the destination itself uses (it is mounted there, "
        "or part of something)",
        name, VALUE_BYTES, path);
}
