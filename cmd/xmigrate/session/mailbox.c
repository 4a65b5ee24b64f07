/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/mailbox.h"

#include "base/deadline.h"
#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mailbox {
    struct control *control;
    int64_t silent_ns;
    int event_fd;
    atomic_int_fast64_t heard_ns; /* the thread writes it */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t taken;

    /* Under the lock. */
    bool full; /* a frame, or the end, waits to be taken */
    bool stopping;

    /* The thread's until full, then the taker's until it is not. */
    int result; /* 0: a frame; else why no more will come */
    enum control_type type;
    size_t len_bytes;
    unsigned filled;      /* which body the frame is in */
    size_t used_bytes[2]; /* of each body, at most so far */
    struct err e;

    /* The thread fills one while the taker still looks at the other. */
    uint8_t bodies[2][CONTROL_BODY_BYTES];
};

/* False: nobody wants more. */
static bool hand_over(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->full = true;
    eventfd_write(box->event_fd, 1);
    while (box->full && !box->stopping)
        pthread_cond_wait(&box->taken, &box->lock);

    const bool more = !box->stopping;

    pthread_mutex_unlock(&box->lock);
    return more;
}

static void note_frame(struct mailbox *box)
{
    size_t *used_bytes = &box->used_bytes[box->filled];

    if (box->len_bytes > *used_bytes)
        *used_bytes = box->len_bytes;
    atomic_store(&box->heard_ns, now_ns());
}

static void *run(void *arg)
{
    struct mailbox *box = arg;

    do {
        box->filled = !box->filled;
        do {
            box->result = control_recv(box->control, &box->type, box->bodies[box->filled],
                &box->len_bytes, deadline_in(box->silent_ns), &box->e);
            if (!box->result)
                note_frame(box);
            else if (box->result != -ENODATA)
                box->used_bytes[box->filled] = CONTROL_BODY_BYTES; /* part of a frame, perhaps */
        } while (!box->result && box->type == CONTROL_PING);
        if (box->result == -ENODATA)
            err_set(&box->e, ERR_PEER, ECONNRESET, "%s: closed by the other end",
                box->control->ch->name);
    } while (hand_over(box) && !box->result);
    return NULL;
}

int mailbox_start(struct mailbox **out, struct control *control, int64_t silent_ns, struct err *e)
{
    struct mailbox *box = calloc(1, sizeof(*box));

    if (!box)
        return err_set(e, ERR_LOCAL, ENOMEM, "out of memory for the control connection");
    box->control = control;
    box->silent_ns = silent_ns;
    atomic_init(&box->heard_ns, now_ns());
    box->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (box->event_fd < 0) {
        const int rc = err_sys(e, ERR_LOCAL, errno, "cannot make an eventfd");

        free(box);
        return rc;
    }
    pthread_mutex_init(&box->lock, NULL);
    pthread_cond_init(&box->taken, NULL);

    const int code = pthread_create(&box->thread, NULL, run, box);

    if (code) {
        pthread_cond_destroy(&box->taken);
        pthread_mutex_destroy(&box->lock);
        close(box->event_fd);
        free(box);
        return err_sys(e, ERR_LOCAL, code, "cannot start a thread");
    }
    *out = box;
    return 0;
}

int64_t mailbox_heard_ns(const struct mailbox *box)
{
    return atomic_load(&box->heard_ns);
}

int mailbox_event_fd(const struct mailbox *box)
{
    return box->event_fd;
}

int mailbox_take(struct mailbox *box, enum control_type *type, const void **body, size_t *len_bytes,
    struct err *e)
{
    int rc = 0;

    pthread_mutex_lock(&box->lock);
    if (box->full && box->result) {
        rc = err_take(e, &box->e); /* stays full and readable: whoever asks again hears it again */
    } else if (box->full) {
        eventfd_t ignored;

        eventfd_read(box->event_fd, &ignored);
        *type = box->type;
        *body = box->bodies[box->filled];
        *len_bytes = box->len_bytes;
        box->full = false;
        pthread_cond_signal(&box->taken);
        rc = 1;
    }
    pthread_mutex_unlock(&box->lock);
    return rc;
}

int mailbox_wait(struct mailbox *box, enum control_type *type, const void **body, size_t *len_bytes,
    const struct cancel *cancel, int64_t deadline_ns, struct err *e)
{
    for (;;) {
        int rc = mailbox_take(box, type, body, len_bytes, e);

        if (rc)
            return rc;
        rc = io_wait(box->event_fd, POLLIN, cancel, deadline_ns);
        if (rc)
            return err_set(e, rc == -ECANCELED ? ERR_CANCELLED : ERR_PEER, -rc,
                "%s: waiting for an answer: %s", box->control->ch->name, io_strerror(rc));
    }
}

void mailbox_stop(struct mailbox *box)
{
    if (!box)
        return;
    pthread_mutex_lock(&box->lock);
    box->stopping = true;
    pthread_cond_signal(&box->taken);
    pthread_mutex_unlock(&box->lock);
    channel_shutdown(box->control->ch);
    pthread_join(box->thread, NULL);
    pthread_cond_destroy(&box->taken);
    pthread_mutex_destroy(&box->lock);
    close(box->event_fd);
    /* ACCEPT carries a key. What was never used takes no memory, and must not start to. */
    for (int i = 0; i < 2; i++)
        explicit_bzero(box->bodies[i], box->used_bytes[i]);
    free(box);
}
