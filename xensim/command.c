/* SPDX-License-Identifier: MIT */
#include "xensim/command.h"
#include "xensim/command_create.h"
#include "xensim/command_emulator.h"
#include "xensim/command_domain.h"
#include "xensim/command_wait.h"
#include "xensim/device.h"
#include "xensim/guest/run.h"
#include "xensim/guest/verify.h"
#include "xensim/hypervisor/domctl.h"
#include "xensim/hypervisor/tmem.h"
#include "xensim/hypervisor/vcpu.h"

#include "base/units.h"

#include <errno.h>
#include <stdio.h>

static const char *what_is_logged(struct domain *d)
{
    struct tmem *t;

    pthread_mutex_lock(&d->lock);
    t = d->tmem; /* for as long as the domain */
    pthread_mutex_unlock(&d->lock);
    return atomic_load(&d->logdirty.enabled) ? "on" : tmem_is_noted(t) ? "tmem" : "off";
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
        say(a, "%4u %-24s %-5s %6llu MiB %5u %-10s %s\n", d->id, d->name, domain_type_name(d),
            (unsigned long long)(d->tot_pages >> 8), d->max_vcpus, domain_state_name(d),
            what_is_logged(d));
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

/* How many KiB dom0 has, after KIB was set as its balloon's target, which it meets at once. */
static int do_dom0(struct host *h, struct words *w, struct answer *a)
{
    const char *text = next_word(w);
    uint64_t kib;

    if (!heap_dom0_frames(&h->machine))
        return fail(a, ENOENT, "host %s has no dom0 with a balloon (--dom0)", h->name);
    if (text && (!parse_u64(text, 4, UINT32_MAX, &kib) || !heap_set_dom0(&h->machine, kib / 4)))
        return fail(a, EINVAL, "dom0 [KIB], within what is free");
    say(a, "%llu\n", (unsigned long long)heap_dom0_frames(&h->machine) * 4);
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

/* As libxl does: with its devices. */
static int act_destroy(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    (void)a;
    device_detach(d->host, d->id, NULL);
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

/* As `xl vcpu-set` says it; the guest does not listen. */
static int act_vcpu_set(struct domain *d, struct words *w, struct answer *a)
{
    const char *text = next_word(w);
    uint64_t online;

    if (!text || !parse_u64(text, 1, d->max_vcpus, &online))
        return fail(a, EINVAL, "vcpu-set DOMAIN COUNT, at most %u", d->max_vcpus);
    pthread_mutex_lock(&d->lock);
    d->offline_vcpus = d->max_vcpus - (unsigned)online;
    pthread_mutex_unlock(&d->lock);
    device_note_vcpus(d->host);
    return 0;
}

/* The scheduler's cap, as `xl sched-credit2 -c` sets it; without a number, print it. */
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
    if (domain_name_is_taken(d->host, name))
        return fail(a, EEXIST, "host %s has a domain %s already", d->host->name, name);
    pthread_rwlock_wrlock(&d->host->domains_lock);
    strcpy(d->name, name);
    pthread_rwlock_unlock(&d->host->domains_lock);
    return 0;
}

/* What the toolstack does with what its helper reports: it tells xenstored and the console's
 * daemon, which map the frames. */
static int act_rings(struct domain *d, struct words *w, struct answer *a)
{
    const char *store = next_word(w), *console = next_word(w);
    uint64_t gfns[2];

    if (!store || !console || !parse_u64(store, 1, UINT64_MAX, &gfns[0]) ||
        !parse_u64(console, 1, UINT64_MAX, &gfns[1]))
        return fail(a, EINVAL, "rings DOMAIN STORE CONSOLE");
    pthread_mutex_lock(&d->lock);

    const bool there = domain_gfn_to_mfn(d, gfns[0]) && domain_gfn_to_mfn(d, gfns[1]);

    if (there) {
        d->store_gfn = gfns[0];
        d->console_gfn = gfns[1];
    }
    pthread_mutex_unlock(&d->lock);
    return there ? 0
                 : fail(a, EFAULT, "domain %s has no frames %s and %s", d->name, store, console);
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

static void say_info(struct domain *d, struct answer *a)
{
    struct xen_domctl_getdomaininfo info;

    domctl_describe(d, &info);
    say(a, "%u %s %u %llu %llu %d %d %u %d %llu %llu ", d->id, domain_type_name(d), d->max_vcpus,
        (unsigned long long)d->max_pages * 4, (unsigned long long)d->tot_pages * 4,
        d->controller_pauses > 0, d->is_shut_down, d->shutdown_code, d->dying,
        (unsigned long long)guest_memory_kib(d), (unsigned long long)info.cpu_time);
    for (unsigned i = 0; i < sizeof(d->handle); i++)
        say(a, "%02x", d->handle[i]);
    say(a, " %s\n", d->name);
}

/* For the stand-in for libxl: one line a domain, which only preload/xl_domain.c reads. */
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
    say(a, "%s %u %llu %s\n", domain_type_name(d), d->max_vcpus,
        (unsigned long long)d->max_pages * 4, d->name);
    return 0;
}

static int act_id(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    say(a, "%u\n", d->id);
    return 0;
}

/* After a failed save: back to running, with 1 from the suspend call for a cooperative resume.
 * Nothing to do for a guest that runs. */
static int resume(struct domain *d, unsigned return_code)
{
    if (!domain_is_suspended(d))
        return 0;
    vcpu_reg_set(d->vcpus[0], REG_AX, return_code);
    return domain_resume(d);
}

/* What a guest may do by itself at any time. */
static int act_end(struct domain *d, struct words *w, struct answer *a)
{
    static const char *const reasons[] = {
        [SHUTDOWN_poweroff] = "poweroff",
        [SHUTDOWN_reboot] = "reboot",
        [SHUTDOWN_crash] = "crash",
        [SHUTDOWN_soft_reset] = "soft-reset",
    };
    const char *reason = next_word(w);

    for (unsigned i = 0; reason && i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i] && !strcmp(reason, reasons[i])) {
            domain_shutdown(d, i);
            return 0;
        }
    return fail(a, EINVAL, "end DOMAIN poweroff, reboot, crash or soft-reset");
}

static int act_resume(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    (void)a;
    return resume(d, 1);
}

/* As if in a new domain, which guests do not survive. */
static int act_resume_slowly(struct domain *d, struct words *w, struct answer *a)
{
    (void)w;
    (void)a;
    return resume(d, 0);
}

/* Xenstore's control/shutdown, for preload/xs.c: its version and what it says; with VALUE, write
 * that, if the version still is VERSION. */
static int act_shutdown_node(struct domain *d, struct words *w, struct answer *a)
{
    const char *value = next_word(w), *version = next_word(w);
    const bool suspend = value && !strcmp(value, "suspend");
    const struct shutdown_node node = guest_shutdown_node(d);
    uint64_t only;

    if ((value && value[0] && !suspend) || (version && !parse_u64(version, 0, UINT64_MAX, &only)))
        return fail(a, EINVAL, "shutdown-node DOMAIN [VALUE [VERSION]], VALUE suspend or nothing");
    if (value)
        return guest_write_shutdown_node(d, suspend, version ? &only : NULL);
    say(a, "%llu %s", (unsigned long long)node.version, node.suspend ? "suspend" : "");
    return 0;
}

/* Xenstore's control/feature-suspend. */
static int act_feature_suspend(struct domain *d, struct words *w, struct answer *a)
{
    const char feature[2] = {guest_feature_suspend(d)};

    (void)w;
    say(a, "%s", feature);
    return 0;
}

static int do_stop(struct host *h, struct words *w, struct answer *a)
{
    (void)w;
    (void)a;
    return host_stop(h);
}

static const struct command {
    const char *name;
    int (*with_domain)(struct domain *d, struct words *w, struct answer *a);
    int (*plain)(struct host *h, struct words *w, struct answer *a);
    int (*waits)(struct host *h, int sock, struct words *w, struct answer *a);
} commands[] = {
    {"create", .plain = do_create},
    {"create-empty", .plain = do_create_empty},
    {"list", .plain = do_list},
    {"info", .plain = do_info},
    {"stop", .plain = do_stop},
    {"dominfo", .plain = do_dominfo},
    {"dom0", .plain = do_dom0},
    {"attach", .plain = do_attach},
    {"detach", .plain = do_detach},
    {"devices", .plain = do_devices},
    {"xenstore", .plain = do_xenstore},
    {"suspend", .waits = do_suspend},
    {"await", .waits = do_await},
    {"changes", .waits = do_changes},
    {"destroy", .with_domain = act_destroy},
    {"pause", .with_domain = act_pause},
    {"unpause", .with_domain = act_unpause},
    {"resume", .with_domain = act_resume},
    {"end", .with_domain = act_end},
    {"resume-slowly", .with_domain = act_resume_slowly},
    {"id", .with_domain = act_id},
    {"config", .with_domain = act_config},
    {"set-config", .with_domain = act_set_config},
    {"rename", .with_domain = act_rename},
    {"rings", .with_domain = act_rings},
    {"shutdown-node", .with_domain = act_shutdown_node},
    {"feature-suspend", .with_domain = act_feature_suspend},
    {"rate", .with_domain = act_rate},
    {"cap", .with_domain = act_cap},
    {"vcpu-set", .with_domain = act_vcpu_set},
    {"verify", .with_domain = act_verify},
    {"describe", .with_domain = act_describe},
    {"writes", .with_domain = act_writes},
    {"dm", .with_domain = act_emulator},
};

/* The entry of the table, or NULL. */
static const struct command *command_named(const char *name)
{
    for (size_t i = 0; name && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (!strcmp(name, commands[i].name))
            return &commands[i];
    return NULL;
}

int command_run(struct host *h, int sock, const char *text, size_t bytes, char **out)
{
    struct words w = {0};
    struct answer a = {0};
    const struct command *command;
    const char *name;
    int rc = -EINVAL;

    words_split(&w, text, bytes);
    name = next_word(&w);
    command = command_named(name);
    if (!command)
        say(&a, "unknown command %s; see xensim(1)", name ? name : "");
    else if (command->waits)
        rc = command->waits(h, sock, &w, &a);
    else if (command->plain)
        rc = command->plain(h, &w, &a);
    else
        rc = with_domain(h, &w, &a, command->with_domain);
    *out = a.text;
    return rc;
}
