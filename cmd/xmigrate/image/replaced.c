/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/replaced.h"

#include "cmd/xmigrate/image/any_file.h"
#include "cmd/xmigrate/image/children.h"
#include "cmd/xmigrate/image/config_guest.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool is_of_guest(const json_t *config, const char *uuid, const char *name)
{
    const char *its_uuid = config_guest_uuid(config), *its_name = config_guest_name(config);

    return (*its_uuid && !strcmp(its_uuid, uuid)) || (*its_name && !strcmp(its_name, name));
}

/* why: if that could not be read. */
static int check_image(const struct image *image, const char *path, const char *uuid,
    const char *name, const struct err *why, struct err *e)
{
    json_t *config = json_loads(image->config ? image->config : "", 0, NULL);
    int rc = 0;

    if (!json_is_object(config))
        rc = err_set(e, ERR_REFUSED, EEXIST,
            "%s is there, and is not a saved guest that can be read (%s): give another name, or "
            "--force to replace it",
            path, err_is_set(why) ? why->text : "it has no configuration");
    else if (!is_of_guest(config, uuid, name))
        rc = err_set(e, ERR_REFUSED, EEXIST,
            "%s holds another guest, \"%s\": give another name, or --force to replace it", path,
            *config_guest_name(config) ? config_guest_name(config) : "?");
    json_decref(config);
    return rc;
}

int replaced_check(
    const char *path, const char *uuid, const char *name, const char *key, struct err *e)
{
    struct image image = {0};
    struct err why = ERR_INIT;
    const int fd = image_open(path, &why);
    int rc;

    if (fd < 0)
        return fd == -ENOENT ? 0 : err_take(e, &why);
    any_file_read_front(fd, path, key, &image, &why);
    close(fd);
    rc = check_image(&image, path, uuid, name, &why, e);
    image_clear(&image);
    return rc ? rc : children_check(path, e);
}
