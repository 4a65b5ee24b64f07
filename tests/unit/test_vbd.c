/* SPDX-License-Identifier: MIT */
/*
 * Where the rings of a guest's disks are found, and what of its disks may stand in the page cache,
 * over a xenstore and a grant table that the test owns. The guest may write anything to its nodes.
 */
#include "engine/xen/foreign.h"
#include "engine/xen/vbd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xen/grant_table.h>
#include <xenstore.h>

#include <cmocka.h>

enum { DOMID = 5, FRAMES = 8, NODES = 32, PATH_ROOM = 128 };

#define FRONT "/local/domain/5/device/vbd/51712"
#define BACK  "/local/domain/0/backend/vbd/5/51712"

static struct {
    char paths[NODES][PATH_ROOM], values[NODES][PATH_ROOM];
    unsigned count;
    int version; /* of the grant table, which has one frame */
    union {
        grant_entry_v1_t v1[512];
        grant_entry_v2_t v2[256];
    } grants;
    uint32_t frames[FRAMES][4]; /* heads of rings: req_prod, req_event, rsp_prod, rsp_event */
    int mapped;
} host;

static struct vbds *vbds;
static struct xen xen;

/* ---- what Xen and xenstored say ---- */

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    return (struct xs_handle *)&host;
}

void xs_close(struct xs_handle *xs)
{
    (void)xs;
}

static const char *value_of(const char *path)
{
    for (unsigned i = 0; i < host.count; i++)
        if (!strcmp(host.paths[i], path))
            return host.values[i];
    errno = ENOENT;
    return NULL;
}

void *xs_read(struct xs_handle *xs, xs_transaction_t t, const char *path, unsigned *len)
{
    const char *value = value_of(path);

    (void)xs, (void)t;
    *len = value ? (unsigned)strlen(value) : 0;
    return value ? strdup(value) : NULL;
}

char **xs_directory(struct xs_handle *xs, xs_transaction_t t, const char *path, unsigned *count)
{
    static char id[] = "51712";
    char **list = malloc(sizeof(*list));

    (void)xs, (void)t;
    assert_string_equal(path, "/libxl/5/device/vbd");
    assert_non_null(list);
    *list = id;
    *count = 1;
    return list;
}

