/* SPDX-License-Identifier: MIT */
#include "engine/xen/kernel_file.h"

#include "engine/xen/xen.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <xenguest.h>

/* What a Xen that runs everything would say: libxenguest picks a loader by it. */
static const char every_guest[] =
    "xen-3.0-x86_64 xen-3.0-x86_32p hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64";

/* A FIFO would be waited for. */
static int check_file(const char *path, struct err *e)
{
    struct stat st;

    if (stat(path, &st))
        return err_sys(e, ERR_LOCAL, errno, "%s", path);
    return S_ISREG(st.st_mode) ? 0 : err_set(e, ERR_LOCAL, EINVAL, "%s is no regular file", path);
}

/* Whether it likes what it has unpacked is of no interest. */
static int read_image(struct xc_dom_image *dom, const char *path, bool unpacked, struct err *e)
{
    xc_dom_kernel_max_size(dom, KERNEL_FILE_MAX_BYTES);
    if (xc_dom_kernel_file(dom, path))
        return err_set(e, ERR_LOCAL, EIO, "%s cannot be read, or is too long for a kernel", path);
    snprintf(dom->xen_caps, sizeof(dom->xen_caps), "%s", every_guest);
    dom->container_type = XC_DOM_PV_CONTAINER;
    if (unpacked)
        xc_dom_parse_image(dom);
    return 0;
}

static int visit_file(struct xen *x, const char *path, bool unpacked,
    int (*visit)(void *arg, const void *image, size_t len_bytes), void *arg, struct err *e)
{
    struct xc_dom_image *dom = xc_dom_allocate(x->xch, NULL, NULL);

    if (!dom)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");

    int rc = read_image(dom, path, unpacked, e);

    if (!rc)
        rc = visit(arg, dom->kernel_blob, dom->kernel_size);
    xc_dom_release(dom);
    return rc;
}

int kernel_file_read(const char *path, bool unpacked, const struct log *log,
    int (*visit)(void *arg, const void *image, size_t len_bytes), void *arg, struct err *e)
{
    struct xen x;
    int rc = check_file(path, e);

    if (!rc)
        rc = xen_open_none(&x, log, e);
    if (rc)
        return rc;
    rc = visit_file(&x, path, unpacked, visit, arg, e);
    xen_close(&x);
    return rc;
}
