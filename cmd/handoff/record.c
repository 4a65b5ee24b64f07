/* SPDX-License-Identifier: MIT */
#include "cmd/handoff/record.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JOURNAL_VERSION = 4, DOMID_MAX = 0x7fef };

/* -1: none has that name. */
static int role_named(const char *name)
{
    for (int i = 0; name && i < HANDOFF_ROLES; i++)
        if (!strcmp(handoff_role_name((enum handoff_role)i), name))
            return i;
    return -1;
}

/* Of those that are recorded; -1: none has that name. */
static int state_named(const char *name)
{
    for (int i = 0; name && i < HANDOFF_STATES; i++)
        if (i != HANDOFF_BACK && !strcmp(handoff_state_name((enum handoff_state)i), name))
            return i;
    return -1;
}

static bool take_text(const json_t *o, const char *key, char *out, size_t cap)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text && snprintf(out, cap, "%s", text) < (int)cap;
}

/* As take_text(), of what only some records have. */
static bool take_text_if_any(const json_t *o, const char *key, char *out, size_t cap)
{
    out[0] = '\0';
    return !json_object_get(o, key) || take_text(o, key, out, cap);
}

static bool take_int(const json_t *o, const char *key, json_int_t min, json_int_t max, int *v)
{
    const json_t *f = json_object_get(o, key);

    if (!json_is_integer(f) || json_integer_value(f) < min || json_integer_value(f) > max)
        return false;
    *v = (int)json_integer_value(f);
    return true;
}

/* 8-4-4-4-12 lower-case hex digits: it becomes part of a file's name. */
bool journal_is_uuid(const char *text)
{
    if (strlen(text) != JOURNAL_UUID_BYTES - 1)
        return false;
    for (size_t i = 0; i < JOURNAL_UUID_BYTES - 1; i++)
        if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-'
                                                    : !strchr("0123456789abcdef", text[i]))
            return false;
    return true;
}

bool journal_uuid_bytes(const char *text, uint8_t bytes[static 16])
{
    if (!journal_is_uuid(text))
        return false;
    for (size_t i = 0; i < 16; i++, text += 2) {
        text += *text == '-';
        sscanf(text, "%2hhx", &bytes[i]);
    }
    return true;
}

bool journal_is_id(const char *text)
{
    return strlen(text) == JOURNAL_ID_BYTES - 1 &&
           strspn(text, "0123456789abcdef") == JOURNAL_ID_BYTES - 1;
}

static bool read_state(const json_t *o, struct journal_record *s)
{
    const int state = state_named(json_string_value(json_object_get(o, "phase")));

    if (state < 0 || handoff_role_of((enum handoff_state)state) != s->role ||
        !json_is_boolean(json_object_get(o, "logging")) ||
        !json_is_boolean(json_object_get(o, "suspending")))
        return false;
    s->state = (enum handoff_state)state;
    s->logging = json_is_true(json_object_get(o, "logging"));
    s->suspending = json_is_true(json_object_get(o, "suspending"));
    return true;
}

static bool read_fields(const json_t *o, struct journal_record *s)
{
    int version, domid, supervisor, helper;

    if (!take_int(o, "version", JOURNAL_VERSION, JOURNAL_VERSION, &version) ||
        !take_int(o, "domid", -1, DOMID_MAX, &domid) ||
        !take_int(o, "cap", JOURNAL_NO_CAP, UINT16_MAX, &s->cap) ||
        !take_int(o, "supervisor", 0, INT32_MAX, &supervisor) ||
        !take_int(o, "helper", 0, INT32_MAX, &helper) ||
        !take_text(o, "uuid", s->uuid, sizeof(s->uuid)) || !journal_is_uuid(s->uuid) ||
        !take_text(o, "name", s->name, sizeof(s->name)) ||
        !take_text(o, "peer", s->peer, sizeof(s->peer)) ||
        !take_text(o, "session", s->session, sizeof(s->session)) ||
        (s->session[0] && !journal_is_id(s->session)) ||
        !take_text(o, "boot", s->boot, sizeof(s->boot)) ||
        !take_text(o, "host", s->host, sizeof(s->host)) ||
        !take_int(o, "port", 0, UINT16_MAX, &s->port) ||
        !json_is_boolean(json_object_get(o, "insecure")) ||
        !take_text(o, "peer_journal", s->peer_journal, sizeof(s->peer_journal)) ||
        !take_text(o, "peer_key", s->peer_key, sizeof(s->peer_key)) ||
        !take_text(o, "moved_to", s->moved_to, sizeof(s->moved_to)) ||
        !take_text_if_any(o, "file", s->file, sizeof(s->file)) ||
        (s->file[0] && s->file[0] != '/') ||
        !take_text_if_any(o, "file_key", s->file_key, sizeof(s->file_key)) ||
        !take_text_if_any(o, "file_parent", s->file_parent, sizeof(s->file_parent)))
        return false;
    s->file_inode = (uint64_t)json_integer_value(json_object_get(o, "file_inode"));
    s->revive = json_is_true(json_object_get(o, "revive"));

    const int role = role_named(json_string_value(json_object_get(o, "role")));

    if (role < 0)
        return false;
    s->role = (enum handoff_role)role;
    s->insecure = json_is_true(json_object_get(o, "insecure"));
    s->domid = domid < 0 ? JOURNAL_NO_DOMID : (uint32_t)domid;
    s->supervisor = supervisor;
    s->helper = helper;
    return read_state(o, s);
}

