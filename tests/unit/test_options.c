/* SPDX-License-Identifier: MIT */
/* The command line: what it means, and one clear line for what makes no sense. */
#include "base/deadline.h"
#include "cmd/xmigrate/ui/help.h"
#include "cmd/xmigrate/ui/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_WORDS = 18, CORES = 4, DOCUMENT_BYTES = 1 << 17 };

/* Parse a command line of words parted by single spaces. buf keeps the words. */
static int parse(struct options *o, const char *line, char buf[static 512], struct err *e)
{
    char *argv[MAX_WORDS + 2] = {"xmigrate"};
    int argc = 1;

    snprintf(buf, 512, "%s", line);
    for (char *save, *word = strtok_r(buf, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        assert_true(argc <= MAX_WORDS);
        argv[argc++] = word;
    }
    return options_parse(o, argc, argv, CORES, e);
}

static void assert_parses(struct options *o, const char *line, char buf[static 512])
{
    struct err e = ERR_INIT;

    if (parse(o, line, buf, &e))
        fail_msg("\"%s\" is refused: %s", line, e.text);
}

/* It is refused as a usage error, in one line that has every one of the words. */
static void assert_refused(const char *line, const char *word1, const char *word2)
{
    struct options o;
    char buf[512];
    struct err e = ERR_INIT;

    if (!parse(&o, line, buf, &e))
        fail_msg("\"%s\" is accepted", line);
    assert_int_equal(e.class, ERR_USAGE);
    assert_null(strchr(e.text, '\n'));
    if (!strstr(e.text, word1) || !strstr(e.text, word2))
        fail_msg("\"%s\": \"%s\" does not name %s and %s", line, e.text, word1, word2);
}

static void limits_are_taken(void **state)
{
    (void)state;
    struct options o;
    char buf[512];

    assert_parses(&o, "--live h g --max-time 5m --max-bytes 20G --on-stall abort", buf);
    assert_int_equal(o.limits.max_time_ns, 300 * NS_PER_S);
    assert_int_equal(o.limits.max_bytes, 20ull << 30);
    assert_int_equal(o.limits.on_stall, ON_STALL_ABORT);
    assert_parses(&o, "--live h g --on-stall throttle --max-rounds 4", buf);
    assert_int_equal(o.limits.on_stall, ON_STALL_THROTTLE);
}

static void an_estimate_takes_what_the_move_would(void **state)
{
    (void)state;
    struct options o;
    char buf[512];

    assert_parses(&o,
        "--estimate h:1 g --max-downtime 1s --on-stall throttle --bandwidth 1G --lanes 2 --json "
        "--compress lz4",
        buf);
    assert_int_equal(o.mode, MODE_ESTIMATE);
    assert_string_equal(o.address.host, "h");
    assert_string_equal(o.domain, "g");
    assert_int_equal(o.limits.max_downtime_ns, NS_PER_S);
    assert_int_equal(o.limits.on_stall, ON_STALL_THROTTLE);
    assert_int_equal(o.lanes, 2);
    assert_true(o.json);
}

static void live_has_the_documented_defaults(void **state)
{
    (void)state;
    struct options o;
    char buf[512];

    assert_parses(&o, "--live hostB g", buf);
    assert_int_equal(o.mode, MODE_LIVE);
    assert_string_equal(o.address.host, "hostB");
    assert_int_equal(o.address.port, 8002);
    assert_string_equal(o.domain, "g");
    assert_int_equal(o.lanes, CORES);
    assert_int_equal(o.limits.max_downtime_ns, 300 * NS_PER_MS);
    assert_int_equal(o.limits.max_rounds, 30);
    assert_int_equal(o.bandwidth_bits_per_s, 0);
    assert_int_equal(o.compress, CODEC_AUTO);
    assert_int_equal(o.delta_cache_bytes, 64 << 20);
    assert_false(o.insecure);
    assert_false(o.json);
    assert_int_equal(o.connect_ns, 10 * NS_PER_S);
    assert_int_equal(o.silent_ns, 30 * NS_PER_S);
    assert_int_equal(o.suspend_ns, 60 * NS_PER_S);
    assert_int_equal(o.start_ns, 0);
    assert_string_equal(o.config_dir, "/etc/xmigrate");
    assert_int_equal(o.log_level, LOG_INFO);
}

static void every_option_of_a_move_is_taken(void **state)
{
    (void)state;
    struct options o;
    char buf[512];

    assert_parses(&o,
        "--lanes 3 --live [::1]:9 g --max-downtime=50ms --max-rounds 7 --bandwidth 10G "
        "--compress zstd --delta-cache 0 --json -v --insecure",
        buf);
    assert_string_equal(o.address.host, "::1");
    assert_int_equal(o.address.port, 9);
    assert_int_equal(o.lanes, 3);
    assert_int_equal(o.limits.max_downtime_ns, 50 * NS_PER_MS);
    assert_int_equal(o.limits.max_rounds, 7);
    assert_int_equal(o.bandwidth_bits_per_s, 10000000000);
    assert_int_equal(o.compress, CODEC_ZSTD);
    assert_int_equal(o.delta_cache_bytes, 0);
    assert_true(o.json);
    assert_true(o.insecure);
    assert_int_equal(o.log_level, LOG_DEBUG);
    assert_parses(&o,
        "--offline h:1 7 --config-dir /x -q --connect-timeout 1s --silent-timeout 6 "
        "--suspend-timeout 2m --start-timeout 500ms",
        buf);
    assert_int_equal(o.mode, MODE_OFFLINE);
    assert_string_equal(o.config_dir, "/x");
    assert_int_equal(o.log_level, LOG_ERROR);
    assert_int_equal(o.connect_ns, NS_PER_S);
    assert_int_equal(o.silent_ns, 6 * NS_PER_S);
    assert_int_equal(o.suspend_ns, 120 * NS_PER_S);
    assert_int_equal(o.start_ns, 500 * NS_PER_MS);
}

static void lanes_default_to_cores_but_at_most_eight(void **state)
{
    (void)state;
    char *argv[] = {"xmigrate", "--live", "h", "g", NULL};
    struct options o;
    struct err e = ERR_INIT;

    assert_int_equal(options_parse(&o, 4, argv, 64, &e), 0);
    assert_int_equal(o.lanes, 8);
    assert_int_equal(options_parse(&o, 4, argv, 0, &e), 0);
    assert_int_equal(o.lanes, 1);
}

static void other_modes_take_their_words(void **state)
{
    (void)state;
    struct options o;
    char buf[512];

    assert_parses(&o, "--listen", buf);
    assert_int_equal(o.mode, MODE_LISTEN);
    assert_string_equal(o.address.host, "");
    assert_int_equal(o.address.port, 8002);
    assert_parses(&o, "--listen :0", buf);
    assert_string_equal(o.address.host, "");
    assert_int_equal(o.address.port, 0);
    assert_false(o.no_announce);
    assert_parses(&o, "--listen 127.0.0.1:81 --insecure --no-announce", buf);
    assert_true(o.no_announce);
    assert_string_equal(o.address.host, "127.0.0.1");
    assert_int_equal(o.address.port, 81);
    assert_parses(&o, "--trust SHA256:abc hostB --config-dir /x", buf);
    assert_string_equal(o.peer, "SHA256:abc");
    assert_string_equal(o.peer_name, "hostB");
    assert_null(o.peer_rights);
    assert_parses(&o, "--trust SHA256:abc hostB send,status", buf);
    assert_string_equal(o.peer_rights, "send,status");
    assert_parses(&o, "--trust SHA256:abc", buf);
    assert_null(o.peer_name);
    assert_parses(&o, "--untrust hostB", buf);
    assert_string_equal(o.peer, "hostB");
    assert_parses(&o, "--resume g", buf);
    assert_string_equal(o.domain, "g");
    assert_parses(&o, "--checkpoint f g --resume-as revive", buf);
    assert_int_equal(o.resume_as, RESUME_AS_REVIVE);
    assert_parses(&o, "--checkpoint --offline f g", buf);
    assert_true(o.mode == MODE_CHECKPOINT && o.offline);
    assert_parses(&o, "--offline --save f g", buf);
    assert_true(o.mode == MODE_SAVE && o.offline);
    assert_parses(&o, "--live h g --resume-as cooperative", buf);
    assert_int_equal(o.resume_as, RESUME_AS_COOPERATIVE);
    assert_parses(&o, "--status --json", buf);
    assert_int_equal(o.mode, MODE_STATUS);
    assert_null(o.domain);
    assert_parses(&o, "--status g", buf);
    assert_string_equal(o.domain, "g");
    assert_parses(&o, "--status g --peer h:9 --connect-timeout 1s", buf);
    assert_string_equal(o.address.host, "h");
    assert_int_equal(o.address.port, 9);
    assert_parses(&o, "--cancel g", buf);
    assert_int_equal(o.mode, MODE_CANCEL);
    assert_parses(&o, "--set g bandwidth=400M on-stall=abort", buf);
    assert_int_equal(o.mode, MODE_SET);
    assert_true(o.set.bandwidth && o.set.on_stall && !o.set.max_downtime);
    assert_int_equal(o.bandwidth_bits_per_s, 400000000);
    assert_int_equal(o.limits.on_stall, ON_STALL_ABORT);
    assert_parses(&o, "--set g max-downtime=2s bandwidth=none", buf);
    assert_int_equal(o.limits.max_downtime_ns, 2 * NS_PER_S);
    assert_int_equal(o.bandwidth_bits_per_s, 0);
    assert_parses(&o, "--identity", buf);
    assert_parses(&o, "--recover -q", buf);
    assert_parses(&o, "--version", buf);
    assert_parses(&o, "--monitor 5 7c3f", buf);
    assert_string_equal(o.monitor_domid, "5");
    assert_string_equal(o.monitor_uuid, "7c3f");
}

static void help_wins_over_what_else_was_typed(void **state)
{
    (void)state;
    struct options o;
    char buf[512];

    assert_parses(&o, "--live --help", buf);
    assert_int_equal(o.mode, MODE_HELP);
    assert_parses(&o, "-h --live h", buf);
    assert_int_equal(o.mode, MODE_HELP);
}

static void nonsense_is_refused_in_one_line(void **state)
{
    (void)state;

    assert_refused("", "--live", "--listen");
    assert_refused("hostB g", "--live", "--help");
    assert_refused("--live hostB", "HOST", "DOM");
    assert_refused("--live hostB g more", "HOST", "DOM");
    assert_refused("--live --offline h g", "--live", "--offline");
    assert_refused("--offline --restore f", "--offline", "--restore");
    assert_refused("--listen --recover", "--listen", "--recover");
    assert_refused("--nonsense", "--nonsense", "not an option");
    assert_refused("--live h g -x", "-x", "not an option");
    assert_refused("--live=h g", "--live=h", "no argument");
    assert_refused("--live h g --lanes", "--lanes", "argument");
    assert_refused("--live h g --lanes 0", "--lanes", "1 to 64");
    assert_refused("--live h g --lanes 65", "--lanes", "1 to 64");
    assert_refused("--live h g --lanes 2x", "2x", "1 to 64");
    assert_refused("--live h g --max-rounds 0", "--max-rounds", "0");
    assert_refused("--live h g --max-time 1ms", "--max-time", "100ms");
    assert_refused("--live h g --max-bytes 0", "--max-bytes", "800M");
    assert_refused("--live h g --on-stall wait", "wait", "suspend");
    assert_refused("--live h g --max-time 200ms", "--max-time 200 ms", "--max-downtime 300 ms");
    assert_refused("--live h g --max-downtime 0 --on-stall abort", "--max-downtime", "--on-stall");
    assert_refused(
        "--live h g --max-downtime 0 --on-stall throttle", "--max-downtime", "--on-stall");
    assert_refused("--live h g --max-rounds 3 --on-stall throttle", "--max-rounds 3", "4 rounds");
    assert_refused("--live h g --max-downtime soon", "soon", "300ms");
    assert_refused("--live h g --bandwidth 10", "--bandwidth", "10G");
    assert_refused("--live h g --silent-timeout 5s", "--silent-timeout", "6s");
    assert_refused("--live h g --start-timeout 0", "--start-timeout", "100ms");
    assert_refused("--live h g --connect-timeout 1000000m", "1000000m", "a day");
    assert_refused("--live h g -q -v", "--quiet", "--verbose");
    assert_refused("--live h:0 g", "h:0", "port");
    assert_refused("--live :8002 g", ":8002", "HOST");
    assert_refused("--live [::1 g", "[::1", "not an address");
    assert_refused("--listen h:99999", "h:99999", "port");
    assert_refused("--listen a b", "--listen", "ADDR:PORT");
    assert_refused("--trust", "--trust", "fingerprint");
    assert_refused("--resume", "--resume", "DOM");
    assert_refused("--listen --lanes 2", "--lanes", "--listen");
    assert_refused("--offline h g --max-rounds 2", "--max-rounds", "--offline");
    assert_refused("--offline h g --on-stall abort", "--on-stall", "--offline");
    assert_refused("--estimate h", "--estimate", "DOM");
    assert_refused("--estimate h g --live", "--live", "--estimate");
    assert_refused("--estimate h g --start-timeout 3s", "--start-timeout", "--estimate");
    assert_refused("--identity --insecure", "--insecure", "--identity");
    assert_refused("--live h d --no-announce", "--no-announce", "--live");
    assert_refused("--offline h d --early-disks all", "--early-disks", "--offline");
    assert_refused("--live h d --early-disks some", "--early-disks", "safe, none or all");
    assert_refused("--live h g --resume-as revive", "--resume-as", "--checkpoint");
    assert_refused("--checkpoint f g --resume-as slow", "slow", "cooperative");
    assert_refused("--estimate h g --resume-as cooperative", "--resume-as", "--estimate");
    assert_refused("--resume g --json", "--json", "--resume");
    assert_refused("--li h g", "--li", "--live");
    assert_refused("--live h g --lane 4", "--lane", "--lanes");
    assert_refused("--live h g --lane=4", "--lane", "--lanes");
    assert_refused("--set g", "--set", "DOM");
    assert_refused("--set g lanes=4", "lanes=4", "bandwidth");
    assert_refused("--set g bandwidth=much", "bandwidth", "much");
    assert_refused("--cancel", "--cancel", "DOM");
    assert_refused("--cancel g --peer h", "--peer", "--cancel");
}

static void read_document(const char *path, char text[static DOCUMENT_BYTES])
{
    FILE *f = fopen(path, "re");

    assert_non_null(f);

    const size_t n = fread(text, 1, DOCUMENT_BYTES - 1, f);

    text[n] = '\0';
    fclose(f);
}

/* mdoc writes --option as "Fl \-option". */
static void drop_backslashes(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++)
        if (*from != '\\')
            *to++ = *from;
    *to = '\0';
}

