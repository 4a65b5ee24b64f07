/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/ui/file_view.h"

#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>

/* What is in no other part: between the processes. */
static int64_t rest_ns(const struct file_summary *s)
{
    const struct downtime_report *d = &s->total.downtime;
    const int64_t rest = s->downtime_ns - d->suspend_ns - d->clean_ns - d->last_round_ns -
                         d->state_ns - d->disks_ns - s->hook_ns - s->resume_ns;

    return rest > 0 ? rest : 0;
}

void format_file_summary(const struct file_summary *s, char out[static VIEW_SUMMARY_BYTES])
{
    const struct downtime_report *d = &s->total.downtime;
    char b[9][UNITS_TEXT_BYTES], hook[UNITS_TEXT_BYTES + 32] = "";

    if (s->hook_ns)
        snprintf(hook, sizeof(hook), "    hook         %s\n", format_duration(s->hook_ns, b[0]));

    snprintf(out, VIEW_SUMMARY_BYTES,
        "%s is in %s%s\n"
        "  total time     %s\n"
        "  downtime       %s\n"
        "    suspend      %s\n"
        "    last round   %s\n"
        "    disks        %s\n"
        "    state        %s\n"
        "%s"
        "    resume       %s\n"
        "    other        %s\n"
        "  in the file    %s\n"
        "  rounds         %u, %" PRIu64 " pages",
        s->name, s->file, s->checkpoint ? ", and runs on" : "", format_duration(s->whole_ns, b[0]),
        format_duration(s->downtime_ns, b[1]), format_duration(d->suspend_ns, b[2]),
        format_duration(d->clean_ns + d->last_round_ns, b[3]), format_duration(d->disks_ns, b[4]),
        format_duration(d->state_ns, b[5]), hook, format_duration(s->resume_ns, b[6]),
        format_duration(rest_ns(s), b[7]), format_bytes(s->file_bytes, b[8]), s->total.rounds,
        s->total.data_pages);
}

json_t *file_event_done(const struct file_summary *s)
{
    const struct downtime_report *d = &s->total.downtime;

    return json_pack(
        "{s:s, s:s, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}, s:I, s:i, s:I}", "event",
        "saved", "file", s->file, "total_ns", (json_int_t)s->whole_ns, "downtime_ns",
        (json_int_t)s->downtime_ns, "downtime", "suspend_ns", (json_int_t)d->suspend_ns, "clean_ns",
        (json_int_t)d->clean_ns, "last_round_ns", (json_int_t)d->last_round_ns, "disks_ns",
        (json_int_t)d->disks_ns, "state_ns", (json_int_t)d->state_ns, "hook_ns",
        (json_int_t)s->hook_ns, "resume_ns", (json_int_t)s->resume_ns, "other_ns",
        (json_int_t)rest_ns(s), "file_bytes", (json_int_t)s->file_bytes, "rounds",
        (int)s->total.rounds, "data_pages", (json_int_t)s->total.data_pages);
}
