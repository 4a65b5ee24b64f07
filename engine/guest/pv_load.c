/* SPDX-License-Identifier: MIT */
/*
 * PV guests: frames have machine addresses of their own here, so everything that names one is
 * rewritten: start_info, vCPU contexts, page tables (as they arrive) and the guest's own p2m.
 *
 * The order of complete() matters: no page may be mapped writable when page tables are pinned or
 * become a vCPU's, start_info is written before it is looked at, and the p2m last, for its pages
 * are ordinary ones.
 */
#include "engine/guest/pv_load.h"

#include "engine/guest/common.h"
#include "engine/guest/pv_load_vcpu.h"
#include "engine/xen/build.h"
#include "engine/xen/foreign.h"
#include "transport/v3.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/hvm/params.h>

/* Frames of the guest's own p2m, mapped at a time. */
enum { P2M_BATCH = 512 };

static struct blob *find_blob(struct vcpu_state *v, uint32_t type)
{
    switch (type) {
    case V3_X86_PV_VCPU_BASIC:
        return &v->basic;
    case V3_X86_PV_VCPU_EXTENDED:
        return &v->extended;
    case V3_X86_PV_VCPU_XSAVE:
        return &v->xsave;
    default:
        return &v->msrs;
    }
}

static int load_info(struct loader *l, const void *body, size_t len_bytes, struct err *e)
{
    struct pv_state *s = l->guest;
    struct v3_pv_info info;
    const int rc = v3_decode_pv_info(body, len_bytes, &info, e);

    if (rc)
        return rc;
    if (s->have_info)
        return err_set(e, ERR_PEER, EPROTO, "X86_PV_INFO came twice");
    if (info.guest_width != l->domain.width_bytes &&
        build_set_width(&l->xen, l->p->domid, info.guest_width, e))
        return -e->code;
    s->have_info = true;
    s->width_bytes = info.guest_width;
    s->levels = info.pt_levels;
    return 0;
}

/* Frames are named from the first part on; no pages come before the last. */
static int begin_p2m_frames(struct loader *l, const struct in_event *part, struct err *e)
{
    struct pv_state *s = l->guest;
    struct v3_p2m_frames p2m;

    if (!s->have_info)
        return err_set(e, ERR_PEER, EPROTO, "X86_PV_P2M_FRAMES came before X86_PV_INFO");

    const int rc = v3_decode_p2m_frames(
        part->body, part->len_bytes, part->more, s->width_bytes, &p2m, e);

    if (rc)
        return rc;
    if (p2m.start_pfn)
        return err_set(e, ERR_PEER, EPROTO, "X86_PV_P2M_FRAMES does not begin with frame 0");
    if (!l->static_done)
        return err_set(e, ERR_PEER, EPROTO, "X86_PV_P2M_FRAMES came before STATIC_DATA_END");
    p2m_list_init(&s->p2m, l->domain.max_pages);
    s->p2m_count = p2m.count;
    s->max_pfn = p2m.end_pfn;
    if (p2m_list_add(&s->p2m, p2m.pfns, p2m.here, e) ||
        frames_init(
            &l->frames, l->p->domid, s->levels, (uint64_t)p2m.end_pfn + 1, l->domain.max_pages, e))
        return -e->code;
    l->frames.marks = l->marks;
    return 0;
}

static int load_p2m_frames(struct loader *l, const struct in_event *part, struct err *e)
{
    struct pv_state *s = l->guest;
    const uint64_t count = part->len_bytes / sizeof(uint64_t);

    if (!s->p2m_count)
        return begin_p2m_frames(l, part, e);
    if (s->p2m.count == s->p2m_count)
        return err_set(e, ERR_PEER, EPROTO, "X86_PV_P2M_FRAMES came twice");
    if (part->len_bytes % sizeof(uint64_t) || count > s->p2m_count - s->p2m.count ||
        (!part->more && count < s->p2m_count - s->p2m.count))
        return err_set(e, ERR_PEER, EPROTO, "X86_PV_P2M_FRAMES is not as long as it says");
    return p2m_list_add(&s->p2m, part->body, count, e);
}

