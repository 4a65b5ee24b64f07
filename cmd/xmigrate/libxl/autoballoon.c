/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/libxl/autoballoon.h"

#include <string.h>

/* The word after `autoballoon =`, perhaps quoted; NULL: the line is another. */
static const char *value_in(const char *line)
{
    line += strspn(line, " \t");
    if (strncmp(line, "autoballoon", strlen("autoballoon")))
        return NULL;
    line += strlen("autoballoon");
    line += strspn(line, " \t");
    if (*line != '=')
        return NULL;
    line++;
    return line + strspn(line, " \t\"'");
}

static bool is_word(const char *text, const char *word)
{
    const size_t len = strlen(word);

    return !strncmp(text, word, len) && strchr(" \t\r\n\"'#", text[len]);
}

/* A word of the command line, as libxl's own have it. */
static bool has_size(const char *line)
{
    for (const char *at = line; (at = strstr(at, "dom0_mem=")); at++)
        if (at == line || at[-1] == ' ')
            return true;
    return false;
}

/* The last one counts. */
bool autoballoon_is_on(const char *xl_conf, const char *xen_command_line)
{
    enum { AUTO, OFF, ON } said = AUTO;

    for (const char *line = xl_conf; line; line = strchr(line, '\n')) {
        line += *line == '\n';

        const char *value = value_in(line);

        if (value && (is_word(value, "on") || is_word(value, "1")))
            said = ON;
        else if (value && (is_word(value, "off") || is_word(value, "0")))
            said = OFF;
        else if (value)
            said = AUTO;
    }
    return said == AUTO ? !has_size(xen_command_line) : said == ON;
}
