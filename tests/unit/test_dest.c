/* SPDX-License-Identifier: MIT */
/* The destination's story: a scripted in, and a loader that notes what it was asked for. What is in
 * engine/guest/load.c is the test's own here. */
#include "engine/dest.h"
#include "engine/guest/load.h"
#include "engine/in/in.h"
#include "engine/xen/cpu_policy.h"
#include "transport/v3.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { MAX_EVENTS = 16, POPULATED = 1234, WIRE_BYTES = 5678 };

/* All that was called, in words. */
struct fixture {
    struct in in;
    const struct in_event *script;
    unsigned next_event;
    bool prepares;     /* PREPARE comes among the pages */
    const char *fails; /* the call of that name */
    const char *fails_too;
    enum err_side side; /* of that failure */
    char calls[512];
    struct cancel cancel;
    struct err answered; /* as the source heard it */
    struct arrival arrival;
    unsigned missing;
    unsigned progress_calls;
    uint64_t told_pages, told_bytes;
    struct dest_result result;
    struct err e;
};

static struct fixture f;

static int note(struct err *e, const char *name)
{
    const size_t used = strlen(f.calls);

    snprintf(f.calls + used, sizeof(f.calls) - used, "%s%s", used ? " " : "", name);
    if ((f.fails && !strcmp(f.fails, name)) || (f.fails_too && !strcmp(f.fails_too, name))) {
        const int rc = err_set(e, ERR_LOCAL, EIO, "%s failed", name);

        e->side = f.side;
        return rc;
    }
    return 0;
}

/* ---- the loader ---- */

int load_open(struct loader *l, const struct loader_params *p, uint32_t v3_guest_type,
    uint64_t frame_limit, struct err *e)
{
    assert_int_equal(p->domid, 7);
    assert_int_equal(v3_guest_type, V3_GUEST_HVM);
    assert_int_equal(frame_limit, 100);
    *l = (struct loader){.p = p};
    atomic_store(&l->frames.populated_pages, POPULATED);
    return note(e, "open");
}

void load_close(struct loader *l)
{
    (void)l;
    note(&(struct err)ERR_INIT, "unload");
}

int load_state(struct loader *l, const struct in_event *state, struct err *e)
{
    (void)l;
    assert_int_equal(state->len_bytes, 3);
    assert_memory_equal(state->body, "abc", 3);
    return note(e, v3_name(state->v3_type));
}

int load_static_done(struct loader *l, unsigned *missing, struct err *e)
{
    (void)l;
    *missing = CPU_POLICY_NO_MSRS;
    return note(e, "static");
}

int load_check_ready(struct loader *l, struct err *e)
{
    (void)l;
    return note(e, "ready");
}

int load_prepare(struct loader *l, struct guest_rings *rings, struct err *e)
{
    (void)l;
    *rings = (struct guest_rings){.store_gfn = 11, .console_gfn = 12};
    return note(e, "prepare");
}

int load_complete(struct loader *l, struct guest_rings *rings, struct err *e)
{
    (void)l;
    *rings = (struct guest_rings){.store_gfn = 11, .console_gfn = 12};
    return note(e, "complete");
}

/* ---- the in ---- */

static int fake_head(struct in *in, struct in_head *head, struct err *e)
{
    (void)in;
    *head = (struct in_head){V3_GUEST_HVM, 100};
    return note(e, "head");
}

static int fake_next(struct in *in, struct in_event *event, struct err *e)
{
    (void)in;
    *event = f.script[f.next_event++];
    return event->kind == IN_END ? note(e, "end") : note(e, "next");
}

static int fake_pages(
    struct in *in, struct frames *frames, const struct in_hook *hook, struct err *e)
{
    (void)in;
    assert_int_equal(atomic_load(&frames->populated_pages), POPULATED);
    hook->placed(hook->arg);
    hook->placed(hook->arg);
    if (f.prepares && hook->prepare(hook->arg, e))
        return -e->code;
    return note(e, "pages");
}

static int fake_answer(
    struct in *in, const struct err *failure, const struct arrival *arrival, struct err *e)
{
    (void)in;
    f.answered = *failure;
    f.arrival = *arrival;
    return note(e, "answer");
}

static uint64_t fake_wire_bytes(const struct in *in)
{
    (void)in;
    return WIRE_BYTES;
}

