/* SPDX-License-Identifier: MIT */
#include "xensim/preload/xl_domain.h"
#include "xensim/preload/interpose.h"
#include "xensim/preload/xl_device.h"

#include <libxl_utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* libxl lets it have no less. */
enum { LEAST_DOM0_KIB = 128 * 1024 };

struct dominfo {
    uint32_t domid;
    char type[8];
    unsigned vcpus;
    unsigned long long max_kib, current_kib, guest_kib, cpu_ns;
    int paused, shut_down, dying;
    unsigned code;
    char uuid[40], name[80];
};

static int parse_dominfo(const char *line, struct dominfo *i)
{
    return sscanf(line, "%u %7s %u %llu %llu %d %d %u %d %llu %llu %39s %79s", &i->domid, i->type,
               &i->vcpus, &i->max_kib, &i->current_kib, &i->paused, &i->shut_down, &i->code,
               &i->dying, &i->guest_kib, &i->cpu_ns, i->uuid, i->name) == 13
               ? 0
               : ERROR_FAIL;
}

/* By id or by name. */
static int find_domain(struct xl *xl, const char *who, struct dominfo *info)
{
    char *text = NULL;
    int rc = ASK_QUIETLY(xl, &text, "dominfo", who);

    if (!rc)
        rc = parse_dominfo(text, info);
    free(text);
    return rc;
}

int xl_check_domain(struct xl *xl, uint32_t domid, bool *emulated)
{
    struct dominfo i = {0};
    char id[12];
    const int rc = find_domain(xl, xl_id_text(domid, id), &i);

    *emulated = !strcmp(i.type, "hvm");
    return rc;
}

const char *xl_type_word(libxl_domain_type type)
{
    return type == LIBXL_DOMAIN_TYPE_HVM ? "hvm" : type == LIBXL_DOMAIN_TYPE_PVH ? "pvh" : "pv";
}

static libxl_domain_type type_of(const struct dominfo *i)
{
    return !strcmp(i->type, "hvm")   ? LIBXL_DOMAIN_TYPE_HVM
           : !strcmp(i->type, "pvh") ? LIBXL_DOMAIN_TYPE_PVH
                                     : LIBXL_DOMAIN_TYPE_PV;
}

static void fill_uuid(libxl_uuid *uuid, const char *hex)
{
    uint8_t *bytes = libxl_uuid_bytearray(uuid);

    for (unsigned i = 0; i < 16; i++)
        sscanf(hex + 2 * i, "%2hhx", &bytes[i]);
}

static void fill_dominfo(libxl_dominfo *out, const struct dominfo *i)
{
    fill_uuid(&out->uuid, i->uuid);
    out->domid = i->domid;
    out->running = !i->shut_down && !i->paused && !i->dying;
    out->paused = i->paused;
    out->shutdown = i->shut_down;
    out->dying = i->dying;
    out->cpu_time = i->cpu_ns;
    out->shutdown_reason = i->shut_down ? (libxl_shutdown_reason)i->code
                                        : LIBXL_SHUTDOWN_REASON_UNKNOWN;
    out->current_memkb = i->current_kib;
    out->max_memkb = i->max_kib;
    out->vcpu_max_id = i->vcpus - 1;
    out->vcpu_online = i->vcpus;
    out->domain_type = type_of(i);
}

static int dom0_kib(struct xl *xl, const char *target, uint64_t *kib)
{
    char *text = NULL;
    const int rc = target ? ASK(xl, &text, "dom0", target) : ASK_QUIETLY(xl, &text, "dom0");

    if (!rc)
        *kib = strtoull(text, NULL, 10);
    free(text);
    return rc;
}

/* Of dom0 alone: guests' targets are the guests' business here. */
EXPORT int libxl_get_memory_target(libxl_ctx *ctx, uint32_t domid, uint64_t *out_target)
{
    return domid ? ERROR_FAIL : dom0_kib(xl_of(ctx), NULL, out_target);
}

EXPORT int libxl_set_memory_target(
    libxl_ctx *ctx, uint32_t domid, int64_t target_memkb, int relative, int enforce)
{
    struct xl *xl = xl_of(ctx);
    uint64_t kib = 0;
    char text[24];
    int rc = domid ? ERROR_FAIL : dom0_kib(xl, NULL, &kib);

    (void)enforce;
    if (rc)
        return rc;
    target_memkb += relative ? (int64_t)kib : 0;
    if (target_memkb < LEAST_DOM0_KIB) {
        xl_log(xl, XTL_ERROR, -1, "new target %lld for dom0 is below the minimum threshold",
            (long long)target_memkb);
        return ERROR_INVAL;
    }
    snprintf(text, sizeof(text), "%lld", (long long)target_memkb);
    return dom0_kib(xl, text, &kib);
}

