/* SPDX-License-Identifier: MIT */
/* What is said when Xen does not switch log-dirty on, all of it before anything was changed; and
 * that a log that somebody else has cleared is not believed. Xen is the functions that stand here.
 */
#include "engine/xen/logdirty.h"

#include "base/bitmap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xendevicemodel.h>
#include <xen/hvm/params.h>

#include <cmocka.h>

enum { FRAMES = 640, IDENT = 600, STORE = 610 };

static struct {
    bool on;
    uint64_t dirty[FRAMES / 64];
    bool empty[FRAMES]; /* have no memory */
    unsigned calls;
} fake;

int xc_shadow_control(
    xc_interface *xch, uint32_t domid, unsigned int op, unsigned int *mb, unsigned int mode)
{
    (void)xch, (void)domid, (void)mb, (void)mode;
    fake.calls++;
    if (op == XEN_DOMCTL_SHADOW_OP_OFF) {
        fake.on = false;
        memset(fake.dirty, 0, sizeof(fake.dirty));
    } else if (fake.on) {
        errno = EINVAL;
        return -1;
    } else {
        fake.on = true;
    }
    return 0;
}

long long xc_logdirty_control(xc_interface *xch, uint32_t domid, unsigned int op,
    xc_hypercall_buffer_t *map, unsigned long pages, unsigned int mode, xc_shadow_op_stats_t *stats)
{
    (void)xch, (void)domid, (void)mode, (void)stats;
    fake.calls++;
    memcpy(map->hbuf, fake.dirty, sizeof(fake.dirty));
    if (op == XEN_DOMCTL_SHADOW_OP_CLEAN)
        memset(fake.dirty, 0, sizeof(fake.dirty));
    return (long long)pages;
}

int xc_hvm_param_get(xc_interface *xch, uint32_t domid, uint32_t index, uint64_t *value)
{
    (void)xch, (void)domid;
    *value = index == HVM_PARAM_IDENT_PT    ? (uint64_t)IDENT << XC_PAGE_SHIFT
             : index == HVM_PARAM_STORE_PFN ? STORE
                                            : 0;
    return 0;
}

/* Of frames, their types. */
int xc_domctl(xc_interface *xch, struct xen_domctl *op)
{
    uint64_t *frame = op->u.getpageframeinfo3.array.p;

    (void)xch;
    *frame = fake.empty[*frame] ? XEN_DOMCTL_PFINFO_XTAB : XEN_DOMCTL_PFINFO_NOTAB;
    return 0;
}

static void dirty(uint64_t frame)
{
    if (fake.on && !fake.empty[frame])
        bitmap_set(fake.dirty, frame);
}

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger, unsigned flags)
{
    (void)logger, (void)flags;
    return (xendevicemodel_handle *)&fake;
}

int xendevicemodel_close(xendevicemodel_handle *dm)
{
    (void)dm;
    return 0;
}

int xendevicemodel_modified_memory(
    xendevicemodel_handle *dm, domid_t domid, uint64_t first, uint32_t nr)
{
    (void)dm, (void)domid, (void)nr;
    fake.calls++;
    dirty(first);
    return 0;
}

void *xc__hypercall_buffer_alloc_pages(xc_interface *xch, xc_hypercall_buffer_t *b, int pages)
{
    (void)xch;
    b->hbuf = calloc((size_t)pages, XC_PAGE_SIZE);
    return b->hbuf;
}

void xc__hypercall_buffer_free_pages(xc_interface *xch, xc_hypercall_buffer_t *b, int pages)
{
    (void)xch, (void)pages;
    free(b->hbuf);
}

static struct dirty_source *begin(bool pv)
{
    static struct xen x;
    struct dirty_source *d;
    struct err e = ERR_INIT;

    memset(&fake, 0, sizeof(fake));
    assert_int_equal(logdirty_open(&x, 7, pv, FRAMES, &d, &e), 0);
    assert_int_equal(d->ops->enable(d, &e), 0);
    return d;
}

static void end(struct dirty_source *d)
{
    struct err e = ERR_INIT;

    assert_int_equal(d->ops->disable(d, &e), 0);
    d->ops->close(d);
}

static void somebody_else(unsigned op)
{
    xc_shadow_control(NULL, 7, op, NULL, 0);
}

static void off_and_on(void)
{
    somebody_else(XEN_DOMCTL_SHADOW_OP_OFF);
    somebody_else(XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY);
}

static void assert_collects(struct dirty_source *d, bool final)
{
    uint64_t bitmap[FRAMES / 64];
    struct err e = ERR_INIT;

    assert_int_equal(d->ops->collect(d, bitmap, final, &e), 0);
}

static void assert_refuses(struct dirty_source *d, bool final)
{
    uint64_t bitmap[FRAMES / 64];
    struct err e = ERR_INIT;

    assert_int_equal(d->ops->collect(d, bitmap, final, &e), -ESTALE);
    assert_non_null(strstr(e.text, "somebody switched log-dirty off for domain 7, or cleared it"));
}

