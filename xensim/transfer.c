/* SPDX-License-Identifier: MIT */
#include "xensim/transfer.h"
#include "base/deadline.h"
#include "xensim/client.h"
#include "xensim/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

extern char **environ;

enum { MAX_ENV = 512 };

/* One helper on one host. */
struct side {
    const char *host;
    const struct transfer_options *o;
    char domain[64]; /* id, in words */
    bool emulated;   /* it has a device model, whose state is: */
    char device[256];
    uint16_t domid;
    int sock; /* commands to the host */
    int io_fd;
    bool restore;
    char socket_env[480], preload_env[PATH_MAX + 64];
    char *env[MAX_ENV];
    char last_error[ERR_TEXT_BYTES]; /* the helper's first error line */
    int64_t begun_ns, ended_ns;      /* the helper: its stream, and itself; 0: not yet */
    int rc;
    struct err err;
};

static void on_log(
    void *arg, unsigned level, int errno_value, const char *context, const char *text)
{
    struct side *s = arg;

    if (level >= 8 && !s->last_error[0])
        snprintf(s->last_error, sizeof(s->last_error), "%s%s%s", text, errno_value > 0 ? ": " : "",
            errno_value > 0 ? strerror(errno_value) : "");
    if (s->o->verbose)
        fprintf(stderr, "%s: %s: %s\n", s->host, context, text);
}

/* The stock helper tells of it first when it begins its stream. */
static void on_progress(
    void *arg, const char *context, const char *what, unsigned long done, unsigned long total)
{
    struct side *s = arg;

    (void)context, (void)what, (void)done, (void)total;
    if (!s->begun_ns)
        s->begun_ns = now_ns();
}

/* One command about the domain; its answer goes into text, if that is given. */
static int command(struct side *s, const char *verb, const char *word, const char *more, char *text,
    size_t bytes, struct err *e)
{
    char *answer = NULL;
    const int rc = client_commandl(s->sock, &answer, e, verb, s->domain, word, more, NULL);

    if (!rc && text)
        snprintf(text, bytes, "%s", answer ? answer : "");
    free(answer);
    return rc;
}

static int save_device(struct side *s, struct err *e)
{
    int rc = command(s, "dm", "stop", NULL, NULL, 0, e);

    return rc ? rc : command(s, "dm", "state", NULL, s->device, sizeof(s->device), e);
}

static bool on_switch_log(void *arg, bool enable)
{
    struct side *s = arg;
    struct err e = ERR_INIT;

    return !s->emulated || !command(s, "dm", "log", enable ? "on" : "off", NULL, 0, &e);
}

static bool on_suspend(void *arg, int helper_fd)
{
    struct side *s = arg;
    struct err e = ERR_INIT;
    char *text = NULL;
    int rc = client_commandl(s->sock, &text, &e, "suspend", s->domain, "60s", NULL);

    (void)helper_fd; /* a helper that dies here is noticed when the guest has answered */

    free(text);
    if (!rc && s->emulated)
        rc = save_device(s, &e);
    if (rc && !s->last_error[0])
        snprintf(s->last_error, sizeof(s->last_error), "%s", e.text);
    return rc == 0;
}

static const struct helper_ops ops = {
    .suspend = on_suspend, .switch_log = on_switch_log, .log = on_log, .progress = on_progress};

static int open_side(struct side *s, const char *host, const struct transfer_options *o)
{
    char dir[400];
    unsigned n = 0;
    int rc;

    memset(s, 0, sizeof(*s));
    s->host = host;
    s->o = o;
    s->sock = s->io_fd = -1;
    rc = client_host_dir(host, dir, sizeof(dir), &s->err);
    if (rc)
        return rc;
    snprintf(s->socket_env, sizeof(s->socket_env), "XENSIM_SOCKET=%s/socket", dir);
    snprintf(s->preload_env, sizeof(s->preload_env), "LD_PRELOAD=%s", o->library);
    for (char **v = environ; *v && n < MAX_ENV - 3; v++)
        if (strncmp(*v, "LD_PRELOAD=", 11) && strncmp(*v, "XENSIM_SOCKET=", 14))
            s->env[n++] = *v;
    s->env[n++] = s->socket_env;
    s->env[n++] = s->preload_env;
    s->sock = client_connect(s->socket_env + strlen("XENSIM_SOCKET="), host, &s->err);
    return s->sock < 0 ? s->sock : 0;
}

