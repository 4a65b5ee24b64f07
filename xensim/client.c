/* SPDX-License-Identifier: MIT */
#include "xensim/client.h"
#include "xensim/proto.h"
#include "xensim/wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* NULL: none. */
static const char *chosen_dir(void)
{
    const char *dir = getenv("XENSIM_DIR");

    return dir && dir[0] ? dir : NULL;
}

void client_run_dir(char *buf, size_t bytes)
{
    if (chosen_dir())
        snprintf(buf, bytes, "%s", chosen_dir());
    else if (geteuid() == 0)
        snprintf(buf, bytes, "/run/xensim");
    else
        snprintf(buf, bytes, "/tmp/xensim-%u", (unsigned)geteuid());
}

bool client_dir_is_ours(const char *dir, uid_t user)
{
    struct stat st;

    if (lstat(dir, &st))
        return errno == ENOENT;
    return S_ISDIR(st.st_mode) && st.st_uid == user && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

int client_check_run_dir(struct err *e)
{
    char run[256];

    client_run_dir(run, sizeof(run));
    if (chosen_dir() || client_dir_is_ours(run, geteuid()))
        return 0;
    return err_set(e, ERR_REFUSED, EPERM,
        "%s is not a directory of user %u's that nobody else can write to: remove it, or set "
        "XENSIM_DIR to another",
        run, (unsigned)geteuid());
}

int client_host_dir(const char *host, char *buf, size_t bytes, struct err *e)
{
    char run[256];

    if (!host[0] || strchr(".-", host[0]) || strchr(host, '/') || strlen(host) > 40)
        return err_set(e, ERR_USAGE, EINVAL,
            "%s: not a host name: at most 40 characters, no slash, no leading dot or dash", host);
    client_run_dir(run, sizeof(run));
    if (client_check_run_dir(e))
        return -e->code;
    if (snprintf(buf, bytes, "%s/%s", run, host) >= (int)bytes)
        return err_set(e, ERR_USAGE, ENAMETOOLONG, "%s/%s: too long", run, host);
    return 0;
}

int client_connect(const char *socket_path, const char *host, struct err *e)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int sock;

    if (strlen(socket_path) >= sizeof(addr.sun_path))
        return err_set(e, ERR_USAGE, ENAMETOOLONG,
            "%s: too long for a socket; set XENSIM_DIR to a shorter directory", socket_path);
    strcpy(addr.sun_path, socket_path);
    sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot make a socket");
    if (connect(sock, (struct sockaddr *)&addr, sizeof(addr))) {
        int code = errno;

        close(sock);
        return err_set(e, ERR_LOCAL, code == ENOENT || code == ECONNREFUSED ? EHOSTDOWN : code,
            "host %s does not run (%s: %s); start it with `xensim host %s --mem SIZE`", host,
            socket_path, strerror(code), host);
    }
    return sock;
}

/* The socket was bound as DIR/HOST/socket. */
static int host_gone(int sock, struct err *e)
{
    struct sockaddr_un peer = {.sun_family = AF_UNIX};
    socklen_t bytes = sizeof(peer) - 1;
    char *end, *host;

    if (getpeername(sock, (struct sockaddr *)&peer, &bytes) || !(end = strrchr(peer.sun_path, '/')))
        return err_set(e, ERR_LOCAL, EHOSTDOWN, "the host went away in the middle of a command");
    *end = '\0';
    host = strrchr(peer.sun_path, '/');
    host = host ? host + 1 : peer.sun_path;
    return err_set(e, ERR_LOCAL, EHOSTDOWN,
        "host %s went away in the middle of a command (%s/log may say why); start it again with "
        "`xensim host %s --mem SIZE`",
        host, peer.sun_path, host);
}

int client_send(int sock, const char *words, size_t bytes, struct err *e)
{
    struct proto_request req = {.op = OP_COMMAND, .data_bytes = (uint32_t)bytes};
    int rc;

    if (bytes > PROTO_MAX_DATA)
        return err_set(e, ERR_USAGE, E2BIG, "the command line is too long");
    rc = wire_send(sock, &req, sizeof(req), words, bytes, NULL, 0);
    return rc ? host_gone(sock, e) : 0;
}

/* Split the last line of a refusal off from any before it. */
static char *cut_last_line(char *text)
{
    char *end = text + strlen(text);

    if (end > text && end[-1] == '\n')
        *--end = '\0';
    while (end > text && end[-1] != '\n')
        end--;
    return end;
}

int client_receive(int sock, char **text, struct err *e)
{
    struct proto_reply reply;
    size_t got = PROTO_MAX_DATA;
    char *buf = malloc(PROTO_MAX_DATA + 1);
    int rc;

    *text = NULL;
    if (!buf)
        return err_sys(e, ERR_LOCAL, ENOMEM, "cannot ask the host");
    rc = wire_recv(sock, &reply, sizeof(reply), buf, &got, NULL, 0);
    if (rc) {
        free(buf);
        return host_gone(sock, e);
    }
    buf[got] = '\0';
    if (reply.result) {
        char *line = cut_last_line(buf);

        err_set(e, reply.result == -EINVAL ? ERR_USAGE : ERR_LOCAL, (int)-reply.result, "%s",
            *line ? line : strerror((int)-reply.result));
        *line = '\0';
    }
    *text = buf;
    return (int)reply.result;
}

int client_command(int sock, const char *words, size_t bytes, char **text, struct err *e)
{
    int rc = client_send(sock, words, bytes, e);

    *text = NULL;
    return rc ? rc : client_receive(sock, text, e);
}

int client_commandl(int sock, char **text, struct err *e, ...)
{
    char words[4096];
    size_t used = 0;
    va_list args;
    const char *word;

    va_start(args, e);
    while ((word = va_arg(args, const char *))) {
        size_t n = strlen(word) + 1;

        if (used + n > sizeof(words)) {
            va_end(args);
            return err_set(e, ERR_USAGE, E2BIG, "the command line is too long");
        }
        memcpy(words + used, word, n);
        used += n;
    }
    va_end(args);
    return client_command(sock, words, used, text, e);
}
