/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/pagetype.h"

#include <errno.h>

#define COMPAT_XEN_FIRST_SLOT 428u /* of a PAE L2, up to 511: where Xen lives in a 32-bit guest */
#define L4_XEN_FIRST_SLOT     256u
#define L4_XEN_LAST_SLOT      271u

bool pte_is_xens(const struct domain *d, const struct frame *f, unsigned level, unsigned i)
{
    if (level == 4)
        return i >= L4_XEN_FIRST_SLOT && i <= L4_XEN_LAST_SLOT;
    if (d->pv32 && level == 3)
        return i >= 4;
    if (d->pv32 && level == 2)
        return (f->flags & FRAME_PAE_XEN) && i >= COMPAT_XEN_FIRST_SLOT;
    return false;
}

static uint64_t read_pte(const struct domain *d, uint64_t mfn, unsigned i)
{
    const uint64_t *table = frame_ptr(d->machine, mfn);

    return __atomic_load_n(&table[i], __ATOMIC_RELAXED);
}

static void write_pte(struct domain *d, uint64_t mfn, unsigned i, uint64_t value)
{
    uint64_t *table = frame_ptr(d->machine, mfn);

    __atomic_store_n(&table[i], value, __ATOMIC_RELAXED);
}

static bool owns(const struct domain *d, uint64_t mfn)
{
    return mfn_valid(d->machine, mfn) && d->machine->frames[mfn].owner == d->id;
}

static int get_entry(struct domain *d, unsigned level, uint64_t pte)
{
    uint64_t mfn = pte_frame(pte);

    if (!owns(d, mfn))
        return level == 1 ? -EBUSY : -EINVAL;
    if (level == 1)
        return pte & PTE_RW ? page_get_type(d, mfn, PT_WRITABLE) : 0;
    if (pte & PTE_PSE)
        return -EINVAL;
    return page_get_type(d, mfn, (enum page_type)(level - 1));
}

static void put_entry(struct domain *d, unsigned level, uint64_t pte)
{
    if (level > 1 || pte & PTE_RW)
        page_put_type(d, pte_frame(pte));
}

/* Xen's own slots: what a saver must recognise and leave out. */
static void fill_xen_slots(struct domain *d, uint64_t mfn, unsigned level)
{
    const struct frame *f = &d->machine->frames[mfn];

    for (unsigned i = 0; i < 512; i++) {
        if (!pte_is_xens(d, f, level, i))
            continue;
        if (level == 4)
            write_pte(d, mfn, i, d->machine->m2p_mfn << 12 | 0x63);
        else if (level == 2)
            write_pte(d, mfn, i,
                (d->machine->compat_m2p_mfn + (i - COMPAT_XEN_FIRST_SLOT) * PAGES_PER_CHUNK) << 12 |
                    0xE1);
    }
}

static int validate(struct domain *d, uint64_t mfn, unsigned level)
{
    struct frame *f = &d->machine->frames[mfn];

    for (unsigned i = 0; i < 512; i++) {
        uint64_t pte = read_pte(d, mfn, i);
        int rc;

        if (!(pte & PTE_PRESENT) || pte_is_xens(d, f, level, i))
            continue;
        rc = get_entry(d, level, pte);
        if (rc) {
            host_log_rate(d->host, "d%u: L%u table mfn %#llx entry %u (%#llx) refused: %d", d->id,
                level, (unsigned long long)mfn, i, (unsigned long long)pte, rc);
            while (i-- > 0) {
                pte = read_pte(d, mfn, i);
                if (pte & PTE_PRESENT && !pte_is_xens(d, f, level, i))
                    put_entry(d, level, pte);
            }
            return rc;
        }
        /* The fourth L2 of a PAE guest is the one that holds Xen. */
        if (d->pv32 && level == 3 && i == 3) {
            d->machine->frames[pte_frame(pte)].flags |= FRAME_PAE_XEN;
            fill_xen_slots(d, pte_frame(pte), 2);
        }
    }
    fill_xen_slots(d, mfn, level);
    f->flags |= FRAME_VALIDATED;
    return 0;
}

