/* SPDX-License-Identifier: MIT */
/* What is built early, from the source's side: when it is asked for, how long that may take, and
 * that a guest that was given other devices or limits meanwhile is not given away. Xenstore's
 * directories of devices are played here. */
#include "engine/out/out.h"
#include "engine/prepare.h"
#include "tests/unit/fake_xenstore.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { DOMID = 7 };

static struct {
    const char *kinds, *vbds, *vifs, *cpus; /* names with blanks; NULL: no such directory */
    const char *words;                      /* of each vCPU's availability, with blanks */
    bool no_xenstore, no_availability;
    unsigned watches, lists;
    struct domain domain; /* as Xen has it now */

    struct guest guest;
    struct guest_ops guest_ops;
    struct out out;
    struct out_ops out_ops;
    int send_rc;
    const char *send_error;
    unsigned sent, asked;
    bool moved_on; /* what was sent ahead is not so any more */
    bool done;
    struct log log;
    struct preparation r;
    struct err e;
} now;

/* ---- xenstore and Xen ---- */

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned *num)
{
    const char *names = !strcmp(path, "/libxl/7/device")       ? now.kinds
                        : !strcmp(path, "/libxl/7/device/vbd") ? now.vbds
                        : !strcmp(path, "/libxl/7/device/vif") ? now.vifs
                        : !strcmp(path, "/local/domain/7/cpu") ? now.cpus
                                                               : NULL;
    char **list, *rest = NULL;

    (void)h, (void)t;
    *num = 0;
    now.lists++;
    if (now.no_xenstore || !names) {
        errno = now.no_xenstore ? EIO : ENOENT;
        return NULL;
    }
    list = malloc(strlen(names) * sizeof(*list) + 2 * sizeof(*list) + strlen(names) + 1);
    assert_non_null(list);

    char *text = strcpy((char *)(list + strlen(names) + 2), names);

    for (char *name = strtok_r(text, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
        list[(*num)++] = name;
    return list;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    (void)h, (void)token;
    assert_true(!strcmp(path, "/libxl/7/device") || !strcmp(path, "/local/domain/7/cpu"));
    now.watches++;
    fake_xenstore_fire();
    return true;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned *len)
{
    const char *word = now.words;
    unsigned cpu;
    char one[16];

    (void)h, (void)t;
    errno = now.no_availability || now.no_xenstore ? EIO : ENOENT;
    if (sscanf(path, "/local/domain/7/cpu/%u/availability", &cpu) != 1 || now.no_availability)
        return NULL;
    while (word && cpu--)
        word = strchr(word, ' ') ? strchr(word, ' ') + 1 : NULL;
    if (!word || sscanf(word, "%15s", one) != 1)
        return NULL;
    *len = (unsigned)strlen(one);
    return strdup(one);
}

int domain_read(struct xen *x, uint32_t domid, struct domain *d, struct err *e)
{
    (void)x, (void)e;
    assert_int_equal(domid, DOMID);
    *d = now.domain;
    return 0;
}

/* ---- the guest, the way out, the toolstack ---- */

static int send_ahead(struct guest *g, struct xs_handle *xs, struct out *out, struct err *e)
{
    assert_ptr_equal(g, &now.guest);
    assert_ptr_equal(out, &now.out);
    assert_non_null(xs);
    now.sent++;
    return now.send_error ? err_set(e, ERR_LOCAL, -now.send_rc, "%s", now.send_error) : now.send_rc;
}

static int check_ahead(struct guest *g, struct err *e)
{
    assert_ptr_equal(g, &now.guest);
    return now.moved_on
               ? err_set(e, ERR_GUEST, ESTALE, "an HVM parameter of domain %u changed", DOMID)
               : 0;
}

static int say_prepare(struct out *out, struct err *e)
{
    (void)out, (void)e;
    now.asked++;
    return 0;
}

static bool is_done(void *arg)
{
    assert_ptr_equal(arg, &now);
    return now.done;
}

static void quiet(void *arg, enum log_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

static int set_up(void **state)
{
    (void)state;
    memset(&now, 0, sizeof(now));
    now.kinds = "vbd vif";
    now.vbds = "51712 51728";
    now.vifs = "0";
    now.cpus = "0 1 2";
    now.words = "online online offline";
    now.domain = (struct domain){.domid = DOMID, .max_pages = 1000, .max_vcpu_id = 1};
    now.guest_ops.send_ahead = send_ahead;
    now.guest_ops.check_ahead = check_ahead;
    now.guest = (struct guest){.ops = &now.guest_ops, .dom = now.domain};
    now.out_ops.prepare = say_prepare;
    now.out.ops = &now.out_ops;
    now.log = (struct log){LOG_ERROR, quiet, NULL};
    now.r = (struct preparation){
        .guest = &now.guest,
        .out = &now.out,
        .log = &now.log,
        .wanted = true,
        .span_ns = 60 * NS_PER_S,
        .is_done = is_done,
        .arg = &now,
    };
    return fake_xenstore_begin();
}

static int tear_down(void **state)
{
    (void)state;
    prepare_end(&now.r);
    return fake_xenstore_end();
}

static void begin(void)
{
    assert_int_equal(prepare_begin(&now.r, &now.e), 0);
}

/* Another move, in a test of several. */
static void begin_anew(bool wanted)
{
    tear_down(NULL);
    set_up(NULL);
    now.r.wanted = wanted;
    begin();
}

/* ---- the tests ---- */

static void test_what_it_takes_is_sent_ahead(void **state)
{
    (void)state;
    begin();
    assert_int_equal(now.sent, 1);
    assert_int_equal(now.asked, 0);
    assert_string_equal(now.r.devices, "vbd/51712 vbd/51728 vif/0 ");
    assert_false(prepare_is_done(&now.r));
    now.done = true;
    assert_true(prepare_is_done(&now.r));
}

static void test_prepare_is_said_once(void **state)
{
    (void)state;
    begin();
    assert_int_equal(prepare_ask(&now.r, &now.e), 0);
    assert_int_equal(prepare_ask(&now.r, &now.e), 0);
    assert_int_equal(now.asked, 1);
}

static void check_not_prepared(unsigned sent)
{
    begin();
    assert_int_equal(now.sent, sent);
    assert_int_equal(prepare_ask(&now.r, &now.e), 0);
    assert_int_equal(now.asked, 0);
    assert_true(prepare_is_done(&now.r));
    assert_int_equal(prepare_check_time(&now.r, &now.e), 0);
}

static void test_nothing_is_asked_for_that_nobody_wants(void **state)
{
    (void)state;
    now.r.wanted = false;
    check_not_prepared(0);
}

static void test_a_way_out_that_cannot_say_it_is_not_asked_to(void **state)
{
    (void)state;
    now.out_ops.prepare = NULL;
    check_not_prepared(0);
}

static void test_a_guest_that_cannot_be_prepared_for_moves_all_the_same(void **state)
{
    (void)state;
    now.send_rc = -ENOENT;
    check_not_prepared(1);
    assert_int_equal(prepare_check_unchanged(&now.r, &now.e), 0);
}

static void test_what_cannot_be_sent_ends_it(void **state)
{
    (void)state;
    now.send_rc = -ENOENT;
    now.send_error = "the trunk broke";
    assert_int_equal(prepare_begin(&now.r, &now.e), -ENOENT);
    assert_string_equal(now.e.text, "the trunk broke");
}

static void test_xenstore_has_to_answer(void **state)
{
    (void)state;
    now.no_xenstore = true;
    assert_int_equal(prepare_begin(&now.r, &now.e), -EIO);
    assert_int_equal(now.sent, 0);
}

static void test_it_may_take_so_long_and_no_longer(void **state)
{
    (void)state;
    begin();
    assert_int_equal(prepare_ask(&now.r, &now.e), 0);
    assert_int_equal(prepare_check_time(&now.r, &now.e), 0);
    now.r.limit_ns = now_ns() - 1;
    assert_int_equal(prepare_check_time(&now.r, &now.e), -ETIMEDOUT);
    assert_int_equal(now.e.class, ERR_PEER);
    now.e = (struct err)ERR_INIT;
    now.done = true;
    assert_int_equal(prepare_check_time(&now.r, &now.e), 0);
}

/* xenstored tells of it. */
static void check_changed(const char *word)
{
    fake_xenstore_fire();
    now.e = (struct err)ERR_INIT;
    assert_int_equal(prepare_check_unchanged(&now.r, &now.e), -ESTALE);
    assert_int_equal(now.e.class, ERR_GUEST);
    assert_non_null(strstr(now.e.text, word));
}

/* It stands still meanwhile. */
static void test_a_guest_to_which_nothing_happened_is_not_looked_through(void **state)
{
    (void)state;
    begin();
    assert_int_equal(now.watches, 2);
    now.lists = 0;
    assert_int_equal(prepare_check_unchanged(&now.r, &now.e), 0);
    assert_int_equal(now.lists, 0);
    fake_xenstore_fire(); /* what came has gone again */
    assert_int_equal(prepare_check_unchanged(&now.r, &now.e), 0);
    assert_true(now.lists > 0);
    now.no_xenstore = true;
    assert_int_equal(prepare_check_unchanged(&now.r, &now.e), -EIO);
}

static void test_other_devices_fail_the_move(void **state)
{
    (void)state;
    static const struct {
        const char *kinds, *vbds, *vifs;
    } others[] = {
        {"vbd vif", "51712", "0"},             /* one was detached */
        {"vbd vif", "51712 51728 51744", "0"}, /* attached */
        {"vbd vif", "51712 51744", "0"},       /* exchanged */
        {"vbd", "51712 51728", "0"},           /* the last of its kind went */
        {NULL, NULL, NULL},
    };

    for (unsigned wanted = 0; wanted < 2; wanted++)
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
            begin_anew(wanted);
            assert_int_equal(prepare_check_unchanged(&now.r, &now.e), 0);
            now.kinds = others[i].kinds;
            now.vbds = others[i].vbds;
            now.vifs = others[i].vifs;
            check_changed("devices");
        }
}

/* The copy was made for these. */
static void test_other_limits_fail_the_move(void **state)
{
    (void)state;
    for (unsigned wanted = 0; wanted < 2; wanted++) {
        begin_anew(wanted);
        now.domain.max_pages++;
        check_changed("limit of memory");
        now.domain.max_pages--;
        now.domain.max_vcpu_id++;
        check_changed("number of vCPUs");
    }
}

static void test_what_was_sent_ahead_has_to_be_so_still(void **state)
{
    (void)state;
    begin();
    now.moved_on = true;
    check_changed("HVM parameter");
}

/* xl vcpu-set changes nothing else. */
static void test_other_vcpus_to_use_fail_the_move(void **state)
{
    (void)state;
    static const char *const others[] = {
        "online offline offline", "online online online", "online offline online"};

    for (unsigned wanted = 0; wanted < 2; wanted++)
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
            begin_anew(wanted);
            assert_string_equal(now.r.vcpus, "0 1 ");
            assert_int_equal(prepare_check_unchanged(&now.r, &now.e), 0);
            now.words = others[i];
            check_changed("vcpu-set");
        }
    /* Xenstore need not say anything of them, but has to answer. */
    tear_down(NULL);
    set_up(NULL);
    now.cpus = NULL;
    begin();
    assert_int_equal(prepare_check_unchanged(&now.r, &now.e), 0);
    now.cpus = "0";
    now.no_availability = true;
    fake_xenstore_fire();
    assert_int_equal(prepare_check_unchanged(&now.r, &now.e), -EIO);
}

/* More than are compared, and nothing is written behind the text's end. */
static void test_many_devices(void **state)
{
    (void)state;
    static char many[8 * DEVICES_TEXT_BYTES];

    for (unsigned i = 0; strlen(many) < sizeof(many) - 16; i++)
        sprintf(many + strlen(many), "%u ", i + 100000);
    now.vbds = many;
    begin();
    assert_true(strlen(now.r.devices) < DEVICES_TEXT_BYTES);
    assert_int_equal(prepare_check_unchanged(&now.r, &now.e), 0);
    now.vbds = "100000";
    check_changed("devices");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_what_it_takes_is_sent_ahead),
        TEST(test_prepare_is_said_once),
        TEST(test_nothing_is_asked_for_that_nobody_wants),
        TEST(test_a_way_out_that_cannot_say_it_is_not_asked_to),
        TEST(test_a_guest_that_cannot_be_prepared_for_moves_all_the_same),
        TEST(test_what_cannot_be_sent_ends_it),
        TEST(test_xenstore_has_to_answer),
        TEST(test_it_may_take_so_long_and_no_longer),
        TEST(test_a_guest_to_which_nothing_happened_is_not_looked_through),
        TEST(test_other_devices_fail_the_move),
        TEST(test_other_limits_fail_the_move),
        TEST(test_what_was_sent_ahead_has_to_be_so_still),
        TEST(test_other_vcpus_to_use_fail_the_move),
        TEST(test_many_devices),
    };

    return cmocka_run_group_tests_name("prepare", tests, NULL, NULL);
}