static void a_log_switched_off_and_on_is_not_believed(void **state)
{
    (void)state;
    for (int final = 0; final < 2; final++)
        for (int rounds = 0; rounds < 3; rounds++) {
            struct dirty_source *d = begin(false);

            for (int i = 0; i < rounds; i++)
                assert_collects(d, false);
            off_and_on();
            dirty(5);
            assert_refuses(d, final);
            end(d);
        }
}

static void a_log_that_somebody_else_has_read_is_not_believed(void **state)
{
    uint64_t bitmap[FRAMES / 64];
    xc_hypercall_buffer_t map = {.hbuf = bitmap};
    struct dirty_source *d = begin(false);

    (void)state;
    assert_collects(d, false);
    xc_logdirty_control(NULL, 7, XEN_DOMCTL_SHADOW_OP_CLEAN, &map, FRAMES, 0, NULL);
    assert_refuses(d, false);
    end(d);
}

static void a_round_costs_one_hypercall_more(void **state)
{
    struct dirty_source *d = begin(false);

    (void)state;
    fake.calls = 0;
    assert_collects(d, false);
    assert_int_equal(fake.calls, 2);
    fake.calls = 0;
    assert_collects(d, true);
    assert_int_equal(fake.calls, 1);
    end(d);
}

static void a_frame_that_the_guest_gave_back_is_no_canary(void **state)
{
    struct dirty_source *d = begin(false);

    (void)state;
    fake.empty[IDENT] = true; /* the mark was made before */
    assert_collects(d, false);
    assert_collects(d, false); /* no mark: another frame from here on */
    assert_collects(d, false);
    off_and_on();
    assert_refuses(d, false);
    end(d);
}

static void a_guest_without_such_a_frame_is_moved_all_the_same(void **state)
{
    struct dirty_source *d = begin(false);

    (void)state;
    fake.empty[IDENT] = fake.empty[STORE] = true;
    for (int i = 0; i < 3; i++)
        assert_collects(d, false);
    end(d);
}

static void a_log_without_what_peek_showed_is_not_believed(void **state)
{
    uint64_t bitmap[FRAMES / 64];
    struct dirty_source *d = begin(true);
    struct err e = ERR_INIT;

    (void)state;
    dirty(3);
    dirty(639);
    assert_int_equal(d->ops->peek(d, bitmap, &e), 0);
    dirty(4);
    assert_int_equal(d->ops->peek(d, bitmap, &e), 0);
    assert_collects(d, false);
    assert_collects(d, false); /* what was seen before a CLEAN is gone after it */
    dirty(639);
    assert_int_equal(d->ops->peek(d, bitmap, &e), 0);
    off_and_on();
    dirty(3);
    assert_int_equal(d->ops->peek(d, bitmap, &e), -ESTALE);
    assert_refuses(d, true);
    end(d);
}

static void a_peek_shows_the_canary_too(void **state)
{
    uint64_t bitmap[FRAMES / 64];
    struct dirty_source *d = begin(false);
    struct err e = ERR_INIT;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(d->ops->peek(d, bitmap, &e), 0);
        assert_collects(d, false);
    }
    off_and_on();
    assert_int_equal(d->ops->peek(d, bitmap, &e), -ESTALE);
    end(d);
}

static void assert_said(
    bool pv, int code, enum err_class class, const char *what, const char *remedy)
{
    struct err e = ERR_INIT;

    assert_true(logdirty_explain(7, pv, code, &e) < 0);
    assert_int_equal(e.class, class);
    assert_non_null(strstr(e.text, "domain 7"));
    assert_non_null(strstr(e.text, what));
    assert_non_null(strstr(e.text, remedy));
}

static void each_refusal_says_why_and_what_to_do(void **state)
{
    (void)state;
    assert_said(false, EINVAL, ERR_REFUSED, "already on", "xmigrate --recover");
    assert_said(false, EINVAL, ERR_REFUSED, "assigned PCI device", "");
    assert_said(false, ENOMEM, ERR_REFUSED, "no memory for the log-dirty map", "free some");
    assert_said(true, EOPNOTSUPP, ERR_REFUSED, "no shadow paging", "use --offline");
    assert_said(false, EOPNOTSUPP, ERR_REFUSED, "no log-dirty mode", "use --offline");
    assert_said(false, ENOSYS, ERR_REFUSED, "no log-dirty mode", "use --offline");
}

static void what_is_not_known_is_told_as_it_is(void **state)
{
    (void)state;
    assert_said(false, EPERM, ERR_LOCAL, "cannot turn log-dirty on", strerror(EPERM));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_says_why_and_what_to_do),
        cmocka_unit_test(what_is_not_known_is_told_as_it_is),
        cmocka_unit_test(a_log_switched_off_and_on_is_not_believed),
        cmocka_unit_test(a_log_that_somebody_else_has_read_is_not_believed),
        cmocka_unit_test(a_round_costs_one_hypercall_more),
        cmocka_unit_test(a_frame_that_the_guest_gave_back_is_no_canary),
        cmocka_unit_test(a_guest_without_such_a_frame_is_moved_all_the_same),
        cmocka_unit_test(a_log_without_what_peek_showed_is_not_believed),
        cmocka_unit_test(a_peek_shows_the_canary_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
