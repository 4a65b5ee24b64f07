/* SPDX-License-Identifier: MIT */
/*
 * What a person sees: on a terminal one line that is rewritten while a round runs, above it
 * the rounds that are over and whatever the log says, folded to its width. Where lines cannot be
 * rewritten (a pipe, TERM=dumb, NO_COLOR) there are plain lines, and one in ten seconds that says
 * how far it is. All of it goes to stderr. layout.h makes the lines.
 *
 * The lock guards the line in progress: log lines come from libxl's and the control connection's
 * threads too, the rest from the story's.
 */
#ifndef CMD_XMIGRATE_UI_VIEW_H
#define CMD_XMIGRATE_UI_VIEW_H

#include "base/log.h"
#include "cmd/xmigrate/ui/events.h"
#include "cmd/xmigrate/ui/meter.h"
#include "cmd/xmigrate/ui/terminal.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { VIEW_LINE_BYTES = 256, VIEW_SUMMARY_BYTES = 2048 };

struct view {
    pthread_mutex_t lock;
    int fd;
    struct terminal terminal;
    struct terminal_words words;
    bool quiet;          /* errors only */
    bool to_file;        /* what goes out goes into a file; set by the owner */
    struct meter meter;  /* the story's */
    int64_t plain_ns;    /* when the next plain line about progress is due; 0: not yet known */
    bool line_shown;     /* a line in progress stands on the terminal's last row */
    const char *program; /* before log lines */
};

void view_init(struct view *v, bool quiet);
void view_destroy(struct view *v);

/* A log's write(): its lines go above the line in progress; arg is the view. */
void view_log(void *arg, enum log_level level, const char *line);

void view_progress(struct view *v, const struct progress_report *r);
void view_round(struct view *v, const struct round_report *r);
/* An event of the engine's: progress, a round, a decision; nothing for others. */
void view_event(struct view *v, const json_t *body);
void view_summary(struct view *v, const struct summary *s);
/* Lines that stay. */
void view_text(struct view *v, const char *text);
/* A line that stays. */
void view_say(struct view *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Pure: the words of the above, without a newline at the end. */
void format_round(const struct round_report *r, bool to_file, char out[static VIEW_LINE_BYTES]);
void format_summary(const struct summary *s, char out[static VIEW_SUMMARY_BYTES]);

#endif
