/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/handoff/rescuer.h"

#include "base/deadline.h"
#include "base/io.h"
#include "cmd/paths.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The guest is suspended meanwhile. */
#define ANSWER_NS (2 * NS_PER_S)

enum { DISARM = 'd', END = 'e' };

/* What the rescuer needs of its supervisor. */
struct orders {
    char program[PATHS_BYTES];
    const char *config_dir;
};

static void wait_for_the_end(const void *arg)
{
    const struct orders *o = arg;
    char word = bystander_hear();

    if (!word)
        bystander_become(o->program, (char *[]){"xmigrate", "--recover", NULL});
    if (word != DISARM)
        return;
    bystander_say(DISARM);
    if (!bystander_hear())
        bystander_become(o->program,
            (char *[]){"xmigrate", "--resolve", "--config-dir", (char *)o->config_dir, NULL});
}

int rescuer_start(struct bystander *r, const char *config_dir, struct err *e)
{
    struct orders o = {.config_dir = config_dir};
    int rc = find_program("xmigrate", o.program, e);

    r->sock = -1;
    if (!rc && (rc = bystander_start(r, wait_for_the_end, &o, e)))
        err_prepend(e, "starting the rescuer");
    return rc;
}

void rescuer_begin_disarm(struct bystander *r)
{
    const char word = DISARM;

    if (r->sock >= 0)
        send(r->sock, &word, 1, MSG_NOSIGNAL);
}

int rescuer_disarm(struct bystander *r, struct err *e)
{
    char word;

    if (r->sock < 0)
        return 0;

    const int rc = io_wait(r->sock, POLLIN, NULL, deadline_in(ANSWER_NS));

    /* Its answer, or its end (a reset if our word was never read): nobody but us holds the other
     * end of its socket. */
    if (rc || (recv(r->sock, &word, 1, MSG_DONTWAIT) < 0 && errno != ECONNRESET))
        return err_set(e, ERR_LOCAL, ETIMEDOUT,
            "the process that would bring the guest back (%d) does not answer", (int)r->pid);
    return 0;
}

/* Its socket says so; an answer that came too late may stand before that. */
static bool has_ended(const struct bystander *r, int64_t deadline_ns)
{
    char word;

    while (!io_wait(r->sock, POLLIN, NULL, deadline_ns))
        if (recv(r->sock, &word, 1, MSG_DONTWAIT) <= 0)
            return true;
    return false;
}

void rescuer_end(struct bystander *r)
{
    const char word = END;

    if (r->sock < 0)
        return;
    send(r->sock, &word, 1, MSG_NOSIGNAL);
    /* It has nothing left to do, and may hang. */
    if (!has_ended(r, deadline_in(ANSWER_NS)))
        kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    close(r->sock);
    r->sock = -1;
}
