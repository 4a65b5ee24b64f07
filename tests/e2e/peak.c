/* SPDX-License-Identifier: MIT */
/* peak FILE PROGRAM ARGUMENT...: runs it in its own place, and writes to FILE how many KiB of memory
 * it had at most (VmHWM). */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rusage usage;
    int status = 0;

    if (argc < 3)
        return 2;

    const pid_t pid = fork();

    if (!pid) {
        execv(argv[2], argv + 2);
        return 127;
    }
    while (pid > 0 && wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
        continue;

    FILE *f = pid > 0 ? fopen(argv[1], "we") : NULL;

    if (!f || fprintf(f, "%ld\n", usage.ru_maxrss) < 0 || fclose(f))
        return 2;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
