#include "cmd/link.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/packet.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The other end reads all the time; one that does not for so long hangs. */
#define SEND_LIMIT_NS (10 * NS_PER_S)

/* Linux 6.5. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static const char *const kind_names[] = {
    [LINK_JOB] = "job",
    [LINK_CONN] = "conn",
    [LINK_ABORT] = "abort",
    [LINK_CAP] = "cap",
    [LINK_LOGGING] = "logging",
    [LINK_NOTED] = "noted",
    [LINK_EVENT] = "event",
    [LINK_FAILED] = "failed",
    [LINK_DONE] = "done",
    [LINK_ALIVE] = "alive",
};

/* A socket, and the address that it is for. */
static int open_socket(const char *path, struct sockaddr_un *sa, struct err *e)
{
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(sa->sun_path))
        return err_set(e, ERR_LOCAL, ENAMETOOLONG, "the link's path is too long: %s", path);
    strcpy(sa->sun_path, path);

    const int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return sock >= 0 ? sock : err_sys(e, ERR_LOCAL, errno, "cannot make a socket");
}

int link_listen(const char *path, struct err *e)
{
    struct sockaddr_un sa;
    const int sock = open_socket(path, &sa, e);

    if (sock < 0)
        return sock;
    unlink(path);
    /* Nobody else can reach it before the mode is set: the run directory is 0700. */
    if (bind(sock, (struct sockaddr *)&sa, sizeof(sa)) || chmod(path, 0600) || listen(sock, 1)) {
        const int rc = err_sys(e, ERR_LOCAL, errno, "cannot listen on %s", path);

        close(sock);
        return rc;
    }
    return sock;
}

int link_accept(int listen_fd, const struct cancel *cancel, int64_t deadline_ns, struct err *e)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    int rc = io_wait(listen_fd, POLLIN, cancel, deadline_ns);

    if (rc)
        return err_set(e, ERR_LOCAL, -rc, "waiting for the save helper: %s", io_strerror(rc));

    const int sock = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (sock < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot accept the save helper's connection");
    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) || peer.uid != geteuid()) {
        close(sock);
        return err_set(e, ERR_LOCAL, EPERM, "a stranger connected in the save helper's place");
    }
    return sock;
}

static bool is_hung_up(int sock)
{
    struct pollfd p = {.fd = sock};

    return poll(&p, 1, 0) != 0;
}

int link_peer_pidfd(int sock, pid_t *pid)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    int fd;

    *pid = 0;
    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len))
        return -1;
    *pid = peer.pid;
    len = sizeof(fd);
    if (!getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &fd, &len))
        return fd;
    if (errno != ENOPROTOOPT)
        return -1;
    fd = pidfd_open(peer.pid, 0);
    /* Nobody but the peer holds its end: while that is open, the number is the peer's. */
    if (fd >= 0 && is_hung_up(sock)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int link_connect(const char *path, struct err *e)
{
    struct sockaddr_un sa;
    const int sock = open_socket(path, &sa, e);

    if (sock < 0)
        return sock;
    if (connect(sock, (struct sockaddr *)&sa, sizeof(sa))) {
        const int rc = err_sys(e, ERR_LOCAL, errno, "cannot reach the supervisor at %s", path);

        close(sock);
        return rc;
    }
    return sock;
}

/* Takes over the reference to body. */
static int send_packet(int sock, enum link_kind kind, json_t *body, int fd, struct err *e)
{
    int rc = -ENOMEM;
    char *text = NULL;

    if (body && !json_object_set_new(body, "msg", json_string(kind_names[kind])))
        text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (text) {
        rc = packet_send(sock, text, strlen(text), fd, NULL, deadline_in(SEND_LIMIT_NS));
        free(text);
    }
    if (rc)
        return err_set(e, ERR_LOCAL, -rc, "cannot send \"%s\" over the link: %s", kind_names[kind],
            io_strerror(rc));
    return 0;
}

static void to_hex(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++)
        sprintf(out + 2 * i, "%02x", bytes[i]);
}