EXPORT int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info_r, uint32_t domid)
{
    struct dominfo i;
    char id[12];
    int rc;

    if (!domid) {
        if (!info_r)
            return 0;
        memset(info_r, 0, sizeof(*info_r));
        return dom0_kib(xl_of(ctx), NULL, &info_r->current_memkb);
    }
    rc = find_domain(xl_of(ctx), xl_id_text(domid, id), &i);
    /* Not a domain whose name is this number. */
    if (!rc && i.domid != domid)
        rc = ERROR_DOMAIN_NOTFOUND;
    if (!rc && info_r)
        fill_dominfo(info_r, &i);
    return rc;
}

EXPORT libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *nb_domain_out)
{
    struct xl *xl = xl_of(ctx);
    char *text = NULL;
    libxl_dominfo *list = NULL;
    int n = 0;

    if (ASK(xl, &text, "dominfo"))
        return NULL;
    for (char *line = text; line && *line; n++) {
        libxl_dominfo *bigger = realloc(list, ((size_t)n + 1) * sizeof(*list));
        char *end = strchr(line, '\n');
        struct dominfo i;

        if (!bigger || !end || parse_dominfo(line, &i))
            break;
        list = bigger;
        REAL(libxl_dominfo_init)(&list[n]);
        fill_dominfo(&list[n], &i);
        line = end + 1;
    }
    free(text);
    *nb_domain_out = n;
    return list ? list : calloc(1, sizeof(*list));
}

EXPORT int libxl_name_to_domid(libxl_ctx *ctx, const char *name, uint32_t *domid)
{
    struct dominfo i;
    int rc = find_domain(xl_of(ctx), name, &i);

    /* A number finds a domain by id, which is not its name. */
    if (rc || strcmp(i.name, name))
        return ERROR_INVAL;
    *domid = i.domid;
    return 0;
}

EXPORT char *libxl_domid_to_name(libxl_ctx *ctx, uint32_t domid)
{
    struct dominfo i;
    char id[12];

    return find_domain(xl_of(ctx), xl_id_text(domid, id), &i) ? NULL : strdup(i.name);
}

/* A configuration for a domain that `xensim create` made: what xl would have kept. */
static int default_config(libxl_ctx *ctx, const struct dominfo *i, libxl_domain_config *config)
{
    libxl_domain_build_info *b = &config->b_info;

    config->c_info.type = type_of(i);
    REAL(libxl_domain_build_info_init_type)(b, config->c_info.type);
    b->max_vcpus = (int)i->vcpus;
    if (REAL(libxl_cpu_bitmap_alloc)(ctx, &b->avail_vcpus, (int)i->vcpus))
        return ERROR_NOMEM;
    for (int v = 0; v < (int)i->vcpus; v++)
        REAL(libxl_bitmap_set)(&b->avail_vcpus, v);
    return xl_devices_describe(xl_of(ctx), i->domid, config);
}

EXPORT int libxl_retrieve_domain_configuration(
    libxl_ctx *ctx, uint32_t domid, libxl_domain_config *config, const libxl_asyncop_how *ao_how)
{
    struct xl *xl = xl_of(ctx);
    struct dominfo i;
    char id[12];
    char *json = NULL;
    int rc = find_domain(xl, xl_id_text(domid, id), &i);

    (void)ao_how; /* xmigrate passes none */
    if (!rc)
        rc = ASK(xl, &json, "config", id);
    if (!rc && json && json[0])
        rc = REAL(libxl_domain_config_from_json)(ctx, config, json);
    else if (!rc)
        rc = default_config(ctx, &i, config);
    free(json);
    if (rc) {
        xl_log(xl, XTL_ERROR, -1, "Domain %u: no configuration", domid);
        return rc;
    }
    /* What may have changed since: name, identity, memory. */
    free(config->c_info.name);
    config->c_info.name = strdup(i.name);
    fill_uuid(&config->c_info.uuid, i.uuid);
    if (i.guest_kib) {
        config->b_info.max_memkb = i.guest_kib;
        /* Less if it was made to balloon out. */
        config->b_info.target_memkb = i.max_kib < i.guest_kib ? i.max_kib : i.guest_kib;
    }
    REAL(libxl_domain_sched_params_dispose)(&config->b_info.sched_params);
    return REAL(libxl_domain_sched_params_get)(ctx, domid, &config->b_info.sched_params);
}