static void close_side(struct side *s)
{
    if (s->sock >= 0)
        close(s->sock);
    if (s->io_fd >= 0)
        close(s->io_fd);
}

/* The domain's id, and how to make another like it. */
static int describe(struct side *s, const char *domain, char *words, size_t bytes)
{
    char *text = NULL;
    int rc = client_commandl(s->sock, &text, &s->err, "describe", domain, NULL);

    if (!rc) {
        snprintf(words, bytes, "%s", text ? text : "");
        s->emulated = !strncmp(words, "hvm ", 4);
        free(text);
        text = NULL;
        rc = client_commandl(s->sock, &text, &s->err, "id", domain, NULL);
    }
    if (!rc) {
        s->domid = (uint16_t)atoi(text);
        snprintf(s->domain, sizeof(s->domain), "%u", s->domid);
    }
    free(text);
    return rc;
}

static int create_empty(struct side *s, const char *words)
{
    char type[16], vcpus[16], kib[32], name[64];
    char *text = NULL;
    int rc;

    if (sscanf(words, "%15s %15s %31s %63s %255s", type, vcpus, kib, name, s->device) < 4)
        return err_set(&s->err, ERR_LOCAL, EBADMSG, "%s: not a domain's description", words);
    s->emulated = !strcmp(type, "hvm");
    rc = client_commandl(s->sock, &text, &s->err, "create-empty", type, vcpus, kib,
        s->o->name ? s->o->name : name, NULL);
    if (!rc) {
        s->domid = (uint16_t)atoi(text);
        snprintf(s->domain, sizeof(s->domain), "%u", s->domid);
    }
    free(text);
    return rc;
}

static void tell(struct side *s, const char *verb)
{
    struct err ignored = ERR_INIT;

    command(s, verb, NULL, NULL, NULL, 0, &ignored);
}

/* Run on: the device model first, as libxl does. */
static void go_on(struct side *s, const char *verb)
{
    struct err ignored = ERR_INIT;

    if (s->emulated)
        command(s, "dm", "cont", NULL, NULL, 0, &ignored);
    tell(s, verb);
}

/* What libxl does after its helper, with the state that came from the other side. */
static int start_device(struct side *s, const char *state)
{
    return s->emulated ? command(s, "dm", "start", state, NULL, 0, &s->err) : 0;
}

static int introduce(struct side *s, const struct helper_result *result)
{
    char store[24], console[24];

    snprintf(store, sizeof(store), "%llu", (unsigned long long)result->store_gfn);
    snprintf(console, sizeof(console), "%llu", (unsigned long long)result->console_gfn);
    return command(s, "rings", store, console, NULL, 0, &s->err);
}

static void *run_side(void *arg)
{
    struct side *s = arg;
    struct helper_result result;
    const char *helper = s->restore && s->o->helper_to ? s->o->helper_to : s->o->helper;
    struct helper_job job = {.path = helper ? helper : helper_path(),
        .restore = s->restore,
        .io_fd = s->io_fd,
        .domid = s->domid,
        .live = s->o->live,
        .debug = s->o->debug,
        .store_evtchn = 1,
        .console_evtchn = 2,
        .env = s->env,
        .ops = &ops,
        .arg = s};

    s->rc = helper_run(&job, NULL, &result, &s->err);
    s->ended_ns = now_ns();
    if (!s->rc && s->restore)
        s->rc = introduce(s, &result);
    if (s->rc && s->last_error[0])
        err_prepend(&s->err, "%s", s->last_error);
    /* The other end must see that this one is over. */
    close(s->io_fd);
    s->io_fd = -1;
    return NULL;
}

static int write_description(const char *file, const char *words, struct err *e)
{
    char path[PATH_MAX];
    FILE *f;

    snprintf(path, sizeof(path), "%s.xensim", file);
    f = fopen(path, "we");
    if (!f || fputs(words, f) < 0 || fclose(f))
        return err_sys(e, ERR_LOCAL, errno, "%s", path);
    return 0;
}

