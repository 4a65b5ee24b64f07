/* SPDX-License-Identifier: MIT */
#include "cmd/link.h"

#include "base/deadline.h"
#include "base/io.h"
#include "base/libc.h"
#include "base/packet.h"
#include "cmd/fields.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The other end reads all the time; if it has not for this long, it hangs. */
#define SEND_LIMIT_NS (10 * NS_PER_S)

/* Linux 6.5. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* --- what the messages hold --- */

static const char *role_name(int role)
{
    return role == LINK_SOURCE ? "source" : "destination";
}

static const char *compress_name(int compress)
{
    return codec_name((enum codec)compress);
}

static const char *stall_name(int on_stall)
{
    return on_stall_name((enum on_stall)on_stall);
}

static const char *class_name(int class)
{
    return err_class_name((enum err_class) class);
}

static const char *side_name(int side)
{
    return err_side_name((enum err_side)side);
}

static const struct field_words roles = {role_name, 0, LINK_DESTINATION + 1, -1};
static const struct field_words compressions = {compress_name, 0, CODEC_AUTO + 1, -1};
static const struct field_words stalls = {stall_name, 0, ON_STALLS, -1};
/* A peer that reports a failure has failed, whatever it calls that. */
static const struct field_words classes = {class_name, ERR_USAGE, ERR_CANCELLED + 1, ERR_INTERNAL};
static const struct field_words sides = {side_name, 0, SIDE_DESTINATION + 1, SIDE_UNKNOWN};

static const struct field job_fields[] = {
    FIELD("role", FIELD_WORD, struct link_job, role, .words = &roles),
    FIELD_BETWEEN("domid", struct link_job, domid, 0, LINK_MAX_DOMID),
    FIELD("session", FIELD_BYTES, struct link_job, session),
    FIELD("key", FIELD_BYTES, struct link_job, key),
    FIELD_BETWEEN("lanes", struct link_job, lanes, 1, MAX_LANES),
    FIELD("insecure", FIELD_BOOL, struct link_job, insecure),
    FIELD("verbose", FIELD_BOOL, struct link_job, verbose),
    FIELD("config_dir", FIELD_TEXT, struct link_job, config_dir),
    FIELD("fingerprint", FIELD_TEXT, struct link_job, fingerprint),
    FIELD("host", FIELD_TEXT, struct link_job, host),
    FIELD_BETWEEN("port", struct link_job, port, 0, UINT16_MAX),
    FIELD("from", FIELD_TEXT, struct link_job, from),
    FIELD_BETWEEN("dscp", struct link_job, dscp, 0, LINK_MAX_DSCP),
    FIELD_COUNT("connect_ns", struct link_job, connect_ns),
    FIELD_COUNT("control_handshake_ns", struct link_job, control_handshake_ns),
    FIELD_COUNT("silent_ns", struct link_job, silent_ns),
    FIELD("compress", FIELD_WORD, struct link_job, compress, .words = &compressions),
    FIELD("kernel_tls", FIELD_BOOL, struct link_job, kernel_tls),
    FIELD_COUNT("delta_cache_bytes", struct link_job, delta_cache_bytes),
    FIELD_COUNT("bandwidth_bits_per_s", struct link_job, bandwidth_bits_per_s),
    FIELD_COUNT("max_downtime_ns", struct link_job, limits.max_downtime_ns),
    FIELD_COUNT32("max_rounds", struct link_job, limits.max_rounds),
    FIELD_COUNT("suspend_ns", struct link_job, costs.suspend_ns),
    FIELD_COUNT("state_ns", struct link_job, costs.state_ns),
    FIELD_COUNT("receiver_ns", struct link_job, costs.receiver_ns),
    FIELD_COUNT("network_ns", struct link_job, costs.network_ns),
    FIELD_COUNT("fixed_low_ns", struct link_job, costs.low_ns),
    FIELD_COUNT("fixed_high_ns", struct link_job, costs.high_ns),
    FIELD_COUNT("result_ns", struct link_job, result_ns),
    FIELD("early", FIELD_BOOL, struct link_job, early),
    FIELD("asks", FIELD_BOOL, struct link_job, asks),
    FIELD("plain", FIELD_BOOL, struct link_job, plain),
    FIELD("frozen", FIELD_BOOL, struct link_job, frozen),
    FIELD_BETWEEN("files", struct link_job, files, 0, LINK_MAX_FILES),
    FIELD_COUNT("suspend_limit_ns", struct link_job, suspend_limit_ns),
    FIELD_COUNT("max_time_ns", struct link_job, limits.max_time_ns),
    FIELD_COUNT("max_bytes", struct link_job, limits.max_bytes),
    FIELD("on_stall", FIELD_WORD, struct link_job, limits.on_stall, .words = &stalls),
    FIELD_BETWEEN("notes_bytes", struct link_job, notes_bytes, 0,
        KERNEL_NOTES_HEAD_BYTES + KERNEL_NOTES_BYTES),
    FIELD("notes", FIELD_BYTES, struct link_job, notes),
    FIELDS_END,
};

