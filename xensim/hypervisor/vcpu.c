/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/vcpu.h"
#include "xensim/hypervisor/pagetype.h"

#include <errno.h>

static uint64_t root_of(const struct domain *d, const vcpu_guest_context_any_t *c)
{
    if (d->pv32)
        return xen_cr3_to_pfn_x86_32(c->x32.ctrlreg[3]);
    return c->x64.ctrlreg[3] >> 12;
}

uint64_t vcpu_root_mfn(const struct vcpu *v)
{
    return root_of(v->domain, &v->pv);
}

uint64_t cr3_from_mfn(const struct domain *d, uint64_t mfn)
{
    return d->pv32 ? xen_pfn_to_cr3_x86_32(mfn) : mfn << 12;
}

void vcpu_get_context(const struct vcpu *v, vcpu_guest_context_any_t *out)
{
    *out = v->pv;
    if (v->domain->hvm) {
        memset(out, 0, sizeof(*out));
        out->x64.user_regs.rax = v->hvm.rax;
        out->x64.user_regs.rbx = v->hvm.rbx;
        out->x64.user_regs.rcx = v->hvm.rcx;
        out->x64.user_regs.rdx = v->hvm.rdx;
        out->x64.user_regs.rsi = v->hvm.rsi;
        out->x64.user_regs.rdi = v->hvm.rdi;
        out->x64.user_regs.rip = v->hvm.rip;
        out->x64.user_regs.rsp = v->hvm.rsp;
        out->x64.ctrlreg[3] = v->hvm.cr3;
        out->x64.flags = VGCF_online;
    }
}

static int set_hvm(struct vcpu *v, const vcpu_guest_context_any_t *in)
{
    v->hvm.rax = in->x64.user_regs.rax;
    v->hvm.rbx = in->x64.user_regs.rbx;
    v->hvm.rcx = in->x64.user_regs.rcx;
    v->hvm.rdx = in->x64.user_regs.rdx;
    v->hvm.rsi = in->x64.user_regs.rsi;
    v->hvm.rdi = in->x64.user_regs.rdi;
    v->hvm.rip = in->x64.user_regs.rip;
    v->hvm.rsp = in->x64.user_regs.rsp;
    return 0;
}

#define FIELD(d, c, f) ((d)->pv32 ? (uint64_t)(c)->x32.f : (uint64_t)(c)->x64.f)

static unsigned gdt_frames(const struct domain *d, const vcpu_guest_context_any_t *c)
{
    return (unsigned)((FIELD(d, c, gdt_ents) + 511) / 512);
}

/* A new context for a vCPU that has one must name the same tables. */
static bool same_tables(
    const struct domain *d, const vcpu_guest_context_any_t *a, const vcpu_guest_context_any_t *b)
{
    if (root_of(d, a) != root_of(d, b) || FIELD(d, a, gdt_ents) != FIELD(d, b, gdt_ents))
        return false;
    if (!d->pv32 && a->x64.ctrlreg[1] != b->x64.ctrlreg[1])
        return false;
    for (unsigned i = 0; i < gdt_frames(d, a); i++)
        if (FIELD(d, a, gdt_frames[i]) != FIELD(d, b, gdt_frames[i]))
            return false;
    return true;
}

static int take_gdt(struct domain *d, const vcpu_guest_context_any_t *in)
{
    unsigned n = gdt_frames(d, in);

    for (unsigned i = 0; i < n; i++) {
        int rc = page_get_type(d, FIELD(d, in, gdt_frames[i]), PT_SEGDESC);

        if (rc) {
            while (i-- > 0)
                page_put_type(d, FIELD(d, in, gdt_frames[i]));
            return rc;
        }
    }
    return 0;
}

static void put_gdt(struct domain *d, const vcpu_guest_context_any_t *in)
{
    for (unsigned i = 0; i < gdt_frames(d, in); i++)
        page_put_type(d, FIELD(d, in, gdt_frames[i]));
}

int vcpu_set_context(struct vcpu *v, const vcpu_guest_context_any_t *in)
{
    struct domain *d = v->domain;
    enum page_type root_type = d->pv32 ? PT_L3 : PT_L4;

    if (d->hvm)
        return set_hvm(v, in);
    if (FIELD(d, in, gdt_ents) > 16 * 512 || FIELD(d, in, ldt_ents) > 8192)
        return -EINVAL;
    if (v->initialised) {
        if (!same_tables(d, &v->pv, in))
            return -EOPNOTSUPP;
        v->pv = *in;
        return 0;
    }

    int rc = take_gdt(d, in);

    if (rc)
        return rc;
    rc = page_get_type(d, root_of(d, in), root_type);
    if (rc) {
        put_gdt(d, in);
        return rc;
    }
    if (!d->pv32 && in->x64.ctrlreg[1]) {
        rc = page_get_type(d, in->x64.ctrlreg[1] >> 12, PT_L4);
        if (rc) {
            page_put_type(d, root_of(d, in));
            put_gdt(d, in);
            return rc;
        }
    }
    v->pv = *in;
    v->initialised = true;
    v->online = FIELD(d, in, flags) & VGCF_online;
    return 0;
}

int vcpu_reset(struct vcpu *v)
{
    struct domain *d = v->domain;

    if (d->hvm || !v->initialised)
        return 0;
    put_gdt(d, &v->pv);
    page_put_type(d, root_of(d, &v->pv));
    if (!d->pv32 && v->pv.x64.ctrlreg[1])
        page_put_type(d, v->pv.x64.ctrlreg[1] >> 12);
    memset(&v->pv, 0, sizeof(v->pv));
    v->initialised = false;
    v->online = false;
    return 0;
}

uint64_t vcpu_reg_get(const struct vcpu *v, enum vcpu_reg r)
{
    const struct domain *d = v->domain;
    const struct hvm_hw_cpu *h = &v->hvm;

#define PICK(name)                                                                                 \
    (d->hvm       ? h->r##name                                                                     \
        : d->pv32 ? (uint64_t)v->pv.x32.user_regs.e##name                                          \
                  : v->pv.x64.user_regs.r##name)
    switch (r) {
    case REG_AX:
        return PICK(ax);
    case REG_BX:
        return PICK(bx);
    case REG_CX:
        return PICK(cx);
    case REG_DX:
        return PICK(dx);
    case REG_SI:
        return PICK(si);
    case REG_DI:
        return PICK(di);
    case REG_IP:
        return PICK(ip);
    }
#undef PICK
    return 0;
}

void vcpu_reg_set(struct vcpu *v, enum vcpu_reg r, uint64_t value)
{
    struct domain *d = v->domain;

#define PUT(name)                                                                                  \
    do {                                                                                           \
        if (d->hvm)                                                                                \
            v->hvm.r##name = value;                                                                \
        else if (d->pv32)                                                                          \
            v->pv.x32.user_regs.e##name = (uint32_t)value;                                         \
        else                                                                                       \
            v->pv.x64.user_regs.r##name = value;                                                   \
    } while (0)
    switch (r) {
    case REG_AX:
        PUT(ax);
        break;
    case REG_BX:
        PUT(bx);
        break;
    case REG_CX:
        PUT(cx);
        break;
    case REG_DX:
        PUT(dx);
        break;
    case REG_SI:
        PUT(si);
        break;
    case REG_DI:
        PUT(di);
        break;
    case REG_IP:
        PUT(ip);
        break;
    }
#undef PUT
}