/* libxl's own sum: the guest, what its type costs on top, and its paging pool, in whole 2 MiB. */
EXPORT int libxl_domain_need_memory(
    libxl_ctx *ctx, libxl_domain_config *config, uint32_t domid_for_logging, uint64_t *need_memkb)
{
    const libxl_domain_build_info *b = &config->b_info;
    bool pvh = config->c_info.type != LIBXL_DOMAIN_TYPE_PV;
    uint64_t need = b->max_memkb + (pvh ? 2048 : 1024);

    (void)ctx;
    (void)domid_for_logging;
    if (pvh)
        need += 4ull * (256ull * (unsigned)b->max_vcpus + 2 * (b->max_memkb / 1024));
    *need_memkb = (need + 2047) / 2048 * 2048;
    return 0;
}

EXPORT int libxl_domain_rename(
    libxl_ctx *ctx, uint32_t domid, const char *old_name, const char *new_name)
{
    struct xl *xl = xl_of(ctx);
    struct dominfo i;
    char id[12];
    int rc = find_domain(xl, xl_id_text(domid, id), &i);

    if (rc)
        return rc;
    if (old_name && strcmp(old_name, i.name)) {
        xl_log(xl, XTL_ERROR, -1, "domain %u is named %s, not %s", domid, i.name, old_name);
        return ERROR_FAIL;
    }
    return ASK(xl, NULL, "rename", id, new_name);
}

/* For verbs that take a domain and nothing else. */
static int act(libxl_ctx *ctx, const char *verb, uint32_t domid)
{
    struct xl *xl = xl_of(ctx);
    char id[12];

    return ASK(xl, NULL, verb, xl_id_text(domid, id));
}

/* As libxl: the device model first, and without it nothing. */
static int continue_device(libxl_ctx *ctx, uint32_t domid)
{
    struct xl *xl = xl_of(ctx);
    bool emulated;
    char id[12];
    const int rc = xl_check_domain(xl, domid, &emulated);

    if (!rc && emulated)
        xl_await_device_model(domid);
    return rc || !emulated ? rc : ASK(xl, NULL, "dm", xl_id_text(domid, id), "cont");
}

EXPORT int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    const int rc = continue_device(ctx, domid);

    (void)ao_how;
    if (rc)
        return rc;
    return act(ctx, "unpause", domid);
}

EXPORT int libxl_domain_pause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    (void)ao_how;
    return act(ctx, "pause", domid);
}

EXPORT int libxl_domain_resume(
    libxl_ctx *ctx, uint32_t domid, int suspend_cancel, const libxl_asyncop_how *ao_how)
{
    const int rc = continue_device(ctx, domid);

    (void)ao_how;
    if (rc)
        return rc;
    return act(ctx, suspend_cancel ? "resume" : "resume-slowly", domid);
}

EXPORT int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *ao_how)
{
    char path[64];

    (void)ao_how;
    snprintf(path, sizeof(path), "/var/lib/xen/qemu-resume.%u", domid);
    unlink(path);
    return act(ctx, "destroy", domid);
}

/* A new guest in place of one that rebooted. xensim boots no kernels, so it is one of xensim's
 * own. */
EXPORT int libxl_domain_create_new(libxl_ctx *ctx, libxl_domain_config *config, uint32_t *domid,
    const libxl_asyncop_how *ao_how, const libxl_asyncprogress_how *console)
{
    struct xl *xl = xl_of(ctx);
    char vcpus[12], kib[24];
    char *text = NULL;
    int rc;

    (void)ao_how;
    (void)console;
    snprintf(vcpus, sizeof(vcpus), "%d", config->b_info.max_vcpus ? config->b_info.max_vcpus : 1);
    snprintf(kib, sizeof(kib), "%lluK", (unsigned long long)config->b_info.max_memkb);
    rc = ASK(xl, &text, "create", "--paused", "--type", xl_type_word(config->c_info.type),
        "--vcpus", vcpus, "--memory", kib, "--name", config->c_info.name);
    if (!rc)
        *domid = (uint32_t)atoi(text);
    free(text);
    return rc;
}
