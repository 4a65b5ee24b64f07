/* SPDX-License-Identifier: MIT */
/*
 * The configuration that a peer offers, which libxl parses: what it accepts is written and read
 * again as the same. libxl is the real one, without a Xen.
 */
#include "cmd/xmigrate/libxl/config.h"
#include "tests/fuzz/fuzz.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <xenctrl.h>
#include <xenstore.h>

/* libxl 4.17 forgets some of what it had read when it refuses the rest; its process ends then. */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libxenlight.so";
}

/* In the place of what libxl_ctx_alloc() opens. */
static char nothing;

xc_interface *xc_interface_open(
    xentoollog_logger *logger, xentoollog_logger *dombuild, unsigned flags)
{
    (void)logger, (void)dombuild, (void)flags;
    return (xc_interface *)&nothing;
}

int xc_interface_close(xc_interface *xch)
{
    (void)xch;
    return 0;
}

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    return (struct xs_handle *)&nothing;
}

void xs_close(struct xs_handle *xsh)
{
    (void)xsh;
}

static void drop_line(void *arg, enum log_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

static struct xl *context(void)
{
    static const struct log log = {LOG_ERROR, drop_line, NULL};
    static struct xl xl;
    struct err e = ERR_INIT;

    if (!xl.ctx)
        must(xl_open(&xl, &log, deadline_in(NS_PER_S), &e) == 0);
    return &xl;
}

/* ---- inputs that stay JSON: libxl, which has no coverage of ours, refuses most others at once
 * ---- */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static unsigned long next_random(unsigned *seed, unsigned long below)
{
    return (unsigned long)rand_r(seed) % below;
}

/* A value such as nobody expects, or the old one changed. */
static json_t *make_value(const json_t *old, unsigned *seed)
{
    static const char *const texts[] = {"", "True", "<default>", "pv", "pvh", "hvm", "-1", "/"};
    static const json_int_t numbers[] = {0, 1, -1, INT32_MAX, UINT32_MAX, INT64_MAX, INT64_MIN};
    char text[64] = "";

    switch (next_random(seed, 8)) {
    case 0:
        return json_array();
    case 1:
        return json_object();
    case 2:
        return json_boolean(next_random(seed, 2));
    case 3:
        return json_integer(numbers[next_random(seed, sizeof(numbers) / sizeof(numbers[0]))]);
    case 4:
        return json_string(texts[next_random(seed, sizeof(texts) / sizeof(texts[0]))]);
    case 5:
        return json_integer((json_int_t)next_random(seed, 100));
    default:
        snprintf(text, sizeof(text), "%s", json_is_string(old) ? json_string_value(old) : "x");
        text[LLVMFuzzerMutate((uint8_t *)text, strlen(text), sizeof(text) - 1)] = '\0';
        return json_string_nocheck(text);
    }
}

/* Walk down a way at random; change, double or drop what stands there. */
static void change_below(json_t *node, unsigned *seed)
{
    void *at = json_object_iter(node);
    const bool list = json_is_array(node);
    const size_t count = list ? json_array_size(node) : json_object_size(node);
    const size_t chosen = count ? next_random(seed, count) : 0;

    for (size_t i = 0; i < chosen && !list; i++)
        at = json_object_iter_next(node, at);
    if (!count)
        return;

    json_t *child = list ? json_array_get(node, chosen) : json_object_iter_value(at);

    if ((json_is_object(child) || json_is_array(child)) && next_random(seed, 8))
        change_below(child, seed);
    else if (next_random(seed, 8) == 0 && list)
        json_array_remove(node, chosen);
    else if (next_random(seed, 4) == 0 && list)
        json_array_append_new(node, json_deep_copy(child));
    else if (next_random(seed, 8) == 0)
        json_object_del(node, json_object_iter_key(at));
    else if (list)
        json_array_set_new(node, chosen, make_value(child, seed));
    else
        json_object_iter_set_new(node, at, make_value(child, seed));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    json_t *config = next_random(&seed, 8) ? json_loadb((char *)data, size, 0, NULL) : NULL;
    size_t len = 0;

    for (unsigned n = 1 + (unsigned)next_random(&seed, 8); config && n; n--)
        change_below(config, &seed);
    if (config)
        len = json_dumpb(config, (char *)data, max_size, JSON_COMPACT);
    json_decref(config);
    return len && len <= max_size ? len : LLVMFuzzerMutate(data, size, max_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xl *xl = context();
    libxl_domain_config config, again;
    char *text, *text_again;
    struct err e = ERR_INIT, refused = ERR_INIT;
    const int rc = xl_config_parse(xl, (const char *)data, size, &config, &e);

    must(rc ? e.class == ERR_PEER && e.text[0] && !strchr(e.text, '\n') : !err_is_set(&e));
    if (rc)
        return 0;
    must(config.c_info.name && config.c_info.name[0]);
    if (xl_config_check_movable(&config, &refused))
        must(refused.class == ERR_REFUSED);
    must(xl_config_device_count(&config) <= size);
    must(xl_config_text(xl, &config, &text, &e) == 0);
    must(xl_config_parse(xl, text, strlen(text), &again, &e) == 0);
    must(xl_config_text(xl, &again, &text_again, &e) == 0);
    must(!strcmp(text, text_again));
    free(text);
    free(text_again);
    xl_config_dispose(&config);
    xl_config_dispose(&again);
    return 0;
}
