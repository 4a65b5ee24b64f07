/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/departed.h"

#include "cmd/xmigrate/shared_file.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEPARTED_FILE "departed"

/* An array, the newest last. */
static json_t *guests_of(json_t *o)
{
    if (!json_is_array(json_object_get(o, "guests")))
        json_object_set_new(o, "guests", json_array());
    return json_object_get(o, "guests");
}

static const char *text_of(const json_t *guest, const char *field)
{
    return json_string_value(json_object_get(guest, field)) ?: "";
}

static bool forget(void *arg, json_t *o)
{
    json_t *guests = guests_of(o);
    bool any = false;

    for (size_t i = json_array_size(guests); i-- > 0;)
        if (!strcmp(text_of(json_array_get(guests, i), "uuid"), arg)) {
            json_array_remove(guests, i);
            any = true;
        }
    return any;
}

struct departure {
    const char *name, *uuid, *host;
};

static bool note(void *arg, json_t *o)
{
    const struct departure *d = arg;
    const time_t now = time(NULL);
    char when[DEPARTED_TIME_BYTES];
    struct tm utc;
    json_t *guests = guests_of(o);

    forget((void *)d->uuid, o);
    while (json_array_size(guests) >= DEPARTED_MOST)
        json_array_remove(guests, 0);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    json_array_append_new(guests, json_pack("{s:s, s:s, s:s, s:s}", "domain", d->name, "uuid",
                                      d->uuid, "host", d->host, "time", when));
    return true;
}

int departed_note(const char *name, const char *uuid, const char *host, struct err *e)
{
    struct departure d = {name, uuid, host};

    return shared_file_change(DEPARTED_FILE, note, &d, e);
}

int departed_forget(const char *uuid, struct err *e)
{
    return shared_file_change(DEPARTED_FILE, forget, (void *)uuid, e);
}

bool departed_find(const char *dom, const char *host, struct departed *d)
{
    struct err ignored = ERR_INIT;
    json_t *o = shared_file_read(DEPARTED_FILE, &ignored);
    const json_t *guests = json_object_get(o, "guests");
    bool found = false;

    for (size_t i = json_array_size(guests); i-- > 0 && !found;) {
        const json_t *guest = json_array_get(guests, i);

        if (strcmp(text_of(guest, "domain"), dom) && strcmp(text_of(guest, "uuid"), dom))
            continue;
        if (strcmp(text_of(guest, "host"), host))
            break; /* another host has it since */
        snprintf(d->when, sizeof(d->when), "%s", text_of(guest, "time"));
        snprintf(d->uuid, sizeof(d->uuid), "%s", text_of(guest, "uuid"));
        found = true;
    }
    json_decref(o);
    return found;
}
