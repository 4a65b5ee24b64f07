/* SPDX-License-Identifier: MIT */
/* A chain of compact files written as one that is whole by itself. */
#ifndef CMD_XMIGRATE_IMAGE_FLATTEN_H
#define CMD_XMIGRATE_IMAGE_FLATTEN_H

#include "base/cancel.h"
#include "base/codec.h"
#include "cmd/xmigrate/image/chain_files.h"

struct flatten_params {
    struct compact_chain *chain;
    int fd;           /* of the new file, empty */
    const char *name; /* its, for messages */
    const char *key;  /* a key file; NULL: not encrypted */
    enum codec codec;
    unsigned threads; /* 1..MAX_LANES */
    const struct cancel *cancel;
};

int flatten(const struct flatten_params *p, struct err *e);

#endif