static void assert_has_option(
    const char *where, const char *text, const char *dashes, const char *name)
{
    char option[64];
    const int len = snprintf(option, sizeof(option), "%s%s", dashes, name);

    for (const char *at = text; (at = strstr(at, option)); at += len)
        if (!strchr("-abcdefghijklmnopqrstuvwxyz", at[len]))
            return;
    fail_msg("%s does not name %s", where, option);
}

/* Run from the top of the tree, as `make check` does. */
static void help_man_page_readme_and_completions_name_every_option(void **state)
{
    (void)state;
    char *man = malloc(DOCUMENT_BYTES), *readme = malloc(DOCUMENT_BYTES);
    char *bash = malloc(DOCUMENT_BYTES), *zsh = malloc(DOCUMENT_BYTES);
    unsigned count = 0;

    assert_true(man && readme && bash && zsh);
    read_document("dist/completions/xmigrate.bash", bash);
    read_document("dist/completions/_xmigrate", zsh);
    read_document("docs/man/xmigrate.8", man);
    drop_backslashes(man);
    read_document("README.md", readme);
    for (const char *name; (name = options_name(count)); count++) {
        assert_has_option("--help", help_text, "--", name);
        assert_has_option("the man page", man, " -", name);
        assert_has_option("README.md", readme, "--", name);
        assert_has_option("bash's completion", bash, " --", name);
        assert_has_option("zsh's completion", zsh, "--", name);
    }
    assert_true(count > 20);
    free(man);
    free(readme);
    free(bash);
    free(zsh);
}

