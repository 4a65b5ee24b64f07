/* SPDX-License-Identifier: MIT */
/* The socket of a migration under way: what it answers, what it passes on, and that nobody who
 * connects can hold it up. */
#include "cmd/xmigrate/admin_socket.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/xmigrate/admin_client.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/test_admin_socket_XXXXXX";
static char path[sizeof(dir) + 32];
static struct cancel cancel;
static struct admin_socket *admin;

static int begin(enum link_role role)
{
    const struct admin_status first = {.role = role,
        .domain = "guest",
        .uuid = "00000000-0000-4000-8000-000000000001",
        .peer = "hostB",
        .domid = 7,
        .phase = "beginning",
        .tune = {.max_downtime_ns = 300 * NS_PER_MS}};
    const struct decide_limits limits = {.max_downtime_ns = 300 * NS_PER_MS, .max_rounds = 30};
    struct err e = ERR_INIT;

    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    if (!mkdtemp(dir) || setenv("XMIGRATE_RUN_DIR", dir, 1) || cancel_init(&cancel, &e))
        return -1;
    snprintf(path, sizeof(path), "%s/admin-%d", dir, (int)getpid());
    return admin_open(&admin, &first, &limits, &cancel, &e);
}

static int begin_source(void **state)
{
    (void)state;
    return begin(LINK_SOURCE);
}

static int begin_destination(void **state)
{
    (void)state;
    return begin(LINK_DESTINATION);
}

/* The socket goes with it. */
static int end(void **state)
{
    (void)state;
    admin_close(admin);
    cancel_destroy(&cancel);
    return rmdir(dir);
}

