/* SPDX-License-Identifier: MIT */
/* Short calls to libxl: which domain is found by its UUID. */
#include "cmd/xmigrate/libxl/calls.h"

#include <errno.h>
#include <libxl_utils.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UUID "01010101-0101-0101-0101-010101010101"

enum { DOMAINS = 3 };

static libxl_dominfo domains[DOMAINS];

/* --- libxl: domains 1 to 3, all with that UUID --- */

void xl_begin(struct xl *xl)
{
    (void)xl;
}

int xl_failed(struct xl *xl, int rc, enum err_class class, struct err *e, const char *fmt, ...)
{
    (void)xl;
    return err_set(e, class, EIO, "%s: %d", fmt, rc);
}

int xl_open(struct xl *xl, const struct log *log, int64_t deadline_ns, struct err *e)
{
    (void)xl;
    (void)log;
    (void)deadline_ns;
    return err_set(e, ERR_LOCAL, EIO, "no libxl");
}

void xl_close(struct xl *xl)
{
    (void)xl;
}

void xl_set_log(struct xl *xl, const struct log *log)
{
    (void)xl;
    (void)log;
}

libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *count)
{
    libxl_dominfo *list = malloc(sizeof(domains));

    (void)ctx;
    assert_non_null(list);
    memcpy(list, domains, sizeof(domains));
    *count = DOMAINS;
    return list;
}

int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info, uint32_t domid)
{
    (void)ctx;
    *info = domains[domid - 1];
    return 0;
}

char *libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid)
{
    (void)ctx;
    (void)domid;
    return strdup("g");
}

static int set_up(void **state)
{
    (void)state;
    memset(domains, 0, sizeof(domains));
    for (unsigned i = 0; i < DOMAINS; i++) {
        domains[i].domid = 1 + i;
        memset(&domains[i].uuid, 1, sizeof(domains[i].uuid));
    }
    return 0;
}

/* --- the tests --- */

static void a_dying_domain_is_found_no_more(void **state)
{
    struct xl xl = {.patient = true};
    struct xl_domain d;
    struct err e = ERR_INIT;

    (void)state;
    domains[0].dying = domains[1].dying = true;
    assert_int_equal(xl_by_uuid(&xl, UUID, &d, &e), 0);
    assert_int_equal(d.domid, 3);
    assert_int_equal(xl_twin_of(&xl, UUID, 3, &d, &e), -ESRCH);
    domains[0].paused = true;
    assert_int_equal(xl_unrun_by_uuid(&xl, UUID, &d, &e), -ESRCH);
    assert_false(err_is_set(&e));
    domains[0].dying = false;
    assert_int_equal(xl_unrun_by_uuid(&xl, UUID, &d, &e), 0);
    assert_int_equal(d.domid, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_dying_domain_is_found_no_more, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
