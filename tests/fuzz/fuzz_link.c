/* SPDX-License-Identifier: MIT */
/*
 * Link messages. The lowest bit of the first byte says whether a descriptor comes along; the rest
 * is the packet. What is accepted arrives as the same when it is passed on; no descriptor is lost.
 */
#include "base/deadline.h"
#include "base/packet.h"
#include "cmd/link.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate_json.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2];

/* -1: it is a kind that has nothing to pass on. */
static int send_again(struct link_message *m)
{
    struct err e = ERR_INIT;

    switch (m->kind) {
    case LINK_JOB:
        return link_send_job(ends[0], &m->job, m->fd, &e);
    case LINK_CONN:
        return link_send_conn(ends[0], m->lane, m->preamble, m->fd, &e);
    case LINK_ABORT:
        return link_send_abort(ends[0], &m->failed, &e);
    case LINK_FAILED:
        return link_send_failed(ends[0], &m->failed, &e);
    case LINK_CAP:
        return link_send_cap(ends[0], m->cap_percent, &e);
    case LINK_TUNE:
        return link_send_tune(ends[0], &m->tune, &e);
    case LINK_EVENT:
        return link_send_event(ends[0], json_incref(m->body), &e);
    case LINK_DONE:
        return link_send_done(ends[0], json_incref(m->body), &e);
    default:
        return -1;
    }
}

static void compare(const struct link_message *a, const struct link_message *b)
{
    must(a->kind == b->kind && a->lane == b->lane && a->cap_percent == b->cap_percent);
    must(!memcmp(a->preamble, b->preamble, sizeof(a->preamble)));
    must(a->failed.class == b->failed.class && a->failed.side == b->failed.side);
    must(a->failed.code == b->failed.code && !strcmp(a->failed.text, b->failed.text));
    must(!a->body == !b->body && (!a->body || json_equal(a->body, b->body)));
    must(a->job.domid == b->job.domid && a->job.lanes == b->job.lanes);
    must(!memcmp(a->job.key, b->job.key, sizeof(a->job.key)));
    must(!memcmp(a->job.session, b->job.session, sizeof(a->job.session)));
    must(!strcmp(a->job.host, b->job.host) && a->job.port == b->job.port);
    must(!strcmp(a->job.config_dir, b->job.config_dir));
    must(!strcmp(a->job.fingerprint, b->job.fingerprint));
    must(a->job.bandwidth_bits_per_s == b->job.bandwidth_bits_per_s);
    must(a->job.result_ns == b->job.result_ns);
    must(a->job.early == b->job.early);
    must(a->job.suspend_limit_ns == b->job.suspend_limit_ns);
    must(a->tune.bandwidth_bits_per_s == b->tune.bandwidth_bits_per_s);
    must(a->tune.max_downtime_ns == b->tune.max_downtime_ns);
    must(a->tune.on_stall == b->tune.on_stall);
}

static void check_accepted(struct link_message *m)
{
    struct link_message again;
    struct err e = ERR_INIT;

    if (m->kind == LINK_FAILED || m->kind == LINK_ABORT)
        must(err_is_set(&m->failed) && m->failed.code > 0);
    if (m->kind == LINK_JOB)
        must(m->job.lanes > 0 && m->job.lanes <= MAX_LANES && m->job.domid < 0x7ff0);
    if (m->kind == LINK_CONN)
        must(m->fd >= 0);
    if (send_again(m))
        return;
    must(link_recv(ends[1], &again, NULL, deadline_in(NS_PER_S), &e) == 0);
    compare(m, &again);
    link_message_clear(&again);
}

/* Send the packet, with the far end of a pipe if a descriptor is to come along. Returns the near
 * end, or -1. */
static int send_packet(const uint8_t *data, size_t size, bool with_fd)
{
    int pipe_fds[2] = {-1, -1};

    must(!with_fd || !pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK));
    must(packet_send(ends[0], data, size, pipe_fds[1], NULL, deadline_in(NS_PER_S)) == 0);
    if (with_fd)
        close(pipe_fds[1]);
    return pipe_fds[0];
}

/* Everybody has closed the far end. */
static void check_closed(int near_fd)
{
    char byte;

    if (near_fd < 0)
        return;
    must(read(near_fd, &byte, 1) == 0);
    close(near_fd);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return mutate_behind_byte(data, size, max_size, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct link_message m;
    struct err e = ERR_INIT;

    if (!ends[1])
        must(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends));
    if (size < 2)
        return 0;

    const int near_fd = send_packet(data + 1, size - 1, data[0] & 1);
    const int rc = link_recv(ends[1], &m, NULL, deadline_in(NS_PER_S), &e);

    must(rc ? err_is_set(&e) && m.fd < 0 && !m.body : !err_is_set(&e));
    if (!rc)
        check_accepted(&m);
    link_message_clear(&m);
    check_closed(near_fd);
    return 0;
}