int xc_gnttab_get_version(xc_interface *xch, uint32_t domid)
{
    (void)xch;
    assert_int_equal(domid, DOMID);
    return host.version;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(xenforeignmemory_handle *fmem,
    domid_t domid, unsigned type, unsigned id, unsigned long frame, unsigned long count,
    void **addr, int prot, int flags)
{
    (void)fmem, (void)domid, (void)type, (void)id, (void)prot, (void)flags;
    assert_int_equal(count, 1);
    if (frame) {
        errno = EINVAL;
        return NULL;
    }
    *addr = &host.grants;
    return (xenforeignmemory_resource_handle *)&host;
}

int xenforeignmemory_unmap_resource(
    xenforeignmemory_handle *fmem, xenforeignmemory_resource_handle *resource)
{
    (void)fmem, (void)resource;
    return 0;
}

void *foreign_map(struct xen *x, uint32_t domid, int prot, const uint64_t *frames, size_t count,
    const char *what, struct err *e)
{
    (void)x, (void)domid, (void)prot, (void)count;
    if (frames[0] >= FRAMES) {
        err_set(e, ERR_LOCAL, EINVAL, "%s", what);
        return NULL;
    }
    host.mapped++;
    return host.frames[frames[0]];
}

void foreign_unmap(struct xen *x, void *mem, size_t count)
{
    (void)x, (void)mem, (void)count;
    host.mapped--;
}

/* ---- tests ---- */

static void node(const char *directory, const char *name, const char *value)
{
    assert_true(host.count < NODES);
    snprintf(host.paths[host.count], PATH_ROOM, "%s/%s", directory, name);
    snprintf(host.values[host.count++], PATH_ROOM, "%s", value);
}

/* Grant 10 + n is for frame n. */
static int begin(void **state)
{
    (void)state;
    memset(&host, 0, sizeof(host));
    host.version = 1;
    for (unsigned i = 1; i < FRAMES; i++)
        host.grants.v1[10 + i] = (grant_entry_v1_t){.flags = GTF_permit_access, .frame = i};
    node("/libxl/5/device/vbd/51712", "frontend", FRONT);
    node("/libxl/5/device/vbd/51712", "backend", BACK);
    node(BACK, "dev", "xvda");
    node(FRONT, "state", "4");
    return 0;
}

static int end(void **state)
{
    (void)state;
    vbds_close(vbds);
    vbds = NULL;
    return host.mapped;
}

static void open_disks(void)
{
    struct err e = ERR_INIT;

    assert_int_equal(vbds_open(&xen, DOMID, NULL, &vbds, &e), 0);
}

/* That frame is among the rings: an open request there is seen. */
static bool is_ring(unsigned frame)
{
    struct vbd_debt debt;

    host.frames[frame][0] = 3; /* around the end of the numbers */
    host.frames[frame][2] = UINT32_MAX;

    const bool owed = vbds_owe(vbds, &debt) && debt.requests == 4 && !strcmp(debt.disk, "xvda");

    host.frames[frame][2] = 3;
    assert_false(vbds_owe(vbds, &debt));
    return owed;
}

static void a_ring_of_one_page(void **state)
{
    (void)state;
    node(FRONT, "ring-ref", "11");
    open_disks();
    assert_true(is_ring(1));
    assert_int_equal(host.mapped, 1);
}

static void a_ring_of_pages_has_its_head_in_the_first(void **state)
{
    (void)state;
    node(FRONT, "ring-page-order", "1");
    node(FRONT, "ring-ref0", "12");
    node(FRONT, "ring-ref1", "13");
    open_disks();
    assert_true(is_ring(2));
    assert_false(is_ring(3));
}

static void every_queue_has_a_ring(void **state)
{
    (void)state;
    node(FRONT, "multi-queue-num-queues", "2");
    node(FRONT "/queue-0", "ring-ref", "13");
    node(FRONT "/queue-1", "ring-ref0", "14");
    node(FRONT "/queue-1", "ring-ref1", "15");
    open_disks();
    assert_true(is_ring(3));
    assert_true(is_ring(4));
    assert_int_equal(host.mapped, 2);
}

static void a_grant_table_of_version_2(void **state)
{
    (void)state;
    memset(&host.grants, 0, sizeof(host.grants));
    host.version = 2;
    host.grants.v2[11].full_page.hdr.flags = GTF_permit_access;
    host.grants.v2[11].full_page.frame = 6;
    node(FRONT, "ring-ref", "11");
    open_disks();
    assert_true(is_ring(6));
}

static void no_ring_before_it_connects_or_after_its_end(void **state)
{
    (void)state;
    node(FRONT, "ring-ref", "11");
    for (const char *s = "126"; *s; s++) {
        snprintf(host.values[3], PATH_ROOM, "%c", *s);
        open_disks();
        assert_int_equal(host.mapped, 0);
        vbds_close(vbds);
        vbds = NULL;
    }
}

static void a_grant_taken_back_is_no_ring(void **state)
{
    (void)state;
    host.grants.v1[11].flags = GTF_invalid;
    node(FRONT, "ring-ref", "11");
    open_disks();
    assert_int_equal(host.mapped, 0);
}

static void nonsense_from_the_guest_is_an_error_or_nothing(void **state)
{
    static const char *const refs[] = {"", "-11", "11x", "99999999999999999999", "0x0b"};
    struct err e = ERR_INIT;

    (void)state;
    node(FRONT, "ring-ref", "600"); /* beyond its table */
    assert_int_equal(vbds_open(&xen, DOMID, NULL, &vbds, &e), -EINVAL);
    assert_null(vbds);
    for (size_t i = 0; i < sizeof(refs) / sizeof(refs[0]); i++) {
        snprintf(host.values[4], PATH_ROOM, "%s", refs[i]);
        open_disks();
        assert_int_equal(host.mapped, 0);
        vbds_close(vbds);
        vbds = NULL;
    }
    /* A frame that is not its own. */
    host.grants.v1[11].frame = 1u << 30;
    snprintf(host.values[4], PATH_ROOM, "11");
    e = (struct err)ERR_INIT;
    assert_int_equal(vbds_open(&xen, DOMID, NULL, &vbds, &e), -EINVAL);
    assert_int_equal(host.mapped, 0);
}

/* A disk that QEMU serves from a file; its backend's directory says more. */
static void serve_file(const char *back, const char *mode, const char *params)
{
    snprintf(host.values[1], PATH_ROOM, "%s", back);
    node(back, "mode", mode);
    node(back, "params", params);
}

static void a_file_that_a_process_serves_is_written_out(void **state)
{
    char file[] = "/tmp/test_vbd.XXXXXX", params[64];
    const int fd = mkstemp(file);
    struct err e = ERR_INIT;

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    snprintf(params, sizeof(params), "aio:%s", file);
    serve_file("/local/domain/0/backend/qdisk/5/51712", "w", params);
    open_disks();
    assert_true(vbds_are_cached(vbds));
    assert_int_equal(vbds_sync(vbds, &e), 0);
    unlink(file);

    /* What is open need not be found again. */
    struct vbds *before = vbds;

    assert_int_equal(vbds_open(&xen, DOMID, before, &vbds, &e), 0);
    vbds_close(before);
    assert_true(vbds_are_cached(vbds));
    assert_int_equal(vbds_sync(vbds, &e), 0);
    vbds_close(vbds);
    vbds = NULL;
    assert_int_equal(vbds_open(&xen, DOMID, NULL, &vbds, &e), -ENOENT);
    assert_non_null(strstr(e.text, file));
}

static void assert_not_cached(const char *back, const char *mode, const char *params)
{
    begin(NULL);
    serve_file(back, mode, params);
    open_disks();
    assert_false(vbds_are_cached(vbds));
    vbds_close(vbds);
    vbds = NULL;
}

static void what_this_hosts_cache_does_not_hold_is_left_alone(void **state)
{
    (void)state;
    assert_not_cached("/local/domain/0/backend/qdisk/5/51712", "r", "aio:/dev/null");
    assert_not_cached("/local/domain/2/backend/qdisk/5/51712", "w", "aio:/dev/null");
    assert_not_cached("/local/domain/0/backend/qdisk/5/51712", "w", "nbd:host:1:exportname=x");
    assert_not_cached(BACK, "w", "/dev/vg/web");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(a_ring_of_one_page),
        TEST(a_ring_of_pages_has_its_head_in_the_first),
        TEST(every_queue_has_a_ring),
        TEST(a_grant_table_of_version_2),
        TEST(no_ring_before_it_connects_or_after_its_end),
        TEST(a_grant_taken_back_is_no_ring),
        TEST(nonsense_from_the_guest_is_an_error_or_nothing),
        TEST(a_file_that_a_process_serves_is_written_out),
        TEST(what_this_hosts_cache_does_not_hold_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