static void compact_files_take_their_words(void **state)
{
    struct options o;
    char buf[512];

    (void)state;
    assert_parses(
        &o, "--checkpoint f g --compact --parent p --encrypt k --compress none --lanes 3", buf);
    assert_true(o.compact);
    assert_int_equal(o.parent_count, 1);
    assert_string_equal(o.parents[0], "p");
    assert_string_equal(o.key, "k");
    assert_int_equal(o.compress, CODEC_NONE);
    assert_int_equal(o.lanes, 3);
    assert_parses(&o, "--restore f --parent a --parent b --key k", buf);
    assert_int_equal(o.parent_count, 2);
    assert_string_equal(o.parents[1], "b");
    assert_parses(&o, "--flatten f c --compress lz4 -q", buf);
    assert_int_equal(o.mode, MODE_FLATTEN);
    assert_string_equal(o.file, "f");
    assert_string_equal(o.from, "c");
    assert_parses(&o, "--export f c --key k", buf);
    assert_int_equal(o.mode, MODE_EXPORT);

    assert_refused("--checkpoint f g --parent p", "--parent", "--compact");
    assert_refused("--save f g --encrypt k", "--encrypt", "--compact");
    assert_refused("--save f g --compress lz4", "--compress", "--compact");
    assert_refused("--checkpoint f g --compact --key k", "--key", "--checkpoint");
    assert_refused("--restore f --encrypt k", "--encrypt", "--restore");
    assert_refused("--restore f --compact", "--compact", "--restore");
    assert_refused("--checkpoint f g --compact --parent p --every 1s", "--parent", "--every");
    assert_refused("--export f", "--export", "wants");
    assert_refused("--flatten f c d", "--flatten", "wants");
    assert_refused("--export f c --compress lz4", "--compress", "--export");
}

