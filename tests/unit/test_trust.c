/* SPDX-License-Identifier: MIT */
/* The file of trusted peers: what goes in comes out, comments stay, nonsense closes the door. */
#include "tests/unit/hosts.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define KEY_A "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define KEY_B "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB0"
#define KEY_C "SHA256:c+/cccccccccccccccccccccccccccccccccccccccc"

static int make_dir(void **state)
{
    static struct host h;

    make_host_dir(&h);
    *state = &h;
    return 0;
}

static int drop_dir(void **state)
{
    drop_host(*state);
    return 0;
}

static void add(const struct host *h, const char *fingerprint, const char *name)
{
    struct err e = ERR_INIT;

    if (trust_add(h->dir, fingerprint, name, NULL, &e))
        fail_msg("%s", e.text);
}

static void assert_file(const struct host *h, const char *wanted)
{
    char path[CONFIG_PATH_BYTES], *text;
    struct err e = ERR_INIT;
    struct stat st;
    size_t len;

    config_path(h->dir, "trusted", path, &e);
    assert_int_equal(config_read(path, &text, &len, &st, &e), 0);
    assert_string_equal(text, wanted);
    free(text);
}

/* NULL: not trusted. */
static void assert_name(const struct host *h, const char *fingerprint, const char *wanted)
{
    char name[TRUST_NAME_BYTES];
    struct err e = ERR_INIT;
    bool found = !wanted;
    unsigned rights;

    if (trust_find(h->dir, fingerprint, &found, name, &rights, &e))
        fail_msg("%s", e.text);
    assert_int_equal(found, wanted != NULL);
    if (wanted)
        assert_string_equal(name, wanted);
}

