/* SPDX-License-Identifier: MIT */
/* A command's words, one after the other, and the text of its answer. */
#ifndef XENSIM_COMMAND_IO_H
#define XENSIM_COMMAND_IO_H

#include <stddef.h>

enum { MAX_WORDS = 64 };

struct words {
    const char *word[MAX_WORDS];
    unsigned count, next;
};

struct answer {
    char *text; /* malloc'ed, or NULL */
    size_t used, room;
};

/* text: words that each end with NUL, `bytes` in all. Those beyond MAX_WORDS are left out. */
void words_split(struct words *w, const char *text, size_t bytes);

/* NULL after the last. */
const char *next_word(struct words *w);

void say(struct answer *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void say_text(struct answer *a, const char *text);

/* Say why, and evaluate to the command's result. */
#define fail(a, code, ...) (say(a, __VA_ARGS__), -(code))

#endif
