/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/image/xl_file.h"

#include "base/bytes.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the header's fields are. The order of bytes is that of the machine that wrote it. */
enum {
    MAGIC_BYTES = 32,
    ORDER_AT = 32,
    MANDATORY_AT = 36,
    OPTIONAL_AT = 40,
    OPTIONAL_LENGTH_AT = 44,
};

enum { FLAG_JSON = 1, FLAG_STREAM_V2 = 2, FLAGS = FLAG_JSON | FLAG_STREAM_V2 };

#define BYTE_ORDER_MARK    0x01020304u
#define SWAPPED_ORDER_MARK 0x04030201u

static const char magic[MAGIC_BYTES] = "Xen saved domain, xl format\n \0 \r";

/* Of our note: a word, a length, and JSON. */
static const char note_word[8] = "XMIGRATE";
enum { NOTE_FRONT_BYTES = sizeof(note_word) + 4, LENGTH_BYTES = 4 };

static const char *const kind_names[] = {[IMAGE_SAVE] = "save", [IMAGE_CHECKPOINT] = "checkpoint"};

const char *image_kind_name(enum image_kind kind)
{
    return kind_names[kind];
}

#define refuse(e, code, ...) err_set(e, ERR_REFUSED, code, __VA_ARGS__)

int xl_file_read_header(
    const uint8_t header[static XL_FILE_HEADER_BYTES], struct xl_front *front, struct err *e)
{
    const uint32_t order = get_le32(header + ORDER_AT);
    const uint32_t flags = get_le32(header + MANDATORY_AT);
    const uint32_t len_bytes = get_le32(header + OPTIONAL_LENGTH_AT);

    if (memcmp(header, magic, sizeof(magic)))
        return refuse(e, EBADMSG, "it does not begin as a file of xl save does");
    if (order == SWAPPED_ORDER_MARK)
        return refuse(e, EOPNOTSUPP, "it was written on a machine of the other byte order");
    if (order != BYTE_ORDER_MARK)
        return refuse(e, EBADMSG, "its byte order mark is 0x%08x", order);
    if (flags & ~(uint32_t)FLAGS)
        return refuse(e, EOPNOTSUPP, "it needs a newer reader (flags 0x%x)", flags);
    if (len_bytes > XL_FILE_MAX_OPTIONAL_BYTES)
        return refuse(e, EBADMSG, "its configuration would have %u bytes", len_bytes);
    *front = (struct xl_front){
        .optional_bytes = len_bytes,
        .json = flags & FLAG_JSON,
        .stream_v2 = flags & FLAG_STREAM_V2,
    };
    return 0;
}

static int kind_of(const char *name, enum image_kind *kind)
{
    for (int i = 0; name && i < IMAGE_KINDS; i++)
        if (!strcmp(kind_names[i], name)) {
            *kind = (enum image_kind)i;
            return 0;
        }
    return -1;
}

static void take_text(const json_t *o, const char *key, char *out, size_t cap)
{
    snprintf(out, cap, "%s", json_string_value(json_object_get(o, key)) ?: "?");
}

int xl_file_parse_note(const char *text, size_t len_bytes, struct image_note *note, struct err *e)
{
    json_t *o = json_loadb(text, len_bytes, JSON_REJECT_DUPLICATES, NULL);
    const int rc = kind_of(json_string_value(json_object_get(o, "kind")), &note->kind);

    take_text(o, "program", note->program, sizeof(note->program));
    take_text(o, "made", note->made, sizeof(note->made));
    json_decref(o);
    return rc ? refuse(e, EBADMSG, "its note does not say what kind of file it is") : 0;
}

static int read_json(const uint8_t *optional, size_t len_bytes, const char **config,
    struct image_note *note, struct err *e)
{
    struct bytes_in in = bytes_in_init(optional, len_bytes);
    const uint32_t config_bytes = bytes_in_u32(&in);
    const char *text = bytes_in_take(&in, config_bytes);

    *note = (struct image_note){.kind = IMAGE_SAVE};
    if (!text || !config_bytes || memchr(text, 0, config_bytes) != text + config_bytes - 1)
        return refuse(e, EBADMSG, "its configuration is no text of the length that it says");
    *config = text;

