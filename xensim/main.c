/* SPDX-License-Identifier: MIT */
/* The xensim command: hosts, and what one asks of them. */
#include "xensim/client.h"
#include "xensim/daemon.h"
#include "xensim/transfer.h"
#include "xensim/usage.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int report(const struct err *e)
{
    fprintf(stderr, "xensim: %s\n", e->text);
    return e->class == ERR_USAGE ? 1 : 2;
}

static int connect_host(const char *host, struct err *e)
{
    char dir[400], path[440];
    int rc = client_host_dir(host, dir, sizeof(dir), e);

    if (rc)
        return rc;
    snprintf(path, sizeof(path), "%s/socket", dir);
    return client_connect(path, host, e);
}

/* Words for the host: the verb, then the rest as it stands; a trace's path made absolute. */
static int ask_host(int argc, char **argv, struct err *e)
{
    char words[8192];
    char path[PATH_MAX + 8];
    size_t used = 0;
    char *text = NULL;
    int sock, rc;

    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        size_t n;

        if (i == 2) /* the host */
            continue;
        if (!strncmp(word, "file:", 5) && realpath(word + 5, path + 5)) {
            memcpy(path, "file:", 5);
            word = path;
        }
        n = strlen(word) + 1;
        if (used + n > sizeof(words))
            return err_set(e, ERR_USAGE, E2BIG, "the command line is too long");
        memcpy(words + used, word, n);
        used += n;
    }
    sock = connect_host(argv[2], e);
    if (sock < 0)
        return sock;
    rc = client_command(sock, words, used, &text, e);
    if (text)
        fputs(text, stdout);
    free(text);
    close(sock);
    return rc;
}

/* The answer is the end of the connection, which closes with the host's process. */
static int stop_host(const char *host, struct err *e)
{
    enum { LIMIT_MS = 60000 };
    static const char words[] = "stop";
    int sock = connect_host(host, e), rc;

    if (sock < 0)
        return sock;

    struct pollfd closed = {.fd = sock, .events = POLLRDHUP};

    rc = client_send(sock, words, sizeof(words), e);
    if (!rc && poll(&closed, 1, LIMIT_MS) <= 0)
        rc = err_set(e, ERR_LOCAL, ETIMEDOUT, "host %s was told to stop and has not", host);
    close(sock);
    return rc;
}

/* The library lies beside this program. */
static int library_path(char *buf, size_t bytes, struct err *e)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (n < 0)
        return err_sys(e, ERR_LOCAL, errno, "cannot find this program");
    self[n] = '\0';
    slash = strrchr(self, '/');
    *slash = '\0';
    snprintf(buf, bytes, "%s/libxensim.so", self);
    if (access(buf, R_OK))
        return err_sys(e, ERR_LOCAL, errno, "%s", buf);
    return 0;
}

static int set_environment(const char *host, struct err *e)
{
    char dir[400], path[440], library[PATH_MAX + 16];
    int rc = client_host_dir(host, dir, sizeof(dir), e);
    int sock;

    if (!rc)
        rc = library_path(library, sizeof(library), e);
    if (rc)
        return rc;
    snprintf(path, sizeof(path), "%s/socket", dir);
    sock = client_connect(path, host, e);
    if (sock < 0)
        return sock;
    close(sock);
    setenv("XENSIM_SOCKET", path, 1);
    setenv("XENSIM_HOST", host, 1);
    setenv("LD_PRELOAD", library, 1);
    /* Two hosts on one machine: each has its own domain 1, and its own state of programs. */
    snprintf(path, sizeof(path), "%s/run", dir);
    if (mkdir(path, 0700) && errno != EEXIST)
        return err_sys(e, ERR_LOCAL, errno, "cannot make %s", path);
    setenv("XMIGRATE_RUN_DIR", path, 0);
    setenv("XMIGRATE_STATE_DIR", getenv("XMIGRATE_RUN_DIR"), 0);
    return 0;
}

