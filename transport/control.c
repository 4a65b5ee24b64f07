/* SPDX-License-Identifier: MIT */
#include "transport/control.h"

#include "base/bytes.h"

#include <errno.h>

struct type_rule {
    const char *name;
    int64_t limit_bytes;
};

static const struct type_rule rules[] = {
    [CONTROL_HELLO] = {"HELLO", CONTROL_MAX_JSON_BYTES},
    [CONTROL_OFFER] = {"OFFER", CONTROL_MAX_JSON_BYTES},
    [CONTROL_ACCEPT] = {"ACCEPT", CONTROL_MAX_JSON_BYTES},
    [CONTROL_REFUSE] = {"REFUSE", CONTROL_MAX_JSON_BYTES},
    [CONTROL_LIBXL_DATA] = {"LIBXL_DATA", CONTROL_MAX_DATA_BYTES},
    [CONTROL_READY] = {"READY", CONTROL_MAX_JSON_BYTES},
    [CONTROL_GO] = {"GO", CONTROL_MAX_JSON_BYTES},
    [CONTROL_STARTED] = {"STARTED", CONTROL_MAX_JSON_BYTES},
    [CONTROL_FAILED] = {"FAILED", CONTROL_MAX_JSON_BYTES},
    [CONTROL_PING] = {"PING", 0},
    [CONTROL_ABORT] = {"ABORT", CONTROL_MAX_JSON_BYTES},
    [CONTROL_LIBXL_END] = {"LIBXL_END", 0},
    [CONTROL_HEARD] = {"HEARD", 0},
    [CONTROL_ASK] = {"ASK", CONTROL_MAX_JSON_BYTES},
    [CONTROL_ANSWER] = {"ANSWER", CONTROL_MAX_JSON_BYTES},
    [CONTROL_SUSPENDED] = {"SUSPENDED", 0},
    [CONTROL_PREPARED] = {"PREPARED", 0},
    [CONTROL_LIST] = {"LIST", 0},
    [CONTROL_WAIT] = {"WAIT", CONTROL_MAX_JSON_BYTES},
    [CONTROL_LISTING] = {"LISTING", CONTROL_MAX_JSON_BYTES},
};

static const struct type_rule *find_rule(uint16_t type)
{
    if (type >= sizeof(rules) / sizeof(rules[0]) || !rules[type].name)
        return NULL;
    return &rules[type];
}

int64_t control_limit_bytes(uint16_t type)
{
    const struct type_rule *r = find_rule(type);

    return r ? r->limit_bytes : -1;
}

const char *control_type_name(uint16_t type)
{
    const struct type_rule *r = find_rule(type);

    return r ? r->name : "unknown";
}

void control_init(struct control *c, struct channel *ch)
{
    c->ch = ch;
    pthread_mutex_init(&c->send_lock, NULL);
}

void control_close(struct control *c)
{
    channel_close(c->ch);
    c->ch = NULL;
    pthread_mutex_destroy(&c->send_lock);
}

static int send_sum(struct channel *ch, struct err *e)
{
    uint8_t sum[CONTROL_SUM_BYTES];

    put_le32(sum, ch->sent_sum);
    return channel_send(ch, &(struct iovec){sum, sizeof(sum)}, 1, e);
}

/* All that belongs to a message but its header. */
static int recv_rest(struct channel *ch, uint16_t type, void *into, size_t len_bytes,
    int64_t deadline_ns, struct err *e)
{
    const int rc = len_bytes ? channel_recv(ch, into, len_bytes, deadline_ns, e) : 0;

    return rc == -ENODATA ? err_set(e, ERR_PEER, EBADMSG, "%s: a %s was cut short", ch->name,
                                control_type_name(type))
                          : rc;
}

static int check_sum(struct channel *ch, uint16_t type, int64_t deadline_ns, struct err *e)
{
    const uint32_t expected = ch->received_sum;
    uint8_t sum[CONTROL_SUM_BYTES];
    const int rc = recv_rest(ch, type, sum, sizeof(sum), deadline_ns, e);

    if (rc || get_le32(sum) == expected)
        return rc;
    return err_set(e, ERR_PEER, EBADMSG,
        "%s: a %s was changed on its way (its checksum is another)", ch->name,
        control_type_name(type));
}

int control_send(
    struct control *c, enum control_type type, const void *body, size_t len_bytes, struct err *e)
{
    uint8_t header[CONTROL_HEADER_BYTES];
    struct iovec iov[2] = {{header, sizeof(header)}, {(void *)body, len_bytes}};

    if ((int64_t)len_bytes > control_limit_bytes((uint16_t)type))
        return err_set(e, ERR_INTERNAL, EMSGSIZE, "%s: a %s of %zu bytes is too large", c->ch->name,
            control_type_name((uint16_t)type), len_bytes);
    put_le16(header, (uint16_t)type);
    put_le16(header + 2, 0);
    put_le32(header + 4, (uint32_t)len_bytes);
    pthread_mutex_lock(&c->send_lock);
    int rc = channel_send(c->ch, iov, len_bytes ? 2 : 1, e);
    if (!rc && c->ch->summed)
        rc = send_sum(c->ch, e);
    pthread_mutex_unlock(&c->send_lock);
    return rc;
}

int control_recv(struct control *c, enum control_type *type, void *body, size_t *len_bytes,
    int64_t deadline_ns, struct err *e)
{
    uint8_t header[CONTROL_HEADER_BYTES];
    int rc = channel_recv(c->ch, header, sizeof(header), deadline_ns, e);

    if (rc)
        return rc;

    const uint16_t number = get_le16(header), reserved = get_le16(header + 2);
    const uint32_t length = get_le32(header + 4);

    if (control_limit_bytes(number) < 0 || reserved)
        return err_set(
            e, ERR_PEER, EPROTO, "%s: an unknown message (type %u)", c->ch->name, number);
    if (length > control_limit_bytes(number))
        return err_set(e, ERR_PEER, EPROTO, "%s: a %s of %u bytes is too large", c->ch->name,
            control_type_name(number), length);
    rc = recv_rest(c->ch, number, body, length, deadline_ns, e);
    if (!rc && c->ch->summed)
        rc = check_sum(c->ch, number, deadline_ns, e);
    if (rc)
        return rc;
    if (length < CONTROL_BODY_BYTES)
        ((char *)body)[length] = '\0';
    *type = (enum control_type)number;
    *len_bytes = length;
    return 0;
}
