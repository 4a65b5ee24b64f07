/* SPDX-License-Identifier: MIT */
#include "cmd/fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEX_MAX_BYTES = 1040 };

/* --- writing --- */

static json_t *write_whole(const struct field *f, const void *at)
{
    switch (f->size_bytes) {
    case sizeof(uint16_t):
        return json_integer(*(const uint16_t *)at);
    case sizeof(uint32_t):
        return json_integer(*(const uint32_t *)at);
    default:
        return json_integer(*(const int64_t *)at);
    }
}

static json_t *write_bytes(const struct field *f, const uint8_t *bytes)
{
    char text[2 * HEX_MAX_BYTES + 1] = "";
    json_t *v;

    for (size_t i = 0; i < f->size_bytes && i < HEX_MAX_BYTES; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    v = json_string(text);
    explicit_bzero(text, sizeof(text)); /* it may have been a key */
    return v;
}

static json_t *write_field(const struct field *f, const void *at)
{
    switch (f->kind) {
    case FIELD_BOOL:
        return json_boolean(*(const bool *)at);
    case FIELD_WHOLE:
        return write_whole(f, at);
    case FIELD_REAL:
        return json_real(*(const double *)at);
    case FIELD_TEXT:
    case FIELD_LINE:
        return json_string(at);
    case FIELD_BYTES:
        return write_bytes(f, at);
    case FIELD_WORD:
        return json_string(f->words->name(*(const int *)at));
    case FIELD_PARTS:
        return fields_pack(f->parts, at);
    case FIELD_NONE:
        break;
    }
    return NULL;
}

bool fields_write(const struct field *fields, const void *from, json_t *to)
{
    for (const struct field *f = fields; f->kind != FIELD_NONE; f++)
        if (json_object_set_new(to, f->name, write_field(f, (const char *)from + f->offset)))
            return false;
    return true;
}

json_t *fields_pack(const struct field *fields, const void *from)
{
    json_t *o = json_object();

    if (o && fields_write(fields, from, o))
        return o;
    json_decref(o);
    return NULL;
}

/* --- reading --- */

static bool read_whole(const struct field *f, const json_t *v, void *at)
{
    const json_int_t n = json_integer_value(v);

    if (!json_is_integer(v) || n < f->min || n > f->max)
        return false;
    switch (f->size_bytes) {
    case sizeof(uint16_t):
        *(uint16_t *)at = (uint16_t)n;
        break;
    case sizeof(uint32_t):
        *(uint32_t *)at = (uint32_t)n;
        break;
    default:
        *(int64_t *)at = n;
    }
    return true;
}

static bool read_real(const json_t *v, double *at)
{
    if (!json_is_number(v) || json_number_value(v) < 0)
        return false;
    *at = json_number_value(v);
    return true;
}

bool field_is_line(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < ' ' || *c == 0x7f)
            return false;
    return true;
}

static bool read_text(const struct field *f, const char *text, char *at)
{
    return text && (f->kind != FIELD_LINE || field_is_line(text)) &&
           snprintf(at, f->size_bytes, "%s", text) < (int)f->size_bytes;
}

static bool read_bytes(const struct field *f, const char *text, uint8_t *at)
{
    const size_t digits = 2 * f->size_bytes;

    if (!text || strlen(text) != digits || strspn(text, "0123456789abcdef") != digits)
        return false;
    for (size_t i = 0; i < f->size_bytes; i++) {
        const char pair[3] = {text[2 * i], text[2 * i + 1]};

        at[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

static bool read_word(const struct field_words *words, const char *word, int *at)
{
    for (*at = words->first; word && *at < words->count; ++*at)
        if (!strcmp(words->name(*at), word))
            return true;
    *at = words->otherwise;
    return word && *at >= 0;
}

static bool read_field(const struct field *f, const json_t *v, void *at)
{
    switch (f->kind) {
    case FIELD_BOOL:
        *(bool *)at = json_is_true(v);
        return json_is_boolean(v);
    case FIELD_WHOLE:
        return read_whole(f, v, at);
    case FIELD_REAL:
        return read_real(v, at);
    case FIELD_TEXT:
    case FIELD_LINE:
        return read_text(f, json_string_value(v), at);
    case FIELD_BYTES:
        return read_bytes(f, json_string_value(v), at);
    case FIELD_WORD:
        return read_word(f->words, json_string_value(v), at);
    case FIELD_PARTS:
        return fields_read(f->parts, v, at);
    case FIELD_NONE:
        break;
    }
    return false;
}

bool fields_read(const struct field *fields, const json_t *from, void *to)
{
    for (const struct field *f = fields; f->kind != FIELD_NONE; f++)
        if (!read_field(f, json_object_get(from, f->name), (char *)to + f->offset))
            return false;
    return true;
}
