/* The xensim command: hosts, and what one asks of them. */
#include "xensim/client.h"
#include "xensim/daemon.h"
#include "xensim/transfer.h"

#include "base/units.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "usage: xensim host NAME --mem SIZE [--prealloc] [--fragment PERCENT] [--no-shadow]\n"
    "                   [--sched credit|credit2|null] [--foreground]\n"
    "       xensim create HOST --type pv|pv32|pvh --memory SIZE [options]\n"
    "       xensim list|info|stop HOST\n"
    "       xensim destroy|pause|unpause|suspend|resume|verify HOST DOMAIN\n"
    "       xensim rename HOST DOMAIN NAME\n"
    "       xensim rate HOST DOMAIN PAGES_PER_S|max\n"
    "       xensim cap HOST DOMAIN [PERCENT]\n"
    "       xensim save HOST DOMAIN FILE [--live] [--debug] [--helper PATH]\n"
    "       xensim restore HOST FILE [--name NAME] [--paused] [--helper PATH]\n"
    "       xensim migrate HOST DOMAIN HOST2 [--live] [--helper PATH] [--helper-to PATH]\n"
    "       xensim run HOST -- COMMAND [ARGUMENT...]\n"
    "See xensim(1).\n";

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

/* The end of the connection is the answer: it closes with the host's process. */
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
    return 0;
}

static int run_command(int argc, char **argv, struct err *e)
{
    if (argc < 5 || strcmp(argv[3], "--"))
        return err_set(e, ERR_USAGE, EINVAL, "run HOST -- COMMAND [ARGUMENT...]");

    int rc = set_environment(argv[2], e);

    if (rc)
        return rc;
    execvp(argv[4], argv + 4);
    return err_sys(e, ERR_LOCAL, errno, "cannot execute %s", argv[4]);
}

struct transfer_args {
    struct transfer_options o;
    const char *words[4];
    unsigned count;
};

static int parse_transfer(int argc, char **argv, struct transfer_args *t, struct err *e)
{
    memset(t, 0, sizeof(*t));
    for (int i = 2; i < argc; i++) {
        bool has_value = i + 1 < argc;

        if (!strcmp(argv[i], "--live"))
            t->o.live = true;
        else if (!strcmp(argv[i], "--debug"))
            t->o.debug = true;
        else if (!strcmp(argv[i], "--paused"))
            t->o.paused = true;
        else if (!strcmp(argv[i], "--verbose"))
            t->o.verbose = true;
        else if (!strcmp(argv[i], "--helper") && has_value)
            t->o.helper = argv[++i];
        else if (!strcmp(argv[i], "--helper-to") && has_value)
            t->o.helper_to = argv[++i];
        else if (!strcmp(argv[i], "--name") && has_value)
            t->o.name = argv[++i];
        else if (argv[i][0] == '-' || t->count == 4)
            return err_set(
                e, ERR_USAGE, EINVAL, "%s %s: not understood; see xensim(1)", argv[1], argv[i]);
        else
            t->words[t->count++] = argv[i];
    }
    return 0;
}

static int transfer(int argc, char **argv, struct err *e)
{
    struct transfer_args t;
    bool save = !strcmp(argv[1], "save"), restore = !strcmp(argv[1], "restore");
    int rc = parse_transfer(argc, argv, &t, e);

    if (rc)
        return rc;
    if (t.count != (restore ? 2u : 3u))
        return err_set(e, ERR_USAGE, EINVAL, "%s",
            save      ? "save HOST DOMAIN FILE"
            : restore ? "restore HOST FILE"
                      : "migrate HOST DOMAIN HOST2");
    rc = library_path(t.o.library, sizeof(t.o.library), e);
    if (rc)
        return rc;
    if (save)
        return transfer_save(t.words[0], t.words[1], t.words[2], &t.o, e);
    if (restore)
        return transfer_restore(t.words[0], t.words[1], &t.o, e);
    return transfer_migrate(t.words[0], t.words[1], t.words[2], &t.o, e);
}

int main(int argc, char **argv)
{
    static const char *const host_verbs[] = {"create", "list", "info", "destroy", "pause",
        "unpause", "suspend", "resume", "rename", "rate", "cap", "verify", "create-empty",
        "describe", "id", "resume-slowly", "dominfo", "config", "set-config", "await", "writes"};
    struct err e = ERR_INIT;

    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2;
    }
    if (argc < 3) {
        fprintf(stderr, "xensim: %s needs a host's name\n%s", argv[1], usage);
        return 1;
    }
    if (!strcmp(argv[1], "host"))
        return daemon_main(argc - 2, argv + 2, &e) ? report(&e) : 0;
    if (!strcmp(argv[1], "run"))
        return run_command(argc, argv, &e) ? report(&e) : 0;
    if (!strcmp(argv[1], "save") || !strcmp(argv[1], "restore") || !strcmp(argv[1], "migrate"))
        return transfer(argc, argv, &e) ? report(&e) : 0;
    if (!strcmp(argv[1], "stop"))
        return stop_host(argv[2], &e) ? report(&e) : 0;
    for (unsigned i = 0; i < sizeof(host_verbs) / sizeof(host_verbs[0]); i++)
        if (!strcmp(argv[1], host_verbs[i]))
            return ask_host(argc, argv, &e) ? report(&e) : 0;
    fprintf(stderr, "xensim: unknown command %s\n%s", argv[1], usage);
    return 1;
}