    const char *word = bytes_in_take(&in, sizeof(note_word));

    if (!word || memcmp(word, note_word, sizeof(note_word)))
        return 0;

    const uint32_t note_bytes = bytes_in_u32(&in);
    const char *json = bytes_in_take(&in, note_bytes);

    if (!json)
        return refuse(e, EBADMSG, "its note is longer than its header says");
    return xl_file_parse_note(json, note_bytes, note, e);
}

/* xl's own text may be empty and has no NUL. */
static int read_text(const uint8_t *optional, size_t len_bytes, const char **config,
    size_t *config_bytes, struct err *e)
{
    struct bytes_in in = bytes_in_init(optional, len_bytes);

    *config_bytes = bytes_in_u32(&in);
    *config = bytes_in_take(&in, *config_bytes);
    if (!*config || !bytes_in_done(&in) || memchr(*config, 0, *config_bytes))
        return refuse(e, EBADMSG, "its configuration is no text of the length that it says");
    return 0;
}

int xl_file_keep_config(const uint8_t *optional, const struct xl_front *front, char **config,
    struct image_note *note, struct err *e)
{
    const char *text = NULL;
    size_t text_bytes;
    int rc;

    *note = (struct image_note){.kind = IMAGE_SAVE};
    if (front->json) {
        rc = read_json(optional, front->optional_bytes, &text, note, e);
        text_bytes = rc ? 0 : strlen(text);
    } else {
        rc = read_text(optional, front->optional_bytes, &text, &text_bytes, e);
    }
    if (rc)
        return rc;
    *config = strndup(text, text_bytes);
    return *config ? 0 : refuse(e, ENOMEM, "out of memory");
}

void xl_file_set_stream_v2(uint8_t header[static XL_FILE_HEADER_BYTES])
{
    put_le32(header + MANDATORY_AT, get_le32(header + MANDATORY_AT) | FLAG_STREAM_V2);
}

static void put_front(uint8_t *p, const char *config, const char *json)
{
    const uint32_t config_bytes = (uint32_t)strlen(config) + 1, json_bytes = (uint32_t)strlen(json);

    memcpy(p, magic, sizeof(magic));
    put_le32(p + ORDER_AT, BYTE_ORDER_MARK);
    put_le32(p + MANDATORY_AT, FLAGS);
    put_le32(p + OPTIONAL_AT, 0);
    put_le32(p + OPTIONAL_LENGTH_AT, LENGTH_BYTES + config_bytes + NOTE_FRONT_BYTES + json_bytes);
    p += XL_FILE_HEADER_BYTES;
    put_le32(p, config_bytes);
    memcpy(p + LENGTH_BYTES, config, config_bytes);
    p += LENGTH_BYTES + config_bytes;
    memcpy(p, note_word, sizeof(note_word));
    put_le32(p + sizeof(note_word), json_bytes);
    memcpy(p + NOTE_FRONT_BYTES, json, json_bytes);
}

char *xl_file_format_note(const struct image_note *note)
{
    json_t *o = json_pack("{s:s, s:s, s:s}", "kind", image_kind_name(note->kind), "program",
        note->program, "made", note->made);
    char *json = o ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    return json;
}

int xl_file_write(const char *config, const struct image_note *note, uint8_t **front,
    size_t *len_bytes, struct err *e)
{
    char *json = xl_file_format_note(note);
    const size_t optional_bytes = LENGTH_BYTES + strlen(config) + 1 + NOTE_FRONT_BYTES +
                                  (json ? strlen(json) : 0);

    *len_bytes = XL_FILE_HEADER_BYTES + optional_bytes;
    *front = json && optional_bytes <= XL_FILE_MAX_OPTIONAL_BYTES ? malloc(*len_bytes) : NULL;
    if (*front)
        put_front(*front, config, json);
    free(json);
    return *front ? 0 : err_set(e, ERR_LOCAL, ENOMEM, "cannot write the configuration to a file");
}
