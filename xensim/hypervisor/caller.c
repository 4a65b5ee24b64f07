/* SPDX-License-Identifier: MIT */
#include "xensim/hypervisor/caller.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

void *caller_pointer(const struct caller *c, uint64_t va, uint64_t bytes)
{
    if (va < c->arena_va || bytes > c->arena_bytes || va - c->arena_va > c->arena_bytes - bytes)
        return NULL;
    return c->arena + (va - c->arena_va);
}

int caller_write(const struct caller *c, uint64_t va, const void *data, size_t bytes)
{
    void *p = caller_pointer(c, va, bytes);
    struct iovec from = {(void *)(uintptr_t)data, bytes};
    struct iovec to = {(void *)(uintptr_t)va, bytes};

    if (p) {
        memcpy(p, data, bytes);
        return 0;
    }
    if (process_vm_writev((pid_t)c->pid, &from, 1, &to, 1, 0) == (ssize_t)bytes)
        return 0;
    host_log_rate(c->host, "cannot write to %#llx of process %d: %s", (unsigned long long)va,
        (int)c->pid, strerror(errno));
    return -EFAULT;
}
