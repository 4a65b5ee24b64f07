/* SPDX-License-Identifier: MIT */
/*
 * The configuration that a peer offers, which libxl parses: what it accepts is written and read
 * again as the same. libxl is the real one, without a Xen.
 */
#include "cmd/xmigrate/libxl/config.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate_json.h"

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

/* libxl, which is not instrumented, refuses most other inputs at once. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return mutate_json(data, size, max_size, seed);
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

    const struct xl_devices d = xl_config_devices(&config);

    must((uint64_t)d.phy_disks + d.other_disks + d.nics + d.others <= size);
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
