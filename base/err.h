/* SPDX-License-Identifier: MIT */
/*
 * Errors: one convention for the whole project.
 *
 * A function that can fail returns 0 or -errno and fills the struct err its caller owns. The text
 * is built where the failure happened and names the object. The first cause wins: err_set() on a
 * struct that already holds an error changes nothing but still returns the new code, so cleanup
 * may report freely. A struct err belongs to one thread; err_take() moves it to another owner.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

/* What kind of failure: decides the exit code and who is told. */
enum err_class {
    ERR_NONE = 0,
    ERR_USAGE,     /* the command line */
    ERR_REFUSED,   /* a rule or a check said no before anything changed */
    ERR_PEER,      /* the other host: unreachable, silent, gone, or talking nonsense */
    ERR_LOCAL,     /* this host: Xen, libxl, files, memory */
    ERR_GUEST,     /* the guest: would not suspend, crashed, cannot be moved as it is */
    ERR_INTERNAL,  /* a bug of ours */
    ERR_CANCELLED, /* somebody asked us to stop */
};

/* On which side it happened. */
enum err_side { SIDE_UNKNOWN = 0, SIDE_SOURCE, SIDE_DESTINATION };

enum { ERR_TEXT_BYTES = 640 };

struct err {
    enum err_class class;
    enum err_side side;
    int code;                  /* positive errno */
    char text[ERR_TEXT_BYTES]; /* one line of UTF-8; what could not be shown is '?' */
};

#define ERR_INIT                                                                                   \
    {                                                                                              \
        .class = ERR_NONE                                                                          \
    }

/* Record an error unless one is there already. Returns -code (code is a positive errno). */
int err_set(struct err *e, enum err_class class, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* As err_set(), with ": " and the system's words for code added to the text. */
int err_sys(struct err *e, enum err_class class, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* What somebody else wrote makes no sense. */
#define err_damaged(e, ...) err_set(e, ERR_REFUSED, EBADMSG, __VA_ARGS__)

/* Put "what: " before the text of an error that is set; nothing if none is. */
void err_prepend(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Copy src into dst unless dst already holds an error. Returns -code of what dst then holds. */
int err_take(struct err *dst, const struct err *src);

static inline bool err_is_set(const struct err *e)
{
    return e->class != ERR_NONE;
}

/* "usage", "refused", ... as events and the wire spell it. */
const char *err_class_name(enum err_class class);
const char *err_side_name(enum err_side side);
/* The same of code, for programs: "no-memory", "cancelled", ...; "other" for one without a word. */
const char *err_code_name(int code);

#endif
