/* SPDX-License-Identifier: MIT */
#include "crypto/trust.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define FINGERPRINT_PREFIX "SHA256:"
#define NO_NAME            "-"

enum { BASE64_SHA256_CHARS = 43 };

static bool is_base64(char c)
{
    return isalnum((unsigned char)c) || c == '+' || c == '/';
}

bool trust_is_fingerprint(const char *text)
{
    const size_t prefix_len = strlen(FINGERPRINT_PREFIX);

    if (strncmp(text, FINGERPRINT_PREFIX, prefix_len))
        return false;
    text += prefix_len;
    for (unsigned i = 0; i < BASE64_SHA256_CHARS; i++)
        if (!is_base64(text[i]))
            return false;
    return text[BASE64_SHA256_CHARS] == '\0';
}

/* One word of printable characters: it appears in a line, in messages and in commands. */
static bool is_name(const char *text)
{
    size_t len = 0;

    for (; text[len]; len++)
        if (!isgraph((unsigned char)text[len]))
            return false;
    return len > 0 && len < TRUST_NAME_BYTES && text[0] != '#';
}

static const struct {
    const char *word;
    unsigned right;
} rights_words[] = {{"send", TRUST_SEND}, {"receive", TRUST_RECEIVE}, {"status", TRUST_STATUS}};

enum { RIGHTS_WORDS = sizeof(rights_words) / sizeof(rights_words[0]) };

const char *trust_rights_text(unsigned rights, char out[static TRUST_RIGHTS_BYTES])
{
    out[0] = '\0';
    for (unsigned i = 0; i < RIGHTS_WORDS; i++)
        if (rights & rights_words[i].right) {
            strcat(out, out[0] ? "," : "");
            strcat(out, rights_words[i].word);
        }
    return out;
}

/* 0: it makes no sense. */
static unsigned parse_rights(const char *text)
{
    unsigned rights = 0, i;

    while (*text) {
        const size_t len = strcspn(text, ",");

        for (i = 0; i < RIGHTS_WORDS; i++)
            if (strlen(rights_words[i].word) == len && !strncmp(rights_words[i].word, text, len))
                break;
        if (i == RIGHTS_WORDS || (text[len] && !text[len + 1]))
            return 0;
        rights |= rights_words[i].right;
        text += len + (text[len] == ',');
    }
    return rights;
}

/* The file's text, read line by line */

struct trusted {
    char path[CONFIG_PATH_BYTES];
    char *text; /* owned; "" if there is no file */
};

struct entry {
    char fingerprint[FINGERPRINT_BYTES];
    char name[TRUST_NAME_BYTES];
    unsigned rights;
};

static int load(struct trusted *t, const char *config_dir, struct err *e)
{
    int rc = config_path(config_dir, "trusted", t->path, e);

    t->text = NULL;
    if (rc)
        return rc;
    rc = config_read_ours(t->path, "could let anybody in", &t->text, e);
    if (rc != -ENOENT || err_is_set(e))
        return rc;
    t->text = calloc(1, 1);
    return t->text ? 0 : err_sys(e, ERR_LOCAL, ENOMEM, "%s", t->path);
}

/* The line at *at without its newline; moves *at behind it. False at the end. */
static bool next_line(const char **at, const char **line, size_t *len)
{
    if (!**at)
        return false;
    *line = *at;
    *len = strcspn(*at, "\n");
    *at += *len + ((*at)[*len] == '\n');
    return true;
}

enum line_kind { LINE_COMMENT, LINE_ENTRY, LINE_NONSENSE };

static enum line_kind parse_line(const char *line, size_t len, struct entry *entry)
{
    char copy[FINGERPRINT_BYTES + TRUST_NAME_BYTES + TRUST_RIGHTS_BYTES];
    char *rest, *fingerprint, *name, *rights;
    const size_t indent = strspn(line, " \t\r");

    if (indent >= len || line[indent] == '#')
        return LINE_COMMENT;
    if (len >= sizeof(copy))
        return LINE_NONSENSE;
    memcpy(copy, line, len);
    copy[len] = '\0';
    fingerprint = strtok_r(copy, " \t\r", &rest);
    name = strtok_r(NULL, " \t\r", &rest);
    rights = strtok_r(NULL, " \t\r", &rest);
    entry->rights = rights ? parse_rights(rights) : TRUST_ALL;
    if (!trust_is_fingerprint(fingerprint) || (name && !is_name(name)) || !entry->rights ||
        strtok_r(NULL, " \t\r", &rest))
        return LINE_NONSENSE;
    snprintf(entry->fingerprint, sizeof(entry->fingerprint), "%s", fingerprint);
    snprintf(entry->name, sizeof(entry->name), "%s", name ? name : NO_NAME);
    return LINE_ENTRY;
}