static void test_fingerprints_have_one_form(void **state)
{
    (void)state;
    assert_true(trust_is_fingerprint(KEY_A));
    assert_true(trust_is_fingerprint(KEY_C));
    assert_false(trust_is_fingerprint(""));
    assert_false(trust_is_fingerprint("SHA256:"));
    assert_false(trust_is_fingerprint(KEY_A "A"));
    assert_false(trust_is_fingerprint(KEY_A "="));
    assert_false(trust_is_fingerprint("SHA256:AAAA"));
    assert_false(trust_is_fingerprint("sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    assert_false(trust_is_fingerprint("SHA256:AAAAAAAAAAAAAAAAAAAAA-AAAAAAAAAAAAAAAAAAAAA"));
}

static void test_nobody_is_trusted_at_first(void **state)
{
    assert_name(*state, KEY_A, NULL);
}

static void test_added_peers_are_found_by_key(void **state)
{
    add(*state, KEY_A, "host1");
    add(*state, KEY_B, NULL);
    assert_name(*state, KEY_A, "host1");
    assert_name(*state, KEY_B, "-");
    assert_name(*state, KEY_C, NULL);
    assert_file(*state, KEY_A " host1\n" KEY_B " -\n");
}

static void test_adding_again_renames(void **state)
{
    add(*state, KEY_A, "host1");
    add(*state, KEY_A, "host7");
    assert_file(*state, KEY_A " host7\n");
}

static void test_removal_is_by_key_or_name(void **state)
{
    struct err e = ERR_INIT;
    const struct host *h = *state;

    add(h, KEY_A, "host1");
    add(h, KEY_B, "host2");
    add(h, KEY_C, NULL);
    assert_int_equal(trust_remove(h->dir, KEY_A, &e), 0);
    assert_int_equal(trust_remove(h->dir, "host2", &e), 0);
    assert_file(h, KEY_C " -\n");
    assert_int_equal(trust_remove(h->dir, "-", &e), -ENOENT); /* that is no name */
    assert_int_equal(e.class, ERR_REFUSED);
    assert_file(h, KEY_C " -\n");
}

/* Whoever goes by another's key as a name is somebody else. */
static void test_a_key_as_a_name_means_its_owner(void **state)
{
    const struct host *h = *state;
    struct err e = ERR_INIT;

    add(h, KEY_A, KEY_B);
    add(h, KEY_B, "host2");
    assert_file(h, KEY_A " " KEY_B "\n" KEY_B " host2\n");
    assert_int_equal(trust_remove(h->dir, KEY_B, &e), 0);
    assert_file(h, KEY_A " " KEY_B "\n");
}

static void test_comments_and_blank_lines_stay(void **state)
{
    put_file(*state, "trusted", "# the rack\n\n" KEY_A "\thost1\n  # below\n" KEY_B, 0600);
    assert_name(*state, KEY_A, "host1");
    assert_name(*state, KEY_B, "-");
    add(*state, KEY_C, "host3");
    add(*state, KEY_B, "host2");
    assert_file(
        *state, "# the rack\n\n" KEY_A "\thost1\n  # below\n" KEY_C " host3\n" KEY_B " host2\n");
}

static void test_bad_words_are_refused_and_change_nothing(void **state)
{
    static const char *const bad_names[] = {"two words", "", "#x", "new\nline", "tab\t", "\x1b[1m"};
    const struct host *h = *state;
    char long_name[TRUST_NAME_BYTES + 1];

    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[TRUST_NAME_BYTES] = '\0';
    add(h, KEY_A, "host1");
    for (size_t i = 0; i <= sizeof(bad_names) / sizeof(bad_names[0]); i++) {
        const char *name = i ? bad_names[i - 1] : long_name;
        struct err e = ERR_INIT;

        assert_int_equal(trust_add(h->dir, KEY_B, name, NULL, &e), -EINVAL);
        assert_int_equal(e.class, ERR_USAGE);
    }

    struct err e = ERR_INIT;

    assert_int_equal(trust_add(h->dir, "host2", "host2", NULL, &e), -EINVAL);
    assert_says(&e, "\"host2\" is not a fingerprint");
    assert_file(h, KEY_A " host1\n");
}

/* What the file lets that key do. */
static unsigned rights_of(const struct host *h, const char *fingerprint)
{
    char name[TRUST_NAME_BYTES];
    struct err e = ERR_INIT;
    unsigned rights;
    bool found;

    if (trust_find(h->dir, fingerprint, &found, name, &rights, &e))
        fail_msg("%s", e.text);
    return rights;
}

static void add_for(
    const struct host *h, const char *fingerprint, const char *name, const char *rights)
{
    struct err e = ERR_INIT;

    if (trust_add(h->dir, fingerprint, name, rights, &e))
        fail_msg("%s", e.text);
}

static void test_rights_are_kept_until_they_are_changed(void **state)
{
    const struct host *h = *state;

    add_for(h, KEY_A, "host1", "status,send");
    add_for(h, KEY_B, NULL, "receive");
    add(h, KEY_C, "host3");
    assert_file(h, KEY_A " host1 send,status\n" KEY_B " - receive\n" KEY_C " host3\n");
    assert_int_equal(rights_of(h, KEY_A), TRUST_SEND | TRUST_STATUS);
    assert_int_equal(rights_of(h, KEY_B), TRUST_RECEIVE);
    assert_int_equal(rights_of(h, KEY_C), TRUST_ALL);
    add(h, KEY_A, "host7");
    assert_int_equal(rights_of(h, KEY_A), TRUST_SEND | TRUST_STATUS);
    add_for(h, KEY_A, "host7", "send,receive,status");
    assert_file(h, KEY_B " - receive\n" KEY_C " host3\n" KEY_A " host7\n");
    add_for(h, KEY_A, NULL, NULL);
    assert_file(h, KEY_B " - receive\n" KEY_C " host3\n" KEY_A " host7\n");
}

static void test_rights_that_nobody_knows_are_refused(void **state)
{
    static const char *const bad[] = {
        "", "all", "send,", ",send", "send,,status", "sends", "sen", "send status", "SEND"};

    add(*state, KEY_A, "host1");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct host *h = *state;
        struct err e = ERR_INIT;

        assert_int_equal(trust_add(h->dir, KEY_A, "host1", bad[i], &e), -EINVAL);
        assert_int_equal(e.class, ERR_USAGE);
        assert_says(&e, "are no rights");
        assert_file(h, KEY_A " host1\n");
    }
}

static void refuse_all(const struct host *h, const char *says)
{
    char name[TRUST_NAME_BYTES];
    unsigned rights;
    struct err find = ERR_INIT, change = ERR_INIT;
    bool found = true;

    assert_true(trust_find(h->dir, KEY_A, &found, name, &rights, &find) < 0);
    assert_false(found);
    assert_string_equal(name, "");
    assert_says(&find, says);
    assert_true(trust_add(h->dir, KEY_B, "host2", NULL, &change) < 0);
    assert_says(&change, says);
}

static void test_a_line_that_makes_no_sense_closes_the_door(void **state)
{
    static const char *const lines[] = {"host1", "SHA256:short host1", KEY_A " host1 extra",
        KEY_A " host1 send, receive", KEY_A " host1 send status", KEY_A "= host1", "host1 " KEY_A};
    char text[512];

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        snprintf(text, sizeof(text), KEY_A " host1\n%s\n", lines[i]);
        put_file(*state, "trusted", text, 0600);
        refuse_all(*state, "line 2 makes no sense");
        assert_file(*state, text);
    }
}

