/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/history.h"

#include "base/deadline.h"
#include "cmd/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NEWEST = 5,
    LINE_BYTES = 64,
    READ_BYTES = 4096,
    FILE_MAX_BYTES = 65536,
    HISTORY_PATH_BYTES = PATHS_BYTES + 16
};

/* Nothing takes longer: a greater figure comes from a broken file. */
#define LIMIT_NS (600 * NS_PER_S)

static int write_line(char line[static LINE_BYTES], unsigned kind, int64_t took_ns)
{
    return snprintf(line, LINE_BYTES, "%u %" PRId64 "\n", kind, took_ns);
}

/* A line that is not exactly as history_record() writes it was cut short, or torn by a crash. */
static bool read_line(const char *line, size_t len_bytes, unsigned *kind, int64_t *took_ns)
{
    char copy[LINE_BYTES], again[LINE_BYTES];

    if (len_bytes >= sizeof(copy))
        return false;
    memcpy(copy, line, len_bytes);
    copy[len_bytes] = '\0';
    if (sscanf(copy, "%9u %18" SCNd64, kind, took_ns) != 2 || *took_ns < 0 || *took_ns > LIMIT_NS)
        return false;
    return (size_t)write_line(again, *kind, *took_ns) == len_bytes &&
           !memcmp(again, line, len_bytes);
}

static void insert_sorted(int64_t *times_ns, unsigned count, int64_t time_ns)
{
    unsigned i = count;

    for (; i > 0 && times_ns[i - 1] > time_ns; i--)
        times_ns[i] = times_ns[i - 1];
    times_ns[i] = time_ns;
}

int64_t history_from_text(const char *text, size_t len_bytes, unsigned kind, int64_t otherwise_ns)
{
    const char *end = text + len_bytes;
    int64_t newest_ns[NEWEST];
    unsigned found = 0;

    /* From the newest line back. */
    while (end > text && found < NEWEST) {
        const char *line = end - 1;
        unsigned line_kind;
        int64_t took_ns;

        while (line > text && line[-1] != '\n')
            line--;
        if (read_line(line, (size_t)(end - line), &line_kind, &took_ns) && line_kind == kind)
            insert_sorted(newest_ns, found++, took_ns);
        end = line;
    }
    return found ? newest_ns[found / 2] : otherwise_ns;
}

static int open_file(const char *what, int flags, struct err *e)
{
    char dir[PATHS_BYTES], path[HISTORY_PATH_BYTES];
    const int rc = open_run_dir(dir, e);

    if (rc)
        return rc;
    snprintf(path, sizeof(path), "%s/%s", dir, what);

    const int fd = open(path, flags | O_CLOEXEC, 0600);

    return fd >= 0 ? fd : err_sys(e, ERR_LOCAL, errno, "cannot open %s", path);
}

int64_t history_estimate_ns(const char *what, unsigned kind, int64_t otherwise_ns)
{
    struct err ignored = ERR_INIT;
    char text[READ_BYTES];
    const int fd = open_file(what, O_RDONLY, &ignored);
    ssize_t n = 0;

    if (fd >= 0) {
        const off_t size = lseek(fd, 0, SEEK_END);

        n = pread(fd, text, sizeof(text), size > READ_BYTES ? size - READ_BYTES : 0);
        close(fd);
    }
    return history_from_text(text, n > 0 ? (size_t)n : 0, kind, otherwise_ns);
}

int history_record(const char *what, unsigned kind, int64_t took_ns, struct err *e)
{
    char line[LINE_BYTES];
    struct stat st;
    const int fd = open_file(what, O_WRONLY | O_CREAT | O_APPEND, e);

    if (fd < 0)
        return fd;

    /* Several processes may append; a line is one write. */
    const int len = write_line(line, kind, took_ns);
    int rc = 0;

    if (!fstat(fd, &st) && st.st_size > FILE_MAX_BYTES && ftruncate(fd, 0))
        rc = err_sys(e, ERR_LOCAL, errno, "cannot shorten the record of what migrations took");
    if (!rc && write(fd, line, (size_t)len) != len)
        rc = err_sys(e, ERR_LOCAL, errno, "cannot write the record of what migrations took");
    close(fd);
    return rc;
}
