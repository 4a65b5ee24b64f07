/* SPDX-License-Identifier: MIT */
#include "xensim/command_create.h"
#include "xensim/command_domain.h"
#include "xensim/device.h"
#include "xensim/guest/build.h"
#include "xensim/guest/disk.h"
#include "xensim/guest/run.h"
#include "xensim/hypervisor/tmem.h"
#include "xensim/usage.h"

#include "base/units.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#define MAX_MEMORY_BYTES (512ull << 30)

static bool parse_guest_type(const char *text, enum guest_type *type)
{
    if (!strcmp(text, "pvh"))
        *type = GUEST_PVH;
    else if (!strcmp(text, "pv") || !strcmp(text, "pv64"))
        *type = GUEST_PV64;
    else if (!strcmp(text, "pv32"))
        *type = GUEST_PV32;
    else if (!strcmp(text, "hvm"))
        *type = GUEST_HVM;
    else
        return false;
    return true;
}

bool parse_rate(const char *text, int64_t *pages_per_s)
{
    uint64_t value;

    if (!strcmp(text, "max")) {
        *pages_per_s = GUEST_RATE_UNLIMITED;
        return true;
    }
    if (!parse_u64(text, 0, 1000000000, &value))
        return false;
    *pages_per_s = (int64_t)value;
    return true;
}

static bool parse_pattern(const char *text, struct guest_params *p, char *trace_path, size_t room)
{
    static const char *const names[] = {"idle", "uniform", "hot", "sequential"};

    for (unsigned i = 0; i < 4; i++)
        if (!strcmp(text, names[i])) {
            p->pattern = (enum guest_pattern)i;
            return true;
        }
    if (strncmp(text, "file:", 5) || strlen(text + 5) >= room || !text[5])
        return false;
    strcpy(trace_path, text + 5);
    p->pattern = PATTERN_FILE;
    return true;
}

static bool parse_suspend(const char *text, struct guest_params *p)
{
    if (!strcmp(text, "normal"))
        p->suspend_mode = SUSPEND_NORMAL;
    else if (!strcmp(text, "refuse"))
        p->suspend_mode = SUSPEND_REFUSE;
    else if (!strncmp(text, "slow:", 5) && parse_duration_ns(text + 5, &p->suspend_delay_ns))
        p->suspend_mode = SUSPEND_SLOW;
    else if (!strncmp(text, "late:", 5) && parse_duration_ns(text + 5, &p->suspend_delay_ns))
        p->suspend_mode = SUSPEND_LATE;
    else
        return false;
    return true;
}

static bool parse_feature(const char *text, char *feature)
{
    if (strcmp(text, "1") && strcmp(text, "0") && strcmp(text, "none"))
        return false;
    *feature = strcmp(text, "none") ? text[0] : '\0';
    return true;
}

static bool parse_cancel(const char *text, enum suspend_cancel *cancel)
{
    static const char *const words[] = {"yes", "no", "none"};

    for (unsigned i = 0; i < 3; i++)
        if (!strcmp(text, words[i])) {
            *cancel = (enum suspend_cancel)i;
            return true;
        }
    return false;
}

/* Bit 0 is part of the mask and not of the value: what it marks is not present. */
static bool parse_mark(const char *text, struct guest_params *p)
{
    unsigned mask, value;
    int end = 0;

    if (sscanf(text, "%i:%i%n", (int *)&mask, (int *)&value, &end) != 2 || text[end] ||
        mask >= 4096 || value & ~mask || !value || value & 1)
        return false;
    p->mark_mask = (uint16_t)(mask | 1);
    p->mark_value = (uint16_t)value;
    return true;
}

