/* SPDX-License-Identifier: MIT */
/*
 * await SECONDS FILE [TEXT]: waits until FILE is there and a line of it has TEXT (anything, without
 * TEXT); exits with 1 and the file's end when that takes longer. A program, as the agent is,
 * because it looks often.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE_BYTES = 65536, LOOKS_PER_S = 20 };

static bool has(const char *path, const char *text)
{
    static char line[LINE_BYTES];
    bool found = false;
    FILE *f = fopen(path, "re");

    while (f && !found && fgets(line, sizeof(line), f))
        found = strstr(line, text) != NULL;
    if (f)
        fclose(f);
    return found;
}

int main(int argc, char **argv)
{
    const struct timespec pause = {.tv_nsec = 1000000000 / LOOKS_PER_S};
    char command[256];

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: await SECONDS FILE [TEXT]\n");
        return 1;
    }

    const time_t until = time(NULL) + strtol(argv[1], NULL, 10);

    while (time(NULL) <= until) {
        if (has(argv[2], argc > 3 ? argv[3] : ""))
            return 0;
        nanosleep(&pause, NULL);
    }
    printf("nothing like '%s' in %s after %s s; it ends with:\n", argc > 3 ? argv[3] : "", argv[2],
        argv[1]);
    fflush(stdout);
    snprintf(command, sizeof(command), "tail -n 5 '%s'", argv[2]);
    if (system(command))
        puts("(which cannot be shown)");
    return 1;
}
