/* SPDX-License-Identifier: MIT */
/*
 * Sizes that rooms beside each other have to agree on. The wire has them, too (docs/wire.md).
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
    PAGE_BYTES = 4096,
};

#endif