/* A trace: page numbers, one a line, or "-" for no write; at most 16 MiB. */
static int read_trace(const char *path, char **trace, struct answer *a)
{
    enum { MAX_TRACE = 16 << 20 };
    FILE *f = fopen(path, "re");
    char *text = f ? calloc(1, MAX_TRACE + 1) : NULL;
    size_t n = text ? fread(text, 1, MAX_TRACE, f) : 0;
    size_t line = 1;
    int code = f ? EBADMSG : errno;

    if (f)
        fclose(f);
    if (!text || !n || text[n - 1] != '\n') {
        say(a, "--pattern file:%s: %s", path,
            !f ? strerror(code) : "it must be page numbers, one a line, at most 16 MiB");
        free(text);
        return -code;
    }
    for (char *c = text; *c; line++) {
        char *end;

        strtoull(c, &end, 0);
        if (*c == '-')
            end = c + 1;
        if (end == c || *end != '\n') {
            say(a, "--pattern file:%s: line %zu is not a page number", path, line);
            free(text);
            return -EBADMSG;
        }
        c = end + 1;
    }
    *trace = text;
    return 0;
}

struct create_options {
    struct guest_params p;
    char trace_path[512];
    bool paused;
    char disks[GUEST_MAX_DISKS][DEVICE_TEXT_BYTES]; /* as device_attach() wants them */
    unsigned vifs;
};

static bool take_number(const char *value, uint64_t min, uint64_t max, unsigned *number)
{
    uint64_t n;

    if (!parse_u64(value, min, max, &n))
        return false;
    *number = (unsigned)n;
    return true;
}

static bool take_pages(const char *value, uint64_t min, uint64_t max, uint64_t *bytes)
{
    return parse_size_bytes(value, bytes) && *bytes % PAGE_BYTES == 0 && *bytes >= min &&
           *bytes <= max;
}

/* Whole objects. */
static bool take_tmem(const char *value, uint64_t *bytes)
{
    const uint64_t object_bytes = TMEM_OBJECT_PAGES * PAGE_BYTES;

    return take_pages(value, object_bytes, TMEM_MAX_PAGES * PAGE_BYTES, bytes) &&
           *bytes % object_bytes == 0;
}

static bool take_name(const char *value, char name[static NAME_BYTES])
{
    if (!value[0] || strlen(value) >= NAME_BYTES)
        return false;
    strcpy(name, value);
    return true;
}

static bool take_layout(const char *value, enum p2m_layout *layout)
{
    *layout = strcmp(value, "tree") ? P2M_LIST : P2M_TREE;
    return *layout == P2M_TREE || !strcmp(value, "list");
}

static bool take_disk(struct create_options *o, const char *value)
{
    char kind[8], path[400], script[64] = "";
    const int n = sscanf(value, "%7[^:]:%399[^,],script=%63s", kind, path, script);

    if (n < 2 || o->p.disks == GUEST_MAX_DISKS || (strcmp(kind, "phy") && strcmp(kind, "qdisk")))
        return false;
    snprintf(o->disks[o->p.disks++], DEVICE_TEXT_BYTES, "%s %s %s", kind, path, script);
    return true;
}

static bool take_disk_delay(const char *value, int64_t *delay_ns)
{
    if (strcmp(value, "never"))
        return parse_duration_ns(value, delay_ns);
    *delay_ns = GUEST_DISK_NEVER;
    return true;
}

