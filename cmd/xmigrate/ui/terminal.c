/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/terminal.h"

#include "base/units.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>

enum { DEFAULT_COLUMNS = 80, LEAST_COLUMNS = 20, MOST_COLUMNS = 1000 };

/* Set and not empty, as the C library and no-color.org have it. */
static const char *get(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

struct terminal_words terminal_environment(void)
{
    return (struct terminal_words){
        .term = get("TERM"),
        .no_color = get("NO_COLOR"),
        .locale = get("LC_ALL") ?: get("LC_CTYPE") ?: get("LANG"),
        .columns = get("COLUMNS"),
    };
}

static bool is_utf8(const char *locale)
{
    const char *codeset = locale ? strchr(locale, '.') : NULL;

    return codeset && (!strncasecmp(codeset, ".UTF-8", 6) || !strncasecmp(codeset, ".UTF8", 5));
}

struct terminal terminal_judge(bool is_terminal, const struct terminal_words *words)
{
    const char *term = words->term;
    struct terminal t = {.folds = is_terminal};

    t.rewrites = is_terminal && term && strcmp(term, "dumb") != 0 && !words->no_color;
    /* The console's font lacks most of them. */
    t.blocks = t.rewrites && is_utf8(words->locale) && strcmp(term, "linux") != 0;
    return t;
}

unsigned terminal_columns(int fd, const char *columns)
{
    struct winsize size;
    uint64_t n;

    if (!ioctl(fd, TIOCGWINSZ, &size) && size.ws_col >= LEAST_COLUMNS)
        return size.ws_col;
    return columns && parse_u64(columns, LEAST_COLUMNS, MOST_COLUMNS, &n) ? (unsigned)n
                                                                          : DEFAULT_COLUMNS;
}
