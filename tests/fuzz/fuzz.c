/* SPDX-License-Identifier: MIT */
/* How AddressSanitizer is to work under every target: most of an execution would be its own. */
#include "tests/fuzz/fuzz.h"

const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    /* Short stacks of allocations, a small quarantine, nothing filled. */
    return "malloc_context_size=4:quarantine_size_mb=4:max_malloc_fill_size=0:"
           "allocator_may_return_null=1:detect_stack_use_after_return=0";
}
