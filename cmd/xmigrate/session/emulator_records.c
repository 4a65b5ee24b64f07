/* SPDX-License-Identifier: MIT */
#include "cmd/xmigrate/session/emulator_records.h"

#include "base/bytes.h"
#include "base/min.h"

#include <errno.h>
#include <string.h>

enum { END = 0, XENSTORE_DATA = 2, CONTEXT = 3 };
enum { QEMU = 2 }; /* upstream's */

static int bad(const char *what, struct err *e)
{
    return err_set(e, ERR_PEER, EBADMSG, "libxl's stream: %s", what);
}

static int begin_record(struct emulator_records *r, struct err *e)
{
    const uint32_t length = get_le32(r->front + 4);

    r->type = get_le32(r->front);
    r->front_bytes = 0;
    if (r->type == END) {
        r->ended = true;
        return length         ? bad("an END that has a body", e)
               : r->has_state ? 0
                              : bad("it ends without the device model's state", e);
    }
    if (r->type != XENSTORE_DATA && r->type != CONTEXT)
        return bad("a record that does not belong behind the save helper's part", e);
    if (length < EMULATOR_FRONT_BYTES)
        return bad("a device model's record without a front", e);
    r->in_body = true;
    r->left_bytes = length - EMULATOR_FRONT_BYTES;
    r->pad_bytes = -length & 7;
    return 0;
}

static int begin_body(struct emulator_records *r, struct err *e)
{
    if (get_le32(r->front) != QEMU || get_le32(r->front + 4))
        return bad("a device model that is not QEMU's", e);
    if (r->type == CONTEXT) {
        if (r->has_state)
            return bad("a second state of the device model", e);
        r->has_state = true;
    } else if (r->left_bytes) {
        return err_set(e, ERR_GUEST, ESTALE,
            "the device model (QEMU) keeps a map of the guest's memory in xenstore, which it did "
            "not when it was started at the destination: move the guest again");
    }
    return 0;
}

/* Of the front of a record, or of its body, as much as is there. */
static int take_front(struct emulator_records *r, uint8_t byte, struct err *e)
{
    r->front[r->front_bytes++] = byte;
    if (r->front_bytes < EMULATOR_FRONT_BYTES)
        return 0;
    return r->in_body ? begin_body(r, e) : begin_record(r, e);
}

static void end_body(struct emulator_records *r)
{
    if (r->left_bytes || r->pad_bytes)
        return;
    r->in_body = false;
    r->front_bytes = 0;
}

int emulator_records_feed(struct emulator_records *r, const uint8_t *data, size_t len_bytes,
    emulator_state_fn *state, void *arg, struct err *e)
{
    while (len_bytes) {
        uint64_t used = 1;
        int rc = 0;

        if (r->ended)
            return bad("there is more behind its END", e);
        if (r->front_bytes < EMULATOR_FRONT_BYTES) {
            rc = take_front(r, *data, e);
        } else if (r->left_bytes) {
            used = min_u64(r->left_bytes, len_bytes);
            rc = state(arg, data, used, e);
            r->left_bytes -= used;
        } else {
            used = min_u64(r->pad_bytes, len_bytes);
            r->pad_bytes -= used;
        }
        if (rc)
            return rc;
        if (r->in_body && r->front_bytes == EMULATOR_FRONT_BYTES)
            end_body(r);
        data += used;
        len_bytes -= used;
    }
    return 0;
}
