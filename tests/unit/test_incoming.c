/* SPDX-License-Identifier: MIT */
/* The end of a conversation at the destination: it waits to be heard, but not for ever. */
#include "base/deadline.h"
#include "cmd/xmigrate/session/incoming.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define SILENT_NS (200 * NS_PER_MS)
#define FAR_NS    (5 * NS_PER_S)

static struct {
    enum control_type says; /* again and again; 0: nothing */
    bool gone;
    int64_t begun_ns;
    int event_fd; /* never readable */
} now;

/* --- the source, in place of the mailbox --- */

int mailbox_start(struct mailbox **box, struct control *control, int64_t silent_ns, struct err *e)
{
    (void)box;
    (void)control;
    (void)silent_ns;
    (void)e;
    return 0;
}

int mailbox_event_fd(const struct mailbox *box)
{
    (void)box;
    return now.event_fd;
}

int mailbox_take(struct mailbox *box, enum control_type *type, const void **body, size_t *len_bytes,
    struct err *e)
{
    (void)box;
    if (now.gone || deadline_passed(now.begun_ns + FAR_NS))
        return err_set(e, ERR_PEER, ENODATA, "gone");
    *type = now.says;
    *body = NULL;
    *len_bytes = 0;
    return now.says != 0;
}

void mailbox_stop(struct mailbox *box)
{
    (void)box;
}

/* --- the tests --- */

static bool await(int64_t *took_ns)
{
    const struct listen_options options = {.silent_ns = SILENT_NS};
    struct incoming in = {.o = &options, .ping_ns = DEADLINE_NEVER};

    now.begun_ns = now_ns();
    now.event_fd = eventfd(0, EFD_CLOEXEC);
    assert_true(now.event_fd >= 0);

    const bool heard = incoming_await_heard(&in);

    *took_ns = now_ns() - now.begun_ns;
    close(now.event_fd);
    return heard;
}

static void a_source_that_has_heard_ends_the_wait(void **state)
{
    int64_t took_ns;

    (void)state;
    now.says = CONTROL_HEARD;
    now.gone = false;
    assert_true(await(&took_ns));
}

static void a_source_that_is_gone_ends_the_wait(void **state)
{
    int64_t took_ns;

    (void)state;
    now.gone = true;
    assert_false(await(&took_ns));
}

static void a_silent_source_is_waited_for(void **state)
{
    int64_t took_ns;

    (void)state;
    now.says = 0;
    now.gone = false;
    assert_false(await(&took_ns));
    assert_true(took_ns >= SILENT_NS && took_ns < FAR_NS);
}

static void a_source_that_says_anything_else_is_not_waited_for_longer(void **state)
{
    int64_t took_ns;

    (void)state;
    now.says = CONTROL_LIBXL_END;
    now.gone = false;
    assert_false(await(&took_ns));
    assert_true(took_ns < FAR_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_that_has_heard_ends_the_wait),
        cmocka_unit_test(a_source_that_is_gone_ends_the_wait),
        cmocka_unit_test(a_silent_source_is_waited_for),
        cmocka_unit_test(a_source_that_says_anything_else_is_not_waited_for_longer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
