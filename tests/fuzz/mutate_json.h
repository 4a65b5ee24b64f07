/* SPDX-License-Identifier: MIT */
/*
 * Mutations that stay JSON: values change, are doubled and dropped, where changed bytes would
 * mostly be refused by the first reader. Now and then bytes change all the same.
 */
#ifndef TESTS_FUZZ_MUTATE_JSON_H
#define TESTS_FUZZ_MUTATE_JSON_H

#include <stddef.h>
#include <stdint.h>

/* What libFuzzer asks for by this name; targets with such inputs define it. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

size_t mutate_json(uint8_t *data, size_t size, size_t max_size, unsigned seed);
/* The same for inputs with one byte before it. */
size_t mutate_behind_byte(uint8_t *data, size_t size, size_t max_size, unsigned seed);

#endif
