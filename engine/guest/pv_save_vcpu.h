/*
 * A PV guest's vCPUs at the source, as the four records of the stream carry them. The domain must
 * stand still.
 */
#ifndef ENGINE_GUEST_PV_SAVE_VCPU_H
#define ENGINE_GUEST_PV_SAVE_VCPU_H

#include "engine/guest/pv_memory.h"

/* What one record holds; mem is malloc()ed, NULL when there is nothing to send. */
struct vcpu_blob {
    void *mem;
    size_t len_bytes;
};

int vcpu_is_online(struct xen *x, uint32_t domid, uint32_t vcpu, bool *online, struct err *e);

/* Registers, in the guest's own width; frames in them are PFNs (canonicalise_vcpu()). */
int vcpu_read_basic(
    struct xen *x, const struct pv_memory *m, uint32_t vcpu, struct vcpu_blob *blob, struct err *e);
int vcpu_read_extended(
    struct xen *x, uint32_t domid, uint32_t vcpu, struct vcpu_blob *blob, struct err *e);
int vcpu_read_xsave(
    struct xen *x, uint32_t domid, uint32_t vcpu, struct vcpu_blob *blob, struct err *e);
int vcpu_read_msrs(
    struct xen *x, uint32_t domid, uint32_t vcpu, struct vcpu_blob *blob, struct err *e);

/*
 * The frames that a vCPU's registers name, MFN to PFN: start_info in edx (vCPU 0, which made the
 * suspend call), the GDT's frames, cr3 and, 64 bit, the user's page tables in cr1. ERR_GUEST when
 * one is not the guest's.
 */
int canonicalise_vcpu(
    const struct pv_memory *m, uint32_t vcpu, vcpu_guest_context_any_t *context, struct err *e);

#endif
