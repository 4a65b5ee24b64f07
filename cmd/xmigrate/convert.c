/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/convert.h"

#include "cmd/exit_codes.h"
#include "cmd/signals.h"
#include "cmd/xmigrate/image/any_file.h"
#include "cmd/xmigrate/image/config_guest.h"
#include "cmd/xmigrate/image/flatten.h"
#include "cmd/xmigrate/image/legacy_export.h"
#include "cmd/xmigrate/image/new_file.h"
#include "cmd/xmigrate/image/replaced.h"
#include "cmd/xmigrate/image/stock.h"
#include "cmd/xmigrate/suitable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct convert {
    const struct options *o;
    struct cancel cancel;
    bool cancellable;
    struct any_file from;
    uint64_t data_pages; /* that the new one has to have, of a legacy file once it is written */
    struct new_file to;
};

static int check_format(struct convert *c, struct err *e)
{
    const struct options *o = c->o;

    c->data_pages = c->from.is_legacy ? c->from.legacy.data_pages : c->from.image.data_pages;
    if (c->from.is_legacy && o->mode == MODE_EXPORT)
        return legacy_check_fits(&c->from.legacy, o->from, e);
    return c->from.chain.chain.count
               ? 0
               : err_set(e, ERR_REFUSED, EINVAL, "%s is not a compact file%s", o->from,
                     o->mode == MODE_EXPORT
                         ? ", nor of a Xen before 4.6: xl restore reads it as it is"
                         : ", and --flatten has nothing to do with others");
}

static int check_replaced(const struct convert *c, struct err *e)
{
    json_t *config = json_loads(any_file_config(&c->from), 0, NULL);
    const int rc = replaced_check(
        c->to.path, config_guest_uuid(config), config_guest_name(config), c->o->key, e);

    json_decref(config);
    return rc;
}

/* The new one may have the name of the one that it is made of, which is read until it is replaced.
 */
static int open_both(struct convert *c, struct err *e)
{
    const struct options *o = c->o;
    const struct chain_hints hints = {o->parents, o->parent_count, o->key, &c->cancel};
    int rc = suitable_file(o->file, e) ?: suitable_file(o->from, e);

    if (!rc)
        rc = any_file_open(&c->from, o->from, &hints, e);
    if (!rc)
        rc = check_format(c, e);
    if (!rc)
        rc = chain_files_check_name(&c->from.chain, 1, o->file, e);
    if (!rc)
        rc = new_file_find(&c->to, o->file, getpid(), e);
    if (!rc && !o->force)
        rc = check_replaced(c, e);
    if (!rc && o->mode == MODE_EXPORT)
        rc = new_file_check_room(&c->to, c->data_pages * PAGE_BYTES, e);
    return rc ? rc : new_file_create_unnamed(&c->to, e);
}

static int write_new(struct convert *c, struct err *e)
{
    const struct options *o = c->o;
    const struct flatten_params p = {
        .chain = &c->from.chain.chain,
        .fd = c->to.fd,
        .name = c->to.path,
        .key = o->key,
        .codec = o->compress == CODEC_AUTO ? CODEC_ZSTD : o->compress,
        .threads = o->lanes,
        .cancel = &c->cancel,
    };

    if (c->from.is_legacy)
        return legacy_export(
            &c->from.legacy, c->from.fd, o->from, c->to.fd, &c->cancel, &c->data_pages, e);
    return o->mode == MODE_FLATTEN
               ? flatten(&p, e)
               : stock_write(&c->from.chain.chain, c->to.fd, &c->cancel, e);
}

/* From its own bytes. */
static int verify(struct convert *c, struct err *e)
{
    const struct chain_hints hints = {.key = c->o->key, .cancel = &c->cancel};
    struct any_file made = {.fd = -1, .libxl_fd = -1};
    const int fd = fcntl(c->to.fd, F_DUPFD_CLOEXEC, 0);
    int rc = fd < 0 ? err_sys(e, ERR_LOCAL, errno, "%s", c->to.path)
                    : any_file_look(&made, c->to.path, fd, &hints, e);

    if (!rc)
        rc = any_file_check(&made, c->o->lanes, &c->cancel, e);
    if (!rc && made.image.data_pages != c->data_pages)
        rc = err_set(e, ERR_LOCAL, EIO,
            "%s would have %llu pages, and %s has %llu: did that change meanwhile? Try again",
            c->to.path, (unsigned long long)made.image.data_pages, c->o->from,
            (unsigned long long)c->data_pages);
    any_file_close(&made);
    return rc;
}

static int convert(struct convert *c, struct err *e)
{
    uint64_t inode;
    int rc = cancel_init(&c->cancel, e);

    c->cancellable = !rc;
    if (!rc)
        rc = signals_fire(&c->cancel, e);
    if (!rc)
        rc = open_both(c, e);
    if (!rc)
        rc = write_new(c, e);
    if (!rc)
        rc = verify(c, e);
    if (!rc)
        rc = new_file_sync(&c->to, &inode, e);
    if (!rc && cancel_is_fired(&c->cancel))
        rc = err_set(e, ERR_CANCELLED, ECANCELED, "stopped by a signal");
    return rc ? rc : new_file_publish(&c->to, inode, e);
}

int convert_main(const struct options *o, const struct log *log)
{
    struct convert c = {.o = o, .from = {.fd = -1, .libxl_fd = -1}, .to = {.fd = -1, .dir_fd = -1}};
    struct err e = ERR_INIT;
    const int rc = convert(&c, &e);

    if (rc) {
        if (c.to.fd >= 0)
            new_file_drop(&c.to);
        log_error(log, "%s", e.text);
    } else {
        log_info(log, "%s is in %s, %s", o->from, c.to.path,
            o->mode == MODE_EXPORT ? "in the format of xl save" : "whole by itself");
    }
    any_file_close(&c.from);
    new_file_close(&c.to);
    signals_reset();
    if (c.cancellable)
        cancel_destroy(&c.cancel);
    return rc ? EXIT_REFUSED : EXIT_DONE;
}
