/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/peer_status.h"

#include "base/deadline.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/call.h"
#include "cmd/xmigrate/admin_client.h"
#include "cmd/xmigrate/libxl/calls.h"

#include <errno.h>
#include <stdlib.h>

/* --- here --- */

static int list_all(struct incoming *in, json_t *migrations, struct err *e)
{
    struct admin_list list;
    const int rc = admin_collect(&list, &in->log, e);

    for (unsigned i = 0; i < list.count; i++)
        json_array_append_new(migrations, admin_status_pack(&list.of[i]));
    admin_list_free(&list);
    return rc;
}

/* NULL where libxl is no help: the migrations are known without it. */
static json_t *list_guests(const struct incoming *in)
{
    struct xl xl = {.log = &in->log};
    struct xl_domain *list = NULL;
    struct err e = ERR_INIT;
    unsigned count = 0;
    int rc = xl_open(&xl, &in->log, deadline_in(XL_SHORT_NS), &e);
    json_t *guests = NULL;

    if (!rc)
        rc = xl_guests(&xl, &list, &count, &e);
    if (rc)
        log_warn(&in->log, "%s", e.text);
    else
        guests = json_array();
    for (unsigned i = 0; i < count && guests; i++)
        json_array_append_new(
            guests, json_pack("{s:s, s:s}", "domain", list[i].name, "uuid", list[i].uuid));
    free(list);
    if (xl.ctx)
        xl_close(&xl);
    return guests;
}

int peer_status_answer(struct incoming *in)
{
    json_t *migrations = json_array();
    struct err e = ERR_INIT;
    int rc = list_all(in, migrations, &e);

    if (rc)
        json_decref(migrations);
    else
        rc = message_send_listing(&in->control, migrations, list_guests(in), &e);
    if (rc) {
        log_error(&in->log, "%s asked what is under way here: %s", in->who, e.text);
        incoming_tell_failure(in, CONTROL_REFUSE, &e);
        return EXIT_FAILED;
    }
    incoming_await_heard(in);
    return EXIT_DONE;
}

/* --- there --- */

static int read_listing(
    const char *host, const json_t *migrations, struct admin_list *list, struct err *e)
{
    for (size_t i = 0; i < json_array_size(migrations) && list->count < ADMIN_MAX_MIGRATIONS; i++) {
        if (!admin_status_read(json_array_get(migrations, i), &list->of[list->count]))
            return err_set(e, ERR_PEER, EBADMSG, "%s: it lists what makes no sense", host);
        list->count++;
    }
    return 0;
}

static int converse(struct call *c, struct admin_list *list, json_t **guests, struct err *e)
{
    json_t *migrations = NULL;
    struct err ignored = ERR_INIT;
    const void *body;
    size_t len_bytes;
    int rc = message_send_empty(&c->control, CONTROL_LIST, e);

    if (!rc)
        rc = call_expect(c, CONTROL_LISTING, &body, &len_bytes, e);
    if (!rc)
        rc = message_parse_listing(body, len_bytes, &migrations, guests, e);
    if (!rc)
        rc = read_listing(c->control.ch->name, migrations, list, e);
    json_decref(migrations);
    message_send_empty(&c->control, CONTROL_HEARD, &ignored);
    return rc;
}

int peer_status_ask(
    const struct options *o, struct admin_list *list, json_t **guests, struct err *e)
{
    const struct call_params p = {
        .address = o->address,
        .insecure = o->insecure,
        .config_dir = o->config_dir,
        .connect_ns = o->connect_ns,
        .silent_ns = o->silent_ns,
    };
    struct call c;
    int rc = admin_list_init(list, e);

    *guests = NULL;
    if (rc)
        return rc;
    rc = call_begin(&c, &p, e);
    if (!rc)
        rc = converse(&c, list, guests, e);
    call_end(&c);
    return rc;
}

int peer_status_has(const struct options *o, const char *uuid, bool *has, struct err *e)
{
    struct admin_list list;
    json_t *guests;
    int rc = peer_status_ask(o, &list, &guests, e);

    if (!rc && !guests)
        rc = err_set(e, ERR_PEER, ENODATA, "%s does not know its domains", o->address.host);
    *has = admin_guest(guests, uuid) != NULL;
    json_decref(guests);
    admin_list_free(&list);
    return rc;
}
