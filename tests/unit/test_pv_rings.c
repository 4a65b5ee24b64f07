/* SPDX-License-Identifier: MIT */
/* The rings of a PV guest at the source: as xenstore has them and as the suspended guest does. */
#include "engine/guest/page_any.h"
#include "engine/guest/pv_rings.h"
#include "engine/xen/foreign.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <xenstore.h>
#include <cmocka.h>

/* ---- the source: PFN p lies at MFN p + BASE ---- */

enum { PFNS = 16, BASE = 100, MFNS = 200, STORE = 3, CONSOLE = 5, START_INFO = 7 };

static struct {
    uint64_t m2p[MFNS], p2m[PFNS];
    struct pv_memory m;
    char store[32], console[32]; /* "": there is no such node */
    start_info_any_t info;
} w;

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned *len)
{
    const char *value = !strcmp(path, "/local/domain/7/store/ring-ref")     ? w.store
                        : !strcmp(path, "/local/domain/7/console/ring-ref") ? w.console
                                                                            : "";

    (void)h, (void)t;
    *len = (unsigned)strlen(value);
    return value[0] ? strdup(value) : NULL;
}

/* The start info is all that is mapped. */
void *foreign_map(struct xen *x, uint32_t domid, int prot, const uint64_t *frames, size_t count,
    const char *what, struct err *e)
{
    (void)x, (void)what, (void)e;
    assert_int_equal(domid, 7);
    assert_int_equal(prot, PROT_READ);
    assert_int_equal(count, 1);
    assert_int_equal(frames[0], START_INFO + BASE);
    return &w.info;
}

void foreign_unmap(struct xen *x, void *mem, size_t count)
{
    (void)x, (void)count;
    assert_ptr_equal(mem, &w.info);
}

static void begin(unsigned width)
{
    memset(&w, 0, sizeof(w));
    memset(w.m2p, 0xff, sizeof(w.m2p));
    for (uint64_t pfn = 0; pfn < PFNS; pfn++) {
        w.p2m[pfn] = pfn + BASE;
        w.m2p[pfn + BASE] = pfn;
    }
    if (width == 4)
        for (unsigned pfn = 0; pfn < PFNS; pfn++)
            ((uint32_t *)w.p2m)[pfn] = pfn + BASE;
    w.m = (struct pv_memory){
        .domid = 7,
        .width_bytes = width,
        .m2p = {.pfns = w.m2p, .entries = MFNS},
        .p2m = w.p2m,
        .max_pfn = PFNS - 1,
    };
    snprintf(w.store, sizeof(w.store), "%d", STORE + BASE);
    snprintf(w.console, sizeof(w.console), "%d", CONSOLE + BASE);
    set_any(&w.info, store_mfn, STORE, width);
    set_any(&w.info, console.domU.mfn, CONSOLE, width);
}

static bool is_known(void)
{
    struct pv_rings r = {0};

    pv_rings_find(NULL, &w.m, &r);
    return r.known;
}

static void test_xenstore_says_where_they_are(void **state)
{
    (void)state;
    struct pv_rings r = {0};

    begin(8);
    pv_rings_find(NULL, &w.m, &r);
    assert_true(r.known);
    assert_int_equal(r.store_pfn, STORE);
    assert_int_equal(r.console_pfn, CONSOLE);
}

static void test_what_is_no_frame_of_the_guests_is_not_known(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "x", "-103", "103x", "50", "200", "99999999999999999999999", "105" /* the console's */};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        begin(8);
        snprintf(w.store, sizeof(w.store), "%s", bad[i]);
        assert_false(is_known());
    }
    begin(8);
    w.console[0] = '\0';
    assert_false(is_known());
}

static void test_the_suspended_guest_has_to_agree(void **state)
{
    (void)state;
    const struct pv_rings r = {true, STORE, CONSOLE};

    for (unsigned width = 4; width <= 8; width += 4) {
        struct err e = ERR_INIT;

        begin(width);
        assert_int_equal(pv_rings_check(NULL, &w.m, &r, START_INFO, &e), 0);
        set_any(&w.info, store_mfn, STORE + 1, width);
        assert_int_equal(pv_rings_check(NULL, &w.m, &r, START_INFO, &e), -ESTALE);
        assert_int_equal(e.class, ERR_GUEST);

        e = (struct err)ERR_INIT;
        begin(width);
        set_any(&w.info, console.domU.mfn, STORE, width);
        assert_int_equal(pv_rings_check(NULL, &w.m, &r, START_INFO, &e), -ESTALE);
    }
}

static void test_the_start_info_is_no_ring(void **state)
{
    (void)state;
    const struct pv_rings r = {true, START_INFO, CONSOLE};
    struct err e = ERR_INIT;

    begin(8);
    set_any(&w.info, store_mfn, START_INFO, 8);
    assert_int_equal(pv_rings_check(NULL, &w.m, &r, START_INFO, &e), -ESTALE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xenstore_says_where_they_are),
        cmocka_unit_test(test_what_is_no_frame_of_the_guests_is_not_known),
        cmocka_unit_test(test_the_suspended_guest_has_to_agree),
        cmocka_unit_test(test_the_start_info_is_no_ring),
    };

    return cmocka_run_group_tests_name("pv rings", tests, NULL, NULL);
}
