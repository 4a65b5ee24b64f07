/* SPDX-License-Identifier: MIT */
/*
 * fpu SECONDS: holds known values in the vector registers for that long and prints
 * `fpu NAME rounds N wrong M`. Runs in dom0 beside a busy guest: the lab proves itself.
 */
#include "hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    const time_t seconds = argc > 1 ? atol(argv[1]) : 0;
    struct timespec now;
    uint64_t rounds = 0, wrong = 0;

    if (seconds <= 0) {
        fprintf(stderr, "usage: fpu SECONDS\n");
        return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    const time_t end = now.tv_sec + seconds;
    while (now.tv_sec < end) {
        rounds++;
        if (!hold_round(rounds, 2000))
            wrong++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    printf("fpu %s rounds %llu wrong %llu\n", hold_has_avx() ? "avx" : "sse",
        (unsigned long long)rounds, (unsigned long long)wrong);
    return wrong != 0;
}
