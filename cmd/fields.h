/* SPDX-License-Identifier: MIT */
/*
 * JSON objects as tables: a message's fields are named once, each with its type, its limits and its
 * place in a plain structure, and the table writes the object and reads it. Fields are written in
 * the table's order; others in an object that is read are skipped.
 *
 * A table ends with FIELDS_END.
 */
#ifndef CMD_FIELDS_H
#define CMD_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_kind {
    FIELD_NONE = 0,
    FIELD_BOOL,
    FIELD_WHOLE, /* unsigned of 2, 4 or 8 bytes, or int64_t; read between min and max */
    FIELD_REAL,  /* double; read when it is not negative */
    FIELD_TEXT,  /* char[], which has to hold it with its NUL */
    FIELD_LINE,  /* the same without control characters: it is shown, logged, made part of names */
    FIELD_BYTES, /* uint8_t[]; in the object as hexadecimal digits */
    FIELD_WORD,  /* an enum */
    FIELD_PARTS, /* an object within the object */
};

/* How an enum is spelled. */
struct field_words {
    const char *(*name)(int value);
    int first, count; /* values from first to count - 1 may be read */
    int otherwise;    /* the value for an unknown word; -1: refused */
};

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset, size_bytes;
    int64_t min, max;
    const struct field_words *words;
    const struct field *parts; /* their offsets are from this one's */
};

#define FIELD(name_, kind_, type, member, ...)                                                     \
    {                                                                                              \
        .name = name_, .kind = kind_, .offset = offsetof(type, member),                            \
        .size_bytes = sizeof(((type *)0)->member), __VA_ARGS__                                     \
    }
#define FIELD_BETWEEN(name_, type, member, min_, max_)                                             \
    FIELD(name_, FIELD_WHOLE, type, member, .min = min_, .max = max_)
/* Counts, and times in ns: what an unsigned and an int64_t can hold. */
#define FIELD_COUNT32(name_, type, member) FIELD_BETWEEN(name_, type, member, 0, UINT32_MAX)
#define FIELD_COUNT(name_, type, member)   FIELD_BETWEEN(name_, type, member, 0, INT64_MAX)
#define FIELDS_END                                                                                 \
    {                                                                                              \
        .kind = FIELD_NONE                                                                         \
    }

/* Add all of them to an object. False when there is no memory, or a text is not UTF-8. */
bool fields_write(const struct field *fields, const void *from, json_t *to);
/* A new object; the caller owns the reference. NULL as above. */
json_t *fields_pack(const struct field *fields, const void *from);
/* False when a field is missing, of another type or out of its limits; those before it have been
 * read. */
bool fields_read(const struct field *fields, const json_t *from, void *to);

/* Text that a terminal can show on a line. */
bool field_is_line(const char *text);

#endif