static void devalidate(struct domain *d, uint64_t mfn, unsigned level)
{
    struct frame *f = &d->machine->frames[mfn];

    f->flags &= (uint8_t)~FRAME_VALIDATED;
    for (unsigned i = 0; i < 512; i++) {
        uint64_t pte = read_pte(d, mfn, i);

        if (pte & PTE_PRESENT && !pte_is_xens(d, f, level, i))
            put_entry(d, level, pte);
    }
    /* Only the flag tells Xen's slots apart: none may be left without it. */
    for (unsigned i = COMPAT_XEN_FIRST_SLOT; f->flags & FRAME_PAE_XEN && i < 512; i++)
        write_pte(d, mfn, i, 0);
    f->flags &= (uint8_t)~FRAME_PAE_XEN;
}

static unsigned level_of(enum page_type type)
{
    return type >= PT_L1 && type <= PT_L4 ? (unsigned)type : 0;
}

int page_get_type(struct domain *d, uint64_t mfn, enum page_type type)
{
    if (!owns(d, mfn))
        return -EINVAL;

    struct frame *f = &d->machine->frames[mfn];

    if (f->type_refs && f->type != type) {
        /* A client may have unmapped it since the last sweep. */
        host_sweep_mappings(d->host, d);
        if (f->type_refs && f->type != type) {
            host_log_rate(d->host, "d%u: mfn %#llx has type %u with %u references, wanted %u",
                d->id, (unsigned long long)mfn, f->type, f->type_refs, type);
            return -EINVAL;
        }
    }
    if (f->type_refs++)
        return 0;
    f->type = (uint8_t)type;
    if (!level_of(type))
        return 0;

    int rc = validate(d, mfn, level_of(type));

    if (rc) {
        f->type_refs = 0;
        f->type = PT_NONE;
        return rc;
    }
    domain_mark_mfn_dirty(d, mfn);
    return 0;
}

void page_put_type(struct domain *d, uint64_t mfn)
{
    struct frame *f = &d->machine->frames[mfn];

    if (--f->type_refs)
        return;
    if (level_of(f->type)) {
        devalidate(d, mfn, level_of(f->type));
        domain_mark_mfn_dirty(d, mfn);
    }
}

int page_pin(struct domain *d, uint64_t mfn, enum page_type type)
{
    int rc = page_get_type(d, mfn, type);

    if (rc)
        return rc;
    if (d->machine->frames[mfn].flags & FRAME_PINNED) {
        page_put_type(d, mfn);
        return -EINVAL;
    }
    d->machine->frames[mfn].flags |= FRAME_PINNED;
    domain_mark_mfn_dirty(d, mfn);
    return 0;
}

int page_unpin(struct domain *d, uint64_t mfn)
{
    if (!owns(d, mfn) || !(d->machine->frames[mfn].flags & FRAME_PINNED))
        return -EINVAL;
    d->machine->frames[mfn].flags &= (uint8_t)~FRAME_PINNED;
    page_put_type(d, mfn);
    domain_mark_mfn_dirty(d, mfn);
    return 0;
}

int page_write_pte(struct domain *d, uint64_t table_mfn, unsigned index, uint64_t value)
{
    if (!owns(d, table_mfn) || index >= 512)
        return -EINVAL;

    struct frame *f = &d->machine->frames[table_mfn];
    unsigned level = level_of(f->type);

    if (!level || !(f->flags & FRAME_VALIDATED) || pte_is_xens(d, f, level, index))
        return -EINVAL;

    uint64_t old = read_pte(d, table_mfn, index);
    int rc = value & PTE_PRESENT ? get_entry(d, level, value) : 0;

    if (rc)
        return rc;
    write_pte(d, table_mfn, index, value);
    if (old & PTE_PRESENT)
        put_entry(d, level, old);
    domain_mark_mfn_dirty(d, table_mfn);
    return 0;
}

uint32_t page_info_type(struct domain *d, uint64_t gfn)
{
    uint64_t mfn = domain_gfn_to_mfn(d, gfn);

    if (!mfn || d->machine->frames[mfn].flags & FRAME_SPECIAL)
        return XEN_DOMCTL_PFINFO_XTAB;
    if (d->hvm)
        return XEN_DOMCTL_PFINFO_NOTAB;

    const struct frame *f = &d->machine->frames[mfn];
    uint32_t type = (uint32_t)level_of(f->type) << XEN_DOMCTL_PFINFO_LTAB_SHIFT;

    if (f->flags & FRAME_PINNED)
        return type | XEN_DOMCTL_PFINFO_LPINTAB;
    return f->flags & FRAME_VALIDATED ? type : XEN_DOMCTL_PFINFO_NOTAB;
}