/* False if the option takes no such value (usage.c says which it takes). */
static bool take_create_option(struct create_options *o, const char *option, const char *value)
{
    struct guest_params *p = &o->p;

    if (!strcmp(option, "--paused"))
        return o->paused = true;
    if (!strcmp(option, "--type"))
        return parse_guest_type(value, &p->type);
    if (!strcmp(option, "--memory"))
        return take_pages(value, 1 << 20, MAX_MEMORY_BYTES, &p->memory_bytes);
    if (!strcmp(option, "--address-space"))
        return take_pages(value, 8ull << 30, MAX_PFNS * PAGE_BYTES, &p->address_bytes);
    if (!strcmp(option, "--vcpus"))
        return take_number(value, 1, MAX_VCPUS, &p->vcpus);
    if (!strcmp(option, "--dirty"))
        return parse_rate(value, &p->pages_per_s);
    if (!strcmp(option, "--pattern"))
        return parse_pattern(value, p, o->trace_path, sizeof(o->trace_path));
    if (!strcmp(option, "--content"))
        return content_parse_mix(value, &p->mix);
    if (!strcmp(option, "--p2m"))
        return take_layout(value, &p->layout);
    if (!strcmp(option, "--remap"))
        return take_number(value, 0, 1000000, &p->remaps_per_s);
    if (!strcmp(option, "--fork"))
        return take_number(value, 0, 100000, &p->forks_per_s);
    if (!strcmp(option, "--balloon"))
        return take_number(value, 0, 1000000, &p->balloons_per_s);
    if (!strcmp(option, "--tmem"))
        return take_tmem(value, &p->tmem_bytes);
    if (!strcmp(option, "--tmem-rate"))
        return take_number(value, 0, 1000000, &p->tmem_per_s);
    if (!strcmp(option, "--dma"))
        return take_number(value, 1, 100000, &p->dma_per_s);
    if (!strcmp(option, "--suspend"))
        return parse_suspend(value, p);
    if (!strcmp(option, "--feature-suspend"))
        return parse_feature(value, &p->feature_suspend);
    if (!strcmp(option, "--suspend-cancel"))
        return parse_cancel(value, &p->suspend_cancel);
    if (!strcmp(option, "--pte-mark"))
        return parse_mark(value, p);
    if (!strcmp(option, "--disk"))
        return take_disk(o, value);
    if (!strcmp(option, "--disk-delay"))
        return take_disk_delay(value, &p->disk_delay_ns);
    if (!strcmp(option, "--versioned-disk"))
        return p->versioned_disk = true;
    if (!strcmp(option, "--vif"))
        return ++o->vifs;
    if (!strcmp(option, "--seed"))
        return parse_u64(value, 0, UINT64_MAX, &p->seed);
    return !strcmp(option, "--name") && take_name(value, p->name);
}

static int parse_create(struct create_options *o, struct words *w, struct err *e)
{
    const struct verb *create = verb_named("create");
    const char *word;

    *o = (struct create_options){.p = {.type = GUEST_PVH,
                                     .memory_bytes = 256ull << 20,
                                     .vcpus = 1,
                                     .pattern = PATTERN_UNIFORM,
                                     .pages_per_s = 1000,
                                     .mix = {.zero = 25, .text = 50, .random = 25},
                                     .dma_per_s = 20,
                                     .feature_suspend = '1',
                                     .seed = 1}};
    while ((word = next_word(w))) {
        const char *value = w->next < w->count ? w->word[w->next] : NULL;
        const struct option *option = option_of(create, word, value, e);

        if (!option)
            return -e->code;
        if (!take_create_option(o, option->name, value))
            return option_refused(option, value, e);
        w->next += option->value != NULL;
    }
    if (o->p.address_bytes && o->p.type != GUEST_PVH && o->p.type != GUEST_HVM)
        return err_set(e, ERR_USAGE, EINVAL, "--address-space is for pvh and hvm guests");
    if (o->p.tmem_per_s && !o->p.tmem_bytes)
        return err_set(e, ERR_USAGE, EINVAL, "--tmem-rate is for guests with --tmem");
    return 0;
}

