/* SPDX-License-Identifier: MIT */
#include "xensim/session.h"
#include "xensim/proto.h"
#include "xensim/shared.h"

#include <sys/mman.h>
#include <unistd.h>

void sessions_init(struct sessions *all, struct host *h)
{
    all->host = h;
    pthread_mutex_init(&all->lock, NULL);
}

void sessions_sweep_mappings(void *sessions, struct domain *d)
{
    struct sessions *all = sessions;

    pthread_mutex_lock(&all->lock);
    for (struct session *s = all->first; s; s = s->next)
        mappings_sweep_domain(&s->mappings, d);
    pthread_mutex_unlock(&all->lock);
}

static void session_free(struct session *s)
{
    mappings_free(&s->mappings);
    if (s->caller.arena)
        munmap(s->caller.arena, ARENA_BYTES);
    if (s->releases)
        munmap((void *)s->releases, MAX_MAPPINGS);
    for (int i = 1; i < 3; i++)
        if (s->fds[i] >= 0)
            close(s->fds[i]);
    free(s);
}

void session_put(struct session *s)
{
    if (atomic_fetch_sub(&s->refs, 1) == 1)
        session_free(s);
}

static void add_session(struct sessions *all, struct session *s)
{
    pthread_mutex_lock(&all->lock);
    s->token = ++all->next_token * 0x9E3779B97F4A7C15ull ^ (uint64_t)s->caller.pid;
    s->next = all->first;
    all->first = s;
    pthread_mutex_unlock(&all->lock);
}

struct session *session_new(struct sessions *all, int64_t pid, uint64_t arena_va)
{
    struct session *s = calloc(1, sizeof(*s));
    void *arena = NULL, *releases = NULL;

    if (!s)
        return NULL;
    s->all = all;
    atomic_init(&s->refs, 1);
    s->fds[0] = all->host->machine.fd;
    s->fds[1] = shared_create("xensim-arena", ARENA_BYTES, &arena);
    s->fds[2] = shared_create("xensim-releases", MAX_MAPPINGS, &releases);
    s->releases = releases;
    s->caller = (struct caller){.host = all->host,
        .pid = pid,
        .arena_va = arena_va,
        .arena = arena,
        .arena_bytes = ARENA_BYTES};
    if (mappings_init(&s->mappings, s->releases) || !arena || !releases) {
        session_free(s);
        return NULL;
    }
    add_session(all, s);
    return s;
}

struct session *session_by_token(struct sessions *all, uint64_t token)
{
    struct session *s;

    pthread_mutex_lock(&all->lock);
    for (s = all->first; s; s = s->next)
        if (s->token == token) {
            atomic_fetch_add(&s->refs, 1);
            break;
        }
    pthread_mutex_unlock(&all->lock);
    return s;
}

void session_end(struct session *s)
{
    struct sessions *all = s->all;

    pthread_mutex_lock(&all->lock);
    for (struct session **p = &all->first; *p; p = &(*p)->next)
        if (*p == s) {
            *p = s->next;
            break;
        }
    pthread_mutex_unlock(&all->lock);
    mappings_end(&s->mappings);
    session_put(s);
}
