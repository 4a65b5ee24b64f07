/* SPDX-License-Identifier: MIT */
#include "transport/preamble.h"

#include "base/bytes.h"
#include "base/io.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Not text, and not how TLS or ssh begin: a wrong port shows at the first byte. */
static const uint8_t client_magic[8] = {0x8f, 'x', 'm', 'i', 'g', 'r', '\r', '\n'};
static const uint8_t server_magic[8] = {0x9f, 'x', 'm', 'i', 'g', 'r', '\r', '\n'};

enum { FLAG_INSECURE = 1 << 0 };

void preamble_encode(const struct preamble *p, uint8_t out[static PREAMBLE_BYTES])
{
    struct bytes_out o = bytes_out_init(out, PREAMBLE_BYTES);

    bytes_out_copy(&o, client_magic, sizeof(client_magic));
    bytes_out_u16(&o, p->major);
    bytes_out_u16(&o, p->minor);
    bytes_out_u16(&o, p->insecure ? FLAG_INSECURE : 0);
    bytes_out_u16(&o, p->lane);
    bytes_out_copy(&o, p->token, PREAMBLE_TOKEN_BYTES);
}

int preamble_decode(const uint8_t in[static PREAMBLE_BYTES], struct preamble *p, struct err *e)
{
    struct bytes_in i = bytes_in_init(in, PREAMBLE_BYTES);

    if (memcmp(bytes_in_take(&i, sizeof(client_magic)), client_magic, sizeof(client_magic)))
        return err_set(e, ERR_PEER, EPROTO, "the peer does not speak xmigrate's protocol");
    p->major = bytes_in_u16(&i);
    p->minor = bytes_in_u16(&i);

    const uint16_t flags = bytes_in_u16(&i);

    if (p->major == WIRE_MAJOR && flags & ~FLAG_INSECURE)
        return err_set(e, ERR_PEER, EPROTO, "a preamble with unknown flags (0x%04x)", flags);
    p->insecure = flags & FLAG_INSECURE;
    p->lane = bytes_in_u16(&i);
    memcpy(p->token, bytes_in_take(&i, PREAMBLE_TOKEN_BYTES), PREAMBLE_TOKEN_BYTES);
    return 0;
}

enum preamble_status preamble_judge(const struct preamble *p, bool insecure)
{
    if (p->major != WIRE_MAJOR)
        return PREAMBLE_OTHER_VERSION;
    if (p->insecure && !insecure)
        return PREAMBLE_NEEDS_TLS;
    if (!p->insecure && insecure)
        return PREAMBLE_NEEDS_PLAINTEXT;
    return PREAMBLE_OK;
}

void preamble_explain_refusal(const struct preamble *p, enum preamble_status status, struct err *e)
{
    switch (status) {
    case PREAMBLE_OK:
        return;
    case PREAMBLE_OTHER_VERSION:
        err_set(e, ERR_REFUSED, EPROTONOSUPPORT,
            "the peer speaks protocol version %u.%u, this xmigrate %u.%u: install the same version "
            "on both hosts",
            p->major, p->minor, WIRE_MAJOR, WIRE_MINOR);
        return;
    case PREAMBLE_NEEDS_TLS:
        err_set(e, ERR_REFUSED, EPERM,
            "the peer wants plaintext (--insecure), this end does not: --insecure must be given at "
            "both ends");
        return;
    case PREAMBLE_NEEDS_PLAINTEXT:
        err_set(e, ERR_REFUSED, EPERM,
            "the peer wants TLS, this end was started with --insecure: it must be given at both "
            "ends or at neither");
        return;
    case PREAMBLE_UNKNOWN_TOKEN:
        err_set(e, ERR_REFUSED, ENOENT, "the peer's connection belongs to no migration here");
        return;
    case PREAMBLE_BUSY:
        err_set(e, ERR_REFUSED, EBUSY, "too many connections at once");
        return;
    }
    err_set(e, ERR_INTERNAL, EPROTO, "a preamble's status %d is not known", status);
}

int preamble_answer(int fd, enum preamble_status status, const struct cancel *cancel,
    int64_t deadline_ns, struct err *e)
{
    uint8_t answer[PREAMBLE_ANSWER_BYTES];
    struct bytes_out o = bytes_out_init(answer, sizeof(answer));

    bytes_out_copy(&o, server_magic, sizeof(server_magic));
    bytes_out_u16(&o, WIRE_MAJOR);
    bytes_out_u16(&o, WIRE_MINOR);
    bytes_out_u16(&o, (uint16_t)status);
    bytes_out_u16(&o, 0);

    const int rc = io_write_full(fd, answer, sizeof(answer), cancel, deadline_ns);

    return rc ? err_set(e, ERR_PEER, -rc, "answering the preamble: %s", io_strerror(rc)) : 0;
}

