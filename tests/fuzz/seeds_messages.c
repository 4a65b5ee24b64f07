/* SPDX-License-Identifier: MIT */
#include "base/deadline.h"
#include "base/packet.h"
#include "cmd/link.h"
#include "cmd/handoff/journal.h"
#include "cmd/xmigrate/admin_words.h"
#include "cmd/xmigrate/session/messages.h"
#include "tests/fuzz/seeds.h"
#include "tests/unit/memory_channel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char uuid[] = "00112233-4455-6677-8899-aabbccddeeff";

/* What was just sent, behind the byte that says which message it is. */
static void save_message(
    const char *dir, struct memory_channel *m, unsigned which, const char *seed)
{
    m->bytes[CONTROL_HEADER_BYTES - 1] = (uint8_t)which;
    save(dir, "messages", seed, m->bytes + CONTROL_HEADER_BYTES - 1,
        m->len_bytes - CONTROL_HEADER_BYTES + 1);
    memory_channel_reset(m);
}

static void make_control_messages(const char *dir)
{
    struct message_offer offer = {
        .name = "web1", .type = "pvh", .live = true, .lanes = 4, .config = "{}"};
    const struct message_ready ready = {.domid = 7,
        .finish_ns = 5,
        .mark = {"00112233445566778899aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff", 9}};
    const struct admin_status status = {.domain = "web1", .peer = "host2", .phase = "copying"};
    static const char set[] = "\x08{\"do\":\"set\",\"on_stall\":\"abort\",\"max_downtime_ns\":5}";
    struct memory_channel m;
    struct control c;
    struct err e = ERR_INIT, why = ERR_INIT;

    strcpy(offer.uuid, uuid);
    err_set(&why, ERR_GUEST, 5, "the guest crashed");
    memory_channel_init(&m);
    control_init(&c, &m.ch);
    check(message_send_hello(&c, &e), &e);
    save_message(dir, &m, 0, "hello");
    check(message_send_offer(&c, &offer, &e), &e);
    save_message(dir, &m, 1, "offer");
    offer.measure = true;
    check(message_send_offer(&c, &offer, &e), &e);
    save_message(dir, &m, 1, "offer-measure");
    check(message_send_accept(&c,
              &(struct message_accept){
                  .lanes = 3, .finish = {5, 4, 6}, .journal = "00112233445566778899aabbccddeeff"},
              &e),
        &e);
    save_message(dir, &m, 2, "accept");
    check(message_send_wait(&c, &(struct message_wait){3, 1}, &e), &e);
    save_message(dir, &m, 9, "wait");
    check(message_send_ready(&c, &ready, &e), &e);
    save_message(dir, &m, 3, "ready");
    check(message_send_started(&c, &(struct message_started){7, 5}, &e), &e);
    save_message(dir, &m, 4, "started");
    check(message_send_go(&c, &(struct message_go){ready.mark, 30}, &e), &e);
    save_message(dir, &m, 6, "go");
    check(message_send_error(&c, CONTROL_FAILED, &why, &e), &e);
    save_message(dir, &m, 5, "failed");
    check(message_send_listing(&c, json_pack("[o]", admin_status_pack(&status)),
              json_pack("[{s:s, s:s}]", "domain", "g", "uuid", "u"), &e),
        &e);
    save_message(dir, &m, 7, "listing");
    save(dir, "messages", "request", (const uint8_t *)set, sizeof(set) - 1);
    pthread_mutex_destroy(&c.send_lock);
    memory_channel_destroy(&m);
}

/* The packet that was just sent, behind the byte that says whether a descriptor came along. */
static void save_packet(const char *dir, int sock, const char *seed)
{
    static uint8_t bytes[1 + PACKET_MAX_BYTES];
    int fd;
    const ssize_t n = packet_recv(
        sock, bytes + 1, sizeof(bytes) - 1, &fd, NULL, deadline_in(NS_PER_S));

    bytes[0] = fd >= 0;
    save(dir, "link", seed, bytes, 1 + (size_t)n);
}

static void make_link_messages(const char *dir)
{
    const struct link_job job = {.domid = 7,
        .lanes = 4,
        .config_dir = "/etc/xmigrate",
        .host = "host2",
        .port = 8002,
        .connect_ns = 1,
        .silent_ns = 2,
        .compress = CODEC_ZSTD,
        .limits = {.max_rounds = 30}};
    const uint8_t preamble[LINK_PREAMBLE_BYTES] = {1, 2, 3};
    struct err e = ERR_INIT, why = ERR_INIT;
    int s[2];

    err_set(&why, ERR_PEER, 5, "the peer is gone");
    check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), &e);
    check(link_send_job(s[0], &job, -1, &e), &e);
    save_packet(dir, s[1], "job");
    check(link_send_conn(s[0], 3, preamble, s[0], &e), &e);
    save_packet(dir, s[1], "conn");
    check(link_send_abort(s[0], &why, &e), &e);
    save_packet(dir, s[1], "abort");
    check(link_send_failed(s[0], &why, &e), &e);
    save_packet(dir, s[1], "failed");
    check(link_send_cap(s[0], 40, &e), &e);
    save_packet(dir, s[1], "cap");
    check(link_send_tune(s[0], &(struct link_tune){400000000, 5, ON_STALL_ABORT}, &e), &e);
    save_packet(dir, s[1], "tune");
    check(link_send_event(s[0], json_pack("{s:i}", "round", 2), &e), &e);
    save_packet(dir, s[1], "event");
    check(link_send_done(s[0], json_pack("{s:i}", "rounds", 2), &e), &e);
    save_packet(dir, s[1], "done");
    check(link_send_logging(s[0], &e), &e);
    save_packet(dir, s[1], "logging");
    check(link_send_noted(s[0], &e), &e);
    save_packet(dir, s[1], "noted");
    check(link_send_alive(s[0], &e), &e);
    save_packet(dir, s[1], "alive");
}

static void make_journal(const char *dir)
{
    struct journal_record s = {.cap = JOURNAL_NO_CAP,
        .domid = JOURNAL_NO_DOMID,
        .supervisor = 4711,
        .name = "web1",
        .peer = "host2:8002"};
    char *text;

    strcpy(s.uuid, uuid);
    text = journal_text(&s);
    save(dir, "journal", "live", text, strlen(text));
    free(text);
    s.role = HANDOFF_DESTINATION;
    s.state = HANDOFF_TAKEN;
    s.domid = 12;
    text = journal_text(&s);
    save(dir, "journal", "taken", text, strlen(text));
    free(text);
}

void make_messages(const char *dir)
{
    make_control_messages(dir);
    make_link_messages(dir);
    make_journal(dir);
}
