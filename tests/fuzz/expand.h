/* SPDX-License-Identifier: MIT */
/*
 * Inputs with their zeros written short, for streams that are mostly empty pages: a fuzzer works
 * best with some hundred bytes. Pieces of {u16 zeros, u16 length} and as many bytes, which stand
 * for so many zeros and then these bytes. Every stream can be written so.
 */
#ifndef TESTS_FUZZ_EXPAND_H
#define TESTS_FUZZ_EXPAND_H

#include <stddef.h>
#include <stdint.h>

/* Up to cap_bytes; returns how many. */
size_t expand(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t cap_bytes);
/* The other way round; out has room for in_bytes + 4 for every 65535 of them, and 4. */
size_t shorten(const uint8_t *in, size_t in_bytes, uint8_t *out);

#endif
