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
    WORD_BYTES = 80,
    LINE_BYTES = 2 * WORD_BYTES + 24,
    READ_BYTES = 16384,
    FILE_MAX_BYTES = 65536,
    HISTORY_PATH_BYTES = PATHS_BYTES + 16
};

/* Nothing takes longer: a greater figure comes from a broken file. */
#define LIMIT_NS (600 * NS_PER_S)

/* How far the next may lie beyond what was seen, as a share: so far after one, a fifth of that
 * after five; of other hosts always as after one. */
#define SPREAD 0.5

struct seen {
    unsigned count;
    int64_t sorted_ns[NEWEST];
};

static const char *as_word(const char *text)
{
    return *text ? text : "-";
}

/* A word that is too long is written as "-". */
static int write_line(
    char line[static LINE_BYTES], const char *who, const char *kind, int64_t took_ns)
{
    const char *w = strlen(who) < WORD_BYTES ? as_word(who) : "-";
    const char *k = strlen(kind) < WORD_BYTES ? as_word(kind) : "-";

    return snprintf(line, LINE_BYTES, "%s %s %" PRId64 "\n", w, k, took_ns);
}

struct line {
    char who[WORD_BYTES], kind[WORD_BYTES];
    int64_t took_ns;
};

/* A line that is not exactly as history_record() writes it was cut short, or torn by a crash. */
static bool read_line(const char *text, size_t len_bytes, struct line *l)
{
    char copy[LINE_BYTES], again[LINE_BYTES];

    if (len_bytes >= sizeof(copy))
        return false;
    memcpy(copy, text, len_bytes);
    copy[len_bytes] = '\0';
    if (sscanf(copy, "%79s %79s %18" SCNd64, l->who, l->kind, &l->took_ns) != 3 || l->took_ns < 0 ||
        l->took_ns > LIMIT_NS)
        return false;
    return (size_t)write_line(again, l->who, l->kind, l->took_ns) == len_bytes &&
           !memcmp(again, text, len_bytes);
}

static void add(struct seen *s, int64_t time_ns)
{
    unsigned i = s->count;

    if (s->count == NEWEST)
        return;
    for (; i > 0 && s->sorted_ns[i - 1] > time_ns; i--)
        s->sorted_ns[i] = s->sorted_ns[i - 1];
    s->sorted_ns[i] = time_ns;
    s->count++;
}

static struct likely judge(const struct seen *s, double spread)
{
    return (struct likely){
        .ns = s->sorted_ns[s->count / 2],
        .low_ns = (int64_t)((double)s->sorted_ns[0] * (1 - spread)),
        .high_ns = (int64_t)((double)s->sorted_ns[s->count - 1] * (1 + spread)),
    };
}

enum history_match history_from_text(
    const char *text, size_t len_bytes, const struct history_key *key, struct likely *likely)
{
    const char *end = text + len_bytes;
    struct seen same = {0}, alike = {0};

    /* From the newest line back. */
    while (end > text && same.count < NEWEST) {
        const char *line = end - 1;
        struct line l;

        while (line > text && line[-1] != '\n')
            line--;
        if (read_line(line, (size_t)(end - line), &l) && !strcmp(l.kind, as_word(key->kind))) {
            add(&alike, l.took_ns);
            if (!strcmp(l.who, as_word(key->who)))
                add(&same, l.took_ns);
        }
        end = line;
    }
    if (same.count)
        *likely = judge(&same, SPREAD / same.count);
    else if (alike.count)
        *likely = judge(&alike, SPREAD);
    return same.count ? HISTORY_BOTH : alike.count ? HISTORY_KIND : HISTORY_NONE;
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

enum history_match history_look_up(
    const char *what, const struct history_key *key, struct likely *likely)
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
    return history_from_text(text, n > 0 ? (size_t)n : 0, key, likely);
}

int history_record(const char *what, const struct history_key *key, int64_t took_ns, struct err *e)
{
    char line[LINE_BYTES];
    struct stat st;
    const int fd = open_file(what, O_WRONLY | O_CREAT | O_APPEND, e);

    if (fd < 0)
        return fd;

    /* Several processes may append; a line is one write. */
    const int len = write_line(line, key->who, key->kind, took_ns);
    int rc = 0;

    if (!fstat(fd, &st) && st.st_size > FILE_MAX_BYTES && ftruncate(fd, 0))
        rc = err_sys(e, ERR_LOCAL, errno, "cannot shorten the record of what migrations took");
    if (!rc && write(fd, line, (size_t)len) != len)
        rc = err_sys(e, ERR_LOCAL, errno, "cannot write the record of what migrations took");
    close(fd);
    return rc;
}