static void fake_close(struct in *in)
{
    (void)in;
    note(&(struct err)ERR_INIT, "close");
}

static const struct in_ops fake_ops = {
    .head = fake_head,
    .next = fake_next,
    .pages = fake_pages,
    .answer = fake_answer,
    .wire_bytes = fake_wire_bytes,
    .close = fake_close,
};

/* ---- who runs it ---- */

static int tell_static_data(void *arg, unsigned missing, struct err *e)
{
    (void)arg;
    f.missing = missing;
    return note(e, "told");
}

static int build_around(void *arg, const struct guest_rings *rings, struct err *e)
{
    (void)arg;
    assert_int_equal(rings->store_gfn, 11);
    return note(e, "build");
}

static void tell_progress(void *arg, uint64_t populated_pages, uint64_t wire_bytes)
{
    (void)arg;
    f.progress_calls++;
    f.told_pages = populated_pages;
    f.told_bytes = wire_bytes;
}

#define STATE(type)                                                                                \
    {                                                                                              \
        .kind = IN_STATE, .v3_type = (type), .body = "abc", .len_bytes = 3                         \
    }

static const struct in_event whole_image[] = {
    STATE(V3_X86_CPUID_POLICY),
    {.kind = IN_STATE, .v3_type = V3_STATIC_DATA_END},
    {.kind = IN_PAGES},
    STATE(V3_HVM_CONTEXT),
    {.kind = IN_END},
};

#define WHOLE_STORY                                                                                \
    "head open next X86_CPUID_POLICY next static told next ready pages next HVM_CONTEXT end ready" \
    " complete answer close unload"

static int run(const struct in_event *script)
{
    const struct dest_toolstack toolstack = {tell_static_data, build_around, NULL};
    const struct dest_report_ops report = {tell_progress, NULL};
    const struct dest_params p = {
        .guest = {.domid = 7},
        .in = &f.in,
        .cancel = &f.cancel,
        .toolstack = &toolstack,
        .report = &report,
    };

    struct dest *left;

    f.script = script;

    const int rc = dest_run(&p, &f.result, &left, &f.e);

    assert_int_equal(!left, rc != 0);
    if (left) {
        /* The source has its answer, and the guest stands still: that is not the time to tidy. */
        assert_null(strstr(f.calls, "close"));
        assert_null(strstr(f.calls, "unload"));
        dest_close(left);
    }
    return rc;
}

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){.in = {&fake_ops, "the fake"}, .e = ERR_INIT};
    return cancel_init(&f.cancel, &f.e);
}

static int tear_down(void **state)
{
    (void)state;
    cancel_destroy(&f.cancel);
    return 0;
}

static void test_a_whole_image(void **state)
{
    (void)state;
    assert_int_equal(run(whole_image), 0);
    assert_string_equal(f.calls, WHOLE_STORY);
    assert_false(err_is_set(&f.e));
    assert_false(err_is_set(&f.answered));
    assert_false(cancel_is_fired(&f.cancel));
    assert_int_equal(f.missing, CPU_POLICY_NO_MSRS);
    assert_int_equal(f.result.rings.store_gfn, 11);
    assert_int_equal(f.result.rings.console_gfn, 12);
    assert_int_equal(f.result.wire_bytes, WIRE_BYTES);
    assert_int_equal(f.result.arrival.populated_pages, POPULATED);
    assert_int_equal(f.arrival.populated_pages, POPULATED);
    assert_true(f.arrival.finish_ns >= 0);
}

/* What libxl builds around the guest is not waited for. */
static void test_a_guest_is_prepared_while_pages_come(void **state)
{
    (void)state;
    f.prepares = true;
    assert_int_equal(run(whole_image), 0);
    assert_non_null(strstr(f.calls, "told next ready prepare build pages next"));
    assert_int_equal(f.result.rings.store_gfn, 11);
    tear_down(state);

    set_up(state);
    f.prepares = true;
    f.fails = "prepare";
    assert_int_equal(run(whole_image), -EIO);
    assert_null(strstr(f.calls, "build"));
    assert_string_equal(f.answered.text, "prepare failed");
}

