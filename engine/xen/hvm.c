#include "engine/xen/hvm.h"

#include <errno.h>
#include <stdlib.h>
#include <xen/hvm/params.h>

int hvm_context_read(struct xen *x, uint32_t domid, void **blob, size_t *len_bytes, struct err *e)
{
    const int room = xc_domain_hvm_getcontext(x->xch, domid, NULL, 0);

    if (room < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot size the HVM context of domain %u", domid);

    uint8_t *mem = malloc((size_t)room);

    if (!mem)
        return err_set(e, ERR_LOCAL, ENOMEM, "no memory for an HVM context of %d bytes", room);

    const int len = xc_domain_hvm_getcontext(x->xch, domid, mem, (uint32_t)room);

    if (len < 0) {
        const int code = errno;

        free(mem);
        return err_sys(e, ERR_LOCAL, code, "cannot read the HVM context of domain %u", domid);
    }
    *blob = mem;
    *len_bytes = (size_t)len;
    return 0;
}

int hvm_params_read(struct xen *x, uint32_t domid,
    struct v3_hvm_param params[static V3_MAX_HVM_PARAMS], unsigned *count, struct err *e)
{
    /* Those that say where things are and how the guest was built; the others (callbacks, event
     * channels, timers) are in the context, in the configuration or made anew. */
    static const uint32_t moving[] = {
        HVM_PARAM_STORE_PFN,
        HVM_PARAM_IOREQ_PFN,
        HVM_PARAM_BUFIOREQ_PFN,
        HVM_PARAM_VIRIDIAN,
        HVM_PARAM_IDENT_PT,
        HVM_PARAM_CONSOLE_PFN,
        HVM_PARAM_ACPI_IOPORTS_LOCATION,
        HVM_PARAM_PAGING_RING_PFN,
        HVM_PARAM_MONITOR_RING_PFN,
        HVM_PARAM_SHARING_RING_PFN,
        HVM_PARAM_IOREQ_SERVER_PFN,
        HVM_PARAM_NR_IOREQ_SERVER_PAGES,
        HVM_PARAM_VM_GENERATION_ID_ADDR,
        HVM_PARAM_X87_FIP_WIDTH,
        HVM_PARAM_VM86_TSS_SIZED,
        HVM_PARAM_MCA_CAP,
    };
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof(moving) / sizeof(moving[0]); i++) {
        uint64_t value;

        if (xc_hvm_param_get(x->xch, domid, moving[i], &value))
            return err_sys(
                e, ERR_LOCAL, errno, "cannot read HVM parameter %u of domain %u", moving[i], domid);
        if (value)
            params[n++] = (struct v3_hvm_param){moving[i], value};
    }
    *count = n;
    return 0;
}
