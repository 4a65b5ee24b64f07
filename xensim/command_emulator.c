/* SPDX-License-Identifier: MIT */
#include "xensim/command_emulator.h"
#include "xensim/guest/emulator.h"

#include "base/units.h"

#include <errno.h>
#include <string.h>

static int say_status(struct domain *d, struct answer *a)
{
    static const char *const names[] = {"running", "paused", "dead"};
    enum emulator_status status;
    bool logging;
    const int rc = emulator_query(d, &status, &logging);

    if (!rc)
        say(a, "%s, log-dirty %s\n", names[status], logging ? "on" : "off");
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
            "dm DOMAIN [cont, stop, log on, log off, state, start STATE, die, refuse, ignore-log, "
            "obey, slow:TIME, pod PAGES]");
    }
}
