/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/resume_way.h"

struct resume_choice resume_choose(
    bool hvm, const struct suspend_facts *facts, const struct kernel_notes *notes)
{
    if (hvm && !facts->has_drivers)
        return (struct resume_choice){
            RESUME_COOPERATIVE, true, "it has no PV drivers, and notices nothing"};

    /* A loader's say nothing of the kernel that it starts. */
    const bool has_notes = notes->origin != NOTES_NONE && !kernel_notes_are_a_loaders(notes);

    if (has_notes && notes->suspend_cancel)
        return (struct resume_choice){
            RESUME_COOPERATIVE, true, "its kernel has the note SUSPEND_CANCEL"};
    if (facts->resumable)
        return (struct resume_choice){
            RESUME_COOPERATIVE, true, "it says so in control/feature-resumable"};
    if (has_notes)
        return (struct resume_choice){RESUME_REVIVE, true, "its kernel has no note SUSPEND_CANCEL"};
    return (struct resume_choice){RESUME_COOPERATIVE, false, "its kernel's notes are not known"};
}
