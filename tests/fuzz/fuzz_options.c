/* SPDX-License-Identifier: MIT */
/* The command line: words of the input, each ended by a NUL. What is taken is within its limits;
 * what is not is one line for people. */
#include "cmd/xmigrate/ui/options.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { MAX_WORDS = 64 };

static void check_taken(const struct options *o)
{
    const bool reaches = o->mode == MODE_LIVE || o->mode == MODE_OFFLINE ||
                         o->mode == MODE_ESTIMATE;

    must(o->mode != MODE_NONE);
    must(o->lanes >= 1 && o->lanes <= MAX_LANES);
    must(o->compress <= CODEC_AUTO);
    must(o->limits.max_downtime_ns >= 0 && o->limits.max_time_ns >= 0);
    must(o->limits.max_rounds >= 1 && o->limits.max_bytes <= INT64_MAX);
    must(o->bandwidth_bits_per_s <= INT64_MAX);
    must(o->connect_ns > 0 && o->silent_ns > link_connect_ns(o->silent_ns));
    must(link_connect_ns(o->silent_ns) > 0 && o->suspend_ns > 0 && o->start_ns >= 0);
    must(o->config_dir && strlen(o->config_dir) < LINK_PATH_BYTES);
    must(!reaches || (o->domain && o->address.host[0] && o->address.port));
    must((o->mode != MODE_CHECKPOINT && o->mode != MODE_SAVE) || (o->domain && o->file));
    must((o->mode != MODE_RESTORE && o->mode != MODE_INSPECT) || o->file);
    must(o->disk_count <= OPTIONS_MAX_DISKS && o->hook_ns > 0 && (!o->keep || o->every_ns > 0));
    must((o->mode != MODE_RESUME && o->mode != MODE_CHECK) || o->domain);
    must((o->mode != MODE_TRUST && o->mode != MODE_UNTRUST) || o->peer);
    must(o->mode != MODE_MONITOR || (o->monitor_domid && o->monitor_uuid));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[8193];
    static char program[] = "xmigrate";
    char *argv[MAX_WORDS + 2] = {program};
    int argc = 1;
    struct options o;
    struct err e = ERR_INIT;

    if (size >= sizeof(text))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t at = 0; at < size && argc <= MAX_WORDS; at += strlen(text + at) + 1)
        argv[argc++] = text + at;

    const int rc = options_parse(&o, argc, argv, 4, &e);

    if (rc) {
        must(e.class == ERR_USAGE && e.text[0] && !strchr(e.text, '\n'));
        return 0;
    }
    must(!err_is_set(&e));
    if (o.mode != MODE_HELP)
        check_taken(&o);
    return 0;
}
