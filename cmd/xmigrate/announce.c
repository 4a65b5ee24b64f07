/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/announce.h"

#include "base/deadline.h"
#include "base/units.h"
#include "cmd/exit_codes.h"
#include "cmd/link.h"
#include "cmd/xmigrate/rarp.h"
#include "engine/xen/vif.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SELF "/proc/self/exe"

/* A guest that has not connected its interfaces by then speaks for itself when it does. */
#define CONNECT_NS (60 * NS_PER_S)
/* It ends by then, whatever hangs. */
enum { LIMIT_S = 90 };

#define FIRST_PAUSE_NS (50 * NS_PER_MS)
#define MORE_PAUSE_NS  (100 * NS_PER_MS)

_Static_assert((int)XL_MAC_BYTES == (int)RARP_MAC_BYTES, "addresses of Ethernet");

void announce_vif_text(const struct xl_vif *vif, char text[static ANNOUNCE_VIF_BYTES])
{
    const uint8_t *m = vif->mac;

    snprintf(text, ANNOUNCE_VIF_BYTES, "%u/%02x:%02x:%02x:%02x:%02x:%02x/%s/%s", vif->devid, m[0],
        m[1], m[2], m[3], m[4], m[5], vif->bridge, vif->name);
}

int announce_vif_parse(const char *text, struct xl_vif *vif)
{
    uint8_t *m = vif->mac;
    int end = -1;

    _Static_assert(XL_IFNAME_BYTES == 16, "the widths below");
    *vif = (struct xl_vif){0};
    if (sscanf(text, "%u/%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx/%15[^/]/%15[^/]%n", &vif->devid, &m[0],
            &m[1], &m[2], &m[3], &m[4], &m[5], vif->bridge, vif->name, &end) != 9 ||
        end < 0 || text[end])
        return -EINVAL;
    return 0;
}

int64_t announce_pause_ns(unsigned round)
{
    return round < 2 ? 0 : FIRST_PAUSE_NS + (round - 1) * MORE_PAUSE_NS;
}

/* --- the process --- */

/* One that cannot be announced does not keep the others back; *e is of the first. */
static void announce_once(const struct xl_vif *vifs, unsigned count, struct err *e)
{
    for (unsigned i = 0; i < count; i++) {
        rarp_teach_bridge(vifs[i].name, vifs[i].mac, e);
        rarp_send(vifs[i].bridge, vifs[i].mac, e);
    }
}

/* Until the guest has connected them, or for a moment if xenstore cannot tell. */
static bool await_guest(uint32_t domid, const struct xl_vif *vifs, unsigned count)
{
    struct err none = ERR_INIT;
    unsigned devids[XL_MAX_VIFS];

    for (unsigned i = 0; i < count; i++)
        devids[i] = vifs[i].devid;

    const int rc = vif_await_connected(domid, devids, count, deadline_in(CONNECT_NS), &none);

    if (rc && rc != -ETIMEDOUT)
        sleep_until_ns(deadline_in(FIRST_PAUSE_NS));
    return rc != -ETIMEDOUT;
}

static void announce(uint32_t domid, const struct xl_vif *vifs, unsigned count, struct err *e)
{
    announce_once(vifs, count, e);
    if (!await_guest(domid, vifs, count))
        return;
    for (unsigned round = 1; round < ANNOUNCE_ROUNDS; round++) {
        sleep_until_ns(deadline_in(announce_pause_ns(round)));
        announce_once(vifs, count, e);
    }
}

/* Not if the migration has failed. */
static bool is_told_to(void)
{
    char byte;

    return read(STDIN_FILENO, &byte, 1) == 1;
}

int announce_main(
    const char *domid_text, char *const words[], unsigned count, const struct log *log)
{
    struct xl_vif vifs[XL_MAX_VIFS];
    struct err e = ERR_INIT;
    uint64_t domid;
    bool known = count <= XL_MAX_VIFS && parse_u64(domid_text, 1, LINK_MAX_DOMID, &domid);

    for (unsigned i = 0; i < count && known; i++)
        known = !announce_vif_parse(words[i], &vifs[i]);
    if (!known) {
        log_error(
            log, "--announce wants a domain's number and interfaces; xmigrate starts it itself");
        return EXIT_USAGE;
    }
    /* Who started us has other things to wait for. */
    if (fork() > 0)
        _exit(EXIT_DONE);
    if (!is_told_to())
        return EXIT_DONE;
    alarm(LIMIT_S);
    announce((uint32_t)domid, vifs, count, &e);
    if (!err_is_set(&e))
        return EXIT_DONE;
    log_warn(log, "domain %u: its arrival could not be announced: %s", (unsigned)domid, e.text);
    return EXIT_FAILED;
}

/* --- starting it --- */

static int spawn(char *const argv[], int stdin_fd, struct err *e)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    pid_t pid;
    int rc, status;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(
        &attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, stdin_fd, STDIN_FILENO);
    rc = posix_spawn(&pid, SELF, &files, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    if (rc)
        return err_sys(e, ERR_LOCAL, rc, "cannot start xmigrate --announce");
    /* It leaves a child and ends at once. */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return 0;
}

int announce_prepare(uint32_t domid, const libxl_domain_config *config, int *go_fd, struct err *e)
{
    char texts[XL_MAX_VIFS][ANNOUNCE_VIF_BYTES], number[12];
    char *argv[XL_MAX_VIFS + 4] = {(char *)"xmigrate", (char *)"--announce", number};
    struct xl_vif vifs[XL_MAX_VIFS];
    const unsigned count = xl_config_bridged_vifs(config, domid, vifs);
    int ends[2];

    *go_fd = -1;
    if (!count)
        return 0;
    if (pipe2(ends, O_CLOEXEC))
        return err_sys(e, ERR_LOCAL, errno, "cannot make a pipe");
    snprintf(number, sizeof(number), "%u", domid);
    for (unsigned i = 0; i < count; i++) {
        announce_vif_text(&vifs[i], texts[i]);
        argv[3 + i] = texts[i];
    }

    const int rc = spawn(argv, ends[0], e);

    close(ends[0]);
    if (rc)
        close(ends[1]);
    else
        *go_fd = ends[1];
    return rc;
}

int announce_now(int go_fd, struct err *e)
{
    const ssize_t n = write(go_fd, "", 1);
    const int code = errno;

    close(go_fd);
    return n == 1 ? 0 : err_sys(e, ERR_LOCAL, code, "xmigrate --announce has ended");
}
