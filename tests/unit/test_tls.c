/* SPDX-License-Identifier: MIT */
/* TLS channels: whom they let in and whom not, with both ends' words; bytes arrive whole or not at
 * all; nothing waits longer than it was told to. */
#include "tests/unit/hosts.h"

#include "base/cancel.h"
#include "base/io.h"
#include "crypto/tls_kernel.h"
#include "crypto/tls_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

/* Two hosts that trust each other, and an open pair of channels. */
struct pair {
    struct host a, b;
    struct end client, server;
    struct cancel cancel;
};

static int open_hosts(void **state)
{
    struct pair *p = calloc(1, sizeof(*p));
    struct err e = ERR_INIT;

    make_host_dir(&p->a);
    make_host_dir(&p->b);
    open_host(&p->a);
    open_host(&p->b);
    assert_int_equal(cancel_init(&p->cancel, &e), 0);
    *state = p;
    return 0;
}

static void aim_ends(struct pair *p)
{
    int ends[2];

    make_tcp_pair(ends);
    p->client = new_end(&p->a, ends[0], false);
    p->server = new_end(&p->b, ends[1], true);
}

static int open_pair_by(void **state, bool kernel)
{
    open_hosts(state);

    struct pair *p = *state;

    let_trust(&p->a, &p->b);
    let_trust(&p->b, &p->a);
    aim_ends(p);
    p->client.params.cancel = &p->cancel;
    p->client.params.by_kernel = p->server.params.by_kernel = kernel;
    shake_hands(&p->client, &p->server);
    if (p->client.rc || p->server.rc)
        fail_msg("%s / %s", p->client.err.text, p->server.err.text);
    return 0;
}

static int open_pair(void **state)
{
    return open_pair_by(state, false);
}

/* If this kernel can. */
static int open_kernel_pair(void **state)
{
    return open_pair_by(state, true);
}

static int close_pair(void **state)
{
    struct pair *p = *state;

    channel_close(p->client.ch);
    channel_close(p->server.ch);
    cancel_destroy(&p->cancel);
    drop_host(&p->a);
    drop_host(&p->b);
    free(p);
    return 0;
}

static void send_bytes(struct channel *ch, const void *buf, size_t len_bytes)
{
    struct iovec iov = {(void *)buf, len_bytes};
    struct err e = ERR_INIT;

    if (channel_send(ch, &iov, 1, &e))
        fail_msg("%s", e.text);
}

static int receive(struct channel *ch, void *buf, size_t len_bytes, struct err *e)
{
    return channel_recv(ch, buf, len_bytes, deadline_in(TEST_LIMIT_NS), e);
}

static void assert_talk(struct pair *p)
{
    struct err e = ERR_INIT;
    char got[6];

    send_bytes(p->client.ch, "hello", 6);
    assert_int_equal(receive(p->server.ch, got, 6, &e), 0);
    assert_string_equal(got, "hello");
    send_bytes(p->server.ch, "there", 6);
    assert_int_equal(receive(p->client.ch, got, 6, &e), 0);
    assert_string_equal(got, "there");
}

/* Whom to let in */

static void test_hosts_that_trust_each_other_talk(void **state)
{
    struct pair *p = *state;

    assert_talk(p);
    assert_string_equal(p->client.peer.fingerprint, tls_own_fingerprint(p->b.tls));
    assert_string_equal(p->server.peer.fingerprint, tls_own_fingerprint(p->a.tls));
    assert_string_equal(p->server.peer.name, "peer");
    assert_true(p->client.ch->sent_bytes > 6 && p->server.ch->received_bytes > 6);
}

/* The server's end, in a process of its own, as a relay's is. */
static int serve_on(const struct tls_base *base, struct end *server, const char *dir)
{
    struct err e = ERR_INIT;

    if (tls_open_on(&server->tls, base, dir, &e))
        return 1;
    run_end(server);
    tls_close(server->tls);
    return server->rc || receive(server->ch, &(char){0}, 1, &e);
}

/* Who encrypts */

static void test_openssl_encrypts_unless_it_is_told_otherwise(void **state)
{
    struct pair *p = *state;

    assert_non_null(strstr(p->client.ch->encryption, "TLS 1.3, "));
    assert_non_null(strstr(p->client.ch->encryption, ", by OpenSSL"));
    assert_string_equal(p->server.ch->encryption, p->client.ch->encryption);
}

