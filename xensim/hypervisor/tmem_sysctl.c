/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/tmem_sysctl.h"
#include "xensim/hypervisor/domain.h"
#include "xensim/hypervisor/tmem.h"

#include <errno.h>

static int64_t on_domain(struct domain *d, struct tmem_op *op, void *list, void *pages)
{
    int64_t rc = 0;

    pthread_mutex_lock(&d->lock);
    if (op->cmd == TMEM_RESTORE_BEGIN)
        rc = d->tmem ? -EEXIST : tmem_create(d->machine, list, op->count, op->max_pages, &d->tmem);

    struct tmem *t = d->tmem; /* for as long as the domain */

    pthread_mutex_unlock(&d->lock);
    if (op->cmd == TMEM_RESTORE_BEGIN)
        return rc;
    if (!t)
        return op->cmd == TMEM_SAVE_END ? 0 : -ENOENT;
    return tmem_operate(t, op, list, pages);
}

int64_t do_tmem_op(struct host *h, struct caller *caller, struct tmem_op *op)
{
    const bool of_pools = op->cmd == TMEM_POOLS || op->cmd == TMEM_RESTORE_BEGIN;
    const uint64_t each = of_pools ? sizeof(struct tmem_pool) : sizeof(struct tmem_entry);
    void *list = NULL, *pages = NULL;

    if (op->count > TMEM_MAX_BATCH)
        return -E2BIG;
    if (op->list && !(list = caller_pointer(caller, op->list, op->count * each)))
        return -EFAULT;
    if (op->pages && !(pages = caller_pointer(caller, op->pages, op->count * PAGE_BYTES)))
        return -EFAULT;
    if ((of_pools || op->cmd == TMEM_SAVE_NEXT || op->cmd == TMEM_RESTORE_FLUSH ||
            op->cmd == TMEM_RESTORE_PUT) &&
        !list)
        return -EFAULT;
    if ((op->cmd == TMEM_SAVE_NEXT || op->cmd == TMEM_RESTORE_PUT) && !pages)
        return -EFAULT;

    struct domain *d = domain_get(h, (uint16_t)op->domid);

    if (!d)
        return -ESRCH;

    const int64_t rc = on_domain(d, op, list, pages);

    domain_put(d);
    return rc;
}
