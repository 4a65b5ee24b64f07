/* SPDX-License-Identifier: MIT */
#include "xensim/command_emulator.h"
#include "xensim/guest/emulator.h"

#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int say_status(struct domain *d, struct answer *a)
{
    static const char *const names[] = {"running", "paused", "waiting", "dead"};
    struct emulator_view v;
    const int rc = emulator_query(d, &v);

    if (!rc)
        say(a, "%s, log-dirty %s\n", names[v.status], v.logging ? "on" : "off");
    return rc;
}

static int say_state(struct domain *d, struct answer *a)
{
    char text[EMULATOR_STATE_BYTES];
    const int rc = emulator_read_state(d, text);

    if (!rc)
        say(a, "%s", text);
    return rc;
}

/* As libxl starts one with a state that came along: it does nothing before it is told to. */
static int start(struct domain *d, const char *text)
{
    struct emulator_state state;

    if (!text || !d->emulated || !emulator_parse_state(text, &state))
        return -EINVAL;
    return emulator_start(d, &state, EMULATOR_PAUSED);
}

/* As libxl starts one whose state comes later, out of the file (a FIFO) that it opens for it. */
static int start_waiting(struct domain *d, const char *path)
{
    const int fd = path && d->emulated ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    const int rc = fd < 0 ? -EINVAL : emulator_start_waiting(d, fd);

    if (rc && fd >= 0)
        close(fd);
    return rc;
}

static int say_whether_running(struct domain *d, struct answer *a)
{
    struct emulator_view v;
    const int rc = emulator_query(d, &v);

    if (!rc)
        say(a, "%s", v.said_running ? "running" : "");
    return !rc && v.status == EMULATOR_DEAD ? -EPIPE : rc;
}

static int say_physmap(struct domain *d, struct answer *a)
{
    struct emulator_view v;
    const int rc = emulator_query(d, &v);

    if (!rc)
        say(a, "%s", v.has_physmap ? "1" : "");
    return rc;
}

/* Not the device model's, but what HVM guests alone have: pages that are not there yet. */
static int set_pod(struct domain *d, const char *pages)
{
    return pages && parse_u64(pages, 0, UINT32_MAX, &d->pod_entries) ? 0 : -EINVAL;
}

static int act(struct domain *d, const char *action, const char *more, struct answer *a)
{
    int64_t delay_ns;

    if (!strcmp(action, "stop"))
        return emulator_pause(d);
    if (!strcmp(action, "cont"))
        return emulator_continue(d);
    if (!strcmp(action, "log"))
        return more ? emulator_log(d, !strcmp(more, "on")) : -EINVAL;
    if (!strcmp(action, "state"))
        return say_state(d, a);
    if (!strcmp(action, "start"))
        return start(d, more);
    if (!strcmp(action, "wait"))
        return start_waiting(d, more);
    if (!strcmp(action, "says"))
        return more ? emulator_say_running(d) : say_whether_running(d, a);
    if (!strcmp(action, "physmap"))
        return more ? emulator_set_physmap(d, !strcmp(more, "on")) : say_physmap(d, a);
    if (!strcmp(action, "die-loading"))
        return emulator_set_fault(d, EMULATOR_DIES_LOADING, 0);
    if (!strcmp(action, "never-load"))
        return emulator_set_fault(d, EMULATOR_NEVER_LOADS, 0);
    if (!strcmp(action, "die"))
        return emulator_kill(d);
    if (!strcmp(action, "refuse"))
        return emulator_set_fault(d, EMULATOR_REFUSES, 0);
    if (!strcmp(action, "ignore-log"))
        return emulator_set_fault(d, EMULATOR_IGNORES_LOG, 0);
    if (!strcmp(action, "pod"))
        return set_pod(d, more);
    if (!strcmp(action, "obey"))
        return emulator_set_fault(d, EMULATOR_SOUND, 0);
    if (!strncmp(action, "slow:", 5) && parse_duration_ns(action + 5, &delay_ns))
        return emulator_set_fault(d, EMULATOR_SOUND, delay_ns);
    return -EINVAL;
}

int act_emulator(struct domain *d, struct words *w, struct answer *a)
{
    const char *action = next_word(w), *more = next_word(w);
    const int rc = action ? act(d, action, more, a) : say_status(d, a);

    switch (-rc) {
    case 0:
        return 0;
    case ESRCH:
        return fail(a, ESRCH, "domain %s has no device model", d->name);
    case EPIPE:
        return fail(a, EPIPE, "the device model of domain %s is dead", d->name);
    case EACCES:
        return fail(a, EACCES, "the device model of domain %s refuses", d->name);
    default:
        return fail(a, EINVAL,
            "dm DOMAIN [cont, stop, log on, log off, state, start STATE, wait FILE, "
            "says [running], physmap [on, off], die, die-loading, never-load, refuse, ignore-log, "
            "obey, slow:TIME, pod PAGES]");
    }
}
