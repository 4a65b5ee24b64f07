/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/pair.h"

#include "cmd/exit_codes.h"
#include "crypto/config.h"
#include "crypto/identity.h"
#include "crypto/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAID_BYTES = 4096, COMMAND_BYTES = 1024 };

extern char **environ;

struct pair {
    const struct options *o;
    const char *name;                   /* what the other host is called here */
    char own_name[IDENTITY_HOST_BYTES]; /* and this one there */
    char own[FINGERPRINT_BYTES];        /* the keys */
    char other[FINGERPRINT_BYTES];
    char command[COMMAND_BYTES];
};

/* For ssh's command line, and for the shell at its other end. */
static bool is_plain(const char *text, const char *also)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    for (const char *c = text; *c; c++)
        if (!strchr(safe, *c) && !strchr(also, *c))
            return false;
    return text[0] && text[0] != '-';
}

static int prepare(struct pair *p, struct err *e)
{
    const char *at = strrchr(p->o->peer, '@');
    struct identity id;
    int rc;

    p->name = p->o->peer_name ?: at ? at + 1 : p->o->peer;
    if (!is_plain(p->o->peer, "@:%"))
        return err_set(e, ERR_USAGE, EINVAL, "--pair \"%s\": wanted is [USER@]HOST", p->o->peer);
    rc = identity_open(&id, p->o->config_dir, e);
    if (rc)
        return rc;
    snprintf(p->own, sizeof(p->own), "%s", id.fingerprint);
    identity_close(&id);
    identity_host_name(p->own_name);
    if (!is_plain(p->own_name, ""))
        return err_set(e, ERR_LOCAL, EINVAL,
            "this host's name, \"%s\", is none that could be given to another host", p->own_name);
    /* As root logs in there: without an administrator's PATH on some systems. */
    snprintf(p->command, sizeof(p->command),
        "env PATH=\"$PATH:/usr/local/sbin:/usr/sbin\" sh -c 'xmigrate --trust %s %s >&2 && "
        "xmigrate --identity'",
        p->own, p->own_name);
    return 0;
}

static int start_ssh(const struct pair *p, pid_t *pid, FILE **said, struct err *e)
{
    char *const argv[] = {
        (char *)"ssh", (char *)"--", (char *)p->o->peer, (char *)p->command, NULL};
    posix_spawn_file_actions_t files;
    int ends[2], rc;

    if (pipe2(ends, O_CLOEXEC))
        return err_sys(e, ERR_LOCAL, errno, "cannot make a pipe");
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    rc = posix_spawnp(pid, "ssh", &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    *said = rc ? NULL : fdopen(ends[0], "r");
    if (*said)
        return 0;
    close(ends[0]);
    return err_sys(e, ERR_LOCAL, rc ?: ENOMEM, "cannot start ssh");
}

/* The last line: shells greet. */
static void read_fingerprint(struct pair *p, FILE *said)
{
    char line[SAID_BYTES];

    while (fgets(line, sizeof(line), said)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (trust_is_fingerprint(line))
            snprintf(p->other, sizeof(p->other), "%.*s", (int)sizeof(p->other) - 1, line);
    }
}

static int exchange(struct pair *p, struct err *e)
{
    FILE *said;
    pid_t pid;
    int status, rc = start_ssh(p, &pid, &said, e);

    if (rc)
        return rc;
    read_fingerprint(p, said);
    fclose(said);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_sys(e, ERR_LOCAL, errno, "waiting for ssh");
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return err_set(e, ERR_REFUSED, ECONNABORTED,
            "ssh %s failed: nothing was changed here; that host may trust this one by now, which "
            "xmigrate --untrust there takes back",
            p->o->peer);
    if (!p->other[0])
        return err_set(e, ERR_PEER, EPROTO,
            "%s trusts this host now, but did not say its own fingerprint: nothing was changed "
            "here",
            p->o->peer);
    return 0;
}

/* What a person may do where ssh does not lead. */
static void print_by_hand(const struct pair *p, const struct log *log)
{
    char option[CONFIG_PATH_BYTES];

    log_error(log,
        "by hand: on %s xmigrate --trust %s %s && xmigrate --identity, and here, with what that "
        "prints, xmigrate%s --trust SHA256:... %s",
        p->name, p->own, p->own_name, config_dir_option(p->o->config_dir, option), p->name);
}

int pair_main(const struct options *o, const struct log *log)
{
    struct pair p = {.o = o};
    struct err e = ERR_INIT;
    int rc = prepare(&p, &e), by_hand = 0;

    if (!rc)
        by_hand = rc = exchange(&p, &e);
    if (!rc && (by_hand = rc = trust_add(o->config_dir, p.other, p.name, NULL, &e)))
        err_prepend(&e, "%s trusts this host now, but is not trusted here", p.name);
    if (!rc) {
        printf("%s (%s) and this host (%s there) trust each other\n", p.name, p.other, p.own_name);
        return EXIT_DONE;
    }
    log_error(log, "%s", e.text);
    if (by_hand)
        print_by_hand(&p, log);
    return e.class == ERR_USAGE ? EXIT_USAGE : EXIT_REFUSED;
}