static int load_vcpu(
    struct loader *l, uint32_t type, const void *body, size_t len_bytes, struct err *e)
{
    struct pv_state *s = l->guest;
    struct v3_vcpu vcpu;

    if (!s->have_info)
        return err_set(e, ERR_PEER, EPROTO, "%s came before X86_PV_INFO", v3_name(type));

    const int rc = v3_decode_vcpu(type, body, len_bytes, s->width_bytes, &vcpu, e);

    if (rc || !vcpu.blob_bytes)
        return rc;
    if (vcpu.vcpu_id >= s->vcpu_count)
        return err_set(e, ERR_PEER, EPROTO, "%s of vCPU %u, but the domain has %u", v3_name(type),
            vcpu.vcpu_id, s->vcpu_count);
    return blob_keep(find_blob(&s->vcpus[vcpu.vcpu_id], type), vcpu.blob, vcpu.blob_bytes, e);
}

/* Where a guest that is prepared has its rings: what its pages say of them is dropped. */
static int load_rings(struct loader *l, const void *body, size_t len_bytes, struct err *e)
{
    struct pv_state *s = l->guest;
    struct v3_hvm_param params[V3_MAX_HVM_PARAMS];
    const int count = v3_decode_hvm_params(body, len_bytes, params, e);

    if (count < 0)
        return count;
    if (s->have_rings || !s->p2m_count || s->p2m.count < s->p2m_count)
        return err_set(e, ERR_PEER, EPROTO, "HVM_PARAMS of a PV guest came %s",
            s->have_rings ? "twice" : "before X86_PV_P2M_FRAMES");
    if (count != 2 || params[0].index != HVM_PARAM_STORE_PFN ||
        params[1].index != HVM_PARAM_CONSOLE_PFN || params[0].value >= l->frames.frame_count ||
        params[1].value >= l->frames.frame_count || params[0].value == params[1].value)
        return err_set(e, ERR_PEER, EPROTO,
            "bad HVM_PARAMS record: of a PV guest it holds the frames of its two rings");
    s->have_rings = true;
    s->store_pfn = l->frames.foreign[0] = params[0].value;
    s->console_pfn = l->frames.foreign[1] = params[1].value;
    l->frames.foreign_count = 2;
    return 0;
}

static int load_record(struct loader *l, const struct in_event *state, struct err *e)
{
    struct pv_state *s = l->guest;
    const uint32_t type = state->v3_type;
    const void *body = state->body;
    const size_t len_bytes = state->len_bytes;
    int rc;

    switch (type) {
    case V3_X86_PV_INFO:
        return load_info(l, body, len_bytes, e);
    case V3_X86_PV_P2M_FRAMES:
        return load_p2m_frames(l, state, e);
    case V3_SHARED_INFO:
        rc = v3_check_blob(type, len_bytes, e);
        return rc ? rc : blob_keep(&s->shared_info, body, len_bytes, e);
    case V3_X86_PV_VCPU_BASIC:
    case V3_X86_PV_VCPU_EXTENDED:
    case V3_X86_PV_VCPU_XSAVE:
    case V3_X86_PV_VCPU_MSRS:
        return load_vcpu(l, type, body, len_bytes, e);
    case V3_HVM_PARAMS:
        return load_rings(l, body, len_bytes, e);
    default:
        return err_set(
            e, ERR_PEER, EPROTO, "a %s record has no place in a PV guest", v3_name(type));
    }
}

static int check_ready(struct loader *l, struct err *e)
{
    const struct pv_state *s = l->guest;

    if (!s->p2m_count || s->p2m.count < s->p2m_count)
        return err_set(e, ERR_PEER, EPROTO, "pages came before X86_PV_P2M_FRAMES");
    return 0;
}

/* Xen's page for this domain gets the guest's part of what it held; event channels begin anew. What
 * backends that are there already have said is kept. */