const struct field link_tune_fields[] = {
    FIELD_COUNT("bandwidth_bits_per_s", struct link_tune, bandwidth_bits_per_s),
    FIELD_COUNT("max_downtime_ns", struct link_tune, max_downtime_ns),
    FIELD("on_stall", FIELD_WORD, struct link_tune, on_stall, .words = &stalls),
    FIELDS_END,
};

const struct field link_err_fields[] = {
    FIELD("class", FIELD_WORD, struct err, class, .words = &classes),
    FIELD("side", FIELD_WORD, struct err, side, .words = &sides),
    FIELD("text", FIELD_LINE, struct err, text),
    FIELD_BETWEEN("code", struct err, code, 1, 4095),
    FIELDS_END,
};

static const struct field conn_fields[] = {
    FIELD_BETWEEN("lane", struct link_message, lane, 0, UINT16_MAX),
    FIELD("preamble", FIELD_BYTES, struct link_message, preamble),
    FIELDS_END,
};

static const struct field file_fields[] = {
    FIELD("file", FIELD_TEXT, struct link_message, file),
    FIELD("file_keys", FIELD_BYTES, struct link_message, file_keys),
    FIELDS_END,
};

static const struct field cap_fields[] = {
    FIELD_BETWEEN("cap_percent", struct link_message, cap_percent, 1, UINT16_MAX),
    FIELDS_END,
};

static const struct field no_fields[] = {FIELDS_END};

/* The fields' offsets count from this one within struct link_message. */
static const struct kind {
    const char *name;
    const struct field *fields;
    size_t offset;
    bool has_body; /* an object of its own, as the sender made it */
} kinds[] = {
    [LINK_JOB] = {"job", job_fields, offsetof(struct link_message, job)},
    [LINK_CONN] = {"conn", conn_fields},
    [LINK_FILE] = {"file", file_fields},
    [LINK_ABORT] = {"abort", link_err_fields, offsetof(struct link_message, failed)},
    [LINK_NOTED] = {"noted", no_fields},
    [LINK_PREPARED] = {"prepared", no_fields},
    [LINK_TUNE] = {"tune", link_tune_fields, offsetof(struct link_message, tune)},
    [LINK_MAY_SUSPEND] = {"may_suspend", no_fields},
    [LINK_CAP] = {"cap", cap_fields},
    [LINK_LOGGING] = {"logging", no_fields},
    [LINK_BEFORE_SUSPEND] = {"before_suspend", no_fields},
    [LINK_BUILD] = {"build", no_fields},
    [LINK_EVENT] = {"event", no_fields, .has_body = true},
    [LINK_FAILED] = {"failed", link_err_fields, offsetof(struct link_message, failed)},
    [LINK_DONE] = {"done", no_fields, .has_body = true},
    [LINK_ALIVE] = {"alive", no_fields},
};

/* --- the socket --- */

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

/* --- messages --- */

static json_t *pack_message(const struct link_message *m)
{
    const struct kind *kind = &kinds[m->kind];
    json_t *o = fields_pack(kind->fields, (const char *)m + kind->offset);

    if (o && !(kind->has_body && json_object_set(o, "body", m->body)) &&
        !json_object_set_new(o, "msg", json_string(kind->name)))
        return o;
    json_decref(o);
    return NULL;
}

static int send_message(int sock, const struct link_message *m, struct err *e)
{
    json_t *o = pack_message(m);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    int rc = -ENOMEM;

    json_decref(o);
    if (text) {
        rc = packet_send(sock, text, strlen(text), m->fd, NULL, deadline_in(SEND_LIMIT_NS));
        explicit_bzero(text, strlen(text));
        free(text);
    }
    if (rc)
        return err_set(e, ERR_LOCAL, -rc, "cannot send \"%s\" over the link: %s",
            kinds[m->kind].name, io_strerror(rc));
    return 0;
}

int link_send_job(int sock, const struct link_job *job, int lock_fd, struct err *e)
{
    struct link_message m = {.kind = LINK_JOB, .fd = lock_fd, .job = *job};
    const int rc = send_message(sock, &m, e);

    explicit_bzero(m.job.key, sizeof(m.job.key));
    return rc;
}