static bool from_hex(const char *text, uint8_t *bytes, size_t len)
{
    if (strlen(text) != 2 * len || strspn(text, "0123456789abcdef") != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        const char pair[3] = {text[2 * i], text[2 * i + 1]};

        bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

const char *const link_compress_names[LINK_COMPRESSES] = {
    [LINK_COMPRESS_NONE] = "none",
    [LINK_COMPRESS_LZ4] = "lz4",
    [LINK_COMPRESS_ZSTD] = "zstd",
    [LINK_COMPRESS_AUTO] = "auto",
};

bool link_parse_compress(const char *name, enum link_compress *compress)
{
    for (unsigned i = 0; i < LINK_COMPRESSES; i++)
        if (!strcmp(name, link_compress_names[i])) {
            *compress = i;
            return true;
        }
    return false;
}

int link_send_job(int sock, const struct link_job *job, int lock_fd, struct err *e)
{
    char session[2 * LINK_SESSION_BYTES + 1];
    char key[2 * LINK_KEY_BYTES + 1];

    to_hex(job->session, LINK_SESSION_BYTES, session);
    to_hex(job->key, LINK_KEY_BYTES, key);

    json_t *body = json_pack(
        "{s:s, s:I, s:s, s:s, s:I, s:b, s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I,"
        " s:I, s:I, s:I, s:s}",
        "role", job->role == LINK_SOURCE ? "source" : "destination", "domid",
        (json_int_t)job->domid, "session", session, "key", key, "lanes", (json_int_t)job->lanes,
        "insecure", job->insecure, "config_dir", job->config_dir, "fingerprint", job->fingerprint,
        "host", job->host, "port", (json_int_t)job->port, "connect_ns", (json_int_t)job->connect_ns,
        "silent_ns", (json_int_t)job->silent_ns, "compress", link_compress_names[job->compress],
        "bandwidth_bits_per_s", (json_int_t)job->bandwidth_bits_per_s, "max_downtime_ns",
        (json_int_t)job->limits.max_downtime_ns, "max_rounds", (json_int_t)job->limits.max_rounds,
        "suspend_estimate_ns", (json_int_t)job->suspend_estimate_ns, "receiver_estimate_ns",
        (json_int_t)job->receiver_estimate_ns, "result_ns", (json_int_t)job->result_ns,
        "max_time_ns", (json_int_t)job->limits.max_time_ns, "max_bytes",
        (json_int_t)job->limits.max_bytes, "on_stall", on_stall_name(job->limits.on_stall));

    explicit_bzero(key, sizeof(key));
    return send_packet(sock, LINK_JOB, body, lock_fd, e);
}

int link_send_conn(int sock, uint16_t lane, const uint8_t preamble[static LINK_PREAMBLE_BYTES],
    int conn_fd, struct err *e)
{
    char hex[2 * LINK_PREAMBLE_BYTES + 1];

    to_hex(preamble, LINK_PREAMBLE_BYTES, hex);
    return send_packet(sock, LINK_CONN,
        json_pack("{s:I, s:s}", "lane", (json_int_t)lane, "preamble", hex), conn_fd, e);
}

static json_t *pack_error(const struct err *why)
{
    return json_pack("{s:s, s:s, s:s, s:I}", "class", err_class_name(why->class), "side",
        err_side_name(why->side), "text", why->text, "code", (json_int_t)why->code);
}

int link_send_abort(int sock, const struct err *why, struct err *e)
{
    return send_packet(sock, LINK_ABORT, pack_error(why), -1, e);
}

int link_send_failed(int sock, const struct err *why, struct err *e)
{
    return send_packet(sock, LINK_FAILED, pack_error(why), -1, e);
}

int link_send_logging(int sock, struct err *e)
{
    return send_packet(sock, LINK_LOGGING, json_object(), -1, e);
}

int link_send_noted(int sock, struct err *e)
{
    return send_packet(sock, LINK_NOTED, json_object(), -1, e);
}

int link_send_cap(int sock, unsigned cap_percent, struct err *e)
{
    return send_packet(
        sock, LINK_CAP, json_pack("{s:I}", "cap_percent", (json_int_t)cap_percent), -1, e);
}

int link_send_event(int sock, json_t *body, struct err *e)
{
    return send_packet(sock, LINK_EVENT, json_pack("{s:o}", "body", body), -1, e);
}

int link_send_done(int sock, json_t *total, struct err *e)
{
    return send_packet(sock, LINK_DONE, json_pack("{s:o}", "body", total), -1, e);
}

int link_send_alive(int sock, struct err *e)
{
    return send_packet(sock, LINK_ALIVE, json_object(), -1, e);
}

/* Each take_ function reads one field; false when it is absent, of another type or out of range. */
static bool take_int(const json_t *o, const char *name, int64_t min, int64_t max, int64_t *v)
{
    const json_t *f = json_object_get(o, name);

    if (!json_is_integer(f) || json_integer_value(f) < min || json_integer_value(f) > max)
        return false;
    *v = json_integer_value(f);
    return true;
}

static bool take_bool(const json_t *o, const char *name, bool *v)
{
    const json_t *f = json_object_get(o, name);

    *v = json_is_true(f);
    return json_is_boolean(f);
}

static bool take_text(const json_t *o, const char *name, char *out, size_t cap)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text && snprintf(out, cap, "%s", text) < (int)cap;
}

static bool take_hex(const json_t *o, const char *name, uint8_t *out, size_t len)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text && from_hex(text, out, len);
}

