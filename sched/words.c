/* SPDX-License-Identifier: MIT */
#include "sched/words.h"

#include "base/limits.h"
#include "base/units.h"

#include <stdio.h>

struct figures {
    char left[UNITS_TEXT_BYTES], rate[UNITS_TEXT_BYTES];
    char now[UNITS_TEXT_BYTES], low[UNITS_TEXT_BYTES], high[UNITS_TEXT_BYTES];
    char careful[UNITS_TEXT_BYTES], next[UNITS_TEXT_BYTES], asked[UNITS_TEXT_BYTES],
        pages[UNITS_TEXT_BYTES];
};

static void format_time(int64_t ns, char out[static UNITS_TEXT_BYTES])
{
    if (ns == INT64_MAX)
        snprintf(out, UNITS_TEXT_BYTES, "unknown");
    else
        format_duration(ns, out);
}

static struct figures figure_out(
    const struct stats *s, const struct decide_limits *l, const struct decision *d)
{
    struct figures f;

    format_bytes(d->now.pages * PAGE_BYTES, f.left);
    if (s->send_pages_per_s > 0)
        format_memory_rate(s->send_pages_per_s * PAGE_BYTES, f.rate);
    else
        snprintf(f.rate, sizeof(f.rate), "a speed not yet known");
    format_time(d->now.whole_ns, f.now);
    format_time(d->now.low_ns, f.low);
    format_time(d->now.high_ns, f.high);
    format_time(d->now.careful_ns, f.careful);
    format_time(d->now.pages_ns, f.pages);
    format_time(d->next.whole_ns, f.next);
    format_time(l->max_downtime_ns, f.asked);
    return f;
}

/* Of the processor time that the guest used when nothing held it back. */
static unsigned slowed_to_percent(const struct stats *s, unsigned cap_percent)
{
    const double whole = s->slowed.steps ? s->slowed.whole_percent : s->last.cpu_percent;

    return (unsigned)(cap_percent * 100 / whole + 0.5);
}

/* What is done about a downtime that is too long, and why nothing else. */
static const char *why_not_longer(enum reason r)
{
    switch (r) {
    case REASON_ROUNDS:
        return "--max-rounds is reached";
    case REASON_TIME:
        return "another round would break --max-time";
    case REASON_BYTES:
        return "another round would break --max-bytes";
    default:
        return "the guest rewrites it about as fast as it is sent";
    }
}

void decision_words(const struct stats *s, const struct decide_limits *l, const struct decision *d,
    char out[static DECISION_WORDS_BYTES])
{
    const struct figures f = figure_out(s, l, d);
    const char *deed = d->action == ACT_GIVE_UP ? "giving up, the guest stays here"
                                                : "suspending all the same";
    char why[80];

    switch (d->reason) {
    case REASON_DOWNTIME:
        snprintf(out, DECISION_WORDS_BYTES,
            "%s left at %s: downtime would be %s (%s to %s), within the %s asked: suspending",
            f.left, f.rate, f.now, f.low, f.high, f.asked);
        break;
    case REASON_SHORTER:
        if (d->now.careful_ns <= l->max_downtime_ns) {
            snprintf(out, DECISION_WORDS_BYTES,
                "%s left at %s: downtime would be %s, within the %s asked; a short round should "
                "make it %s",
                f.left, f.rate, f.now, f.asked, f.next);
            break;
        }
        if (d->now.whole_ns <= l->max_downtime_ns) {
            snprintf(out, DECISION_WORDS_BYTES,
                "%s left at %s: downtime would be %s, but may reach %s, over the %s asked; another "
                "round should make it %s",
                f.left, f.rate, f.now, f.careful, f.asked, f.next);
            break;
        }
        snprintf(out, DECISION_WORDS_BYTES,
            "%s left at %s: downtime would be %s, over the %s asked; another round should make "
            "it %s",
            f.left, f.rate, f.now, f.asked, f.next);
        break;
    case REASON_PATIENCE:
        if (d->action == ACT_OBSERVE) {
            snprintf(out, DECISION_WORDS_BYTES,
                "working set %s at %s: downtime would be %s, over the %s asked, and rounds do not "
                "shorten it enough; watching the guest for a calmer moment, nothing is sent "
                "meanwhile",
                f.left, f.rate, f.now, f.asked);
            break;
        }
        snprintf(out, DECISION_WORDS_BYTES,
            "working set %s at %s: downtime would be %s, over the %s asked, and rounds do not "
            "shorten it enough; at most %u more for a better moment",
            f.left, f.rate, f.now, f.asked, d->stall_left);
        break;
    case REASON_SLOWER:
        snprintf(out, DECISION_WORDS_BYTES,
            "%s %s at %s: downtime would be %s, over the %s asked, and rounds do not shorten it "
            "enough: slowing the guest to %u %% of the processor time that it used (cap %u)",
            s->slowed.steps ? "still" : "working set", f.left, f.rate, f.now, f.asked,
            slowed_to_percent(s, d->cap_percent), d->cap_percent);
        break;
    case REASON_SLOWEST:
        if (s->slowed.steps)
            snprintf(why, sizeof(why), "slowed to %u %% of its processor time it still %s",
                slowed_to_percent(s, s->slowed.cap_percent),
                s->slowed.unanswered ? "writes as much" : "writes too much");
        else
            snprintf(why, sizeof(why), "slowing it down would not help");
        snprintf(out, DECISION_WORDS_BYTES,
            "working set %s at %s: downtime would be %s (%s to %s), over the %s asked; %s: %s",
            f.left, f.rate, f.now, f.low, f.high, f.asked, why, deed);
        break;
    case REASON_FLOOR:
        snprintf(out, DECISION_WORDS_BYTES,
            "downtime would be %s, over the %s asked, but only %s of it are pages and no round "
            "can help: %s",
            f.now, f.asked, f.pages, deed);
        break;
    default:
        snprintf(out, DECISION_WORDS_BYTES,
            "working set %s at %s: downtime would be %s (%s to %s), over the %s asked; %s: %s",
            f.left, f.rate, f.now, f.low, f.high, f.asked, why_not_longer(d->reason), deed);
    }
}