static int read_description(const char *file, char *words, size_t bytes, struct err *e)
{
    char path[PATH_MAX];
    FILE *f;

    snprintf(path, sizeof(path), "%s.xensim", file);
    f = fopen(path, "re");
    if (!f)
        return err_sys(e, ERR_LOCAL, errno, "%s (written by `xensim save`)", path);
    if (!fgets(words, (int)bytes, f))
        words[0] = '\0';
    fclose(f);
    return 0;
}

int transfer_save(const char *host, const char *domain, const char *file,
    const struct transfer_options *o, struct err *e)
{
    struct side s;
    char words[512];
    int rc = open_side(&s, host, o);

    if (!rc)
        rc = describe(&s, domain, words, sizeof(words));
    if (!rc)
        rc = write_description(file, words, &s.err);
    if (!rc) {
        s.io_fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (s.io_fd < 0)
            rc = err_sys(&s.err, ERR_LOCAL, errno, "%s", file);
    }
    if (!rc) {
        run_side(&s);
        rc = s.rc;
        if (!rc && s.emulated) {
            words[strcspn(words, "\n")] = '\0';
            snprintf(words + strlen(words), sizeof(words) - strlen(words), " %s", s.device);
            rc = write_description(file, words, &s.err);
        }
        if (rc)
            go_on(&s, "resume");
        else
            tell(&s, "destroy");
    }
    close_side(&s);
    return rc ? err_take(e, &s.err) : 0;
}

int transfer_restore(
    const char *host, const char *file, const struct transfer_options *o, struct err *e)
{
    struct side s;
    char words[512];
    int rc = open_side(&s, host, o);

    if (!rc)
        rc = read_description(file, words, sizeof(words), &s.err);
    if (!rc) {
        s.io_fd = open(file, O_RDONLY | O_CLOEXEC);
        if (s.io_fd < 0)
            rc = err_sys(&s.err, ERR_LOCAL, errno, "%s", file);
    }
    if (!rc)
        rc = create_empty(&s, words);
    if (!rc) {
        s.restore = true;
        run_side(&s);
        rc = s.rc ? s.rc : start_device(&s, s.device);
        if (rc)
            tell(&s, "destroy");
        else if (!o->paused)
            go_on(&s, "unpause");
        if (!rc)
            printf("%s\n", s.domain);
    }
    close_side(&s);
    return rc ? err_take(e, &s.err) : 0;
}

int transfer_migrate(const char *host, const char *domain, const char *to_host,
    const struct transfer_options *o, struct err *e)
{
    struct side from, to;
    char words[256];
    int pair[2];
    pthread_t thread;
    int rc = open_side(&from, host, o);
    int rc_to = open_side(&to, to_host, o);

    if (!rc && rc_to)
        rc = err_take(&from.err, &to.err);
    if (!rc)
        rc = describe(&from, domain, words, sizeof(words));
    if (!rc && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        rc = err_sys(&from.err, ERR_LOCAL, errno, "socketpair");
    if (!rc) {
        from.io_fd = pair[0];
        to.io_fd = pair[1];
        to.restore = true;
        rc = create_empty(&to, words);
        if (rc)
            err_take(&from.err, &to.err);
    }
    if (!rc) {
        if (pthread_create(&thread, NULL, run_side, &to)) {
            rc = err_set(&from.err, ERR_LOCAL, EAGAIN, "no thread for the receiving side");
        } else {
            run_side(&from);
            pthread_join(thread, NULL);
            rc = from.rc ? from.rc : to.rc ? to.rc : start_device(&to, from.device);
            if (rc)
                err_take(&from.err, &to.err);
        }
        if (rc) {
            go_on(&from, "resume");
            tell(&to, "destroy");
        } else {
            tell(&from, "destroy");
            if (!o->paused)
                go_on(&to, "unpause");
        }
        if (!rc && o->time)
            printf("%s %lld\n", to.domain, (long long)(to.ended_ns - from.begun_ns));
        else if (!rc)
            printf("%s\n", to.domain);
    }
    close_side(&from);
    close_side(&to);
    return rc ? err_take(e, &from.err) : 0;
}