static bool parse_job(const json_t *o, struct link_job *job)
{
    int64_t domid, lanes, port, rounds, bandwidth, bytes;
    char role[16], on_stall[16], compress[16];

    if (!take_text(o, "role", role, sizeof(role)) || !take_int(o, "domid", 0, 0x7fef, &domid) ||
        !take_hex(o, "session", job->session, LINK_SESSION_BYTES) ||
        !take_hex(o, "key", job->key, LINK_KEY_BYTES) ||
        !take_int(o, "lanes", 1, LINK_MAX_LANES, &lanes) ||
        !take_bool(o, "insecure", &job->insecure) ||
        !take_text(o, "config_dir", job->config_dir, sizeof(job->config_dir)) ||
        !take_text(o, "fingerprint", job->fingerprint, sizeof(job->fingerprint)) ||
        !take_text(o, "host", job->host, sizeof(job->host)) ||
        !take_int(o, "port", 0, UINT16_MAX, &port) ||
        !take_int(o, "connect_ns", 0, INT64_MAX, &job->connect_ns) ||
        !take_int(o, "silent_ns", 0, INT64_MAX, &job->silent_ns) ||
        !take_text(o, "compress", compress, sizeof(compress)) ||
        !link_parse_compress(compress, &job->compress) ||
        !take_int(o, "bandwidth_bits_per_s", 0, INT64_MAX, &bandwidth) ||
        !take_int(o, "max_downtime_ns", 0, INT64_MAX, &job->limits.max_downtime_ns) ||
        !take_int(o, "max_rounds", 0, UINT32_MAX, &rounds) ||
        !take_int(o, "max_time_ns", 0, INT64_MAX, &job->limits.max_time_ns) ||
        !take_int(o, "max_bytes", 0, INT64_MAX, &bytes) ||
        !take_text(o, "on_stall", on_stall, sizeof(on_stall)) ||
        !on_stall_parse(on_stall, &job->limits.on_stall) ||
        !take_int(o, "suspend_estimate_ns", 0, INT64_MAX, &job->suspend_estimate_ns) ||
        !take_int(o, "receiver_estimate_ns", 0, INT64_MAX, &job->receiver_estimate_ns) ||
        !take_int(o, "result_ns", 0, INT64_MAX, &job->result_ns))
        return false;
    if (!strcmp(role, "source"))
        job->role = LINK_SOURCE;
    else if (!strcmp(role, "destination"))
        job->role = LINK_DESTINATION;
    else
        return false;
    job->domid = (uint32_t)domid;
    job->lanes = (unsigned)lanes;
    job->port = (uint16_t)port;
    job->limits.max_rounds = (unsigned)rounds;
    job->limits.max_bytes = (uint64_t)bytes;
    job->bandwidth_bits_per_s = (uint64_t)bandwidth;
    return true;
}

static bool parse_error(const json_t *o, struct err *why)
{
    char class[16], side[16];
    int64_t code;

    if (!take_text(o, "class", class, sizeof(class)) || !take_text(o, "side", side, sizeof(side)) ||
        !take_text(o, "text", why->text, sizeof(why->text)) ||
        !take_int(o, "code", 1, INT32_MAX, &code))
        return false;
    why->class = err_class_parse(class);
    why->side = err_side_parse(side);
    why->code = (int)code;
    return true;
}

static bool parse_message(json_t *o, struct link_message *m)
{
    const char *name = json_string_value(json_object_get(o, "msg"));
    int64_t lane, cap_percent;

    if (!name)
        return false;
    m->kind = LINK_JOB;
    while (strcmp(kind_names[m->kind], name))
        if (++m->kind > LINK_ALIVE)
            return false;
    switch (m->kind) {
    case LINK_JOB:
        return parse_job(o, &m->job);
    case LINK_CONN:
        if (m->fd < 0 || !take_int(o, "lane", 0, UINT16_MAX, &lane))
            return false;
        m->lane = (uint16_t)lane;
        return take_hex(o, "preamble", m->preamble, LINK_PREAMBLE_BYTES);
    case LINK_ABORT:
    case LINK_FAILED:
        return parse_error(o, &m->failed);
    case LINK_CAP:
        if (!take_int(o, "cap_percent", 1, UINT16_MAX, &cap_percent))
            return false;
        m->cap_percent = (unsigned)cap_percent;
        return true;
    case LINK_EVENT:
    case LINK_DONE:
        m->body = json_incref(json_object_get(o, "body"));
        return json_is_object(m->body);
    case LINK_LOGGING:
    case LINK_NOTED:
    case LINK_ALIVE:
        return true;
    }
    return false;
}

int link_recv(int sock, struct link_message *m, const struct cancel *cancel, int64_t deadline_ns,
    struct err *e)
{
    /* A packet's size of stack is what a thread of ours can spare, and it has no other owner. */
    char text[PACKET_MAX_BYTES];

    *m = (struct link_message){.fd = -1};

    const ssize_t n = packet_recv(sock, text, sizeof(text), &m->fd, cancel, deadline_ns);

    if (n == -ENODATA || n == -ECONNRESET)
        return -ENODATA;
    if (n < 0)
        return err_set(e, ERR_LOCAL, (int)-n, "reading the link: %s", io_strerror((int)n));

    json_t *o = json_loadb(text, (size_t)n, 0, NULL);
    const bool good = json_is_object(o) && parse_message(o, m);

    json_decref(o);
    explicit_bzero(text, (size_t)n);
    if (good)
        return 0;
    link_message_clear(m);
    return err_set(e, ERR_INTERNAL, EPROTO, "the link carried a message that makes no sense");
}

void link_message_clear(struct link_message *m)
{
    if (m->fd >= 0)
        close(m->fd);
    m->fd = -1;
    json_decref(m->body);
    m->body = NULL;
    explicit_bzero(m->job.key, sizeof(m->job.key));
}
