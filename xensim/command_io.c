/* SPDX-License-Identifier: MIT */
#include "xensim/command_io.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void words_split(struct words *w, const char *text, size_t bytes)
{
    for (size_t at = 0; at < bytes && w->count < MAX_WORDS; at += strlen(text + at) + 1)
        w->word[w->count++] = text + at;
}

void say_text(struct answer *a, const char *text)
{
    size_t n = strlen(text);

    if (a->used + n + 1 > a->room) {
        size_t room = (a->used + n + 1) * 2;
        char *bigger = realloc(a->text, room);

        if (!bigger)
            return;
        a->text = bigger;
        a->room = room;
    }
    memcpy(a->text + a->used, text, n + 1);
    a->used += n;
}

void say(struct answer *a, const char *fmt, ...)
{
    char line[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    say_text(a, line);
}

const char *next_word(struct words *w)
{
    return w->next < w->count ? w->word[w->next++] : NULL;
}