static int put_shared_info(struct loader *l, struct err *e)
{
    struct pv_state *s = l->guest;

    if (!s->shared_info.data)
        return err_set(e, ERR_PEER, EPROTO, "the stream ended without SHARED_INFO");

    shared_info_any_t *now = foreign_map(&l->xen, l->p->domid, PROT_READ | PROT_WRITE,
        &l->domain.shared_info_frame, 1, "the shared info", e);
    const shared_info_any_t *old = s->shared_info.data;

    if (!now)
        return -e->code;
    if (s->width_bytes == 8) {
        memcpy(&now->x64.vcpu_info, &old->x64.vcpu_info, sizeof(now->x64.vcpu_info));
        memcpy(&now->x64.arch, &old->x64.arch, sizeof(now->x64.arch));
        now->x64.arch.pfn_to_mfn_frame_list_list = 0;
        if (!l->prepared)
            memset(now->x64.evtchn_pending, 0, sizeof(now->x64.evtchn_pending));
        memset(now->x64.evtchn_mask, 0xff, sizeof(now->x64.evtchn_mask));
        for (unsigned i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
            now->x64.vcpu_info[i].evtchn_pending_sel = 0;
    } else {
        memcpy(&now->x32.vcpu_info, &old->x32.vcpu_info, sizeof(now->x32.vcpu_info));
        memcpy(&now->x32.arch, &old->x32.arch, sizeof(now->x32.arch));
        now->x32.arch.pfn_to_mfn_frame_list_list = 0;
        if (!l->prepared)
            memset(now->x32.evtchn_pending, 0, sizeof(now->x32.evtchn_pending));
        memset(now->x32.evtchn_mask, 0xff, sizeof(now->x32.evtchn_mask));
        for (unsigned i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
            now->x32.vcpu_info[i].evtchn_pending_sel = 0;
    }
    foreign_unmap(&l->xen, now, 1);
    return 0;
}

/* The tables of a group that are to be pinned; returns how many. */
static unsigned find_pins(
    const struct frame_group *group, struct build_pin pins[static FRAMES_PER_GROUP])
{
    unsigned count = 0;

    for (unsigned i = 0; i < FRAMES_PER_GROUP; i++) {
        const unsigned level = v3_type_table_level(group->types[i]);

        if (level && (group->types[i] & V3_PAGE_PINNED))
            pins[count++] = (struct build_pin){frame_group_mfn(group, i), level};
    }
    return count;
}

static int pin_tables(struct loader *l, struct err *e)
{
    const struct frames *f = &l->frames;
    const unsigned groups = atomic_load(&f->group_count);
    struct build_pin *pins = calloc(BUILD_MAX_PINS, sizeof(*pins));
    unsigned count = 0;
    int rc = 0;

    if (!pins)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    for (unsigned i = 0; i < groups && !rc; i++) {
        count += find_pins(&f->groups[i], pins + count);
        if (count > BUILD_MAX_PINS - FRAMES_PER_GROUP) {
            rc = build_pin_tables(&l->xen, l->p->domid, pins, count, e);
            count = 0;
        }
    }
    if (!rc)
        rc = build_pin_tables(&l->xen, l->p->domid, pins, count, e);
    free(pins);
    return rc;
}

/* The words of one frame of the guest's p2m: all ones where it has no memory. What lies behind its
 * last frame stays as it was. */
static void fill_p2m_page(const struct frames *f, unsigned width, uint64_t first_pfn, void *page)
{
    const unsigned per_page = XC_PAGE_SIZE / width;

    for (unsigned i = 0; i < per_page && first_pfn + i < f->frame_count; i++) {
        const uint64_t pfn = first_pfn + i;
        const uint64_t mfn = frames_is_populated(f, pfn) ? frames_gfn(f, pfn) : UINT64_MAX;

        if (width == 8)
            ((uint64_t *)page)[i] = mfn;
        else
            ((uint32_t *)page)[i] = (uint32_t)mfn;
    }
}

static int put_p2m_batch(struct loader *l, const struct p2m_run *runs, const uint64_t *mfns,
    unsigned count, struct err *e)
{
    const struct pv_state *s = l->guest;
    const unsigned per_page = XC_PAGE_SIZE / s->width_bytes;
    char *map = foreign_map(
        &l->xen, l->p->domid, PROT_READ | PROT_WRITE, mfns, count, "the p2m", e);

    if (!map)
        return -e->code;
    for (unsigned i = 0; i < count; i++)
        fill_p2m_page(
            &l->frames, s->width_bytes, runs[i].last * per_page, map + (size_t)i * XC_PAGE_SIZE);
    foreign_unmap(&l->xen, map, count);
    return 0;
}

/* A frame in several places holds what the last of them says: of a run that is its last one. */
static int put_guest_p2m(struct loader *l, struct err *e)
{
    const struct pv_state *s = l->guest;
    int rc = 0;

    for (size_t done = 0, n; done < s->p2m.run_count && !rc; done += n) {
        const struct p2m_run *runs = s->p2m.runs + done;
        uint64_t mfns[P2M_BATCH];

        for (n = 0; n < P2M_BATCH && done + n < s->p2m.run_count && !rc; n++)
            rc = pv_find_frame(l, "a frame of the p2m", runs[n].pfn, V3_PAGE_NOTAB, &mfns[n], e);
        if (!rc)
            rc = put_p2m_batch(l, runs, mfns, (unsigned)n, e);
    }
    return rc;
}

static int give_ring(struct loader *l, const char *what, uint64_t pfn, uint64_t *mfn, struct err *e)
{
    const int rc = frames_populate(&l->frames, &l->xen, &pfn, 1, e);

    if (rc)
        return rc;
    *mfn = frames_gfn(&l->frames, pfn);
    return build_clear_page(&l->xen, l->p->domid, *mfn, what, e);
}

static int prepare(struct loader *l, struct guest_rings *rings, struct err *e)
{
    const struct pv_state *s = l->guest;
    int rc;

    if (!s->have_rings)
        return err_set(e, ERR_PEER, EPROTO, "PREPARE came without HVM_PARAMS");
    rc = give_ring(l, "the xenstore ring", s->store_pfn, &rings->store_gfn, e);
    if (!rc)
        rc = give_ring(l, "the console ring", s->console_pfn, &rings->console_gfn, e);
    return rc ? rc : seed_grants(l, rings, e);
}

static int complete(struct loader *l, struct guest_rings *rings, struct err *e)
{
    const struct pv_state *s = l->guest;
    int rc = s->have_rings && !l->prepared
                 ? err_set(e, ERR_PEER, EPROTO, "HVM_PARAMS of a PV guest came without PREPARE")
                 : put_shared_info(l, e);

    if (!rc)
        rc = pv_set_vcpus(l, rings, e);
    if (!rc)
        rc = pin_tables(l, e);
    if (!rc)
        rc = put_guest_p2m(l, e);
    return rc || l->prepared ? rc : seed_grants(l, rings, e);
}

static void destroy(struct loader *l)
{
    struct pv_state *s = l->guest;

    for (unsigned id = 0; id < s->vcpu_count && s->vcpus; id++) {
        blob_free(&s->vcpus[id].basic);
        blob_free(&s->vcpus[id].extended);
        blob_free(&s->vcpus[id].xsave);
        blob_free(&s->vcpus[id].msrs);
    }
    free(s->vcpus);
    p2m_list_free(&s->p2m);
    blob_free(&s->shared_info);
    free(s);
}

static const struct loader_ops pv_ops = {
    .state = load_record,
    .check_ready = check_ready,
    .prepare = prepare,
    .complete = complete,
    .destroy = destroy,
};

int pv_load_open(struct loader *l, struct err *e)
{
    struct pv_state *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
    l->guest = s;
    l->ops = &pv_ops;
    s->vcpu_count = l->domain.max_vcpu_id + 1;
    s->vcpus = calloc(s->vcpu_count, sizeof(*s->vcpus));
    return s->vcpus ? 0 : err_set(e, ERR_LOCAL, ENOMEM, "out of memory");
}
