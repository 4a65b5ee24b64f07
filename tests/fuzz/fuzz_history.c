/* SPDX-License-Identifier: MIT */
/* What earlier migrations took: the first two bytes are who and what kind is asked for, a letter
 * each, the rest is the file. The answer is a median of what a simpler reader finds, within a range
 * that holds all of it. */
#include "cmd/xmigrate/history.h"
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum { NEWEST = 5, WORD_BYTES = 80 };

/* A number as it is written: no sign, no blank, no zero before it. What is left stands at *at. */
static bool read_number(const char **at, const char *end, uint64_t most, uint64_t *n)
{
    const char *const start = *at;

    for (*n = 0; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        if (*n > most)
            return false;
        *n = *n * 10 + (uint64_t)(**at - '0');
    }
    return *at > start && *n <= most && (*start != '0' || *at == start + 1);
}

/* As a word of a line: no blank, and neither nothing nor too much. */
static bool read_word(const char **at, const char *end, char *letter)
{
    const char *const start = *at;

    while (*at < end && !isspace((unsigned char)**at) && **at)
        ++*at;
    *letter = *at == start + 1 ? *start : '\0';
    return *at > start && *at - start < WORD_BYTES;
}

static bool read_line(const char *line, const char *end, char *who, char *kind, uint64_t *took_ns)
{
    return read_word(&line, end, who) && line < end && *line++ == ' ' &&
           read_word(&line, end, kind) && line < end && *line++ == ' ' &&
           read_number(&line, end, 600000000000, took_ns) && line == end;
}

struct seen {
    int64_t newest_ns[NEWEST];
    unsigned count;
};

static void note(struct seen *s, int64_t took_ns)
{
    s->newest_ns[s->count++ % NEWEST] = took_ns;
}

static void check(const struct seen *s, const struct likely *got)
{
    const unsigned count = s->count < NEWEST ? s->count : NEWEST;
    unsigned less = 0, more = 0;

    for (unsigned i = 0; i < count; i++) {
        less += s->newest_ns[i] < got->ns;
        more += s->newest_ns[i] > got->ns;
        must(got->low_ns <= s->newest_ns[i] && s->newest_ns[i] <= got->high_ns);
    }
    must(less <= count / 2 && more <= (count - 1) / 2 && less + more < count);
}

static const struct likely otherwise = {-1, -2, -3};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || !isalnum(data[0]) || !isalnum(data[1]))
        return 0;

    const char who[] = {(char)data[0], '\0'}, kind[] = {(char)data[1], '\0'};
    const struct history_key key = {who, kind};
    const char *text = (const char *)data + 2, *end = (const char *)data + size;
    struct seen same = {0}, alike = {0};
    struct likely got = otherwise;
    const enum history_match match = history_from_text(text, size - 2, &key, &got);
    const char *newline;

    for (const char *line = text; line < end; line = newline + 1) {
        char a, b;
        uint64_t took_ns;

        newline = memchr(line, '\n', (size_t)(end - line));
        if (!newline)
            break;
        if (!read_line(line, newline, &a, &b, &took_ns) || b != *kind)
            continue;
        note(&alike, (int64_t)took_ns);
        if (a == *who)
            note(&same, (int64_t)took_ns);
    }
    must(match == (same.count ? HISTORY_BOTH : alike.count ? HISTORY_KIND : HISTORY_NONE));
    if (match == HISTORY_NONE)
        must(!memcmp(&got, &otherwise, sizeof(got)));
    else
        check(same.count ? &same : &alike, &got);
    return 0;
}
