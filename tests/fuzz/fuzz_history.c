/* SPDX-License-Identifier: MIT */
/* What earlier migrations took: the first byte is the kind asked for, the rest the file. The answer
 * is a median of what a simpler reader finds. */
#include "cmd/xmigrate/history.h"
#include "tests/fuzz/fuzz.h"

#include <stdbool.h>
#include <string.h>

enum { NEWEST = 5 };

#define OTHERWISE_NS (-1)

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

static bool read_line(const char *line, const char *end, uint64_t *kind, uint64_t *took_ns)
{
    return read_number(&line, end, UINT8_MAX, kind) && line < end && *line++ == ' ' &&
           read_number(&line, end, 600000000000, took_ns) && line == end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1, *end = (const char *)data + size;
    const char *newline;
    int64_t seen_ns[NEWEST];
    unsigned seen = 0, less = 0, more = 0;

    if (!size)
        return 0;

    const int64_t got_ns = history_from_text(text, size - 1, data[0], OTHERWISE_NS);

    for (const char *line = text; line < end; line = newline + 1) {
        uint64_t kind, took_ns;

        newline = memchr(line, '\n', (size_t)(end - line));
        if (!newline)
            break;
        if (read_line(line, newline, &kind, &took_ns) && kind == data[0])
            seen_ns[seen++ % NEWEST] = (int64_t)took_ns;
    }
    if (seen > NEWEST)
        seen = NEWEST;
    for (unsigned i = 0; i < seen; i++) {
        less += seen_ns[i] < got_ns;
        more += seen_ns[i] > got_ns;
    }
    must(seen ? less <= seen / 2 && more <= (seen - 1) / 2 && less + more < seen
              : got_ns == OTHERWISE_NS);
    return 0;
}