static int run_command(const struct verb *v, int argc, char **argv, struct err *e)
{
    if (argc < 5 || strcmp(argv[3], "--"))
        return err_set(e, ERR_USAGE, EINVAL, "it is: xensim %s %s", v->name, v->words);

    int rc = set_environment(argv[2], e);

    if (rc)
        return rc;
    execvp(argv[4], argv + 4);
    return err_sys(e, ERR_LOCAL, errno, "cannot execute %s", argv[4]);
}

struct transfer_args {
    struct transfer_options o;
    char *words[4];
    int count;
};

static void take_transfer_option(struct transfer_options *o, const char *option, const char *value)
{
    if (!strcmp(option, "--live"))
        o->live = true;
    else if (!strcmp(option, "--debug"))
        o->debug = true;
    else if (!strcmp(option, "--paused"))
        o->paused = true;
    else if (!strcmp(option, "--verbose"))
        o->verbose = true;
    else if (!strcmp(option, "--time"))
        o->time = true;
    else if (!strcmp(option, "--helper"))
        o->helper = value;
    else if (!strcmp(option, "--helper-to"))
        o->helper_to = value;
    else if (!strcmp(option, "--name"))
        o->name = value;
}

static int parse_transfer(
    const struct verb *v, int argc, char **argv, struct transfer_args *t, struct err *e)
{
    memset(t, 0, sizeof(*t));
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] != '-') {
            if (t->count < 4)
                t->words[t->count++] = argv[i];
            continue;
        }

        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        const struct option *option = option_of(v, argv[i], value, e);

        if (!option)
            return -e->code;
        take_transfer_option(&t->o, option->name, value);
        i += option->value != NULL;
    }
    return verb_check_words(v, t->count, t->words, e);
}

static int transfer(const struct verb *v, int argc, char **argv, struct err *e)
{
    struct transfer_args t;
    int rc = parse_transfer(v, argc, argv, &t, e);

    if (!rc)
        rc = library_path(t.o.library, sizeof(t.o.library), e);
    if (rc)
        return rc;
    signal(SIGPIPE, SIG_IGN); /* a helper that was killed no longer reads its pipe */
    if (!strcmp(v->name, "save"))
        return transfer_save(t.words[0], t.words[1], t.words[2], &t.o, e);
    if (!strcmp(v->name, "restore"))
        return transfer_restore(t.words[0], t.words[1], &t.o, e);
    return transfer_migrate(t.words[0], t.words[1], t.words[2], &t.o, e);
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

static int carry_out(const struct verb *v, int argc, char **argv, struct err *e)
{
    if (!strcmp(v->name, "save") || !strcmp(v->name, "restore") || !strcmp(v->name, "migrate"))
        return transfer(v, argc, argv, e);
    if (!strcmp(v->name, "run"))
        return run_command(v, argc, argv, e);

    /* A verb with options checks the rest itself. */
    int rc = verb_check_words(v, v->options && argc > 3 ? 1 : argc - 2, argv + 2, e);

    if (rc)
        return rc;
    if (argc < 3)
        return err_set(e, ERR_USAGE, EINVAL, "%s needs a host's name", v->name);
    if (!strcmp(v->name, "host"))
        return daemon_main(argc - 2, argv + 2, e);
    if (!strcmp(v->name, "stop"))
        return stop_host(argv[2], e);
    return ask_host(argc, argv, e);
}

int main(int argc, char **argv)
{
    const struct verb *v = argc > 1 ? verb_named(argv[1]) : NULL;
    struct err e = ERR_INIT;

    if (wants_help(argc, argv)) {
        usage_print(v, stdout);
        return 0;
    }
    if (argc < 2)
        err_set(&e, ERR_USAGE, EINVAL, "what? `xensim --help` tells what there is");
    else if (!v)
        err_set(&e, ERR_USAGE, EINVAL, "unknown command %s; `xensim --help` tells what there is",
            argv[1]);
    else
        carry_out(v, argc, argv, &e);
    return err_is_set(&e) ? report(&e) : 0;
}
