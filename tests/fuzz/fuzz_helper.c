/* SPDX-License-Identifier: MIT */
/*
 * The save helper's side of libxl: its command line, and its messages. The input is words of the
 * command line, each ended by a NUL, up to an empty one; then libxl's replies, an int after the
 * other; they end early or in the middle of one, as with a libxl that dies. What the helper says
 * must be messages that libxl can read.
 */
#include "base/bytes.h"
#include "cmd/helper/args.h"
#include "cmd/helper/toolstack.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_WORDS = 16, MAX_SAID_BYTES = 65536 };

enum {
    SAYS_LOG = 1,
    SAYS_SUSPEND = 3,
    SAYS_LOGDIRTY = 7,
    SAYS_STATIC = 8,
    SAYS_RESULTS = 9,
    SAYS_COMPLETE = 10
};

static bool try_args(char *const words[], int count, struct helper_args *args)
{
    char *argv[MAX_WORDS + 1] = {"xmigrate-save-helper"};
    struct err e = ERR_INIT;

    memcpy(argv + 1, words, (size_t)count * sizeof(*words));

    const int rc = parse_args(count + 1, argv, args, &e);

    must(rc ? err_is_set(&e) : !err_is_set(&e));
    must(rc || (args->stream_fd >= 0 && args->domid < 0x7ff0));
    return !rc;
}

/* Replies from a file: it ends where the input does. */
static void open_pipes(struct toolstack *t, uint32_t callbacks, const uint8_t *data, size_t size)
{
    static int in = -1, out = -1;

    if (in < 0) {
        in = memfd_create("replies", MFD_CLOEXEC);
        out = memfd_create("messages", MFD_CLOEXEC);
    }
    must(pwrite(in, data, size, 0) == (ssize_t)size && !ftruncate(in, (off_t)size));
    must(ftruncate(out, 0) == 0 && lseek(in, 0, SEEK_SET) == 0 && lseek(out, 0, SEEK_SET) == 0);
    *t = (struct toolstack){.in_fd = in, .out_fd = out, .callbacks = callbacks};
    pthread_mutex_init(&t->lock, NULL);
}

/* As the engine would call, whatever the answers are: each must be told as it was. */
static void talk(struct toolstack *t, const struct helper_args *args, const char *line)
{
    struct err e[6] = {ERR_INIT};
    const bool asks = args->callbacks >> SAYS_LOGDIRTY & 1;
    int rc[6];

    toolstack_log(t, LOG_INFO, line);
    rc[0] = toolstack_switch_qemu_logdirty(t, args->domid, true, &e[0]);
    rc[1] = toolstack_suspend(t, &e[1]);
    rc[2] = toolstack_static_data_done(t, 3, &e[2]);
    rc[3] = toolstack_restore_results(t, 1, 2, &e[3]);
    rc[4] = toolstack_complete(t, -1, 5, &e[4]);
    rc[5] = toolstack_complete(t, 0, 0, &e[5]);
    for (unsigned i = 0; i < 6; i++)
        must(rc[i] ? err_is_set(&e[i]) && e[i].text[0] : !err_is_set(&e[i]));
    must(asks || rc[0] == 0);
    must(rc[3] == 0);
}

/* The length of what follows the message's number; -1: as long as it likes. */
static int arguments_bytes(unsigned number)
{
    switch (number) {
    case SAYS_LOG:
        return -1;
    case SAYS_SUSPEND:
        return 0;
    case SAYS_STATIC:
        return 4;
    case SAYS_LOGDIRTY:
    case SAYS_COMPLETE:
        return 8;
    case SAYS_RESULTS:
        return 16;
    default:
        abort();
    }
}

/* Two strings that end with a NUL each, and what they say. */
static void check_log(struct bytes_in *in, const char *line)
{
    must(bytes_in_u32(in) <= 8);
    must(bytes_in_u32(in) == UINT32_MAX);
    for (unsigned i = 0; i < 2; i++) {
        const uint32_t len = bytes_in_u32(in);
        const char *text = bytes_in_take(in, len);

        must(text && len && !text[len - 1] && strlen(text) == len - 1);
        must(!strcmp(text, i ? line : "xmigrate"));
    }
}

static void check_said(int fd, const char *line)
{
    static uint8_t said[MAX_SAID_BYTES];
    const ssize_t n = pread(fd, said, sizeof(said), 0);
    struct bytes_in in = bytes_in_init(said, n > 0 ? (size_t)n : 0);
    unsigned logs = 0;

    while (bytes_in_left(&in)) {
        const uint16_t len = bytes_in_u16(&in);
        const uint8_t *body = bytes_in_take(&in, len);

        must(body && len >= 2);

        struct bytes_in message = bytes_in_init(body, len);
        const unsigned number = bytes_in_u16(&message);
        const int wanted = arguments_bytes(number);

        if (number == SAYS_LOG) {
            logs++;
            check_log(&message, line);
            must(bytes_in_done(&message));
        } else {
            must((int)len - 2 == wanted);
        }
    }
    must(!in.underflow && logs == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[8193], line[LOG_LINE_BYTES];
    char *words[MAX_WORDS];
    int count = 0;
    size_t at = 0;
    struct helper_args args;
    struct toolstack t;

    if (size >= sizeof(text))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    while (at < size && count < MAX_WORDS && text[at]) {
        words[count++] = text + at;
        at += strlen(text + at) + 1;
    }
    if (!try_args(words, count, &args))
        return 0;
    at = at < size ? at + 1 : size;
    strncpy(line, text + at, sizeof(line) - 1);
    open_pipes(&t, args.callbacks, data + at, size - at);
    talk(&t, &args, line);
    check_said(t.out_fd, line);
    pthread_mutex_destroy(&t.lock);
    return 0;
}
