/* SPDX-License-Identifier: MIT */
/* A record of the journal: what makes sense is within its limits, and is the same when it is
 * written again. */
#include "cmd/handoff/journal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutate_json.h"

#include <errno.h>
#include <string.h>

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return mutate_json(data, size, max_size, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_record s = {0}, again = {0};
    struct err e = ERR_INIT;
    const int rc = journal_parse((const char *)data, size, &s, &e);

    must(rc ? rc == -EBADMSG && err_is_set(&e) : !err_is_set(&e));
    if (rc)
        return 0;
    must(strlen(s.uuid) == JOURNAL_UUID_BYTES - 1 && !strchr(s.uuid, '/'));
    must(s.domid == JOURNAL_NO_DOMID || s.domid < 0x7ff0);
    must((!s.session[0] || journal_is_id(s.session)) && s.port >= 0 && s.port <= UINT16_MAX);

    char *text = journal_text(&s);

    must(text && journal_parse(text, strlen(text), &again, &e) == 0);
    free(text);
    must(s.role == again.role && s.state == again.state && s.domid == again.domid);
    must(s.logging == again.logging && s.suspending == again.suspending && s.cap == again.cap);
    must(s.supervisor == again.supervisor && s.helper == again.helper);
    must(!strcmp(s.uuid, again.uuid) && !strcmp(s.name, again.name));
    must(!strcmp(s.peer, again.peer) && !strcmp(s.host, again.host) && s.port == again.port);
    must(!strcmp(s.session, again.session) && !strcmp(s.boot, again.boot));
    must(s.insecure == again.insecure && !strcmp(s.peer_journal, again.peer_journal));
    must(!strcmp(s.peer_key, again.peer_key) && !strcmp(s.moved_to, again.moved_to));
    must(!strcmp(s.file, again.file) && (!s.file[0] || s.file[0] == '/'));
    return 0;
}
