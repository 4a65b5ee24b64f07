/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include "base/libc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *const class_names[] = {
    [ERR_NONE] = "none",
    [ERR_USAGE] = "usage",
    [ERR_REFUSED] = "refused",
    [ERR_PEER] = "peer",
    [ERR_LOCAL] = "local",
    [ERR_GUEST] = "guest",
    [ERR_INTERNAL] = "internal",
    [ERR_CANCELLED] = "cancelled",
};

static const char *const side_names[] = {
    [SIDE_UNKNOWN] = "unknown",
    [SIDE_SOURCE] = "source",
    [SIDE_DESTINATION] = "destination",
};

/* docs/events.md has them: they stay what they are. */
static const struct {
    int code;
    const char *name;
} code_names[] = {
    {ENOMEM, "no-memory"},
    {ENOSPC, "no-space"},
    {ECANCELED, "cancelled"},
    {ETIMEDOUT, "timeout"},
    {ESRCH, "no-such-domain"},
    {EEXIST, "exists"},
    {EBUSY, "busy"},
    {EACCES, "not-allowed"},
    {EPERM, "not-allowed"},
    {EOPNOTSUPP, "not-supported"},
    {EPROTONOSUPPORT, "other-version"},
    {EPROTO, "nonsense"},
    {EBADMSG, "cut-short"},
    {ECONNRESET, "connection-lost"},
    {ECONNABORTED, "connection-lost"},
    {EPIPE, "connection-lost"},
    {ENODATA, "connection-lost"},
    {ECONNREFUSED, "unreachable"},
    {EHOSTUNREACH, "unreachable"},
    {ENETUNREACH, "unreachable"},
    {EHOSTDOWN, "unreachable"},
    {ECHILD, "process-died"},
    {ENOENT, "no-such-file"},
    {EINVAL, "invalid"},
    {EIO, "input-output"},
    {ESHUTDOWN, "guest-ended"},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The length of the character at s, in bytes; 0 if it must not be shown (not RFC 3629, or a control
 * character). */
static size_t character_bytes(const unsigned char *s)
{
    static const uint32_t least[] = {0, 0, 0xa0, 0x800, 0x10000};
    const size_t n = *s < 0x80         ? 1
                     : *s >> 5 == 0x6  ? 2
                     : *s >> 4 == 0xe  ? 3
                     : *s >> 3 == 0x1e ? 4
                                       : 0;
    uint32_t c = *s & (0x7f >> (n > 1 ? n : 0));

    if (n == 1)
        return *s >= ' ' && *s != 0x7f;
    for (size_t i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    return c >= least[n] && c <= 0x10ffff && c >> 11 != 0x1b ? n : 0;
}

/* One line of UTF-8: it travels in JSON, and parts of it come from peers, libxl and file names. */
static void make_printable(char *text)
{
    for (size_t n; *text; text += n) {
        n = character_bytes((const unsigned char *)text);
        if (!n) {
            *text = '?';
            n = 1;
        }
    }
}

static int record_error(struct err *e, enum err_class class, int code, const char *fmt, va_list ap)
{
    if (code <= 0)
        code = EIO; /* a failure must never turn into success */
    if (!err_is_set(e)) {
        e->class = class;
        e->code = code;
        vsnprintf(e->text, sizeof(e->text), fmt, ap);
        make_printable(e->text);
    }
    return -code;
}

int err_set(struct err *e, enum err_class class, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int rc = record_error(e, class, code, fmt, ap);
    va_end(ap);
    return rc;
}

int err_sys(struct err *e, enum err_class class, int code, const char *fmt, ...)
{
    const bool first = !err_is_set(e);
    va_list ap;

    va_start(ap, fmt);
    int rc = record_error(e, class, code, fmt, ap);
    va_end(ap);
    if (first) {
        const size_t used = strlen(e->text);

        snprintf(e->text + used, sizeof(e->text) - used, ": %s", strerrordesc_np(-rc) ?: "error");
    }
    return rc;
}

void err_prepend(struct err *e, const char *fmt, ...)
{
    char old[ERR_TEXT_BYTES];
    va_list ap;

    if (!err_is_set(e))
        return;
    memcpy(old, e->text, sizeof(old));
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);

    const size_t used = strlen(e->text);

    snprintf(e->text + used, sizeof(e->text) - used, ": %s", old);
    make_printable(e->text);
}

int err_take(struct err *dst, const struct err *src)
{
    if (!err_is_set(dst))
        *dst = *src;
    return -dst->code;
}

const char *err_class_name(enum err_class class)
{
    return (size_t) class < COUNT(class_names) ? class_names[class] : "internal";
}

const char *err_side_name(enum err_side side)
{
    return (size_t)side < COUNT(side_names) ? side_names[side] : "unknown";
}

const char *err_code_name(int code)
{
    for (size_t i = 0; i < COUNT(code_names); i++)
        if (code_names[i].code == code)
            return code_names[i].name;
    return "other";
}
