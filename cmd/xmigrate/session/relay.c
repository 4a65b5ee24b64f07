/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/relay.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/exit_codes.h"
#include "cmd/xmigrate/session/messages.h"
#include "cmd/xmigrate/session/router.h"
#include "crypto/peer.h"
#include "transport/tcp.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The migration's process notices a silent peer first, and says so. */
#define SLACK_NS (5 * NS_PER_S)

struct relay {
    const struct listen_options *o;
    struct control outside; /* the peer */
    struct control inside;  /* the migration's process */
    atomic_bool heard_all;  /* nothing more of the peer's is read */
    uint8_t in_body[CONTROL_BODY_BYTES], out_body[CONTROL_BODY_BYTES];
};

/* --- frames --- */

/* What a source may say at all. */
static bool is_for_us(enum control_type type)
{
    switch (type) {
    case CONTROL_HELLO:
    case CONTROL_OFFER:
    case CONTROL_LIBXL_DATA:
    case CONTROL_GO:
    case CONTROL_PING:
    case CONTROL_ABORT:
    case CONTROL_LIBXL_END:
    case CONTROL_HEARD:
    case CONTROL_SUSPENDED:
    case CONTROL_ASK:
    case CONTROL_LIST:
        return true;
    default:
        return false;
    }
}

/* One frame from the peer. -ENODATA without an error: a clean end. */
static int pass_in(struct relay *r, struct err *e)
{
    enum control_type type;
    size_t len_bytes;
    int rc = control_recv(
        &r->outside, &type, r->in_body, &len_bytes, deadline_in(r->o->silent_ns + SLACK_NS), e);

    if (!rc && !is_for_us(type))
        rc = err_set(e, ERR_PEER, EPROTO, "%s: %s is not for a source to send", r->outside.ch->name,
            control_type_name(type));
    return rc ? rc : control_send(&r->inside, type, r->in_body, len_bytes, e);
}

/* Until the peer's end; then the migration's process has that, too. */
static void *pass_all_in(void *arg)
{
    struct relay *r = arg;
    struct err why = ERR_INIT, ignored = ERR_INIT;

    while (!pass_in(r, &why))
        continue;
    if (err_is_set(&why))
        message_send_error(&r->inside, CONTROL_ABORT, &why, &ignored);
    atomic_store(&r->heard_all, true);
    channel_finish(r->inside.ch, &ignored);
    return NULL;
}

/* Until the migration's process has nothing more to say. */
static void pass_all_out(struct relay *r)
{
    enum control_type type;
    size_t len_bytes;
    struct err end = ERR_INIT, ignored = ERR_INIT;

    while (!control_recv(&r->inside, &type, r->out_body, &len_bytes, DEADLINE_NEVER, &end))
        if (control_send(&r->outside, type, r->out_body, len_bytes, &end))
            break;
    channel_finish(r->outside.ch, &ignored);
    if (atomic_load(&r->heard_all))
        tcp_linger(r->outside.ch->fd, NULL); /* or what was not read costs it our last word */
    /* What the other thread waits for. */
    channel_shutdown(r->outside.ch);
    channel_shutdown(r->inside.ch);
}

static int pass_on(struct relay *r, struct err *e)
{
    pthread_t thread;
    const int code = pthread_create(&thread, NULL, pass_all_in, r);

    if (code)
        return err_sys(e, ERR_LOCAL, code, "cannot start a thread");
    pass_all_out(r);
    pthread_join(thread, NULL);
    return 0;
}

/* --- letting in --- */

/* Without TLS nothing is proven; but the peer has to send something. */
static int await_word(int fd, const char *from, struct err *e)
{
    const int rc = io_wait(fd, POLLIN, NULL, deadline_in(CALLER_HANDSHAKE_LIMIT_NS));

    return rc ? err_set(e, ERR_PEER, -rc, "%s: no word from it: %s", from, io_strerror(rc)) : 0;
}

/* The files are read while it still may. */
static int let_in(
    struct relay *r, int fd, const struct preamble *preamble, struct caller *a, struct err *e)
{
    struct peer_params p = {
        .lane = LANE_CONTROL,
        .rights = TRUST_SEND | TRUST_STATUS,
        .stall_ns = r->o->silent_ns,
    };
    const int64_t begin_ns = now_ns();
    struct channel *ch;
    int rc = r->o->insecure ? 0 : tls_open_on(&p.tls, r->o->tls_base, r->o->config_dir, e);

    tcp_describe_peer(fd, a->from, sizeof(a->from));
    if (!rc)
        rc = confine_self(r->o->confinement, e);
    if (rc) {
        close(fd);
        return rc;
    }
    p.deadline_ns = deadline_in(CALLER_HANDSHAKE_LIMIT_NS);
    rc = peer_accept(fd, preamble, &p, &ch, &a->peer, e);
    a->handshake_ns = deadline_earlier(now_ns() - begin_ns, CALLER_HANDSHAKE_LIMIT_NS);
    tls_close(p.tls);
    if (rc)
        return rc;
    control_init(&r->outside, ch);
    return r->o->insecure ? await_word(ch->fd, a->from, e) : 0;
}

/* Our end of the connection to the migration's process, which is there from now on. */
static int open_inside(struct relay *r, const struct caller *a, int router_sock, struct err *e)
{
    struct channel *ch;
    int pair[2], rc;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
        return err_sys(e, ERR_LOCAL, errno, "cannot make a socket pair");
    rc = router_admit(router_sock, a, pair[1], e);
    close(pair[1]);
    if (rc) {
        close(pair[0]);
        return rc;
    }
    rc = tcp_channel(pair[0], "the migration's process", NULL, r->o->silent_ns, &ch, e);
    if (!rc)
        control_init(&r->inside, ch);
    return rc;
}

int relay_main(const struct listen_options *o, const struct log *log, int fd,
    const struct preamble *preamble, int router_sock)
{
    struct relay *r = calloc(1, sizeof(*r));
    struct caller a = {.from = ""};
    struct err e = ERR_INIT;
    int rc;

    if (!r)
        return EXIT_FAILED;
    r->o = o;
    prctl(PR_SET_NAME, "xmigrate-relay");
    rc = let_in(r, fd, preamble, &a, &e);
    if (!rc)
        rc = open_inside(r, &a, router_sock, &e);
    close(router_sock);
    if (!rc)
        rc = pass_on(r, &e);
    if (rc)
        log_error(log, "%s", e.text);
    /* All that is open ends with the process. */
    return rc ? EXIT_REFUSED : EXIT_DONE;
}
