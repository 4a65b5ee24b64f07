/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/libxl/saved_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { OUI_BYTES = 3, MAC_BYTES = 6 };

static const uint8_t xen_oui[OUI_BYTES] = {0x00, 0x16, 0x3e};

static bool is_for(const char *given, const char *vdev)
{
    const size_t len = vdev ? strlen(vdev) : 0;

    return len && !strncmp(given, vdev, len) && given[len] == '=';
}

static bool is_block_device(const char *path)
{
    struct stat st;

    return !stat(path, &st) && S_ISBLK(st.st_mode);
}

/* libxl finds out what it is; of a copy in another format nobody told us. */
static int replace_target(libxl_device_disk *disk, const char *target, struct err *e)
{
    char *copy = strdup(target);

    if (!copy)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for the configuration");
    free(disk->pdev_path);
    disk->pdev_path = copy;
    disk->backend = LIBXL_DISK_BACKEND_UNKNOWN;
    if (is_block_device(target))
        disk->format = LIBXL_DISK_FORMAT_RAW;
    return 0;
}

int saved_config_give_disk(libxl_domain_config *config, const char *text, struct err *e)
{
    for (int i = 0; i < config->num_disks; i++)
        if (is_for(text, config->disks[i].vdev))
            return replace_target(&config->disks[i], strchr(text, '=') + 1, e);
    return err_set(e, ERR_REFUSED, ENODEV, "--disk %s: the saved guest has no such disk", text);
}

static bool is_given(const libxl_device_disk *disk, const char *const given[], unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (is_for(given[i], disk->vdev))
            return true;
    return false;
}

static int refuse_disk(const libxl_device_disk *disk, bool clone, struct err *e)
{
    const char *target = disk->pdev_path ?: "?", *vdev = disk->vdev;

    if (clone)
        return err_set(e, ERR_REFUSED, EBUSY,
            "the guest itself uses its disk %s (%s): give the clone a copy from the moment of the "
            "file with --disk %s=TARGET, or say --disks-as-they-are if both may write to it",
            vdev, target, vdev);
    return err_set(e, ERR_REFUSED, ESTALE,
        "it is a checkpoint, and the guest wrote to its disk %s (%s) after it was made: give a "
        "copy from that moment with --disk %s=TARGET, or say --disks-as-they-are if it has not "
        "changed since",
        vdev, target, vdev);
}

int saved_config_check_disks(const libxl_domain_config *config, const char *const given[],
    unsigned count, bool clone, struct err *e)
{
    for (int i = 0; i < config->num_disks; i++) {
        const libxl_device_disk *disk = &config->disks[i];

        if (disk->readwrite && !disk->is_cdrom && !is_given(disk, given, count))
            return refuse_disk(disk, clone, e);
    }
    return 0;
}

static int fill_random(void *p, size_t len_bytes, struct err *e)
{
    return getrandom(p, len_bytes, 0) == (ssize_t)len_bytes
               ? 0
               : err_sys(e, ERR_LOCAL, errno, "no random numbers for a clone");
}

static int change_macs(libxl_domain_config *config, struct err *e)
{
    int rc = 0;

    for (int i = 0; i < config->num_nics && !rc; i++) {
        uint8_t *mac = config->nics[i].mac;

        memcpy(mac, xen_oui, OUI_BYTES);
        rc = fill_random(mac + OUI_BYTES, MAC_BYTES - OUI_BYTES, e);
    }
    return rc;
}

/* Only a guest that was given one has one. */
static int change_generation(libxl_domain_config *config, struct err *e)
{
    static const uint8_t none[16];
    uint8_t *id = config->b_info.u.hvm.ms_vm_genid.bytes;

    if (config->c_info.type != LIBXL_DOMAIN_TYPE_HVM || !memcmp(id, none, sizeof(none)))
        return 0;
    return fill_random(id, sizeof(none), e);
}

int saved_config_clone(libxl_domain_config *config, struct err *e)
{
    uint8_t *uuid = config->c_info.uuid.uuid;
    int rc = fill_random(uuid, 16, e);

    /* Version 4, variant 1. */
    uuid[6] = (uuid[6] & 0x0f) | 0x40;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
    if (!rc)
        rc = change_macs(config, e);
    return rc ? rc : change_generation(config, e);
}
