/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/hvmctx.h"

#include "base/bytes.h"

#include <errno.h>

#define CONTEXT_MAGIC 0x54381286u

static unsigned online_vcpus(const struct domain *d)
{
    unsigned n = 0;

    for (unsigned i = 0; i < d->max_vcpus; i++)
        n += d->vcpus[i] && d->vcpus[i]->online;
    return n;
}

size_t hvmctx_bytes(const struct domain *d)
{
    const size_t per_vcpu = sizeof(struct hvm_hw_cpu) + sizeof(struct hvm_hw_lapic) +
                            sizeof(struct hvm_hw_lapic_regs) + sizeof(struct hvm_hw_mtrr) +
                            sizeof(struct hvm_vmce_vcpu) + sizeof(struct hvm_tsc_adjust) +
                            6 * sizeof(struct hvm_save_descriptor);

    return sizeof(struct hvm_save_descriptor) * 2 + sizeof(struct hvm_save_header) +
           online_vcpus(d) * per_vcpu;
}

static void put_record(
    struct bytes_out *o, unsigned code, unsigned instance, const void *body, size_t bytes)
{
    struct hvm_save_descriptor desc = {
        .typecode = (uint16_t)code, .instance = (uint16_t)instance, .length = (uint32_t)bytes};

    bytes_out_copy(o, &desc, sizeof(desc));
    bytes_out_copy(o, body, bytes);
}

void hvmctx_save(const struct domain *d, uint8_t *out)
{
    struct bytes_out o = bytes_out_init(out, hvmctx_bytes(d));
    struct hvm_save_header header = {.magic = CONTEXT_MAGIC,
        .version = HVM_FILE_VERSION,
        .cpuid = 0x000306f2,
        .gtsc_khz = d->tsc_khz};
    struct hvm_tsc_adjust adjust = {0};
    struct hvm_vmce_vcpu vmce = {0};

    put_record(&o, HVM_SAVE_CODE(HEADER), 0, &header, sizeof(header));
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        const struct vcpu *v = d->vcpus[i];

        if (!v || !v->online)
            continue;
        put_record(&o, HVM_SAVE_CODE(CPU), i, &v->hvm, sizeof(v->hvm));
        put_record(&o, HVM_SAVE_CODE(LAPIC), i, &v->lapic, sizeof(v->lapic));
        put_record(&o, HVM_SAVE_CODE(LAPIC_REGS), i, v->lapic_regs, sizeof(v->lapic_regs));
        put_record(&o, HVM_SAVE_CODE(MTRR), i, &v->mtrr, sizeof(v->mtrr));
        put_record(&o, HVM_SAVE_CODE(VMCE_VCPU), i, &vmce, sizeof(vmce));
        put_record(&o, HVM_SAVE_CODE(TSC_ADJUST), i, &adjust, sizeof(adjust));
    }
    put_record(&o, HVM_SAVE_CODE(END), 0, NULL, 0);
}

/* Where a record of this type goes, and how long it must be; NULL for one we only skip. */
static void *record_target(struct vcpu *v, unsigned code, size_t *bytes)
{
    switch (code) {
    case HVM_SAVE_CODE(CPU):
        *bytes = sizeof(v->hvm);
        return &v->hvm;
    case HVM_SAVE_CODE(LAPIC):
        *bytes = sizeof(v->lapic);
        return &v->lapic;
    case HVM_SAVE_CODE(LAPIC_REGS):
        *bytes = sizeof(v->lapic_regs);
        return v->lapic_regs;
    case HVM_SAVE_CODE(MTRR):
        *bytes = sizeof(v->mtrr);
        return &v->mtrr;
    default:
        return NULL;
    }
}

static int load_record(struct domain *d, const struct hvm_save_descriptor *desc, const void *body)
{
    size_t want = 0;

    if (desc->typecode == HVM_SAVE_CODE(HEADER)) {
        const struct hvm_save_header *header = body;

        return desc->length == sizeof(*header) && header->magic == CONTEXT_MAGIC ? 0 : -EINVAL;
    }
    if (desc->instance >= d->max_vcpus || !d->vcpus[desc->instance])
        return -EINVAL;

    struct vcpu *v = d->vcpus[desc->instance];
    void *target = record_target(v, desc->typecode, &want);

    if (!target)
        return 0;
    if (desc->length != want)
        return -EINVAL;
    memcpy(target, body, want);
    if (desc->typecode == HVM_SAVE_CODE(CPU)) {
        v->online = true;
        v->initialised = true;
    }
    return 0;
}

int hvmctx_load(struct domain *d, const uint8_t *blob, size_t bytes)
{
    struct bytes_in in = bytes_in_init(blob, bytes);

    for (bool first = true;; first = false) {
        const struct hvm_save_descriptor *p = bytes_in_take(&in, sizeof(*p));
        struct hvm_save_descriptor desc;
        const void *body;

        if (!p)
            break;
        memcpy(&desc, p, sizeof(desc));
        if (first != (desc.typecode == HVM_SAVE_CODE(HEADER)))
            break;
        if (desc.typecode == HVM_SAVE_CODE(END))
            return 0;
        body = bytes_in_take(&in, desc.length);
        if (!body || load_record(d, &desc, body)) {
            host_log_rate(d->host, "d%u: HVM context record type %u instance %u length %u refused",
                d->id, desc.typecode, desc.instance, desc.length);
            return -EINVAL;
        }
    }
    host_log_rate(d->host, "d%u: HVM context of %zu bytes is malformed", d->id, bytes);
    return -EINVAL;
}