/* What was amended, if anything was. */
static bool read_amendment(const char *text, size_t len_bytes, struct journal_record *s)
{
    size_t blank = 0;

    while (blank < len_bytes && text[blank] == '\n')
        blank++;
    if (blank == len_bytes)
        return true;

    json_t *o = json_loadb(text, len_bytes, JSON_REJECT_DUPLICATES, NULL);
    const bool good = json_is_object(o) && read_state(o, s);

    json_decref(o);
    return good;
}

int journal_parse(const char *text, size_t len_bytes, struct journal_record *s, struct err *e)
{
    const size_t first_bytes = len_bytes < JOURNAL_AMENDMENT_AT ? len_bytes : JOURNAL_AMENDMENT_AT;
    json_t *o = json_loadb(text, first_bytes, JSON_REJECT_DUPLICATES, NULL);
    struct journal_record got = {0};
    const bool good = json_is_object(o) && read_fields(o, &got) &&
                      read_amendment(text + first_bytes, len_bytes - first_bytes, &got);

    json_decref(o);
    if (!good)
        return err_set(e, ERR_REFUSED, EBADMSG, "this is not a journal's record of version %d",
            JOURNAL_VERSION);
    *s = got;
    return 0;
}

int journal_check_name(const struct journal_record *s, const char *file, struct err *e)
{
    char own[64], past[64];

    snprintf(own, sizeof(own), "%s-%s.json", s->role == HANDOFF_SOURCE ? "out" : "in", s->uuid);
    snprintf(past, sizeof(past), "past-%s.json", s->session);
    if (!strcmp(file, own) || (s->role == HANDOFF_DESTINATION && !strcmp(file, past)))
        return 0;
    return err_set(e, ERR_REFUSED, EBADMSG,
        "this is a second record of \"%s\" (%s), in a file of another name", s->name, s->uuid);
}

/* What a record without a file has not. */
static bool put_file(json_t *o, const struct journal_record *s)
{
    return !s->file[0] ||
           (!json_object_set_new(o, "file", json_string(s->file)) &&
               !json_object_set_new(o, "revive", json_boolean(s->revive)) &&
               !json_object_set_new(o, "file_inode", json_integer((json_int_t)s->file_inode)) &&
               !json_object_set_new(o, "file_key", json_string(s->file_key)) &&
               !json_object_set_new(o, "file_parent", json_string(s->file_parent)));
}

char *journal_text(const struct journal_record *s)
{
    json_t *o = json_pack("{s:i, s:s, s:s, s:b, s:b, s:i, s:I, s:s, s:s, s:s, s:i, s:i}", "version",
        JOURNAL_VERSION, "role", handoff_role_name(s->role), "phase", handoff_state_name(s->state),
        "logging", s->logging, "suspending", s->suspending, "cap", s->cap, "domid",
        s->domid == JOURNAL_NO_DOMID ? (json_int_t)-1 : (json_int_t)s->domid, "uuid", s->uuid,
        "name", s->name, "peer", s->peer, "supervisor", (int)s->supervisor, "helper",
        (int)s->helper);
    json_t *more = json_pack("{s:s, s:s, s:s, s:i, s:b, s:s, s:s, s:s}", "session", s->session,
        "boot", s->boot, "host", s->host, "port", s->port, "insecure", s->insecure, "peer_journal",
        s->peer_journal, "peer_key", s->peer_key, "moved_to", s->moved_to);
    const bool whole = o && more && !json_object_update(o, more) && put_file(o, s);
    char *text = whole ? json_dumps(o, JSON_INDENT(1)) : NULL;

    json_decref(o);
    json_decref(more);
    return text;
}

int journal_file_text(
    const struct journal_record *s, char text[static JOURNAL_FILE_BYTES], struct err *e)
{
    char *json = journal_text(s);
    const size_t len = json ? strlen(json) : 0;
    const bool fits = len <= JOURNAL_AMENDMENT_AT;

    memset(text, '\n', JOURNAL_FILE_BYTES);
    if (json && fits)
        memcpy(text, json, len);
    free(json);
    if (!json)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for a record");
    return fits ? 0 : err_set(e, ERR_LOCAL, E2BIG, "the record would be too long");
}

void journal_amendment(const struct journal_record *s, char text[static JOURNAL_AMENDMENT_BYTES])
{
    char json[JOURNAL_AMENDMENT_BYTES];
    const int len = snprintf(json, sizeof(json),
        "{\"phase\": \"%s\", \"logging\": %s, \"suspending\": %s}", handoff_state_name(s->state),
        s->logging ? "true" : "false", s->suspending ? "true" : "false");

    memset(text, '\n', JOURNAL_AMENDMENT_BYTES);
    memcpy(text, json, (size_t)len);
}

struct journal_record journal_arrival(const char *uuid, const char *name, const char *peer)
{
    struct journal_record s = {
        .role = HANDOFF_DESTINATION,
        .state = HANDOFF_COMING,
        .cap = JOURNAL_NO_CAP,
        .domid = JOURNAL_NO_DOMID,
        .supervisor = getpid(),
    };

    snprintf(s.uuid, sizeof(s.uuid), "%s", uuid);
    snprintf(s.name, sizeof(s.name), "%s", name);
    snprintf(s.peer, sizeof(s.peer), "%s", peer);
    return s;
}

bool journal_is_harmless(const struct journal_record *s)
{
    return s->state == HANDOFF_LIVE && !s->logging && !s->suspending && s->cap == JOURNAL_NO_CAP &&
           !s->file[0];
}

bool journal_is_history(const struct journal_record *s)
{
    return s->state == HANDOFF_STARTED || s->state == HANDOFF_ENDED ||
           s->state == HANDOFF_MOVED_ON || s->state == HANDOFF_GONE;
}
