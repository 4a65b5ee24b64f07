/* SPDX-License-Identifier: MIT */
#include "base/limited.h"

#include "base/io.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The thread when it ends or the caller when it gives up: whichever comes second frees it. */
struct job {
    const struct limited_call *call;
    void *arg;
    int event_fd;
    pthread_mutex_t lock; /* guards what follows */
    bool over;
    bool left;
};

static void free_job(struct job *j)
{
    close(j->event_fd);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

static void *run(void *arg)
{
    struct job *j = arg;

    j->call->make(j->arg);
    eventfd_write(j->event_fd, 1);
    pthread_mutex_lock(&j->lock);
    j->over = true;

    const bool left = j->left;

    pthread_mutex_unlock(&j->lock);
    if (left) {
        j->call->drop(j->arg);
        free_job(j);
    }
    return NULL;
}

/* Was it still under way? */
static bool leave(struct job *j)
{
    pthread_mutex_lock(&j->lock);

    const bool left = !j->over;

    if (left && j->call->leave)
        j->call->leave(j->arg);
    j->left = left;
    pthread_mutex_unlock(&j->lock);
    return left;
}

int limited_run(const struct limited_call *call, void *arg, int64_t deadline_ns)
{
    struct job *j = calloc(1, sizeof(*j));
    pthread_t thread;
    int rc;

    if (!j)
        return -ENOMEM;
    *j = (struct job){
        .call = call,
        .arg = arg,
        .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    };
    if (j->event_fd < 0) {
        rc = errno;
        free(j);
        return -rc;
    }
    pthread_mutex_init(&j->lock, NULL);
    rc = pthread_create(&thread, NULL, run, j);
    if (rc) {
        free_job(j);
        return -rc;
    }
    if (io_wait(j->event_fd, POLLIN, NULL, deadline_ns) && leave(j)) {
        pthread_detach(thread);
        return -ETIMEDOUT;
    }
    pthread_join(thread, NULL);
    free_job(j);
    return 0;
}