static int reach(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(a.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static json_t *hear(int fd)
{
    char line[ADMIN_LINE_BYTES];
    size_t used = 0;
    ssize_t n;

    while ((n = read(fd, line + used, sizeof(line) - 1 - used)) > 0)
        used += (size_t)n;
    line[used] = '\0';
    close(fd);
    assert_int_equal(line[used ? used - 1 : 0], '\n');

    json_t *o = json_loads(line, 0, NULL);

    assert_non_null(o);
    return o;
}

static json_t *ask(const char *request)
{
    const int fd = reach();

    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    return hear(fd);
}

static void assert_refused(const char *request, const char *code)
{
    json_t *o = ask(request);

    assert_true(json_is_false(json_object_get(o, "ok")));
    assert_string_equal(json_string_value(json_object_get(o, "code")), code);
    assert_non_null(json_string_value(json_object_get(o, "text")));
    json_decref(o);
}

static struct admin_status status(void)
{
    struct admin_status s;
    json_t *o = ask("{\"do\":\"status\"}\n");

    assert_true(json_is_true(json_object_get(o, "ok")));
    assert_true(admin_status_read(json_object_get(o, "status"), &s));
    json_decref(o);
    return s;
}

static void note(const char *text)
{
    json_t *o = json_loads(text, 0, NULL);

    assert_non_null(o);
    admin_note(admin, o);
    json_decref(o);
}

static void only_its_owner_can_reach_it(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void status_follows_the_events(void **state)
{
    struct admin_status s = status();

    (void)state;
    assert_string_equal(s.domain, "guest");
    assert_string_equal(s.phase, "beginning");
    assert_int_equal(s.domid, 7);
    assert_int_equal(s.pid, getpid());
    assert_int_equal(s.percent, 0);
    note("{\"event\":\"start\"}");
    note("{\"event\":\"progress\",\"round\":1,\"round_pages\":1000,\"round_done_pages\":250,"
         "\"round_sent_pages\":200,\"round_aux_bytes\":0,\"wire_bytes\":819200,"
         "\"send_pages_per_s\":500.0,"
         "\"dirty_pages_per_s\":0.0,\"predicted_downtime_ns\":0,\"watch_left_ns\":0}");
    s = status();
    assert_string_equal(s.phase, "copying");
    assert_int_equal(s.round, 1);
    assert_int_equal(s.percent, 25);
    assert_int_equal(s.wire_bytes, 819200);
    assert_int_equal(s.eta_ns, 1500 * NS_PER_MS);
    note("{\"event\":\"progress\",\"round\":2,\"round_pages\":100,\"round_done_pages\":50,"
         "\"round_sent_pages\":50,\"round_aux_bytes\":0,\"wire_bytes\":1000000,"
         "\"send_pages_per_s\":500.0,"
         "\"dirty_pages_per_s\":9.0,\"predicted_downtime_ns\":90000000,\"watch_left_ns\":0}");
    s = status();
    assert_int_equal(s.percent, 95);
    assert_int_equal(s.predicted_downtime_ns, 90000000);
    assert_int_equal(s.eta_ns, 190 * NS_PER_MS);
    note("{\"event\":\"suspended\"}");
    assert_string_equal(status().phase, "suspended");
}

/* Bound, and not (or no more) listening. */
static void ask_bound(pid_t pid, char at[static sizeof(path)])
{
    const struct admin_request r = {.verb = ADMIN_STATUS};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct err e = ERR_INIT;

    snprintf(at, sizeof(path), "%s/admin-%d", dir, (int)pid);
    strcpy(a.sun_path, at);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_null(admin_ask(at, &r, &e));
    assert_false(err_is_set(&e));
    close(fd);
}

static void only_the_socket_of_a_dead_process_is_removed(void **state)
{
    char at[sizeof(path)];
    const pid_t child = fork();

    (void)state;
    if (!child)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    ask_bound(child, at);
    assert_int_equal(access(at, F_OK), -1);
    ask_bound(1, at);
    assert_int_equal(access(at, F_OK), 0);
    assert_int_equal(unlink(at), 0);
}

static void nonsense_is_refused(void **state)
{
    char long_line[3000];

    (void)state;
    assert_refused("\n", "usage");
    assert_refused("status\n", "usage");
    assert_refused("[]\n", "usage");
    assert_refused("{\"do\":\"dance\"}\n", "usage");
    assert_refused("{\"do\":\"set\"}\n", "usage");
    assert_refused("{\"do\":\"set\",\"on_stall\":\"dance\"}\n", "usage");
    assert_refused("{\"do\":\"set\",\"max_downtime_ns\":-1}\n", "usage");
    assert_refused("{\"do\":\"set\",\"bandwidth_bits_per_s\":999999}\n", "usage");
    assert_refused("{\"do\":\"set\",\"max_downtime_ns\":0,\"on_stall\":\"abort\"}\n", "usage");
    memset(long_line, 'x', sizeof(long_line));

    const int fd = reach();

    assert_true(send(fd, long_line, sizeof(long_line), MSG_NOSIGNAL) > 0);
    close(fd);
    assert_string_equal(status().phase, "beginning");
}

static void what_is_set_is_passed_on_together(void **state)
{
    struct link_tune tune;
    struct pollfd p = {.fd = admin_fd(admin), .events = POLLIN};

    (void)state;
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_false(admin_take_tune(admin, &tune));
    json_decref(ask("{\"do\":\"set\",\"bandwidth_bits_per_s\":400000000}\n"));
    json_decref(ask("{\"do\":\"set\",\"on_stall\":\"abort\"}\n"));
    assert_int_equal(poll(&p, 1, 0), 1);
    assert_true(admin_take_tune(admin, &tune));
    assert_int_equal(tune.bandwidth_bits_per_s, 400000000);
    assert_int_equal(tune.on_stall, ON_STALL_ABORT);
    assert_int_equal(tune.max_downtime_ns, 300 * NS_PER_MS);
    assert_false(admin_take_tune(admin, &tune));
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(status().tune.bandwidth_bits_per_s, 400000000);
    note("{\"event\":\"suspending\"}");
    assert_refused("{\"do\":\"set\",\"max_downtime_ns\":1000000000}\n", "too-late");
    assert_refused(
        "{\"do\":\"set\",\"bandwidth_bits_per_s\":0,\"on_stall\":\"abort\"}\n", "too-late");
    json_decref(ask("{\"do\":\"set\",\"bandwidth_bits_per_s\":0}\n"));
    assert_int_equal(status().tune.bandwidth_bits_per_s, 0);
}

static void a_cancel_comes_before_the_guest_is_given_away(void **state)
{
    (void)state;
    json_t *o = ask("{\"do\":\"cancel\"}\n");

    assert_true(json_is_true(json_object_get(o, "ok")));
    json_decref(o);
    assert_true(cancel_is_fired(&cancel));
    assert_false(admin_may_give(admin));
    assert_non_null(strstr(admin_why_stopped(admin), "--cancel"));
}

static void or_is_refused(void **state)
{
    (void)state;
    assert_true(admin_may_give(admin));
    assert_refused("{\"do\":\"cancel\"}\n", "too-late");
    assert_false(cancel_is_fired(&cancel));
    assert_non_null(strstr(admin_why_stopped(admin), "signal"));
}

static void the_destination_decides_no_limits(void **state)
{
    (void)state;
    assert_refused("{\"do\":\"set\",\"bandwidth_bits_per_s\":0}\n", "wrong-end");
}

static void clients_that_stall_hold_nobody_up(void **state)
{
    int stalled[20];

    (void)state;
    for (int i = 0; i < 20; i++) {
        stalled[i] = reach();
        assert_int_equal(write(stalled[i], "{", 1), 1);
    }
    assert_string_equal(status().phase, "beginning");

    /* And are cut off. */
    struct pollfd p = {.fd = stalled[19], .events = POLLIN};

    assert_int_equal(poll(&p, 1, 10000), 1);
    for (int i = 0; i < 20; i++)
        close(stalled[i]);
}

static void nobody_need_be_there(void **state)
{
    struct link_tune tune;

    (void)state;
    admin_note(NULL, NULL);
    admin_note_phase(NULL, "x");
    assert_int_equal(admin_fd(NULL), -1);
    assert_false(admin_take_tune(NULL, &tune));
    assert_true(admin_may_give(NULL));
    admin_close(NULL);
}

#define AT_SOURCE(f) cmocka_unit_test_setup_teardown(f, begin_source, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AT_SOURCE(only_its_owner_can_reach_it),
        AT_SOURCE(status_follows_the_events),
        AT_SOURCE(nonsense_is_refused),
        AT_SOURCE(what_is_set_is_passed_on_together),
        AT_SOURCE(a_cancel_comes_before_the_guest_is_given_away),
        AT_SOURCE(or_is_refused),
        AT_SOURCE(only_the_socket_of_a_dead_process_is_removed),
        cmocka_unit_test_setup_teardown(the_destination_decides_no_limits, begin_destination, end),
        AT_SOURCE(clients_that_stall_hold_nobody_up),
        cmocka_unit_test(nobody_need_be_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