static int make_domain(struct host *h, enum guest_type type, unsigned vcpus, const char *name,
    uint16_t id, struct domain **d, struct answer *a)
{
    struct xen_domctl_createdomain c = {.max_vcpus = vcpus,
        .max_evtchn_port = 1023,
        .max_grant_frames = MAX_GRANT_FRAMES,
        .max_maptrack_frames = 1024};
    int rc;

    if (type == GUEST_PVH || type == GUEST_HVM) {
        c.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
        c.arch.emulation_flags = XEN_X86_EMU_LAPIC;
    }
    if (getrandom(c.handle, sizeof(c.handle), 0) != (ssize_t)sizeof(c.handle))
        return fail(a, EIO, "no random numbers for a UUID");
    c.handle[6] = (uint8_t)((c.handle[6] & 0x0f) | 0x40);
    c.handle[8] = (uint8_t)((c.handle[8] & 0x3f) | 0x80);
    if (name[0] && domain_name_is_taken(h, name))
        return fail(a, EEXIST, "host %s has a domain %s already", h->name, name);
    rc = domain_create(h, id, &c, d);
    if (rc)
        return fail(a, -rc, "cannot create a domain: %s", strerror(-rc));
    (*d)->emulated = type == GUEST_HVM;
    if (name[0])
        strcpy((*d)->name, name);
    rc = domain_set_max_vcpus(*d, vcpus);
    if (rc) {
        domain_destroy(*d);
        return fail(a, -rc, "cannot create %u vCPUs: %s", vcpus, strerror(-rc));
    }
    return 0;
}

static int attach_devices(struct domain *d, const struct create_options *o)
{
    char name[DEVICE_NAME_BYTES];
    int rc = 0;

    for (unsigned i = 0; i < o->p.disks && !rc; i++) {
        snprintf(name, sizeof(name), "xvd%c", 'a' + i);
        rc = device_attach(d->host, d->id, name, o->disks[i]);
    }
    for (unsigned i = 0; i < o->vifs && !rc; i++) {
        snprintf(name, sizeof(name), "vif%u", i);
        rc = device_attach(d->host, d->id, name, "");
    }
    return rc;
}

int do_create(struct host *h, struct words *w, struct answer *a)
{
    struct create_options o;
    struct domain *d = NULL;
    struct err e = ERR_INIT;
    int rc = parse_create(&o, w, &e);

    if (rc)
        return fail(a, -rc, "%s", e.text);
    if (o.p.pattern == PATTERN_FILE)
        rc = read_trace(o.trace_path, &o.p.trace, a);
    if (rc)
        return rc;
    rc = make_domain(h, o.p.type, o.p.vcpus, o.p.name, 0, &d, a);
    if (!rc) {
        rc = guest_build(d, &o.p, &e);
        if (rc) {
            say(a, "%s", e.text);
            domain_destroy(d);
        } else {
            rc = attach_devices(d, &o);
        }
    }
    free(o.p.trace);
    if (rc)
        return rc;
    if (!o.paused)
        domain_unpause_by_controller(d);
    host_notify(h);
    say(a, "%u\n", d->id);
    return 0;
}

int do_create_empty(struct host *h, struct words *w, struct answer *a)
{
    const char *type_word = next_word(w), *vcpus_word = next_word(w), *kib_word = next_word(w);
    const char *name = next_word(w), *uuid = next_word(w), *id_word = next_word(w);
    uint64_t id = 0;
    enum guest_type type;
    uint64_t vcpus, kib;
    struct domain *d;

    if (!type_word || !parse_guest_type(type_word, &type) || !vcpus_word ||
        !parse_u64(vcpus_word, 1, MAX_VCPUS, &vcpus) || !kib_word ||
        !parse_u64(kib_word, 4, MAX_PFNS * 4, &kib) || (name && strlen(name) >= NAME_BYTES) ||
        (id_word && !parse_u64(id_word, 0, MAX_DOMAINS - 1, &id)))
        return fail(a, EINVAL, "create-empty TYPE VCPUS MAX_KIB [NAME [UUID [ID]]]");

    int rc = make_domain(h, type, (unsigned)vcpus, name ? name : "", (uint16_t)id, &d, a);

    if (rc)
        return rc;
    for (unsigned i = 0;
         uuid && i < sizeof(d->handle) && sscanf(uuid + 2 * i, "%2hhx", &d->handle[i]) == 1; i++)
        ;
    d->max_pages = kib / 4;
    d->paging_pool_bytes = 1 << 20;
    d->evtchns[1] = d->evtchns[2] = (struct evtchn){EVTCHN_UNBOUND, 0};
    say(a, "%u\n", d->id);
    return 0;
}
