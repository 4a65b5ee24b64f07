/* SPDX-License-Identifier: MIT */
#include "xensim/preload/real.h"

#include <dlfcn.h>

struct real_calls real;

void real_find(void)
{
#define FIND(name) *(void **)(&real.name) = dlsym(RTLD_NEXT, #name)
    FIND(open);
    FIND(openat);
    FIND(ioctl);
    FIND(mmap);
    FIND(munmap);
    FIND(close);
    FIND(dup);
    FIND(dup2);
    FIND(dup3);
    FIND(fcntl);
    FIND(connect);
    FIND(mkfifo);
    FIND(unlink);
    FIND(chroot);
    FIND(chdir);
#undef FIND
}