static int not_ours(const uint8_t *answer, const char *host, struct err *e)
{
    char begin[9] = "";

    for (size_t i = 0; i < 8 && isprint(answer[i]); i++)
        begin[i] = (char)answer[i];
    return err_set(e, ERR_PEER, EPROTO, "what listens on %s is not xmigrate%s%s%s: check the port",
        host, begin[0] ? " (it says \"" : "", begin, begin[0] ? "\")" : "");
}

static int explain_answer(
    uint16_t major, uint16_t minor, uint16_t status, const char *host, struct err *e)
{
    switch (status) {
    case PREAMBLE_OK:
        return 0;
    case PREAMBLE_OTHER_VERSION:
        return err_set(e, ERR_REFUSED, EPROTONOSUPPORT,
            "%s speaks protocol version %u.%u, this xmigrate %u.%u: install the same version on "
            "both hosts",
            host, major, minor, WIRE_MAJOR, WIRE_MINOR);
    case PREAMBLE_NEEDS_TLS:
        return err_set(e, ERR_REFUSED, EPERM,
            "%s does not take plaintext: leave --insecure away, or start its listener with it too",
            host);
    case PREAMBLE_NEEDS_PLAINTEXT:
        return err_set(e, ERR_REFUSED, EPERM,
            "%s listens with --insecure, without TLS: restart its listener without it, or give "
            "--insecure here too",
            host);
    case PREAMBLE_UNKNOWN_TOKEN:
        return err_set(e, ERR_PEER, ENOENT, "%s no longer knows this migration", host);
    case PREAMBLE_BUSY:
        return err_set(
            e, ERR_REFUSED, EBUSY, "%s has too many connections at once: try again later", host);
    default:
        return err_set(e, ERR_PEER, EPROTO, "%s answered with the unknown status %u", host, status);
    }
}

static int no_answer(int rc, const char *host, struct err *e)
{
    return err_set(e, rc == -ECANCELED ? ERR_CANCELLED : ERR_PEER, -rc,
        "%s did not answer as xmigrate does: %s", host, io_strerror(rc));
}

int preamble_exchange(int fd, const struct preamble *p, const char *host,
    const struct cancel *cancel, int64_t deadline_ns, struct err *e)
{
    uint8_t hello[PREAMBLE_BYTES];

    preamble_encode(p, hello);

    const int rc = io_write_full(fd, hello, sizeof(hello), cancel, deadline_ns);

    return rc ? no_answer(rc, host, e) : preamble_await_answer(fd, host, cancel, deadline_ns, e);
}

int preamble_await_answer(
    int fd, const char *host, const struct cancel *cancel, int64_t deadline_ns, struct err *e)
{
    uint8_t answer[PREAMBLE_ANSWER_BYTES];
    int rc = io_read_full(fd, answer, sizeof(server_magic), cancel, deadline_ns);

    if (!rc && memcmp(answer, server_magic, sizeof(server_magic)))
        return not_ours(answer, host, e);
    if (!rc)
        rc = io_read_full(fd, answer + sizeof(server_magic), sizeof(answer) - sizeof(server_magic),
            cancel, deadline_ns);
    if (rc)
        return no_answer(rc, host, e);

    struct bytes_in i = bytes_in_init(answer + sizeof(server_magic), 8);
    const uint16_t major = bytes_in_u16(&i), minor = bytes_in_u16(&i), status = bytes_in_u16(&i);
    const uint16_t reserved = bytes_in_u16(&i);

    if (major == WIRE_MAJOR && reserved)
        return err_set(e, ERR_PEER, EPROTO, "%s answered with a reserved field set", host);
    return explain_answer(major, minor, status, host, e);
}

int preamble_read(struct preamble_reader *r, int fd, struct preamble *p, struct err *e)
{
    while (r->have_bytes < PREAMBLE_BYTES) {
        const ssize_t n = read(fd, r->bytes + r->have_bytes, PREAMBLE_BYTES - r->have_bytes);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (n < 0)
            return err_sys(e, ERR_PEER, errno, "reading the preamble");
        if (n == 0)
            return err_set(e, ERR_PEER, ENODATA, "the connection ended before its preamble");
        r->have_bytes += (unsigned)n;
        /* The first bytes give away anything else; do not wait for the rest. */
        const size_t known = r->have_bytes < sizeof(client_magic) ? r->have_bytes
                                                                  : sizeof(client_magic);

        if (memcmp(r->bytes, client_magic, known))
            return err_set(e, ERR_PEER, EPROTO, "the peer does not speak xmigrate's protocol");
    }

    const int rc = preamble_decode(r->bytes, p, e);

    return rc ? rc : 1;
}
