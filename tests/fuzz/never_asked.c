/* SPDX-License-Identifier: MIT */
/*
 * What only a source or a supervisor asks of Xen, in the same objects as what a restore asks. Xen's
 * headers are not included, because nothing here takes or returns anything.
 */
#include <stdlib.h>

#define NEVER_ASKED(name)                                                                          \
    void name(void);                                                                               \
    void name(void)                                                                                \
    {                                                                                              \
        abort();                                                                                   \
    }

NEVER_ASKED(xc_vcpu_getinfo)
NEVER_ASKED(xc_vcpu_getcontext)
NEVER_ASKED(xc_cpu_policy_get_size)
NEVER_ASKED(xc_cpu_policy_init)
NEVER_ASKED(xc_cpu_policy_get_domain)
NEVER_ASKED(xc_cpu_policy_get_system)
NEVER_ASKED(xc_cpu_policy_serialise)
NEVER_ASKED(xc_cpu_policy_destroy)
NEVER_ASKED(xc_domain_get_tsc_info)
NEVER_ASKED(xc_domain_hvm_getcontext)
NEVER_ASKED(xc_hvm_param_get)
NEVER_ASKED(xc_domain_get_pod_target)
NEVER_ASKED(xc_domain_claim_pages)
