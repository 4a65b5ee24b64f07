/* SPDX-License-Identifier: MIT */
/*
 * The list of trusted peers: nobody is found whose fingerprint is not in it, and a change touches
 * nobody else. The file lies in memory (/dev/shm), for it is written anew with each execution.
 */
#include "crypto/trust.h"
#include "tests/fuzz/fuzz.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define THEIRS "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define OURS   "SHA256:+++++++++++++++++++++++++++++++++++++++++++"

static char dir[] = "/dev/shm/xmigrate-fuzz-XXXXXX";
static char path[sizeof(dir) + sizeof("/trusted")];

static void remove_dir(void)
{
    unlink(path);
    rmdir(dir);
}

static void make_dir(void)
{
    if (!mkdtemp(dir))
        err(1, "%s", dir);
    snprintf(path, sizeof(path), "%s/trusted", dir);
    atexit(remove_dir);
}

static void write_file(const uint8_t *data, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

static bool is_in(const uint8_t *data, size_t size, const char *word)
{
    return memmem(data, size, word, strlen(word)) != NULL;
}

/* Is it trusted, in a file that makes sense? */
static bool find(const char *fingerprint, char name[static TRUST_NAME_BYTES])
{
    struct err e = ERR_INIT;
    bool found;
    unsigned rights;

    must(trust_find(dir, fingerprint, &found, name, &rights, &e) == 0 && !err_is_set(&e));
    return found;
}

static void check_changes(bool theirs_found)
{
    char name[TRUST_NAME_BYTES];
    struct err e = ERR_INIT;

    must(trust_add(dir, OURS, "web1", NULL, &e) == 0);
    must(find(OURS, name) && !strcmp(name, "web1"));
    must(find(THEIRS, name) == theirs_found);
    must(trust_remove(dir, OURS, &e) == 0);
    must(!find(OURS, name));
    must(find(THEIRS, name) == theirs_found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[TRUST_NAME_BYTES];
    struct err e = ERR_INIT;
    bool found;
    unsigned rights;

    if (!path[0])
        make_dir();
    write_file(data, size);
    if (trust_find(dir, THEIRS, &found, name, &rights, &e)) {
        must(err_is_set(&e) && !rights && !found && !name[0]);
        return 0;
    }
    must(found == (rights != 0) && rights <= TRUST_ALL);
    must(!found || is_in(data, size, THEIRS));
    must(!found || (name[0] && is_in(data, size, strcmp(name, "-") ? name : THEIRS)));
    /* Changes sync files: one execution in eight is enough. */
    if (size % 8 == 0)
        check_changes(found);
    return 0;
}