int link_send_conn(int sock, uint16_t lane, const uint8_t preamble[static LINK_PREAMBLE_BYTES],
    int conn_fd, struct err *e)
{
    struct link_message m = {.kind = LINK_CONN, .fd = conn_fd, .lane = lane};

    memcpy(m.preamble, preamble, LINK_PREAMBLE_BYTES);
    return send_message(sock, &m, e);
}

int link_send_file(int sock, const char *name, const uint8_t keys[static LINK_FILE_KEYS_BYTES],
    int file_fd, struct err *e)
{
    struct link_message m = {.kind = LINK_FILE, .fd = file_fd};

    /* Of a longer one the end is told. */
    snprintf(m.file, sizeof(m.file), "%s",
        strlen(name) < sizeof(m.file) ? name : name + strlen(name) - sizeof(m.file) + 1);
    for (char *c = m.file; *c; c++)
        if ((signed char)*c < ' ' || *c == 0x7f)
            *c = '?'; /* JSON has no other bytes than UTF-8 */
    memcpy(m.file_keys, keys, sizeof(m.file_keys));

    const int rc = send_message(sock, &m, e);

    explicit_bzero(m.file_keys, sizeof(m.file_keys));
    return rc;
}

int link_send_abort(int sock, const struct err *why, struct err *e)
{
    return send_message(
        sock, &(struct link_message){.kind = LINK_ABORT, .fd = -1, .failed = *why}, e);
}

int link_send_failed(int sock, const struct err *why, struct err *e)
{
    return send_message(
        sock, &(struct link_message){.kind = LINK_FAILED, .fd = -1, .failed = *why}, e);
}

static int send_kind(int sock, enum link_kind kind, struct err *e)
{
    return send_message(sock, &(struct link_message){.kind = kind, .fd = -1}, e);
}

int link_send_logging(int sock, struct err *e)
{
    return send_kind(sock, LINK_LOGGING, e);
}

int link_send_noted(int sock, struct err *e)
{
    return send_kind(sock, LINK_NOTED, e);
}

int link_send_prepared(int sock, struct err *e)
{
    return send_kind(sock, LINK_PREPARED, e);
}

int link_send_may_suspend(int sock, struct err *e)
{
    return send_kind(sock, LINK_MAY_SUSPEND, e);
}

int link_send_before_suspend(int sock, struct err *e)
{
    return send_kind(sock, LINK_BEFORE_SUSPEND, e);
}

int link_send_tune(int sock, const struct link_tune *tune, struct err *e)
{
    return send_message(
        sock, &(struct link_message){.kind = LINK_TUNE, .fd = -1, .tune = *tune}, e);
}

int link_send_build(int sock, struct err *e)
{
    return send_kind(sock, LINK_BUILD, e);
}

int link_send_cap(int sock, unsigned cap_percent, struct err *e)
{
    return send_message(
        sock, &(struct link_message){.kind = LINK_CAP, .fd = -1, .cap_percent = cap_percent}, e);
}

int link_send_alive(int sock, struct err *e)
{
    return send_kind(sock, LINK_ALIVE, e);
}

static int send_body(int sock, enum link_kind kind, json_t *body, struct err *e)
{
    const struct link_message m = {.kind = kind, .fd = -1, .body = body};
    const int rc = send_message(sock, &m, e);

    json_decref(body);
    return rc;
}

int link_send_event(int sock, json_t *body, struct err *e)
{
    return send_body(sock, LINK_EVENT, body, e);
}

int link_send_done(int sock, json_t *total, struct err *e)
{
    return send_body(sock, LINK_DONE, total, e);
}

static bool parse_kind(const json_t *o, enum link_kind *kind)
{
    const char *name = json_string_value(json_object_get(o, "msg"));

    for (*kind = LINK_JOB; name && *kind <= LINK_ALIVE; ++*kind)
        if (!strcmp(kinds[*kind].name, name))
            return true;
    return false;
}

static bool parse_message(const json_t *o, struct link_message *m)
{
    if (!parse_kind(o, &m->kind) ||
        !fields_read(kinds[m->kind].fields, o, (char *)m + kinds[m->kind].offset))
        return false;
    if (kinds[m->kind].has_body) {
        m->body = json_incref(json_object_get(o, "body"));
        return json_is_object(m->body);
    }
    return (m->kind != LINK_CONN && m->kind != LINK_FILE) || m->fd >= 0;
}

int link_recv(int sock, struct link_message *m, const struct cancel *cancel, int64_t deadline_ns,
    struct err *e)
{
    /* On the stack: any of our threads can spare a packet's size, and nobody else would own it. */
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
    explicit_bzero(m->file_keys, sizeof(m->file_keys));
}
