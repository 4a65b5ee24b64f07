/* SPDX-License-Identifier: MIT */
#include "xensim/preload/xl_device.h"
#include "xensim/preload/interpose.h"

#include "base/deadline.h"
#include "base/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TEXT_BYTES = 512, NAME_ROOM = 16 };
#define HOTPLUG_LIMIT_NS (40 * NS_PER_S) /* libxl's own */
#define POLL_NS          (5 * NS_PER_MS)

/* Whether XENSIM_DEVICES has "what=name"; for "time" any value, which is left in *value. */
static bool setting(const char *what, const char *name, char value[static NAME_ROOM])
{
    const char *at = getenv("XENSIM_DEVICES");
    char key[NAME_ROOM];

    for (; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (sscanf(at, "%15[^=]=%15[^,]", key, value) == 2 && !strcmp(key, what) &&
            (!name || !strcmp(value, name)))
            return true;
    return false;
}

/* 0, or ERROR_ABORTED. */
static int spend(int64_t ns, const struct cancel *cancel)
{
    const int64_t until_ns = deadline_in(ns);

    while (!deadline_passed(until_ns)) {
        if (cancel_is_fired(cancel))
            return ERROR_ABORTED;
        sleep_until_ns(deadline_earlier(until_ns, deadline_in(POLL_NS)));
    }
    return 0;
}

static int spend_time_of_a_kind(const struct cancel *cancel)
{
    char text[NAME_ROOM];
    int64_t ns;

    return setting("time", NULL, text) && parse_duration_ns(text, &ns) ? spend(ns, cancel) : 0;
}

bool xl_device_model_starts(struct xl *xl)
{
    char value[NAME_ROOM];

    if (!setting("fail", "dm", value))
        return true;
    xl_log(xl, XTL_ERROR, -1, "device model did not start");
    return false;
}

static int attach(struct xl *xl, uint32_t domid, const char *name, const char *text)
{
    char id[12], value[NAME_ROOM];

    if (setting("quota", name, value)) {
        xl_log(xl, XTL_ERROR, ENOSPC, "xenstore: cannot write the entries of %s", name);
        return ERROR_FAIL;
    }

    return ASK(xl, NULL, "attach", xl_id_text(domid, id), name, text);
}

/* What its hotplug script does. */
static int run_script(struct xl *xl, const char *name, const struct cancel *cancel)
{
    char value[NAME_ROOM];

    if (setting("fail", name, value)) {
        xl_log(xl, XTL_ERROR, -1, "the hotplug script of %s exited with 1", name);
        return ERROR_FAIL;
    }
    if (!setting("hang", name, value))
        return 0;

    const int rc = spend(HOTPLUG_LIMIT_NS, cancel);

    xl_log(xl, XTL_ERROR, -1, "the hotplug script of %s did not end", name);
    return rc ? rc : ERROR_FAIL;
}

/* As libxl chooses where the configuration leaves it to it. */
static bool is_phy(const libxl_device_disk *disk)
{
    struct stat st;

    if (disk->backend != LIBXL_DISK_BACKEND_UNKNOWN)
        return disk->backend == LIBXL_DISK_BACKEND_PHY;
    return disk->script || (disk->pdev_path && !stat(disk->pdev_path, &st) && S_ISBLK(st.st_mode));
}

static int attach_disk(struct xl *xl, uint32_t domid, const libxl_device_disk *disk)
{
    char text[TEXT_BYTES], value[NAME_ROOM];

    if (setting("missing", disk->vdev, value)) {
        xl_log(
            xl, XTL_ERROR, ENOENT, "Disk vdev=%s failed to stat: %s", disk->vdev, disk->pdev_path);
        return ERROR_INVAL;
    }
    snprintf(text, sizeof(text), "%s %s %s", is_phy(disk) ? "phy" : "qdisk",
        disk->pdev_path ? disk->pdev_path : "", disk->script ? disk->script : "");
    return attach(xl, domid, disk->vdev, text);
}

static int attach_disks(struct xl *xl, uint32_t domid, const libxl_device_disk *disks, int count,
    const struct cancel *cancel)
{
    int rc = 0;

    for (int i = 0; i < count && !rc; i++)
        rc = attach_disk(xl, domid, &disks[i]);
    if (!rc && count)
        rc = spend_time_of_a_kind(cancel);
    for (int i = 0; i < count && !rc; i++)
        rc = run_script(xl, disks[i].vdev, cancel);
    return rc;
}

static int attach_nics(struct xl *xl, uint32_t domid, int count, const struct cancel *cancel)
{
    char name[NAME_ROOM];
    int rc = 0;

    for (int i = 0; i < count && !rc; i++) {
        snprintf(name, sizeof(name), "vif%d", i);
        rc = attach(xl, domid, name, "");
    }
    if (!rc && count)
        rc = spend_time_of_a_kind(cancel);
    for (int i = 0; i < count && !rc; i++) {
        snprintf(name, sizeof(name), "vif%d", i);
        rc = run_script(xl, name, cancel);
    }
    return rc;
}

int xl_devices_attach(
    struct xl *xl, uint32_t domid, const libxl_domain_config *config, const struct cancel *cancel)
{
    const int rc = attach_disks(xl, domid, config->disks, config->num_disks, cancel);

    return rc ? rc : attach_nics(xl, domid, config->num_nics, cancel);
}

/* ---- into a configuration ---- */

static int describe_disk(libxl_domain_config *config, const char *name, const char *text)
{
    libxl_device_disk *more = realloc(
        config->disks, ((size_t)config->num_disks + 1) * sizeof(*more));
    char kind[NAME_ROOM] = "", path[TEXT_BYTES] = "", script[TEXT_BYTES] = "";

    if (!more)
        return ERROR_NOMEM;
    config->disks = more;

    libxl_device_disk *disk = &more[config->num_disks++];

    REAL(libxl_device_disk_init)(disk);
    sscanf(text, "%15s %511s %511s", kind, path, script);
    disk->backend_domid = 0;
    disk->vdev = strdup(name);
    disk->pdev_path = strdup(path);
    disk->script = script[0] ? strdup(script) : NULL;
    disk->backend = strcmp(kind, "phy") ? LIBXL_DISK_BACKEND_QDISK : LIBXL_DISK_BACKEND_PHY;
    disk->format = LIBXL_DISK_FORMAT_RAW;
    disk->readwrite = 1;
    return 0;
}

static int describe_nic(libxl_domain_config *config)
{
    libxl_device_nic *more = realloc(config->nics, ((size_t)config->num_nics + 1) * sizeof(*more));

    if (!more)
        return ERROR_NOMEM;
    config->nics = more;
    REAL(libxl_device_nic_init)(&more[config->num_nics]);
    more[config->num_nics].devid = config->num_nics;
    config->num_nics++;
    return 0;
}

int xl_devices_describe(struct xl *xl, uint32_t domid, libxl_domain_config *config)
{
    char id[12], name[NAME_ROOM], text[TEXT_BYTES];
    char *lines = NULL, *rest = NULL;
    int rc = ASK(xl, &lines, "devices", xl_id_text(domid, id));

    for (char *line = lines ? strtok_r(lines, "\n", &rest) : NULL; line && !rc;
         line = strtok_r(NULL, "\n", &rest)) {
        text[0] = '\0';
        if (sscanf(line, "%*u %15s %511[^\n]", name, text) < 1)
            continue;
        rc = strncmp(name, "vif", 3) ? describe_disk(config, name, text) : describe_nic(config);
    }
    free(lines);
    return rc;
}
