/* SPDX-License-Identifier: MIT */
/* A decision as a sentence for people: what would be, what was asked, what happens now and why. */
#ifndef SCHED_WORDS_H
#define SCHED_WORDS_H

#include "sched/decide.h"

enum { DECISION_WORDS_BYTES = 384 };

void decision_words(const struct stats *s, const struct decide_limits *l, const struct decision *d,
    char out[static DECISION_WORDS_BYTES]);

#endif
