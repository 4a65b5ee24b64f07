/* SPDX-License-Identifier: MIT */
/* Where lines for people go: what may be written there, and how wide it is. */
#ifndef CMD_XMIGRATE_UI_TERMINAL_H
#define CMD_XMIGRATE_UI_TERMINAL_H

#include <stdbool.h>

struct terminal {
    bool folds;    /* a terminal: lines are folded to its width */
    bool rewrites; /* and one that knows escape sequences, which its user does not mind */
    bool blocks;   /* and shows Unicode's block elements */
};

/* What the environment says; NULL for what is not set. */
struct terminal_words {
    const char *term, *no_color, *locale, *columns;
};

/* Of this process. */
struct terminal_words terminal_environment(void);

/* Pure. */
struct terminal terminal_judge(bool is_terminal, const struct terminal_words *words);

/* The terminal's own word, which follows its window; else that of COLUMNS; else 80. */
unsigned terminal_columns(int fd, const char *columns);

#endif
