/* SPDX-License-Identifier: MIT */
/* --cancel and --set: which of the migrations under way they reach. */
#include "cmd/xmigrate/operate.h"

#include "cmd/exit_codes.h"
#include "cmd/xmigrate/admin_client.h"
#include "cmd/xmigrate/peer_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 4 };

static struct {
    struct admin_status list[MOST];
    unsigned count;
    bool bad_listing; /* of another host, behind its first entry */
    char done[64];
} now;

/* --- the sockets: a path is its place in the list --- */

int admin_for_each(
    int (*visit)(void *arg, const char *path, struct err *e), void *arg, struct err *e)
{
    int rc = 0;

    for (unsigned i = 0; i < now.count && !rc; i++)
        rc = visit(arg, (const char[]){(char)('0' + i), '\0'}, e);
    return rc;
}

json_t *admin_ask(const char *path, const struct admin_request *r, struct err *e)
{
    const size_t used = strlen(now.done);

    (void)e;
    if (r->verb == ADMIN_STATUS)
        return json_pack(
            "{s:b, s:o}", "ok", 1, "status", admin_status_pack(&now.list[path[0] - '0']));
    snprintf(now.done + used, sizeof(now.done) - used, "%s %s;",
        r->verb == ADMIN_SET ? "set" : "cancel", path);
    return json_pack("{s:b}", "ok", 1);
}

int admin_collect(struct admin_list *list, const struct log *log, struct err *e)
{
    (void)log;
    (void)e;
    *list = (struct admin_list){0};
    return 0;
}

int peer_status_ask(
    const struct options *o, struct admin_list *list, json_t **guests, struct err *e)
{
    (void)o;
    *list = (struct admin_list){.of = now.list, .count = 1};
    *guests = json_pack("[{s:s, s:s}]", "domain", "h", "uuid", "u");
    return now.bad_listing ? err_set(e, ERR_PEER, EBADMSG, "nonsense") : 0;
}

void admin_list_free(struct admin_list *list)
{
    (void)list;
}

/* --- the stage --- */

static void write_nothing(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    (void)line;
}

static const struct log quiet = {.max = LOG_ERROR, .write = write_nothing};

static void is_moving(enum link_role role, const char *name, uint32_t domid)
{
    struct admin_status *s = &now.list[now.count++];

    *s = (struct admin_status){.role = role, .domid = domid};
    snprintf(s->domain, sizeof(s->domain), "%s", name);
    snprintf(s->uuid, sizeof(s->uuid), "00000000-0000-4000-8000-%012u", domid);
    strcpy(s->peer, "there");
    strcpy(s->phase, "copying");
}

static int set_up(void **state)
{
    (void)state;
    memset(&now, 0, sizeof(now));
    return 0;
}

static int set(const char *dom)
{
    const struct options o = {.domain = dom, .set = {.bandwidth = true}};

    return set_main(&o, &quiet);
}

static int cancel(const char *dom)
{
    const struct options o = {.domain = dom};

    return cancel_main(&o, &quiet);
}

/* --- the tests --- */

static void within_one_host_the_source_is_asked(void **state)
{
    (void)state;
    is_moving(LINK_DESTINATION, "g", 0);
    is_moving(LINK_SOURCE, "g", 7);
    assert_int_equal(set("g"), EXIT_DONE);
    assert_int_equal(cancel("g"), EXIT_DONE);
    assert_string_equal(now.done, "set 1;cancel 1;");
}

static void what_comes_is_asked_where_nothing_goes(void **state)
{
    (void)state;
    is_moving(LINK_SOURCE, "h", 7);
    is_moving(LINK_DESTINATION, "g", 0);
    assert_int_equal(cancel("g"), EXIT_DONE);
    assert_string_equal(now.done, "cancel 1;");
}

static void a_name_goes_before_a_number(void **state)
{
    (void)state;
    is_moving(LINK_SOURCE, "h", 7);
    is_moving(LINK_DESTINATION, "7", 0);
    assert_int_equal(cancel("7"), EXIT_DONE);
    now.count = 1;
    assert_int_equal(cancel("7"), EXIT_DONE);
    assert_string_equal(now.done, "cancel 1;cancel 0;");
}

static void one_that_is_not_there_is_refused(void **state)
{
    (void)state;
    is_moving(LINK_SOURCE, "h", 7);
    assert_int_equal(cancel("g"), EXIT_REFUSED);
    assert_int_equal(set("8"), EXIT_REFUSED);
    assert_string_equal(now.done, "");
}

/* What --status prints. */
static const char *shown(const struct options *o, int code)
{
    static char text[4096];
    char path[] = "/tmp/test_operate_XXXXXX";
    const int fd = mkstemp(path), out = dup(STDOUT_FILENO);
    ssize_t len;

    unlink(path);
    fflush(stdout);
    dup2(fd, STDOUT_FILENO);

    const int got = status_main(o, &quiet);

    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    close(out);
    len = pread(fd, text, sizeof(text) - 1, 0);
    close(fd);
    assert_true(len >= 0);
    text[len] = '\0';
    assert_int_equal(got, code);
    return text;
}

static void a_listing_that_makes_no_sense_shows_nothing(void **state)
{
    const struct options o = {.address = {.host = "there"}};

    (void)state;
    is_moving(LINK_SOURCE, "g", 7);
    assert_non_null(strstr(shown(&o, EXIT_DONE), " g "));
    now.bad_listing = true;
    assert_string_equal(shown(&o, EXIT_REFUSED), "");
}

static void a_guest_that_is_there_and_does_not_move_is_told_of(void **state)
{
    struct options o = {.address = {.host = "there"}, .domain = "h"};

    (void)state;
    is_moving(LINK_SOURCE, "g", 7);
    assert_string_equal(
        shown(&o, EXIT_DONE), "\"h\" is on there, and no move of it is under way there\n");
    o.json = true;
    assert_non_null(strstr(shown(&o, EXIT_DONE), "\"phase\":\"there\""));
    o.domain = "i";
    assert_string_equal(shown(&o, EXIT_REFUSED), "");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup(f, set_up)
        TEST(within_one_host_the_source_is_asked),
        TEST(what_comes_is_asked_where_nothing_goes),
        TEST(a_name_goes_before_a_number),
        TEST(one_that_is_not_there_is_refused),
        TEST(a_guest_that_is_there_and_does_not_move_is_told_of),
        TEST(a_listing_that_makes_no_sense_shows_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
