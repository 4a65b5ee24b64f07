/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void log_write(const struct log *log, enum log_level level, const char *fmt, ...)
{
    char line[LOG_LINE_BYTES];
    va_list ap;

    if (level > log->max)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    log->write(log->arg, level, line);
}

void log_to_stderr(void *arg, enum log_level level, const char *line)
{
    static const char *const marks[] = {"error: ", "warning: ", "", ""};
    char out[LOG_LINE_BYTES + 128];
    int len = snprintf(out, sizeof(out), "%s: %s%s\n", (const char *)arg, marks[level], line);

    if (len >= (int)sizeof(out)) {
        len = sizeof(out);
        out[len - 1] = '\n';
    }
    /* Nobody is left to tell if stderr is gone. */
    if (write(STDERR_FILENO, out, (size_t)len) < 0)
        return;
}
