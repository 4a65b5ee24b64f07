/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/expect.h"

#include "base/deadline.h"
#include "cmd/xmigrate/history.h"
#include "engine/source.h"

#include <stdio.h>
#include <string.h>

#define SUSPEND "suspend"
#define FINISH  "finish"
#define START   "start"

enum { WORD_BYTES = 64 };

#define MS(likely, low, high)                                                                      \
    {                                                                                              \
        likely *NS_PER_MS, low *NS_PER_MS, high *NS_PER_MS                                         \
    }

/* Before anything was seen. The low ends were seen on quick machines, the high ones on slow ones
 * (emulated, or busy): libxl's own work, each device's backend and hotplug script. */
static const struct likely suspend_prior = MS(50, 1, 400);
static const struct likely finish_prior = MS(100, 5, 900);
static const struct likely phy_prior = MS(150, 20, 600);
static const struct likely disk_prior = MS(250, 30, 1000);
static const struct likely nic_prior = MS(150, 20, 600);
static const struct likely other_prior = MS(100, 10, 500);
/* Of HVM guests: their device model (QEMU) stops and saves its state, and starts with it. */
static const struct likely model_stop_prior = MS(100, 10, 600);
static const struct likely model_start_prior = MS(500, 100, 2500);
/* One that was started before. */
static const struct likely model_load_prior = MS(80, 5, 600);
/* This host's part of the hand-off. */
static const struct likely hand_off_prior = MS(20, 1, 150);

/* How often the guest waits for the network: until the last bytes are there and READY is back, and
 * from GO until STARTED is. */
enum { ROUND_TRIPS = 2 };

static void add_times(struct likely *to, const struct likely *each, unsigned count)
{
    to->ns += each->ns * count;
    to->low_ns += each->low_ns * count;
    to->high_ns += each->high_ns * count;
}

static unsigned device_models(const struct expect_guest *g)
{
    return !strcmp(g->type, "hvm");
}

static struct history_key devices_key(const struct expect_guest *g, char kind[static WORD_BYTES])
{
    const struct xl_devices *d = g->devices;

    snprintf(kind, WORD_BYTES, "%s%sphy:%u,disk:%u,nic:%u,other:%u", device_models(g) ? "hvm," : "",
        device_models(g) && g->early ? "early," : "", d->phy_disks, d->other_disks, d->nics,
        d->others);
    return (struct history_key){g->peer, kind};
}

static struct history_key suspend_key(const struct expect_guest *g, char kind[static WORD_BYTES])
{
    snprintf(kind, WORD_BYTES, "%s:%u", g->type, g->vcpus);
    return (struct history_key){g->uuid, kind};
}

/* ---- before anything was seen ---- */

static struct likely first_finish(const struct expect_guest *g)
{
    struct likely l = finish_prior;

    add_times(&l, &phy_prior, g->devices->phy_disks);
    add_times(&l, &disk_prior, g->devices->other_disks);
    add_times(&l, &nic_prior, g->devices->nics);
    add_times(&l, &other_prior, g->devices->others);
    add_times(&l, g->early ? &model_load_prior : &model_start_prior, device_models(g));
    return l;
}

static struct likely first_suspend(const struct expect_guest *g)
{
    struct likely l = suspend_prior;

    add_times(&l, &model_stop_prior, device_models(g));
    return l;
}

void expect_first(const struct expect_guest *g, struct likely *suspend, struct likely *after)
{
    *suspend = first_suspend(g);
    *after = first_finish(g);
    add_times(after, &hand_off_prior, 1);
}

/* ---- receiving ---- */

struct likely expect_finish(const struct expect_guest *g)
{
    char kind[WORD_BYTES];
    const struct history_key key = devices_key(g, kind);
    struct likely l = first_finish(g);

    history_look_up(FINISH, &key, &l);
    return l;
}

int expect_learn_finish(const struct expect_guest *g, int64_t took_ns, struct err *e)
{
    char kind[WORD_BYTES];
    const struct history_key key = devices_key(g, kind);

    return history_record(FINISH, &key, took_ns, e);
}

/* ---- sending ---- */

static struct likely expect_after(const struct expect_guest *g, const struct likely *finish)
{
    char kind[WORD_BYTES];
    const struct history_key key = devices_key(g, kind);
    struct likely seen = {0}, told = *finish;

    if (history_look_up(START, &key, &seen) == HISTORY_BOTH)
        return seen;
    add_times(&told, &hand_off_prior, 1);
    return told;
}

struct decide_costs expect_pause(
    const struct expect_guest *g, const struct likely *finish, int64_t round_trip_ns)
{
    char kind[WORD_BYTES];
    const struct history_key key = suspend_key(g, kind);
    const struct likely after = expect_after(g, finish);
    struct likely suspend = first_suspend(g);

    history_look_up(SUSPEND, &key, &suspend);
    return decide_costs_of(&suspend, SOURCE_STATE_ESTIMATE_NS, &after, ROUND_TRIPS * round_trip_ns);
}

int expect_learn_pause(const struct expect_guest *g, const struct decide_costs *costs,
    int64_t suspend_ns, int64_t after_ns, struct err *e)
{
    char kind[WORD_BYTES];
    struct history_key key = suspend_key(g, kind);
    const int64_t own_ns = after_ns - costs->network_ns;
    int rc = history_record(SUSPEND, &key, suspend_ns, e);

    key = devices_key(g, kind);
    return rc ? rc : history_record(START, &key, own_ns > 0 ? own_ns : 0, e);
}
