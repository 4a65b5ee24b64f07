/* SPDX-License-Identifier: MIT */
#include "engine/guest/hvm_params.h"

const uint32_t hvm_moving_params[HVM_MOVING_PARAMS] = {
    HVM_PARAM_STORE_PFN,
    HVM_PARAM_IOREQ_PFN,
    HVM_PARAM_BUFIOREQ_PFN,
    HVM_PARAM_VIRIDIAN,
    HVM_PARAM_IDENT_PT,
    HVM_PARAM_CONSOLE_PFN,
    HVM_PARAM_ACPI_IOPORTS_LOCATION,
    HVM_PARAM_PAGING_RING_PFN,
    HVM_PARAM_MONITOR_RING_PFN,
    HVM_PARAM_SHARING_RING_PFN,
    HVM_PARAM_IOREQ_SERVER_PFN,
    HVM_PARAM_NR_IOREQ_SERVER_PAGES,
    HVM_PARAM_VM_GENERATION_ID_ADDR,
    HVM_PARAM_X87_FIP_WIDTH,
    HVM_PARAM_VM86_TSS_SIZED,
    HVM_PARAM_MCA_CAP,
};

bool hvm_param_moves(uint64_t index)
{
    for (unsigned i = 0; i < HVM_MOVING_PARAMS; i++)
        if (index == hvm_moving_params[i])
            return true;
    return index == HVM_PARAM_VM86_TSS;
}
