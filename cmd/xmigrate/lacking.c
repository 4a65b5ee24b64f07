/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/lacking.h"

#include "base/disk_device.h"
#include "cmd/xmigrate/libxl/config.h"
#include "engine/xen/cpu_features.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = 128 };

/* Lines so far; a line has no other control characters, whatever the configuration's texts have. */
static unsigned count_lines(const char *lacks)
{
    unsigned count = *lacks != '\0';

    while ((lacks = strchr(lacks, '\n'))) {
        lacks++;
        count++;
    }
    return count;
}

/* Of a name that was cut, a character may be left in part. */
static void clean_line(char *line)
{
    for (; *line; line++)
        if ((unsigned char)*line < ' ' || (unsigned char)*line >= 0x7f)
            *line = '?';
}

/* As long as there is room for it. */
__attribute__((format(printf, 2, 3))) static void add(
    char lacks[static MESSAGE_LACKS_BYTES], const char *format, ...)
{
    const size_t before = strlen(lacks), at = before + (before != 0);
    va_list args;
    int n;

    if (at >= MESSAGE_LACKS_BYTES || count_lines(lacks) == MESSAGE_MAX_LACKS)
        return;
    va_start(args, format);
    n = vsnprintf(lacks + at, MESSAGE_LACKS_BYTES - at, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= MESSAGE_LACKS_BYTES - at) {
        lacks[before] = '\0';
        return;
    }
    clean_line(lacks + at);
    if (before)
        lacks[before] = '\n';
}

/* One that a script attaches, another domain serves, or that is no path has nothing to be seen. */
static bool is_seen(const libxl_device_disk *disk)
{
    return disk->pdev_path && disk->pdev_path[0] == '/' && !disk->script && !disk->backend_domid &&
           !disk->backend_domname;
}

static void find_disks(const libxl_domain_config *config, char lacks[static MESSAGE_LACKS_BYTES])
{
    for (int i = 0; i < config->num_disks; i++) {
        const libxl_device_disk *disk = &config->disks[i];

        if (is_seen(disk) && disk_device_at(disk->pdev_path) == DISK_DEVICE_MISSING)
            add(lacks, "its disk %.*s (%.*s) is not there", NAME_BYTES, disk->vdev ?: "?",
                NAME_BYTES, disk->pdev_path);
    }
}

static bool is_bridge(const char *name)
{
    char path[64];

    return snprintf(path, sizeof(path), "/sys/class/net/%s/bridge", name) < (int)sizeof(path) &&
           !strchr(name, '/') && !access(path, F_OK);
}

static void find_bridges(const libxl_domain_config *config, char lacks[static MESSAGE_LACKS_BYTES])
{
    struct xl_vif vifs[XL_MAX_VIFS];
    const unsigned count = xl_config_bridged_vifs(config, 0, vifs);

    for (unsigned i = 0; i < count; i++)
        if (!is_bridge(vifs[i].bridge))
            add(lacks, "there is no bridge %s for its vif %u", vifs[i].bridge, vifs[i].devid);
}

static void find_features(
    bool hvm, const char *cpu, const struct log *log, char lacks[static MESSAGE_LACKS_BYTES])
{
    char lack[CPU_FEATURES_LACK_BYTES];
    struct cpu_features guest, host;
    struct xen x = {0};
    struct err e = ERR_INIT;
    int rc = xen_open(&x, log, &e);

    if (!rc)
        rc = cpu_features_of_host(&x, hvm, &host, &e);
    if (rc)
        log_debug(log, "%s", e.text);
    else if (cpu_features_parse(cpu, &guest) && !cpu_features_suffice(&host, &guest, lack))
        add(lacks, "its processor lacks features that the guest was told of: %s", lack);
    xen_close(&x);
}

void lacking_find(const libxl_domain_config *config, const char *cpu, const struct log *log,
    char lacks[static MESSAGE_LACKS_BYTES])
{
    lacks[0] = '\0';
    find_disks(config, lacks);
    find_bridges(config, lacks);
    if (*cpu)
        find_features(config->c_info.type != LIBXL_DOMAIN_TYPE_PV, cpu, log, lacks);
}
