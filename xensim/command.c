#include "xensim/command.h"
#include "xensim/guest.h"
#include "xensim/hypercall.h"
#include "xensim/usage.h"
#include "xensim/vcpu.h"

#include "base/deadline.h"
#include "base/units.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

enum { MAX_WORDS = 64 };

struct words {
    const char *word[MAX_WORDS];
    unsigned count, next;
};

struct answer {
    char *text;
    size_t used, room;
};

static void say(struct answer *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say_text(struct answer *a, const char *text)
{
    size_t n = strlen(text);

    if (a->used + n + 1 > a->room) {
        size_t room = (a->used + n + 1) * 2;
        char *bigger = realloc(a->text, room);

        if (!bigger)
            return;
        a->text = bigger;
        a->room = room;
    }
    memcpy(a->text + a->used, text, n + 1);
    a->used += n;
}

static void say(struct answer *a, const char *fmt, ...)
{
    char line[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    say_text(a, line);
}

#define fail(a, code, ...) (say(a, __VA_ARGS__), -(code))

static const char *next_word(struct words *w)
{
    return w->next < w->count ? w->word[w->next++] : NULL;
}

/* By id or by name; a reference, or NULL with the answer saying so. */
static struct domain *find_domain(struct host *h, struct words *w, struct answer *a)
{
    const char *name = next_word(w);
    uint64_t id;

    if (!name) {
        say(a, "which domain? give its id or name");
        return NULL;
    }
    if (parse_u64(name, 0, MAX_DOMAINS - 1, &id)) {
        struct domain *d = domain_get(h, (uint16_t)id);

        if (d)
            return d;
    }
    for (unsigned i = 0; i < MAX_DOMAINS; i++) {
        struct domain *d = domain_get(h, (uint16_t)i);

        if (d && !strcmp(d->name, name))
            return d;
        if (d)
            domain_put(d);
    }
    say(a, "host %s has no domain %s; `xensim list %s` shows what it has", h->name, name, h->name);
    return NULL;
}

static const char *type_name(const struct domain *d)
{
    return d->hvm ? "pvh" : d->pv32 ? "pv32" : "pv";
}

static bool parse_type(const char *text, enum guest_type *type)
{
    if (!strcmp(text, "pvh"))
        *type = GUEST_PVH;
    else if (!strcmp(text, "pv") || !strcmp(text, "pv64"))
        *type = GUEST_PV64;
    else if (!strcmp(text, "pv32"))
        *type = GUEST_PV32;
    else
        return false;
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
    else
        return false;
    return true;
}

static bool parse_rate(const char *text, int64_t *pages_per_s)
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

/* A trace: page numbers, one a line, or "-" where nothing is written. Read whole, at most 16 MiB.
 */
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

/* False: not a value that this option takes (usage.c says which it takes). */
static bool take_create_option(struct create_options *o, const char *option, const char *value)
{
    struct guest_params *p = &o->p;

    if (!strcmp(option, "--paused"))
        return o->paused = true;
    if (!strcmp(option, "--type"))
        return parse_type(value, &p->type);
    if (!strcmp(option, "--memory"))
        return take_pages(value, 1 << 20, MAX_PFNS / 4 * PAGE_BYTES, &p->memory_bytes);
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
    if (!strcmp(option, "--suspend"))
        return parse_suspend(value, p);
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
                                     .mix = {25, 50, 25},
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
    if (o->p.address_bytes && o->p.type != GUEST_PVH)
        return err_set(e, ERR_USAGE, EINVAL, "--address-space is for pvh guests");
    return 0;
}

static bool name_is_taken(struct host *h, const char *name)
{
    bool taken = false;

    pthread_rwlock_rdlock(&h->domains_lock);
    for (unsigned i = 0; i < MAX_DOMAINS && !taken; i++)
        taken = h->domains[i] && !strcmp(h->domains[i]->name, name);
    pthread_rwlock_unlock(&h->domains_lock);
    return taken;
}

static int make_domain(struct host *h, enum guest_type type, unsigned vcpus, const char *name,
    struct domain **d, struct answer *a)
{
    struct xen_domctl_createdomain c = {.max_vcpus = vcpus,
        .max_evtchn_port = 1023,
        .max_grant_frames = MAX_GRANT_FRAMES,
        .max_maptrack_frames = 1024};
    int rc;

    if (type == GUEST_PVH) {
        c.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
        c.arch.emulation_flags = XEN_X86_EMU_LAPIC;
    }
    if (getrandom(c.handle, sizeof(c.handle), 0) != (ssize_t)sizeof(c.handle))
        return fail(a, EIO, "no random numbers for a UUID");
    c.handle[6] = (uint8_t)((c.handle[6] & 0x0f) | 0x40);
    c.handle[8] = (uint8_t)((c.handle[8] & 0x3f) | 0x80);
    if (name[0] && name_is_taken(h, name))
        return fail(a, EEXIST, "host %s has a domain %s already", h->name, name);
    rc = domain_create(h, 0, &c, d);
    if (rc)
        return fail(a, -rc, "cannot create a domain: %s", strerror(-rc));
    if (name[0])
        strcpy((*d)->name, name);
    rc = domain_set_max_vcpus(*d, vcpus);
    if (rc) {
        domain_destroy(*d);
        return fail(a, -rc, "cannot create %u vCPUs: %s", vcpus, strerror(-rc));
    }
    return 0;
}

static int do_create(struct host *h, struct words *w, struct answer *a)
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
    rc = make_domain(h, o.p.type, o.p.vcpus, o.p.name, &d, a);
    if (!rc) {
        rc = guest_build(d, &o.p, &e);
        if (rc) {
            say(a, "%s", e.text);
            domain_destroy(d);
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

static const char *state_of(const struct domain *d)
{
    static const char *const codes[] = {"poweroff", "reboot", "suspended", "crashed"};

    if (d->dying)
        return "dying";
    if (d->is_shut_down)
        return d->shutdown_code < 4 ? codes[d->shutdown_code] : "shut down";
    return d->controller_pauses ? "paused" : "running";
}

static int do_list(struct host *h, struct words *w, struct answer *a)
{
    (void)w;
    say(a, "%4s %-24s %-5s %9s %5s %-10s %s\n", "ID", "NAME", "TYPE", "MEMORY", "VCPUS", "STATE",
        "LOG-DIRTY");
    for (unsigned i = 0; i < MAX_DOMAINS; i++) {
        struct domain *d = domain_get(h, (uint16_t)i);

        if (!d)
            continue;
        say(a, "%4u %-24s %-5s %6llu MiB %5u %-10s %s\n", d->id, d->name, type_name(d),
            (unsigned long long)(d->tot_pages >> 8), d->max_vcpus, state_of(d),
            atomic_load(&d->logdirty.enabled) ? "on" : "off");
        domain_put(d);
    }
    return 0;
}

static int do_info(struct host *h, struct words *w, struct answer *a)
{
    struct machine *m = &h->machine;

    (void)w;
    say(a,
        "host %s: %llu MiB machine memory (%s pages), %llu MiB free%s\n"
        "fragmented: %u %%, PV log-dirty: %s\n",
        h->name, (unsigned long long)(m->nr_frames >> 8), m->huge ? "2 MiB" : "4 KiB",
        (unsigned long long)(heap_free_frames(m) >> 8), m->prealloc ? ", preallocated" : "",
        m->fragment_percent, h->no_shadow ? "refused (--no-shadow)" : "on request");
    return 0;
}

static int with_domain(struct host *h, struct words *w, struct answer *a,
    int (*act)(struct domain *d, struct words *w, struct answer *a))
{
    struct domain *d = find_domain(h, w, a);

    if (!d)
        return -ENOENT;

    int rc = act(d, w, a);

    domain_put(d);
    return rc;
}

static int act_destroy(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    (void)a;
    return domain_destroy(d);
}

static int act_pause(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    (void)a;
    domain_pause_by_controller(d);
    return 0;
}

static int act_unpause(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    return domain_unpause_by_controller(d) ? fail(a, EALREADY, "domain %s is not paused", d->name)
                                           : 0;
}

static int act_rate(struct domain *d, struct words *w, struct answer *a)
{
    const char *text = next_word(w);
    int64_t rate;

    if (!text || !parse_rate(text, &rate))
        return fail(a, EINVAL, "rate DOMAIN PAGES_PER_S, or max");
    guest_set_rate(d, rate);
    return 0;
}

/* The scheduler's cap, as `xl sched-credit2 -c` sets it; without a number: what it is. */
static int act_cap(struct domain *d, struct words *w, struct answer *a)
{
    const char *text = next_word(w);
    uint64_t cap;

    if (!text) {
        say(a, "%u\n", domain_cap(d));
        return 0;
    }
    if (!parse_u64(text, 0, 100 * d->max_vcpus, &cap))
        return fail(a, EINVAL, "cap DOMAIN [PERCENT], of one CPU and at most 100 a vCPU; 0: none");
    domain_set_cap(d, (uint16_t)cap);
    return 0;
}

static int act_rename(struct domain *d, struct words *w, struct answer *a)
{
    const char *name = next_word(w);

    if (!name || !name[0] || strlen(name) >= NAME_BYTES)
        return fail(a, EINVAL, "rename DOMAIN NAME, at most %d characters", NAME_BYTES - 1);
    if (name_is_taken(d->host, name))
        return fail(a, EEXIST, "host %s has a domain %s already", d->host->name, name);
    pthread_rwlock_wrlock(&d->host->domains_lock);
    strcpy(d->name, name);
    pthread_rwlock_unlock(&d->host->domains_lock);
    return 0;
}

static int act_verify(struct domain *d, struct words *w, struct answer *a)
{
    struct verify_report r;
    int rc = guest_verify(d, &r);

    (void)w;
    if (rc == -ENOENT)
        say(a, "domain %s holds no guest that knows its memory", d->name);
    else if (rc)
        say(a, "cannot verify domain %s: %s", d->name, strerror(-rc));
    else if (r.problems)
        say_text(a, r.text ? r.text : "");
    if (!rc && r.problems)
        say(a, "domain %s: %llu problems in %llu pages\n", d->name, (unsigned long long)r.problems,
            (unsigned long long)r.pages);
    else if (!rc)
        say(a,
            "domain %s: memory whole: %llu pages as the guest wrote them, %llu ballooned out, "
            "%llu page tables with %llu entries\n",
            d->name, (unsigned long long)r.pages, (unsigned long long)r.ballooned,
            (unsigned long long)r.tables, (unsigned long long)r.entries);
    free(r.text);
    return rc ? rc : r.problems ? -EILSEQ : 0;
}

static bool is_suspended(const struct domain *d)
{
    return d->is_shut_down && d->shutdown_code == SHUTDOWN_suspend;
}

static bool hung_up(int sock)
{
    struct pollfd p = {.fd = sock, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* Wait for something about domains to change, at most a tenth of a second. */
static void wait_change(struct host *h)
{
    const int64_t until_ns = deadline_in(100 * NS_PER_MS);

    pthread_mutex_lock(&h->change_lock);

    uint64_t seen = h->changes;

    while (h->changes == seen)
        if (deadline_cond_wait(&h->change_cond, &h->change_lock, until_ns))
            break;
    pthread_mutex_unlock(&h->change_lock);
}

static int do_suspend(struct host *h, int sock, struct words *w, struct answer *a)
{
    struct domain *d = find_domain(h, w, a);
    const char *limit = next_word(w);
    int64_t wait_ns = 60 * NS_PER_S;

    if (!d)
        return -ENOENT;
    if (limit && !parse_duration_ns(limit, &wait_ns)) {
        domain_put(d);
        return fail(a, EINVAL, "suspend DOMAIN [LIMIT]: %s is not a time", limit);
    }

    int64_t deadline = deadline_in(wait_ns);
    int rc = 0;

    guest_request_suspend(d);
    while (!is_suspended(d) && !rc) {
        if (d->dying || d->is_shut_down)
            rc = fail(a, ESRCH, "domain %s is %s", d->name, state_of(d));
        else if (hung_up(sock))
            rc = -EPIPE;
        else if (deadline_passed(deadline))
            rc = fail(a, ETIMEDOUT, "domain %s did not suspend within %s", d->name,
                limit ? limit : "60s");
        else
            wait_change(h);
    }
    if (rc)
        guest_withdraw_suspend(d);
    domain_put(d);
    return rc;
}

/* A domain for a restore: as libxl makes one, paused, without memory. */
static int do_create_empty(struct host *h, struct words *w, struct answer *a)
{
    const char *type_word = next_word(w), *vcpus_word = next_word(w), *kib_word = next_word(w);
    const char *name = next_word(w), *uuid = next_word(w);
    enum guest_type type;
    uint64_t vcpus, kib;
    struct domain *d;

    if (!type_word || !parse_type(type_word, &type) || !vcpus_word ||
        !parse_u64(vcpus_word, 1, MAX_VCPUS, &vcpus) || !kib_word ||
        !parse_u64(kib_word, 4, MAX_PFNS * 4, &kib) || (name && strlen(name) >= NAME_BYTES))
        return fail(a, EINVAL, "create-empty TYPE VCPUS MAX_KIB [NAME [UUID]]");

    int rc = make_domain(h, type, (unsigned)vcpus, name ? name : "", &d, a);

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

static void say_info(struct domain *d, struct answer *a)
{
    struct xen_domctl_getdomaininfo info;

    domain_info(d, &info);
    say(a, "%u %s %u %llu %llu %d %d %u %d %llu %llu ", d->id, type_name(d), d->max_vcpus,
        (unsigned long long)d->max_pages * 4, (unsigned long long)d->tot_pages * 4,
        d->controller_pauses > 0, d->is_shut_down, d->shutdown_code, d->dying,
        (unsigned long long)guest_memory_kib(d), (unsigned long long)info.cpu_time);
    for (unsigned i = 0; i < sizeof(d->handle); i++)
        say(a, "%02x", d->handle[i]);
    say(a, " %s\n", d->name);
}

/* For the stand-in for libxl: one line a domain; its fields are read by preload_xl.c only. */
static int do_dominfo(struct host *h, struct words *w, struct answer *a)
{
    if (w->next == w->count) {
        for (unsigned i = 0; i < MAX_DOMAINS; i++) {
            struct domain *d = domain_get(h, (uint16_t)i);

            if (!d)
                continue;
            say_info(d, a);
            domain_put(d);
        }
        return 0;
    }

    struct domain *d = find_domain(h, w, a);

    if (!d)
        return -ENOENT;
    say_info(d, a);
    domain_put(d);
    return 0;
}

/* The configuration that libxl keeps beside a domain. */
static int act_config(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    pthread_mutex_lock(&d->guest_lock);
    if (d->config_json)
        say_text(a, d->config_json);
    pthread_mutex_unlock(&d->guest_lock);
    return 0;
}

static int act_set_config(struct domain *d, struct words *w, struct answer *a)
{
    const char *json = next_word(w);
    char *copy = json ? strdup(json) : NULL;

    if (!copy)
        return fail(a, EINVAL, "set-config DOMAIN JSON");
    pthread_mutex_lock(&d->guest_lock);
    free(d->config_json);
    d->config_json = copy;
    pthread_mutex_unlock(&d->guest_lock);
    return 0;
}

/* How many page writes the guest has made: for benchmarks. */
static int act_writes(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    say(a, "%llu\n", (unsigned long long)guest_writes(d));
    return 0;
}

/* What a restore needs to know of a domain, as words for create-empty. */
static int act_describe(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    say(a, "%s %u %llu %s\n", type_name(d), d->max_vcpus, (unsigned long long)d->max_pages * 4,
        d->name);
    return 0;
}

static int act_id(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    say(a, "%u\n", d->id);
    return 0;
}

/* After a save that failed: back to running, with the suspend call answered 1 as a toolstack
 * that resumes cooperatively does. Nothing to do for a guest that runs. */
static int resume(struct domain *d, unsigned return_code)
{
    guest_withdraw_suspend(d);
    if (!is_suspended(d))
        return 0;
    vcpu_reg_set(d->vcpus[0], REG_AX, return_code);
    return domain_resume(d);
}

static int act_resume(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    (void)a;
    return resume(d, 1);
}

/* As if in a new domain: what guests do not survive. */
static int act_resume_slowly(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    (void)a;
    return resume(d, 0);
}

static int do_await(struct host *h, int sock, struct words *w, struct answer *a)
{
    struct domain *d = find_domain(h, w, a);

    if (!d)
        return -ENOENT;
    while (!d->is_shut_down && !d->dying && !hung_up(sock))
        wait_change(h);
    say(a, "%s %u\n",
        d->dying          ? "dead"
        : d->is_shut_down ? "shutdown"
                          : "running",
        d->shutdown_code);
    domain_put(d);
    return 0;
}

static int do_stop(struct host *h, struct words *w, struct answer *a)
{
    uint64_t one = 1;

    (void)w;
    (void)a;
    return write(h->stop_fd, &one, sizeof(one)) == (ssize_t)sizeof(one) ? 0 : -EIO;
}

static const struct {
    const char *name;
    int (*with_domain)(struct domain *d, struct words *w, struct answer *a);
    int (*plain)(struct host *h, struct words *w, struct answer *a);
} commands[] = {
    {"create", NULL, do_create},
    {"create-empty", NULL, do_create_empty},
    {"list", NULL, do_list},
    {"info", NULL, do_info},
    {"stop", NULL, do_stop},
    {"destroy", act_destroy, NULL},
    {"pause", act_pause, NULL},
    {"unpause", act_unpause, NULL},
    {"resume", act_resume, NULL},
    {"resume-slowly", act_resume_slowly, NULL},
    {"id", act_id, NULL},
    {"dominfo", NULL, do_dominfo},
    {"config", act_config, NULL},
    {"set-config", act_set_config, NULL},
    {"rename", act_rename, NULL},
    {"rate", act_rate, NULL},
    {"cap", act_cap, NULL},
    {"verify", act_verify, NULL},
    {"describe", act_describe, NULL},
    {"writes", act_writes, NULL},
};

int command_run(struct host *h, int sock, const char *text, size_t bytes, char **out)
{
    struct words w = {0};
    struct answer a = {0};
    const char *name;
    int rc = -EINVAL;

    for (size_t at = 0; at < bytes && w.count < MAX_WORDS; at += strlen(text + at) + 1)
        w.word[w.count++] = text + at;
    name = next_word(&w);
    if (name && !strcmp(name, "suspend")) {
        rc = do_suspend(h, sock, &w, &a);
    } else if (name && !strcmp(name, "await")) {
        rc = do_await(h, sock, &w, &a);
    } else {
        unsigned i, count = sizeof(commands) / sizeof(commands[0]);

        for (i = 0; i < count && name && strcmp(name, commands[i].name); i++)
            ;
        if (!name || i == count)
            say(&a, "unknown command %s; see xensim(1)", name ? name : "");
        else if (commands[i].plain)
            rc = commands[i].plain(h, &w, &a);
        else
            rc = with_domain(h, &w, &a, commands[i].with_domain);
    }
    *out = a.text;
    return rc;
}
