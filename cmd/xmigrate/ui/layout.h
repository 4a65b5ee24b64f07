/* SPDX-License-Identifier: MIT */
/*
 * How lines for people are laid out, for a terminal of so many columns. A guest's memory is told in
 * binary bytes (MiB, MiB/s), what goes over the wire in decimal ones and bits (MB, Mbit/s), so that
 * they cannot be taken for each other. Pure; texts are UTF-8, and each character takes a column.
 */
#ifndef CMD_XMIGRATE_UI_LAYOUT_H
#define CMD_XMIGRATE_UI_LAYOUT_H

#include "cmd/xmigrate/ui/meter.h"

#include <stdbool.h>
#include <stddef.h>

enum { LAYOUT_PROGRESS_BYTES = 512 };

struct layout {
    unsigned columns; /* to fill at most */
    bool blocks;      /* a bar may be of Unicode's block elements */
    bool to_file;     /* it goes into a file and not over a wire */
};

/* A line to be rewritten in place: a bar, and as many figures as there is room for, each in a place
 * that it keeps. Escape sequences colour the bar. */
void layout_bar(const struct progress_report *r, const struct meter *m, const struct layout *l,
    char out[static LAYOUT_PROGRESS_BYTES]);

/* The same as words, all of them. */
void layout_plain(const struct progress_report *r, const struct meter *m, const struct layout *l,
    char out[static LAYOUT_PROGRESS_BYTES]);

/* The lines of text folded at spaces, to at most so many columns; what continues one stands four
 * columns to its right. A number and its unit stay together. A word that is longer than that is
 * left as it is, to be copied in one piece. Cut off where out is full. Returns its length. */
size_t layout_fold(const char *text, unsigned columns, char *out, size_t out_bytes);

#endif
