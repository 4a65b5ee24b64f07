/* SPDX-License-Identifier: MIT */
/*
 * Restoring a guest up to the hypercalls. Two bytes say what domain it is and which hypercall
 * fails; the rest is a plain stream with its zeros written short (expand.h). Whatever it says, Xen
 * is asked only for what fake_xen.h allows.
 */
#include "engine/dest.h"
#include "engine/in/plain.h"
#include "tests/fuzz/expand.h"
#include "tests/fuzz/fake_xen.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned static_data_done;

static int take_static_data(void *arg, unsigned missing, struct err *e)
{
    (void)arg, (void)e;
    must(missing <= 3);
    static_data_done++;
    return 0;
}

static void take_progress(void *arg, uint64_t populated_pages, uint64_t wire_bytes)
{
    (void)arg, (void)populated_pages, (void)wire_bytes;
}

static void drop_line(void *arg, enum log_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

static int fill_file(const uint8_t *data, size_t size)
{
    static uint8_t stream[1 << 18];
    static int fd = -1;
    const size_t len_bytes = expand(data, size, stream, sizeof(stream));

    if (fd < 0)
        fd = memfd_create("stream", MFD_CLOEXEC);
    must(
        pwrite(fd, stream, len_bytes, 0) == (ssize_t)len_bytes && !ftruncate(fd, (off_t)len_bytes));
    must(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dest_toolstack toolstack = {.static_data_done = take_static_data};
    static const struct dest_report_ops report = {take_progress, NULL};
    static const struct log log = {LOG_ERROR, drop_line, NULL};
    struct cancel cancel;
    struct dest_params p = {
        .guest = {.domid = FAKE_DOMID, .log = &log},
        .cancel = &cancel,
        .toolstack = &toolstack,
        .report = &report,
    };
    struct dest_result result;
    struct dest *left;
    struct err e = ERR_INIT;

    if (size < 2)
        return 0;

    const struct fake_xen wanted = {
        .hvm = data[0] & 1, .max_vcpu_id = data[0] >> 1 & 3, .fail_at = data[1]};

    static_data_done = 0;
    fake_xen_begin(&wanted);
    must(cancel_init(&cancel, &e) == 0);

    int rc = in_plain_open(fill_file(data + 2, size - 2), &cancel, &log, &p.in, &e);

    must(rc == 0);
    rc = dest_run(&p, &result, &left, &e);
    if (left)
        dest_close(left);
    cancel_destroy(&cancel);

    const struct fake_xen *xen = fake_xen_end();

    must(rc ? err_is_set(&e) && e.class != ERR_INTERNAL : !err_is_set(&e));
    if (rc)
        return 0;
    must(static_data_done == 1 && xen->grants_seeded == 1);
    if (xen->hvm) {
        must(xen->contexts_set == 1);
    } else {
        must(xen->vcpus_set >= 1);
        must(fake_xen_owns(result.rings.store_gfn) && fake_xen_owns(result.rings.console_gfn));
    }
    return 0;
}