static void a_move_takes_what_xl_does(void **state)
{
    struct options o;
    char buf[512];

    (void)state;
    assert_parses(&o, "--live h g -p -C file -D --name other --bind 192.0.2.1 --dscp 46", buf);
    assert_true(o.paused && o.preserve_domid);
    assert_string_equal(o.config_file, "file");
    assert_string_equal(o.name, "other");
    assert_string_equal(o.address.host, "h");
    assert_string_equal(o.address.from, "192.0.2.1");
    assert_int_equal(o.address.dscp, 46);
    assert_parses(&o, "--offline --paused --config f --preserve-domid h g", buf);
    assert_true(o.paused && o.preserve_domid && o.config_file);
    assert_parses(&o, "--listen --max-incoming 3", buf);
    assert_int_equal(o.max_incoming, 3);
    assert_refused("--live h g --name 7", "--name", "7");
    assert_refused("--live h g --bind host", "--bind", "numbers");
    assert_false(o.kernel_tls);
    assert_parses(&o, "--live h g --kernel-tls", buf);
    assert_true(o.kernel_tls);
    assert_refused("--listen --kernel-tls", "--kernel-tls", "--listen");
    assert_refused("--live h g --dscp 64", "--dscp", "0 to 63");
    assert_refused("--live h g -C", "-C", "argument");
    assert_refused("--listen --max-incoming 0", "--max-incoming", "1 to 64");
    assert_refused("--estimate h g --paused", "--paused", "--estimate");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_has_the_documented_defaults),
        cmocka_unit_test(limits_are_taken),
        cmocka_unit_test(an_estimate_takes_what_the_move_would),
        cmocka_unit_test(every_option_of_a_move_is_taken),
        cmocka_unit_test(lanes_default_to_cores_but_at_most_eight),
        cmocka_unit_test(other_modes_take_their_words),
        cmocka_unit_test(help_wins_over_what_else_was_typed),
        cmocka_unit_test(nonsense_is_refused_in_one_line),
        cmocka_unit_test(compact_files_take_their_words),
        cmocka_unit_test(a_move_takes_what_xl_does),
        cmocka_unit_test(help_man_page_readme_and_completions_name_every_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
