/* SPDX-License-Identifier: MIT */
/*
 * What a device model (QEMU) says on its QMP socket, from its greeting on. The first byte says in
 * pieces of how many bytes it comes; then the socket ends. No answer is believed that did not come,
 * and nobody waits for one.
 */
#include "cmd/device_model.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* All of it fits into the socket's buffer. */
static void say(int sock, const uint8_t *data, size_t size, size_t piece)
{
    for (size_t done = 0; done < size; done += piece) {
        const size_t n = size - done < piece ? size - done : piece;

        must(write(sock, data + done, n) == (ssize_t)n);
    }
    must(!shutdown(sock, SHUT_WR));
}

static void ask(struct device_model *m)
{
    struct err e = ERR_INIT;
    bool paused = true;
    int rc = device_model_is_paused(m, &paused, &e);

    must(rc ? err_is_set(&e) : !err_is_set(&e));
    e = (struct err)ERR_INIT;
    rc = device_model_log_off(m, &e);
    must(rc ? err_is_set(&e) : !err_is_set(&e));
    e = (struct err)ERR_INIT;
    rc = device_model_continue(m, &e);
    must(rc ? err_is_set(&e) : !err_is_set(&e));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct device_model m = {.domid = 1};
    struct err e = ERR_INIT;
    int ends[2];

    if (size < 2)
        return 0;
    must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends));
    m.sock = ends[0];
    /* A piece costs the kernel more than its bytes. */
    say(ends[1], data + 1, size - 1, 64 + 8 * (size_t)data[0]);

    const int rc = device_model_greet(&m, &e);

    must(rc ? err_is_set(&e) : !err_is_set(&e));
    if (!rc)
        ask(&m);
    device_model_close(&m);
    must(m.sock < 0);
    close(ends[1]);
    return 0;
}
