/* SPDX-License-Identifier: MIT */
/* Identities: made once, kept, the same for every first start that runs at once, and refused when
 * they could be somebody else's. */
#include "tests/unit/hosts.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void open_and_close(const struct host *h, char fingerprint[static FINGERPRINT_BYTES])
{
    struct identity id;
    struct err e = ERR_INIT;

    if (identity_open(&id, h->dir, &e))
        fail_msg("%s", e.text);
    strcpy(fingerprint, id.fingerprint);
    identity_close(&id);
}

static void path_of(const struct host *h, const char *name, char path[static CONFIG_PATH_BYTES])
{
    struct err e = ERR_INIT;

    assert_int_equal(config_path(h->dir, name, path, &e), 0);
}

static mode_t mode_of(const struct host *h, const char *name)
{
    char path[CONFIG_PATH_BYTES];
    struct stat st;

    path_of(h, name, path);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void refuse(const struct host *h, const char *says)
{
    struct identity id;
    struct err e = ERR_INIT;

    assert_true(identity_open(&id, h->dir, &e) < 0);
    assert_int_equal(e.class, ERR_LOCAL);
    assert_says(&e, says);
    assert_null(id.key);
}

static void test_first_start_makes_it_and_the_next_finds_it(void **state)
{
    char first[FINGERPRINT_BYTES], second[FINGERPRINT_BYTES];

    open_and_close(*state, first);
    assert_true(trust_is_fingerprint(first));
    assert_int_equal(mode_of(*state, "key.pem"), 0600);
    open_and_close(*state, second);
    assert_string_equal(first, second);
}

static void test_directory_is_made_for_its_owner_only(void **state)
{
    const struct host *h = *state;
    struct host below;

    snprintf(below.dir, sizeof(below.dir), "%.50s/etc", h->dir);
    below.tls = NULL;
    umask(0);
    open_host(&below);
    umask(022);
    assert_int_equal(mode_of(h, "etc"), 0700);
    drop_host(&below);
}

/* As a person would compute it: openssl pkey -pubout -outform DER | sha256 | base64. */
static void test_fingerprint_is_of_the_public_key(void **state)
{
    char path[CONFIG_PATH_BYTES], fingerprint[FINGERPRINT_BYTES], command[2 * CONFIG_PATH_BYTES],
        wanted[FINGERPRINT_BYTES] = "SHA256:";

    open_and_close(*state, fingerprint);
    path_of(*state, "key.pem", path);
    snprintf(command, sizeof(command),
        "openssl pkey -in %s -pubout -outform DER | openssl dgst -sha256 -binary | base64", path);

    FILE *p = popen(command, "re");

    assert_non_null(p);
    assert_non_null(fgets(wanted + 7, sizeof(wanted) - 7, p));
    pclose(p);
    wanted[strcspn(wanted, "=\n")] = '\0';
    assert_string_equal(fingerprint, wanted);
}

static void test_a_new_certificate_keeps_the_fingerprint(void **state)
{
    char path[CONFIG_PATH_BYTES], first[FINGERPRINT_BYTES], second[FINGERPRINT_BYTES];

    open_and_close(*state, first);
    path_of(*state, "cert.pem", path);
    assert_int_equal(unlink(path), 0);
    open_and_close(*state, second);
    assert_string_equal(first, second);
}

enum { STARTS = 8 };

struct start {
    const struct host *h;
    pthread_barrier_t *gate;
    char fingerprint[FINGERPRINT_BYTES];
};

static void *run_start(void *arg)
{
    struct start *s = arg;
    struct identity id;
    struct err e = ERR_INIT;

    pthread_barrier_wait(s->gate);
    if (!identity_open(&id, s->h->dir, &e)) {
        strcpy(s->fingerprint, id.fingerprint);
        identity_close(&id);
    }
    return NULL;
}

static void test_first_starts_at_once_end_with_one_key(void **state)
{
    struct start starts[STARTS];
    pthread_t threads[STARTS];
    pthread_barrier_t gate;

    pthread_barrier_init(&gate, NULL, STARTS);
    for (int i = 0; i < STARTS; i++) {
        starts[i] = (struct start){.h = *state, .gate = &gate};
        assert_int_equal(pthread_create(&threads[i], NULL, run_start, &starts[i]), 0);
    }
    for (int i = 0; i < STARTS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(trust_is_fingerprint(starts[i].fingerprint));
        assert_string_equal(starts[i].fingerprint, starts[0].fingerprint);
    }
    pthread_barrier_destroy(&gate);
}

static void test_a_key_that_others_can_read_is_refused(void **state)
{
    char fingerprint[FINGERPRINT_BYTES], path[CONFIG_PATH_BYTES];

    open_and_close(*state, fingerprint);
    path_of(*state, "key.pem", path);
    assert_int_equal(chmod(path, 0640), 0);
    refuse(*state, "run: chmod 600 ");
    assert_int_equal(chmod(path, 0604), 0);
    refuse(*state, path);
    assert_int_equal(chmod(path, 0400), 0);
    open_and_close(*state, fingerprint);
}

/* They could put keys and names of their own into it. */
static void test_a_directory_that_others_can_write_to_is_refused(void **state)
{
    const struct host *h = *state;
    char fingerprint[FINGERPRINT_BYTES];

    open_and_close(h, fingerprint);
    assert_int_equal(chmod(h->dir, 0777), 0);
    refuse(h, "run: chmod go-w ");
    assert_int_equal(chmod(h->dir, 0770), 0);
    refuse(h, "run: chmod go-w ");
    assert_int_equal(chmod(h->dir, 0755), 0);
    open_and_close(h, fingerprint);
    if (geteuid() != 0)
        return;
    assert_int_equal(chown(h->dir, 61987, (gid_t)-1), 0);
    refuse(h, "belongs to user 61987");
    assert_int_equal(chown(h->dir, 0, (gid_t)-1), 0);
}

static void test_what_is_no_key_is_refused_and_kept(void **state)
{
    put_file(*state, "key.pem", "not a key\n", 0600);
    refuse(*state, "holds no private key");
    refuse(*state, "holds no private key");
}

static void test_a_certificate_of_another_key_is_refused(void **state)
{
    char fingerprint[FINGERPRINT_BYTES], key[CONFIG_PATH_BYTES], other[CONFIG_PATH_BYTES];
    struct host h;

    make_host_dir(&h);
    open_and_close(&h, fingerprint);
    open_and_close(*state, fingerprint);
    path_of(&h, "key.pem", other);
    path_of(*state, "key.pem", key);
    assert_int_equal(rename(other, key), 0);
    refuse(*state, "is not of the key in key.pem");
    drop_host(&h);
}

/* It would be another host from then on, and the old key's trust is lost. */
static void test_a_lost_key_is_not_replaced(void **state)
{
    char fingerprint[FINGERPRINT_BYTES], path[CONFIG_PATH_BYTES];

    open_and_close(*state, fingerprint);
    path_of(*state, "key.pem", path);
    assert_int_equal(unlink(path), 0);
    refuse(*state, "put the key back");
    assert_int_equal(access(path, F_OK), -1);
    path_of(*state, "cert.pem", path);
    assert_int_equal(unlink(path), 0);
    open_and_close(*state, fingerprint);
}

static void test_a_key_with_a_passphrase_is_refused_without_asking(void **state)
{
    char path[CONFIG_PATH_BYTES];
    EVP_PKEY *key = EVP_EC_gen("P-256");

    path_of(*state, "key.pem", path);
    put_file(*state, "key.pem", "", 0600);

    FILE *f = fopen(path, "we");

    assert_int_equal(
        PEM_write_PKCS8PrivateKey(f, key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
    fclose(f);
    EVP_PKEY_free(key);
    refuse(*state, "without passphrase");
}

static void test_a_directory_that_cannot_be_made_is_said(void **state)
{
    struct identity id;
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(identity_open(&id, "/nowhere/xmigrate", &e), -ENOENT);
    assert_says(&e, "/nowhere/xmigrate");
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(test_first_start_makes_it_and_the_next_finds_it),
        IN_DIR(test_directory_is_made_for_its_owner_only),
        IN_DIR(test_fingerprint_is_of_the_public_key),
        IN_DIR(test_a_new_certificate_keeps_the_fingerprint),
        IN_DIR(test_first_starts_at_once_end_with_one_key),
        IN_DIR(test_a_key_that_others_can_read_is_refused),
        IN_DIR(test_a_directory_that_others_can_write_to_is_refused),
        IN_DIR(test_what_is_no_key_is_refused_and_kept),
        IN_DIR(test_a_certificate_of_another_key_is_refused),
        IN_DIR(test_a_key_with_a_passphrase_is_refused_without_asking),
        IN_DIR(test_a_lost_key_is_not_replaced),
        cmocka_unit_test(test_a_directory_that_cannot_be_made_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
