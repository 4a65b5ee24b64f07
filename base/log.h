/* SPDX-License-Identifier: MIT */
/*
 * Log: one object, passed in. Whoever owns the process decides where lines go (stderr for
 * people and the journal, libxl's message pipe for the save helper). Safe from many threads if
 * write() is; the two of this project are. Lines carry no newline.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log {
    enum log_level max; /* lines above this are dropped before they are formatted */
    void (*write)(void *arg, enum log_level level, const char *line);
    void *arg;
};

enum { LOG_LINE_BYTES = 1024 };

void log_write(const struct log *log, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(log, ...) log_write(log, LOG_ERROR, __VA_ARGS__)
#define log_warn(log, ...)  log_write(log, LOG_WARN, __VA_ARGS__)
#define log_info(log, ...)  log_write(log, LOG_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_write(log, LOG_DEBUG, __VA_ARGS__)

/* A write() that writes "PREFIX: line" to stderr in one write(2); arg is the prefix string. */
void log_to_stderr(void *arg, enum log_level level, const char *line);

#endif