static int refuse_line(const struct trusted *t, unsigned number, struct err *e)
{
    return err_set(e, ERR_LOCAL, EINVAL,
        "%s line %u makes no sense: a line is \"SHA256:... NAME\", perhaps with rights such as "
        "\"send,status\", or a comment after #",
        t->path, number);
}

int trust_load(const char *config_dir, struct trusted **out, struct err *e)
{
    struct trusted *t = malloc(sizeof(*t));
    int rc;

    *out = NULL;
    if (!t)
        return err_sys(e, ERR_LOCAL, ENOMEM, "the list of trusted hosts");
    rc = load(t, config_dir, e);
    if (rc)
        free(t);
    else
        *out = t;
    return rc;
}

void trust_free(struct trusted *t)
{
    if (!t)
        return;
    free(t->text);
    free(t);
}

/* Keys are compared as public text: there is no secret to leak by timing. */
int trust_find_in(const struct trusted *t, const char *fingerprint, bool *found,
    char name[static TRUST_NAME_BYTES], unsigned *rights, struct err *e)
{
    struct entry entry;
    const char *at = t->text, *line;
    size_t len;
    int rc = 0;

    *found = false;
    *rights = 0;
    name[0] = '\0';
    for (unsigned number = 1; !rc && next_line(&at, &line, &len); number++) {
        const enum line_kind kind = parse_line(line, len, &entry);

        if (kind == LINE_NONSENSE) {
            rc = refuse_line(t, number, e);
        } else if (kind == LINE_ENTRY && !*found && !strcmp(entry.fingerprint, fingerprint)) {
            *found = true;
            *rights = entry.rights;
            memcpy(name, entry.name, TRUST_NAME_BYTES);
        }
    }
    if (rc) {
        *found = false;
        *rights = 0;
        name[0] = '\0';
    }
    return rc;
}

bool trust_knows_name(
    const struct trusted *t, const char *name, char fingerprint[static FINGERPRINT_BYTES])
{
    struct entry entry;
    const char *at = t->text, *line;
    size_t len;

    while (next_line(&at, &line, &len)) {
        if (parse_line(line, len, &entry) != LINE_ENTRY || strcmp(entry.name, name))
            continue;
        memcpy(fingerprint, entry.fingerprint, FINGERPRINT_BYTES);
        return true;
    }
    return false;
}

int trust_find(const char *config_dir, const char *fingerprint, bool *found,
    char name[static TRUST_NAME_BYTES], unsigned *rights, struct err *e)
{
    struct trusted *t;
    int rc = trust_load(config_dir, &t, e);

    *found = false;
    *rights = 0;
    name[0] = '\0';
    if (!rc)
        rc = trust_find_in(t, fingerprint, found, name, rights, e);
    trust_free(t);
    return rc;
}

/* Changes */

/* Concurrent changes take turns; the lock is on the directory. */
static int lock_dir(const char *config_dir, struct err *e)
{
    if (config_make_dir(config_dir, e))
        return -e->code;

    const int fd = open(config_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX)) {
        const int code = errno;

        if (fd >= 0)
            close(fd);
        return err_sys(e, ERR_LOCAL, code, "cannot lock %s", config_dir);
    }
    return fd;
}

/* A fingerprint means that key, even if somebody else goes by it as a name. */
static bool is_same(const struct entry *entry, const char *fingerprint_or_name)
{
    if (trust_is_fingerprint(fingerprint_or_name))
        return !strcmp(entry->fingerprint, fingerprint_or_name);
    return strcmp(entry->name, NO_NAME) && !strcmp(entry->name, fingerprint_or_name);
}

/* Of a name --untrust takes one away, and messages mean one. */
static int check_name_is_free(
    const struct trusted *t, const struct entry *entry, const struct entry *added, struct err *e)
{
    if (!added || !strcmp(added->name, NO_NAME) || strcmp(added->name, entry->name))
        return 0;
    return err_set(e, ERR_REFUSED, EEXIST,
        "%s: another key is called \"%s\" already (%s): choose another name, or xmigrate --untrust "
        "%s first if that host has a new key",
        t->path, entry->name, entry->fingerprint, entry->name);
}

