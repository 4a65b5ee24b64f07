/* SPDX-License-Identifier: MIT */
#include "tests/unit/hosts.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

void make_host_dir(struct host *h)
{
    strcpy(h->dir, "/tmp/xmigrate-test.XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    h->tls = NULL;
}

void open_host(struct host *h)
{
    struct err e = ERR_INIT;

    if (tls_open(&h->tls, h->dir, &e))
        fail_msg("%s", e.text);
}

void drop_host(struct host *h)
{
    static const char *const names[] = {
        "key.pem", "cert.pem", "ca.pem", "crl.pem", "trusted", "policy"};
    char path[CONFIG_PATH_BYTES];

    tls_close(h->tls);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", h->dir, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(h->dir), 0);
}

/* The context of one that is open already has read its files. */
void let_trust(struct host *who, const struct host *whom)
{
    struct err e = ERR_INIT;

    int rc = trust_add(who->dir, tls_own_fingerprint(whom->tls), "peer", NULL, &e);

    /* Only the first is called that. */
    if (rc == -EEXIST)
        rc = trust_add(who->dir, tls_own_fingerprint(whom->tls), NULL, NULL, &e);
    assert_int_equal(rc, 0);
    open_host_again(who);
}

void open_host_again(struct host *h)
{
    tls_close(h->tls);
    open_host(h);
}

void make_tcp_pair(int ends[2])
{
    const struct tcp_address any = {.host = "127.0.0.1", .port = 0};
    struct err e = ERR_INIT;
    struct tcp_address at = any;
    const int listener = tcp_listen(&any, &at.port, &e);

    assert_true(listener >= 0);
    ends[0] = tcp_connect(&at, NULL, deadline_in(TEST_LIMIT_NS), &e);
    assert_true(ends[0] >= 0);

    struct pollfd ready = {.fd = listener, .events = POLLIN};

    assert_int_equal(poll(&ready, 1, 5000), 1);
    ends[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(ends[1] >= 0);
    close(listener);
}

void *run_end(void *arg)
{
    struct end *end = arg;

    end->rc = tls_channel(end->tls, end->fd, &end->params, &end->ch, &end->peer, &end->err);
    return NULL;
}

struct end new_end(const struct host *h, int fd, bool server)
{
    return (struct end){
        .tls = h->tls,
        .fd = fd,
        .params = {.server = server,
            .host = server ? NULL : "127.0.0.1",
            .name = server ? "lane 0 from client" : "lane 0 to server",
            .stall_ns = TEST_LIMIT_NS,
            .deadline_ns = deadline_in(TEST_LIMIT_NS)},
    };
}

void shake_hands(struct end *client, struct end *server)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run_end, server), 0);
    run_end(client);
    pthread_join(thread, NULL);
}

void put_file(const struct host *h, const char *name, const char *text, mode_t mode)
{
    char path[CONFIG_PATH_BYTES];

    snprintf(path, sizeof(path), "%s/%s", h->dir, name);

    FILE *f = fopen(path, "we");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

void assert_says(const struct err *e, const char *what)
{
    if (!strstr(e->text, what))
        fail_msg("\"%s\" does not say \"%s\"", e->text, what);
}