static void test_a_file_that_others_can_write_closes_the_door(void **state)
{
    put_file(*state, "trusted", KEY_A " host1\n", 0660);
    refuse_all(*state, "chmod 600");
    put_file(*state, "trusted", KEY_A " host1\n", 0602);
    refuse_all(*state, "chmod 600");
    put_file(*state, "trusted", KEY_A " host1\n", 0644);
    assert_name(*state, KEY_A, "host1");
}

enum { ADDERS = 8 };

struct adder {
    const struct host *h;
    char fingerprint[FINGERPRINT_BYTES], name[8];
    int rc;
};

static void *run_adder(void *arg)
{
    struct adder *a = arg;
    struct err e = ERR_INIT;

    a->rc = trust_add(a->h->dir, a->fingerprint, a->name, NULL, &e);
    return NULL;
}

static void test_changes_at_once_are_all_kept(void **state)
{
    struct adder adders[ADDERS];
    pthread_t threads[ADDERS];

    for (int i = 0; i < ADDERS; i++) {
        adders[i] = (struct adder){.h = *state, .fingerprint = KEY_A};
        adders[i].fingerprint[10] = (char)('a' + i);
        snprintf(adders[i].name, sizeof(adders[i].name), "host%d", i);
        assert_int_equal(pthread_create(&threads[i], NULL, run_adder, &adders[i]), 0);
    }
    for (int i = 0; i < ADDERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(adders[i].rc, 0);
    }
    for (int i = 0; i < ADDERS; i++)
        assert_name(*state, adders[i].fingerprint, adders[i].name);
}

static void test_two_hosts_do_not_share_a_name(void **state)
{
    const struct host *h = *state;
    struct err e = ERR_INIT;

    add(h, KEY_A, "host1");
    assert_int_equal(trust_add(h->dir, KEY_B, "host1", NULL, &e), -EEXIST);
    assert_int_equal(e.class, ERR_REFUSED);
    assert_says(&e, "--untrust host1");
    assert_file(h, KEY_A " host1\n");
    /* None is not a name, and whoever has it keeps it. */
    add(h, KEY_A, "host1");
    add(h, KEY_B, NULL);
    add(h, KEY_C, "-");
    assert_name(h, KEY_C, "-");
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fingerprints_have_one_form),
        IN_DIR(test_nobody_is_trusted_at_first),
        IN_DIR(test_added_peers_are_found_by_key),
        IN_DIR(test_adding_again_renames),
        IN_DIR(test_removal_is_by_key_or_name),
        IN_DIR(test_a_key_as_a_name_means_its_owner),
        IN_DIR(test_comments_and_blank_lines_stay),
        IN_DIR(test_bad_words_are_refused_and_change_nothing),
        IN_DIR(test_rights_are_kept_until_they_are_changed),
        IN_DIR(test_rights_that_nobody_knows_are_refused),
        IN_DIR(test_a_line_that_makes_no_sense_closes_the_door),
        IN_DIR(test_a_file_that_others_can_write_closes_the_door),
        IN_DIR(test_changes_at_once_are_all_kept),
        IN_DIR(test_two_hosts_do_not_share_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