/* Copy the file without the entries that match (and count those; *first is the first). */
static int copy_others(const struct trusted *t, const char *whom, const struct entry *added,
    FILE *out, unsigned *dropped, struct entry *first, struct err *e)
{
    const char *at = t->text, *line;
    struct entry entry;
    size_t len;

    for (unsigned number = 1; next_line(&at, &line, &len); number++) {
        const enum line_kind kind = parse_line(line, len, &entry);

        if (kind == LINE_NONSENSE)
            return refuse_line(t, number, e);
        if (kind == LINE_ENTRY && is_same(&entry, whom))
            *first = (*dropped)++ ? *first : entry;
        else if (kind == LINE_ENTRY && check_name_is_free(t, &entry, added, e))
            return -e->code;
        else
            fprintf(out, "%.*s\n", (int)len, line);
    }
    return 0;
}

/* Name and rights that were not given stay what they were. */
static void write_entry(const struct entry *entry, const struct entry *before, FILE *out)
{
    const unsigned rights = entry->rights ? entry->rights : before->rights;
    char text[TRUST_RIGHTS_BYTES];

    fprintf(out, "%s %s", entry->fingerprint, entry->name[0] ? entry->name : before->name);
    if (rights != TRUST_ALL)
        fprintf(out, " %s", trust_rights_text(rights, text));
    fputc('\n', out);
}

/* Drop whom, then append added unless it is NULL. */
static int rewrite(
    const char *config_dir, const char *whom, const struct entry *added, struct err *e)
{
    struct trusted t;
    struct entry before = {.name = NO_NAME, .rights = TRUST_ALL};
    unsigned dropped = 0;
    char *text = NULL;
    size_t len_bytes = 0;
    int rc = load(&t, config_dir, e);

    if (rc)
        return rc;

    FILE *out = open_memstream(&text, &len_bytes);

    rc = out ? copy_others(&t, whom, added, out, &dropped, &before, e)
             : err_sys(e, ERR_LOCAL, errno, "%s", t.path);
    if (!rc && added)
        write_entry(added, &before, out);
    if (out && fclose(out) && !rc)
        rc = err_sys(e, ERR_LOCAL, errno, "%s", t.path);
    if (!rc && !added && !dropped)
        rc = err_set(e, ERR_REFUSED, ENOENT, "%s: \"%s\" is not in it", t.path, whom);
    if (!rc)
        rc = config_write(t.path, text, len_bytes, 0600, true, e);
    free(text);
    free(t.text);
    return rc;
}

static int rewrite_locked(
    const char *config_dir, const char *whom, const struct entry *added, struct err *e)
{
    const int lock_fd = lock_dir(config_dir, e);

    if (lock_fd < 0)
        return lock_fd;

    const int rc = rewrite(config_dir, whom, added, e);

    close(lock_fd);
    return rc;
}

int trust_add(const char *config_dir, const char *fingerprint, const char *name, const char *rights,
    struct err *e)
{
    struct entry entry = {.rights = rights ? parse_rights(rights) : 0};

    if (!trust_is_fingerprint(fingerprint))
        return err_set(e, ERR_USAGE, EINVAL,
            "\"%s\" is not a fingerprint: \"SHA256:\" and 43 characters, as xmigrate --identity "
            "prints it on the other host",
            fingerprint);
    if (name && !is_name(name))
        return err_set(
            e, ERR_USAGE, EINVAL, "\"%s\" is not a name: one word, not beginning with #", name);
    if (rights && !entry.rights)
        return err_set(e, ERR_USAGE, EINVAL,
            "\"%s\" are no rights: wanted are some of send, receive and status, with commas "
            "between",
            rights);
    snprintf(entry.fingerprint, sizeof(entry.fingerprint), "%s", fingerprint);
    snprintf(entry.name, sizeof(entry.name), "%s", name ? name : "");
    return rewrite_locked(config_dir, fingerprint, &entry, e);
}

int trust_remove(const char *config_dir, const char *fingerprint_or_name, struct err *e)
{
    return rewrite_locked(config_dir, fingerprint_or_name, NULL, e);
}