/* What a kernel without the module says no to. */
static bool kernel_may_have_tls(void)
{
    int ends[2];

    make_tcp_pair(ends);

    const bool has = !setsockopt(ends[0], IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls"));

    close(ends[0]);
    close(ends[1]);
    return has;
}

/* And nothing else is different. */
static void test_without_the_kernels_help_openssl_encrypts(void **state)
{
    struct pair *p = *state;
    const char *by = strstr(p->client.ch->encryption, ", by ");

    assert_non_null(by);
    assert_string_equal(by, kernel_may_have_tls() ? ", by the kernel" : ", by OpenSSL");
    /* A server sends next to nothing. */
    assert_non_null(strstr(p->server.ch->encryption, ", by OpenSSL"));
    assert_talk(p);
}

static void test_the_kernel_seals_no_more_than_a_key_is_good_for(void **state)
{
    struct pair *p = *state;
    struct err e = ERR_INIT;
    struct iovec iov = {"x", 1};

    atomic_store(&p->client.ch->sent_bytes, TLS_KERNEL_KEY_BYTES);
    assert_int_equal(tls_kernel_send(p->client.ch, &iov, 1, &e), -EKEYEXPIRED);
    assert_says(&e, "without --kernel-tls");
}

static void test_what_a_process_made_is_there_for_those_that_it_forks(void **state)
{
    struct pair *p = *state;
    struct tls_base *base;
    struct err e = ERR_INIT;

    let_trust(&p->a, &p->b);
    let_trust(&p->b, &p->a);
    assert_int_equal(tls_base_open(&base, &e), 0);
    for (int i = 0; i < 2; i++) {
        int status;

        aim_ends(p);

        const pid_t pid = fork();

        if (!pid)
            _exit(serve_on(base, &p->server, p->b.dir));
        close(p->server.fd);
        run_end(&p->client);
        assert_int_equal(p->client.rc, 0);
        assert_string_equal(p->client.peer.fingerprint, tls_own_fingerprint(p->b.tls));
        send_bytes(p->client.ch, "x", 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        channel_close(p->client.ch);
        p->client.ch = NULL;
    }
    tls_base_close(base);
}

static void test_binding_is_of_the_connection(void **state)
{
    struct pair *p = *state;
    uint8_t ours[CHANNEL_BINDING_BYTES], theirs[CHANNEL_BINDING_BYTES];
    struct channel *client = p->client.ch, *server = p->server.ch;
    struct err e = ERR_INIT;

    assert_int_equal(channel_binding(client, ours, &e), 0);
    assert_int_equal(channel_binding(server, theirs, &e), 0);
    assert_memory_equal(ours, theirs, sizeof(ours));

    aim_ends(p);
    shake_hands(&p->client, &p->server);
    assert_int_equal(channel_binding(p->client.ch, theirs, &e), 0);
    assert_memory_not_equal(ours, theirs, sizeof(ours));
    channel_close(client);
    channel_close(server);
}

static void test_untrusted_client_is_refused_in_words_at_both_ends(void **state)
{
    struct pair *p = *state;
    char command[160];

    let_trust(&p->a, &p->b);
    aim_ends(p);
    shake_hands(&p->client, &p->server);
    assert_int_equal(p->server.rc, -EACCES);
    assert_int_equal(p->server.err.class, ERR_REFUSED);
    snprintf(command, sizeof(command), "xmigrate --config-dir %s --trust %s ", p->b.dir,
        tls_own_fingerprint(p->a.tls));
    assert_says(&p->server.err, "which is not trusted here");
    assert_says(&p->server.err, command);
    assert_int_equal(p->client.rc, -EACCES);
    assert_int_equal(p->client.err.class, ERR_REFUSED);
    snprintf(command, sizeof(command), "; there run: xmigrate --trust %s ",
        tls_own_fingerprint(p->a.tls));
    assert_says(&p->client.err, "127.0.0.1 does not trust this host's identity");
    assert_says(&p->client.err, command);
    assert_null(p->client.ch);
    assert_null(p->server.ch);
}

/* The client is trusted, but not to do what the server's connection is for. */
static void test_a_peer_without_the_right_is_refused_in_words_at_both_ends(void **state)
{
    struct pair *p = *state;
    struct err e = ERR_INIT;
    char command[160];

    let_trust(&p->a, &p->b);
    assert_int_equal(trust_add(p->b.dir, tls_own_fingerprint(p->a.tls), "host1", "receive", &e), 0);
    open_host_again(&p->b);
    aim_ends(p);
    p->server.params.rights = TRUST_SEND | TRUST_STATUS;
    shake_hands(&p->client, &p->server);
    assert_int_equal(p->server.rc, -EACCES);
    assert_int_equal(p->server.err.class, ERR_REFUSED);
    assert_says(&p->server.err, "(host1) is trusted here for receive, not for send,status");
    snprintf(command, sizeof(command), "--trust %s host1 send,receive,status",
        tls_own_fingerprint(p->a.tls));
    assert_says(&p->server.err, command);
    assert_int_equal(p->client.rc, -EACCES);
    assert_says(&p->client.err, "trusts this host's identity");
    assert_says(&p->client.err, "but not for this");
}

static void test_one_of_the_rights_is_enough(void **state)
{
    struct pair *p = *state;
    struct err e = ERR_INIT;

    let_trust(&p->a, &p->b);
    assert_int_equal(trust_add(p->b.dir, tls_own_fingerprint(p->a.tls), "host1", "status", &e), 0);
    open_host_again(&p->b);
    aim_ends(p);
    p->server.params.rights = TRUST_SEND | TRUST_STATUS;
    p->client.params.rights = TRUST_RECEIVE;
    shake_hands(&p->client, &p->server);
    if (p->client.rc || p->server.rc)
        fail_msg("%s / %s", p->client.err.text, p->server.err.text);
    assert_int_equal(p->server.peer.rights, TRUST_STATUS);
    assert_int_equal(p->client.peer.rights, TRUST_ALL);
}

static void test_untrusted_server_is_refused_in_words_at_both_ends(void **state)
{
    struct pair *p = *state;

    let_trust(&p->b, &p->a);
    aim_ends(p);
    shake_hands(&p->client, &p->server);
    assert_int_equal(p->client.rc, -EACCES);
    assert_says(&p->client.err, "127.0.0.1 presents SHA256:");
    assert_says(&p->client.err, tls_own_fingerprint(p->b.tls));
    assert_int_equal(p->server.rc, -EACCES);
    assert_says(&p->server.err, "does not trust this host's identity");
    assert_says(&p->server.err, tls_own_fingerprint(p->b.tls));
}

static void test_trust_file_that_makes_no_sense_lets_nobody_in(void **state)
{
    struct pair *p = *state;

    let_trust(&p->a, &p->b);
    put_file(&p->b, "trusted", "# all\neverybody\n", 0600);
    open_host_again(&p->b);
    aim_ends(p);
    shake_hands(&p->client, &p->server);
    assert_true(p->server.rc < 0 && p->client.rc < 0);
    assert_says(&p->server.err, "line 2 makes no sense");
}

static void test_only_the_expected_key_is_accepted(void **state)
{
    struct pair *p = *state;
    struct host other;

    make_host_dir(&other);
    open_host(&other);
    let_trust(&p->a, &p->b);
    let_trust(&p->b, &p->a);
    let_trust(&p->b, &other);
    let_trust(&other, &p->b);
    aim_ends(p);
    p->client.tls = other.tls;
    p->server.params.expected_fingerprint = tls_own_fingerprint(p->a.tls);
    shake_hands(&p->client, &p->server);
    assert_int_equal(p->server.rc, -EACCES);
    assert_says(&p->server.err, "but the migration is with");
    assert_int_equal(p->client.rc, -EACCES);
    assert_says(&p->client.err, "refused this connection");
    drop_host(&other);
}

/* Peers that are OpenSSL's own, set up badly */

struct stranger {
    int fd;
    int version;
    bool failed;
};

static void *run_stranger(void *arg)
{
    struct stranger *s = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    char byte;

    SSL_set_min_proto_version(ssl, s->version);
    SSL_set_max_proto_version(ssl, s->version);
    io_set_nonblocking(s->fd, false);
    SSL_set_fd(ssl, s->fd);
    s->failed = SSL_connect(ssl) != 1 || SSL_read(ssl, &byte, 1) != 1;
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(s->fd);
    return NULL;
}

static void refuse_stranger(struct pair *p, int version, const char *says)
{
    struct stranger s = {.version = version};
    pthread_t thread;

    aim_ends(p);
    s.fd = p->client.fd;
    assert_int_equal(pthread_create(&thread, NULL, run_stranger, &s), 0);
    run_end(&p->server);
    pthread_join(thread, NULL);
    assert_true(s.failed);
    assert_true(p->server.rc < 0);
    assert_null(p->server.ch);
    assert_says(&p->server.err, says);
}

static void test_client_without_certificate_is_refused(void **state)
{
    refuse_stranger(*state, TLS1_3_VERSION, "did not return a certificate");
}

static void test_older_tls_is_refused(void **state)
{
    refuse_stranger(*state, TLS1_2_VERSION, "unsupported protocol");
}

/* Anybody on the way can send one: nothing of it is encrypted yet. */
static void test_a_goodbye_within_the_handshake_is_no_success(void **state)
{
    static const uint8_t goodbye[] = {21, 3, 3, 0, 2, 1, SSL_AD_CLOSE_NOTIFY};
    struct pair *p = *state;
    struct end *const ends[] = {&p->client, &p->server};

    for (int i = 0; i < 2; i++) {
        struct end *const victim = ends[i];
        const int fd = (aim_ends(p), ends[!i]->fd);

        victim->params.deadline_ns = deadline_in(TEST_LIMIT_NS);
        assert_int_equal(write(fd, goodbye, sizeof(goodbye)), sizeof(goodbye));
        run_end(victim);
        assert_true(victim->rc < 0);
        assert_null(victim->ch);
        assert_int_equal(victim->err.class, ERR_PEER);
        close(fd);
    }
}

static void test_what_is_not_tls_is_refused(void **state)
{
    struct pair *p = *state;
    static const char http[] = "GET / HTTP/1.0\r\n\r\n";

    aim_ends(p);
    assert_int_equal(write(p->client.fd, http, sizeof(http)), sizeof(http));
    run_end(&p->server);
    assert_true(p->server.rc < 0);
    assert_int_equal(p->server.err.class, ERR_PEER);
    close(p->client.fd);
}

/* Bytes */

static void fill_pattern(uint8_t *buf, size_t len_bytes)
{
    uint32_t x = 0x12345678;

    for (size_t i = 0; i < len_bytes; i++) {
        x = x * 1664525 + 1013904223;
        buf[i] = (uint8_t)(x >> 24);
    }
}

struct receiver {
    struct channel *ch;
    uint8_t *buf;
    size_t len_bytes;
    int rc;
    struct err err;
};

static void *run_receiver(void *arg)
{
    struct receiver *r = arg;

    r->rc = receive(r->ch, r->buf, r->len_bytes, &r->err);
    return NULL;
}

/* A piece may meet the record that is being gathered within it, at its border or beyond, and may
 * itself be none, a part, one or several. */
static void test_pieces_of_all_sizes_arrive_in_order(void **state)
{
    enum { FULL = TLS_RECORD_BYTES };
    static const size_t sizes[] = {0, 1, 100, 4096, FULL - 4197, FULL, FULL + 1, FULL - 1, 2 * FULL,
        1, 2 * FULL - 1, 300000, 131072, 40, 0, FULL - 40, FULL, 5, 131067, 200001, FULL - 1};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    struct pair *p = *state;
    struct iovec iov[COUNT];
    struct err e = ERR_INIT;
    pthread_t thread;
    size_t total = 0;

    for (unsigned i = 0; i < COUNT; i++)
        total += sizes[i];

    uint8_t *sent = malloc(total), *got = malloc(total), *at = sent;
    struct receiver r = {.ch = p->server.ch, .buf = got, .len_bytes = total};

    fill_pattern(sent, total);
    for (unsigned i = 0; i < COUNT; i++) {
        iov[i] = (struct iovec){at, sizes[i]};
        at += sizes[i];
    }
    assert_int_equal(pthread_create(&thread, NULL, run_receiver, &r), 0);
    assert_int_equal(channel_send(p->client.ch, iov, COUNT, &e), 0);
    pthread_join(thread, NULL);
    assert_int_equal(r.rc, 0);
    assert_memory_equal(sent, got, total);
    free(sent);
    free(got);
}

/* The receiver sleeps until much is there; what comes in drops must not leave it asleep. */
static void test_a_receiver_of_much_wakes_for_the_last_byte(void **state)
{
    enum { LEN = 400000 };
    static const size_t drops[] = {LEN - 60000, 30000, 29000, 990, 9, 1};
    struct pair *p = *state;
    uint8_t *sent = malloc(LEN), *got = malloc(LEN), *at = sent;
    struct receiver r = {.ch = p->server.ch, .buf = got, .len_bytes = LEN};
    const int64_t begun_ns = now_ns();
    pthread_t thread;

    fill_pattern(sent, LEN);
    assert_int_equal(pthread_create(&thread, NULL, run_receiver, &r), 0);
    for (unsigned i = 0; i < sizeof(drops) / sizeof(drops[0]); i++) {
        usleep(20000);
        send_bytes(p->client.ch, at, drops[i]);
        at += drops[i];
    }
    pthread_join(thread, NULL);
    assert_int_equal(r.rc, 0);
    assert_memory_equal(sent, got, LEN);
    assert_true(now_ns() - begun_ns < TEST_LIMIT_NS);
    free(sent);
    free(got);
}

/* A peer's records may be as long as TLS allows: of one that lacks a byte OpenSSL holds all the
 * others, and only what is left may be waited for. */
static void test_a_record_longer_than_ours_wakes_the_receiver_too(void **state)
{
    enum { LEN = TLS_CHUNK_BYTES, LONGEST = SSL3_RT_MAX_PLAIN_LENGTH, SEALING = 22 };
    enum { SEALED_LEN = LEN + 4 * SEALING, FIRST_LEN = 3 * (LONGEST + SEALING) - 1 };
    struct pair *p = *state;
    uint8_t *sent = malloc(LEN), *got = malloc(LEN), *sealed = malloc(SEALED_LEN);
    struct receiver r = {.ch = p->server.ch, .buf = got, .len_bytes = LEN};
    SSL *ssl = ((struct tls_stream *)p->client.ch)->ssl;
    const int arriving = dup(p->server.ch->fd);
    const int64_t begun_ns = now_ns();
    const int64_t until_ns = begun_ns + TEST_LIMIT_NS;
    pthread_t thread;
    int ends[2];

    /* What the client sends goes through here. */
    make_tcp_pair(ends);
    assert_int_equal(io_set_nonblocking(ends[1], true), 0);
    assert_int_equal(dup2(ends[1], p->server.ch->fd), p->server.ch->fd);
    close(ends[1]);
    assert_int_equal(SSL_set_max_send_fragment(ssl, LONGEST), 1);
    assert_int_equal(SSL_set_split_send_fragment(ssl, LONGEST), 1);

    fill_pattern(sent, LEN);
    send_bytes(p->client.ch, sent, LEN);
    assert_int_equal(io_read_full(arriving, sealed, SEALED_LEN, NULL, until_ns), 0);
    assert_int_equal(pthread_create(&thread, NULL, run_receiver, &r), 0);
    assert_int_equal(io_write_full(ends[0], sealed, FIRST_LEN, NULL, until_ns), 0);
    usleep(50000);
    assert_int_equal(
        io_write_full(ends[0], sealed + FIRST_LEN, SEALED_LEN - FIRST_LEN, NULL, until_ns), 0);
    pthread_join(thread, NULL);
    assert_int_equal(r.rc, 0);
    assert_memory_equal(sent, got, LEN);
    assert_true(now_ns() - begun_ns < TEST_LIMIT_NS);
    close(arriving);
    close(ends[0]);
    free(sent);
    free(got);
    free(sealed);
}

enum { MESSAGE_ROUNDS = 300, MESSAGE_BYTES = 20000 };

struct talker {
    struct channel *ch;
    bool good;
};

static void *run_talker(void *arg)
{
    struct talker *t = arg;
    uint8_t buf[MESSAGE_BYTES];
    struct err e = ERR_INIT;

    for (int i = 0; i < MESSAGE_ROUNDS && !err_is_set(&e); i++) {
        memset(buf, i, sizeof(buf));
        channel_send(t->ch, &(struct iovec){buf, sizeof(buf)}, 1, &e);
    }
    t->good = !err_is_set(&e);
    return NULL;
}

static void *run_listener(void *arg)
{
    struct talker *t = arg;
    uint8_t buf[MESSAGE_BYTES];
    struct err e = ERR_INIT;

    t->good = true;
    for (int i = 0; i < MESSAGE_ROUNDS && t->good; i++) {
        t->good = !receive(t->ch, buf, sizeof(buf), &e);
        for (size_t k = 0; k < sizeof(buf) && t->good; k++)
            t->good = buf[k] == (uint8_t)i;
    }
    return NULL;
}

/* What leaves at once, as throttle() hears of it. */
struct writes {
    unsigned count;
    size_t all_bytes, most_bytes;
};

static void note_write(void *arg, size_t bytes)
{
    struct writes *w = arg;

    w->count++;
    w->all_bytes += bytes;
    w->most_bytes = bytes > w->most_bytes ? bytes : w->most_bytes;
}

/* Pieces such as stand between zero pages: of one page to five, in one send. */
static struct writes count_writes(struct pair *p, size_t slice_bytes)
{
    enum { PIECES = 100, PAGE = 4096, MOST_PAGES = 5 };
    static uint8_t pages[MOST_PAGES * PAGE], got[PIECES * MOST_PAGES * PAGE];
    struct receiver r = {.ch = p->server.ch, .buf = got};
    struct iovec iov[PIECES];
    struct writes w = {0};
    struct err e = ERR_INIT;
    pthread_t thread;

    for (unsigned i = 0; i < PIECES; i++) {
        iov[i] = (struct iovec){pages, (1 + i % MOST_PAGES) * PAGE};
        r.len_bytes += iov[i].iov_len;
    }
    p->client.ch->throttle = note_write;
    p->client.ch->throttle_arg = &w;
    p->client.ch->slice_bytes = slice_bytes;
    assert_int_equal(pthread_create(&thread, NULL, run_receiver, &r), 0);
    assert_int_equal(channel_send(p->client.ch, iov, PIECES, &e), 0);
    pthread_join(thread, NULL);
    assert_int_equal(r.rc, 0);
    assert_in_range(w.all_bytes, r.len_bytes, r.len_bytes + r.len_bytes / 100);
    return w;
}

static void test_scattered_pieces_leave_in_whole_chunks(void **state)
{
    const struct writes w = count_writes(*state, 0);

    assert_in_range(w.count, 1, w.all_bytes / TLS_CHUNK_BYTES + 1);
}

static void test_a_cap_is_paid_slice_by_slice(void **state)
{
    enum { SLICE = 20000 };
    const struct writes w = count_writes(*state, SLICE);

    assert_in_range(w.most_bytes, SLICE, SLICE + 256); /* with what sealing adds */
}

static struct tls_stream *inside(struct channel *ch)
{
    return (struct tls_stream *)((char *)ch - offsetof(struct tls_stream, ch));
}

/* Somebody sets a cap while a message is being sealed: from its third record on. */
struct shrinking {
    struct channel *ch;
    size_t to_bytes;
    unsigned records;
};

static void shrink_slice(
    int write, int version, int type, const void *buf, size_t len, SSL *ssl, void *arg)
{
    struct shrinking *c = arg;

    (void)version;
    (void)buf;
    (void)len;
    (void)ssl;
    if (write && type == SSL3_RT_HEADER && ++c->records == 3)
        c->ch->slice_bytes = c->to_bytes;
}

static void test_a_slice_may_shrink_within_a_message(void **state)
{
    enum { SLICE = 20000, SMALL = TLS_RECORD_BYTES / 4, LARGE = 4 * TLS_CHUNK_BYTES };
    static uint8_t pages[LARGE], got[12 * SMALL + LARGE];
    struct pair *p = *state;
    struct shrinking c = {.ch = p->client.ch, .to_bytes = SLICE};
    struct receiver r = {.ch = p->server.ch, .buf = got, .len_bytes = sizeof(got)};
    struct iovec iov[13];
    struct writes w = {0};
    struct err e = ERR_INIT;
    pthread_t thread;

    for (unsigned i = 0; i < 12; i++)
        iov[i] = (struct iovec){pages, SMALL};
    iov[12] = (struct iovec){pages, LARGE};
    p->client.ch->throttle = note_write;
    p->client.ch->throttle_arg = &w;
    SSL_set_msg_callback(inside(p->client.ch)->ssl, shrink_slice);
    SSL_set_msg_callback_arg(inside(p->client.ch)->ssl, &c);
    assert_int_equal(pthread_create(&thread, NULL, run_receiver, &r), 0);
    assert_int_equal(channel_send(p->client.ch, iov, 13, &e), 0);
    pthread_join(thread, NULL);
    assert_int_equal(r.rc, 0);
    /* What was sealed before leaves first. */
    assert_in_range(w.most_bytes, 12 * SMALL, 12 * SMALL + 256);
    assert_in_range(w.count, LARGE / SLICE + 1, LARGE / SLICE + 3);
}

static void test_both_ends_send_and_receive_at_once(void **state)
{
    struct pair *p = *state;
    struct talker t[4] = {
        {.ch = p->client.ch}, {.ch = p->server.ch}, {.ch = p->client.ch}, {.ch = p->server.ch}};
    pthread_t thread[4];

    for (int i = 0; i < 4; i++)
        assert_int_equal(
            pthread_create(&thread[i], NULL, i < 2 ? run_talker : run_listener, &t[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        assert_true(t[i].good);
    }
}

static void test_a_key_that_sealed_enough_is_replaced(void **state)
{
    struct pair *p = *state;
    struct err e = ERR_INIT;
    char got[4];

    inside(p->client.ch)->sealed_bytes = 64ull << 30;
    send_bytes(p->client.ch, "new", 4);
    assert_int_equal(inside(p->client.ch)->sealed_bytes, 4);
    assert_int_equal(receive(p->server.ch, got, 4, &e), 0);
    assert_string_equal(got, "new");
}

static void test_a_peer_may_ask_for_a_new_key(void **state)
{
    struct pair *p = *state;
    struct err e = ERR_INIT;
    char got[4];

    SSL_key_update(inside(p->client.ch)->ssl, SSL_KEY_UPDATE_REQUESTED);
    send_bytes(p->client.ch, "new", 4);
    assert_int_equal(receive(p->server.ch, got, 4, &e), 0);
    send_bytes(p->server.ch, "yes", 4);
    assert_int_equal(receive(p->client.ch, got, 4, &e), 0);
    assert_string_equal(got, "yes");
}

/* Somebody in the middle, who passes on what comes from one end, and harms it on request. */
struct middle {
    int from, to;
    atomic_bool flip, stop;
};

static void *run_middle(void *arg)
{
    struct middle *m = arg;
    uint8_t buf[65536];

    while (!m->stop) {
        if (io_wait(m->from, POLLIN, NULL, deadline_in(20 * NS_PER_MS)))
            continue;

        const ssize_t n = io_read_some(m->from, buf, sizeof(buf));

        if (n <= 0)
            break;
        if (m->flip)
            buf[n / 2] ^= 0x10;
        if (io_write_full(m->to, buf, (size_t)n, NULL, deadline_in(TEST_LIMIT_NS)))
            break;
    }
    return NULL;
}

static void test_a_flipped_bit_is_an_error_and_never_data(void **state)
{
    struct pair *p = *state;
    int near[2], far[2];
    pthread_t there, back;
    struct err e = ERR_INIT;
    char got[5] = "";

    let_trust(&p->a, &p->b);
    let_trust(&p->b, &p->a);
    make_tcp_pair(near);
    make_tcp_pair(far);

    struct middle forth = {.from = near[1], .to = far[0]},
                  reverse = {.from = far[0], .to = near[1]};

    pthread_create(&there, NULL, run_middle, &forth);
    pthread_create(&back, NULL, run_middle, &reverse);
    p->client = new_end(&p->a, near[0], false);
    p->server = new_end(&p->b, far[1], true);
    shake_hands(&p->client, &p->server);
    assert_int_equal(p->client.rc | p->server.rc, 0);
    send_bytes(p->client.ch, "good", 5);
    assert_int_equal(receive(p->server.ch, got, 5, &e), 0);
    forth.flip = true;
    memset(got, 0, sizeof(got));
    send_bytes(p->client.ch, "evil", 5);
    assert_int_equal(receive(p->server.ch, got, 5, &e), -EBADMSG);
    assert_int_equal(got[0], 0);
    assert_says(&e, "changed on its way");

    struct err again = ERR_INIT;

    assert_int_not_equal(receive(p->server.ch, got, 5, &again), 0);
    forth.stop = reverse.stop = true;
    pthread_join(there, NULL);
    pthread_join(back, NULL);
    close(near[1]);
    close(far[0]);
}

static void test_goodbye_is_a_clean_end(void **state)
{
    struct pair *p = *state;
    struct err e = ERR_INIT;
    char got[8];

    send_bytes(p->client.ch, "last", 4);
    assert_int_equal(channel_finish(p->client.ch, &e), 0);
    assert_int_equal(receive(p->server.ch, got, 4, &e), 0);
    assert_int_equal(receive(p->server.ch, got, 4, &e), -ENODATA);
    assert_false(err_is_set(&e));
}

static void test_goodbye_in_the_middle_is_an_error(void **state)
{
    struct pair *p = *state;
    struct err e = ERR_INIT;
    char got[8];

    send_bytes(p->client.ch, "last", 4);
    assert_int_equal(channel_finish(p->client.ch, &e), 0);
    assert_int_equal(receive(p->server.ch, got, 8, &e), -EBADMSG);
}

static void test_end_without_goodbye_is_an_error(void **state)
{
    struct pair *p = *state;
    struct err e = ERR_INIT;
    char got[8];

    send_bytes(p->client.ch, "last", 4);
    channel_shutdown(p->client.ch);
    assert_int_equal(receive(p->server.ch, got, 4, &e), 0);
    assert_int_equal(receive(p->server.ch, got, 4, &e), -EBADMSG);
    assert_says(&e, "without TLS's goodbye");
}

/* Waiting */

static void test_a_peer_that_does_not_read_stalls_a_send(void **state)
{
    enum { LIMIT_MS = 300, BIG_BYTES = 64 << 20 };
    struct pair *p = *state;
    struct err e = ERR_INIT;
    uint8_t *big = calloc(1, BIG_BYTES);
    struct iovec iov = {big, BIG_BYTES};

    p->client.ch->stall_ns = LIMIT_MS * NS_PER_MS;

    const int64_t begin_ns = now_ns();

    assert_int_equal(channel_send(p->client.ch, &iov, 1, &e), -ETIMEDOUT);
    assert_true(now_ns() - begin_ns < 10 * NS_PER_S);
    assert_true(now_ns() - begin_ns >= LIMIT_MS * NS_PER_MS);
    assert_says(&e, "lane 0 to server: ");
    free(big);
}

/* A receive writes what it finds sealed, too. */
static void test_what_a_send_could_not_write_never_leaves(void **state)
{
    enum { BIG_BYTES = 64 << 20 };
    struct pair *p = *state;
    struct err e = ERR_INIT;
    uint8_t *big = calloc(1, BIG_BYTES);
    struct iovec iov = {big, BIG_BYTES};
    char got;

    p->client.ch->stall_ns = 50 * NS_PER_MS;
    assert_int_equal(channel_send(p->client.ch, &iov, 1, &e), -ETIMEDOUT);

    const uint64_t sent_bytes = p->client.ch->sent_bytes;

    /* Make room, and give it something to receive. */
    while (read(p->server.ch->fd, big, BIG_BYTES) > 0 ||
           !io_wait(p->server.ch->fd, POLLIN, NULL, deadline_in(50 * NS_PER_MS)))
        continue;
    send_bytes(p->server.ch, "x", 1);
    e = (struct err)ERR_INIT;
    assert_int_equal(receive(p->client.ch, &got, 1, &e), 0);
    iov = (struct iovec){"y", 1};
    assert_true(channel_send(p->client.ch, &iov, 1, &e) < 0);
    assert_int_equal(p->client.ch->sent_bytes, sent_bytes);
    free(big);
}

static void test_a_silent_peer_ends_a_receive_at_its_deadline(void **state)
{
    struct pair *p = *state;
    struct err e = ERR_INIT;
    char got[1];

    assert_int_equal(
        channel_recv(p->client.ch, got, 1, deadline_in(50 * NS_PER_MS), &e), -ETIMEDOUT);
}

static void test_a_silent_peer_ends_a_handshake_at_its_deadline(void **state)
{
    struct pair *p = *state;

    aim_ends(p);
    p->client.params.deadline_ns = deadline_in(50 * NS_PER_MS);
    run_end(&p->client);
    assert_int_equal(p->client.rc, -ETIMEDOUT);
    close(p->server.fd);
}

struct waiter {
    struct channel *ch;
    bool sends;
    int rc;
};

static void *run_waiter(void *arg)
{
    enum { BIG_BYTES = 64 << 20 };
    struct waiter *w = arg;
    struct err e = ERR_INIT;
    uint8_t *big = calloc(1, BIG_BYTES);
    struct iovec iov = {big, BIG_BYTES};

    w->rc = w->sends ? channel_send(w->ch, &iov, 1, &e) : receive(w->ch, big, BIG_BYTES, &e);
    free(big);
    return NULL;
}

/* What wakes a sender and a receiver that wait at the same time. */
static void wake_both(struct pair *p, bool by_cancel)
{
    struct waiter w[2] = {{.ch = p->client.ch, .sends = true}, {.ch = p->client.ch}};
    pthread_t thread[2];

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, run_waiter, &w[i]), 0);
    sleep_until_ns(deadline_in(200 * NS_PER_MS));

    const int64_t begin_ns = now_ns();

    if (by_cancel)
        cancel_fire(&p->cancel);
    else
        channel_shutdown(p->client.ch);
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        if (by_cancel)
            assert_int_equal(w[i].rc, -ECANCELED);
        else
            assert_true(w[i].rc < 0);
    }
    assert_true(now_ns() - begin_ns < 5 * NS_PER_S);
}

static void test_cancel_wakes_sender_and_receiver(void **state)
{
    wake_both(*state, true);
}

static void test_shutdown_wakes_sender_and_receiver(void **state)
{
    wake_both(*state, false);
}

#define ON_PAIR(f)   cmocka_unit_test_setup_teardown(f, open_pair, close_pair)
#define ON_KERNEL(f) cmocka_unit_test_setup_teardown(f, open_kernel_pair, close_pair)
#define ON_HOSTS(f)  cmocka_unit_test_setup_teardown(f, open_hosts, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_PAIR(test_openssl_encrypts_unless_it_is_told_otherwise),
        ON_KERNEL(test_without_the_kernels_help_openssl_encrypts),
        ON_PAIR(test_the_kernel_seals_no_more_than_a_key_is_good_for),
        ON_KERNEL(test_pieces_of_all_sizes_arrive_in_order),
        ON_KERNEL(test_both_ends_send_and_receive_at_once),
        ON_KERNEL(test_goodbye_is_a_clean_end),
        ON_KERNEL(test_end_without_goodbye_is_an_error),
        ON_KERNEL(test_cancel_wakes_sender_and_receiver),
        ON_PAIR(test_hosts_that_trust_each_other_talk),
        ON_HOSTS(test_what_a_process_made_is_there_for_those_that_it_forks),
        ON_PAIR(test_binding_is_of_the_connection),
        ON_HOSTS(test_untrusted_client_is_refused_in_words_at_both_ends),
        ON_HOSTS(test_untrusted_server_is_refused_in_words_at_both_ends),
        ON_HOSTS(test_a_peer_without_the_right_is_refused_in_words_at_both_ends),
        ON_HOSTS(test_one_of_the_rights_is_enough),
        ON_HOSTS(test_trust_file_that_makes_no_sense_lets_nobody_in),
        ON_HOSTS(test_only_the_expected_key_is_accepted),
        ON_HOSTS(test_client_without_certificate_is_refused),
        ON_HOSTS(test_older_tls_is_refused),
        ON_HOSTS(test_a_goodbye_within_the_handshake_is_no_success),
        ON_HOSTS(test_what_is_not_tls_is_refused),
        ON_PAIR(test_pieces_of_all_sizes_arrive_in_order),
        ON_PAIR(test_a_receiver_of_much_wakes_for_the_last_byte),
        ON_PAIR(test_a_record_longer_than_ours_wakes_the_receiver_too),
        ON_PAIR(test_scattered_pieces_leave_in_whole_chunks),
        ON_PAIR(test_a_cap_is_paid_slice_by_slice),
        ON_PAIR(test_a_slice_may_shrink_within_a_message),
        ON_PAIR(test_both_ends_send_and_receive_at_once),
        ON_PAIR(test_a_key_that_sealed_enough_is_replaced),
        ON_PAIR(test_a_peer_may_ask_for_a_new_key),
        ON_HOSTS(test_a_flipped_bit_is_an_error_and_never_data),
        ON_PAIR(test_goodbye_is_a_clean_end),
        ON_PAIR(test_goodbye_in_the_middle_is_an_error),
        ON_PAIR(test_end_without_goodbye_is_an_error),
        ON_PAIR(test_a_peer_that_does_not_read_stalls_a_send),
        ON_PAIR(test_what_a_send_could_not_write_never_leaves),
        ON_PAIR(test_a_silent_peer_ends_a_receive_at_its_deadline),
        ON_HOSTS(test_a_silent_peer_ends_a_handshake_at_its_deadline),
        ON_PAIR(test_cancel_wakes_sender_and_receiver),
        ON_PAIR(test_shutdown_wakes_sender_and_receiver),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