/* What the story would have done up to and with that call; then it only cleans up. */
static void check_story_until(const char *name)
{
    char expected[sizeof(f.calls)] = " " WHOLE_STORY " ", word[32];

    snprintf(word, sizeof(word), " %s ", name);

    char *end = strstr(expected, word);

    assert_non_null(end);
    snprintf(end + strlen(word), 32, "answer close unload");
    assert_string_equal(f.calls, expected + 1);
}

static void test_each_failure_ends_it_and_is_answered(void **state)
{
    static const char *const steps[] = {"head", "open", "next", "X86_CPUID_POLICY", "static",
        "told", "ready", "pages", "HVM_CONTEXT", "end", "complete"};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        char text[64];

        set_up(state);
        f.fails = steps[i];
        snprintf(text, sizeof(text), "%s failed", steps[i]);
        assert_int_equal(run(whole_image), -EIO);
        check_story_until(steps[i]);
        assert_string_equal(f.e.text, text);
        assert_int_equal(f.e.side, SIDE_DESTINATION);
        assert_string_equal(f.answered.text, text);
        assert_int_equal(f.answered.side, SIDE_DESTINATION);
        assert_true(cancel_is_fired(&f.cancel));
        assert_int_equal(f.result.wire_bytes, WIRE_BYTES);
        tear_down(state);
    }
    set_up(state);
}

static void test_the_first_cause_is_kept(void **state)
{
    (void)state;
    f.fails = "pages";
    f.fails_too = "answer";
    assert_int_equal(run(whole_image), -EIO);
    assert_string_equal(f.e.text, "pages failed");
    assert_non_null(strstr(f.calls, "answer close"));
}

static void test_a_failure_keeps_its_side(void **state)
{
    (void)state;
    f.fails = "pages";
    f.side = SIDE_SOURCE;
    assert_int_equal(run(whole_image), -EIO);
    assert_int_equal(f.answered.side, SIDE_SOURCE);
}

/* The source does not know that all is in place: then it is not given to it. */
static void test_an_answer_that_cannot_be_given_is_a_failure(void **state)
{
    (void)state;
    f.fails = "answer";
    assert_int_equal(run(whole_image), -EIO);
    assert_string_equal(f.calls, WHOLE_STORY);
    assert_string_equal(f.e.text, "answer failed");
    assert_false(err_is_set(&f.answered));
}

static void test_pages_may_come_in_pieces(void **state)
{
    (void)state;
    static const struct in_event script[] = {
        {.kind = IN_STATE, .v3_type = V3_STATIC_DATA_END},
        {.kind = IN_PAGES},
        {.kind = IN_PAGES},
        {.kind = IN_END},
    };

    assert_int_equal(run(script), 0);
    assert_string_equal(f.calls,
        "head open next static told next ready pages next ready pages end ready complete answer"
        " close unload");
}

static void test_a_checkpoint_is_refused(void **state)
{
    (void)state;
    static const struct in_event script[] = {
        {.kind = IN_STATE, .v3_type = V3_STATIC_DATA_END},
        {.kind = IN_PAGES},
        {.kind = IN_CHECKPOINT},
        {.kind = IN_END},
    };

    assert_int_equal(run(script), -EPROTO);
    assert_int_equal(f.e.class, ERR_PEER);
    assert_string_equal(
        f.e.text, "the fake: a checkpointed stream (Remus or COLO), which is not supported");
    assert_null(strstr(f.calls, "complete"));
    assert_string_equal(f.answered.text, f.e.text);
}

/* Lanes call for each batch: about five times a second somebody is told. */
static void test_progress_is_told_now_and_then(void **state)
{
    (void)state;
    assert_int_equal(run(whole_image), 0);
    assert_int_equal(f.progress_calls, 1);
    assert_int_equal(f.told_pages, POPULATED);
    assert_int_equal(f.told_bytes, WIRE_BYTES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_whole_image),
        TEST(test_each_failure_ends_it_and_is_answered),
        TEST(test_a_guest_is_prepared_while_pages_come),
        TEST(test_the_first_cause_is_kept),
        TEST(test_a_failure_keeps_its_side),
        TEST(test_an_answer_that_cannot_be_given_is_a_failure),
        TEST(test_pages_may_come_in_pieces),
        TEST(test_a_checkpoint_is_refused),
        TEST(test_progress_is_told_now_and_then),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
