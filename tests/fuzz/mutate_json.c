/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/mutate_json.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static unsigned long next_random(unsigned *seed, unsigned long below)
{
    return (unsigned long)rand_r(seed) % below;
}

/* A value such as nobody expects, or the old one changed. */
static json_t *make_value(const json_t *old, unsigned *seed)
{
    static const char *const texts[] = {
        "", "True", "<default>", "none", "internal", "pv", "pvh", "source", "destination", "/"};
    static const json_int_t numbers[] = {
        0, 1, -1, 0x7ff0, UINT16_MAX + 1, INT32_MAX, UINT32_MAX, INT64_MAX, INT64_MIN};
    char text[64] = "";

    switch (next_random(seed, 8)) {
    case 0:
        return json_array();
    case 1:
        return json_object();
    case 2:
        return json_boolean(next_random(seed, 2));
    case 3:
        return json_integer(numbers[next_random(seed, sizeof(numbers) / sizeof(numbers[0]))]);
    case 4:
        return json_string(texts[next_random(seed, sizeof(texts) / sizeof(texts[0]))]);
    case 5:
        return json_integer(
            json_integer_value(old) % 65536 + (json_int_t)next_random(seed, 65) - 32);
    default:
        snprintf(text, sizeof(text), "%s", json_is_string(old) ? json_string_value(old) : "x");
        text[LLVMFuzzerMutate((uint8_t *)text, strlen(text), sizeof(text) - 1)] = '\0';
        return json_string_nocheck(text);
    }
}

/* Walk down a way at random; change, double or drop what stands there. */
static void change_below(json_t *node, unsigned *seed)
{
    void *at = json_object_iter(node);
    const bool list = json_is_array(node);
    const size_t count = list ? json_array_size(node) : json_object_size(node);
    const size_t chosen = count ? next_random(seed, count) : 0;

    for (size_t i = 0; i < chosen && !list; i++)
        at = json_object_iter_next(node, at);
    if (!count)
        return;

    json_t *child = list ? json_array_get(node, chosen) : json_object_iter_value(at);

    if ((json_is_object(child) || json_is_array(child)) && next_random(seed, 8))
        change_below(child, seed);
    else if (next_random(seed, 8) == 0 && list)
        json_array_remove(node, chosen);
    else if (next_random(seed, 4) == 0 && list)
        json_array_append_new(node, json_deep_copy(child));
    else if (next_random(seed, 8) == 0)
        json_object_del(node, json_object_iter_key(at));
    else if (list)
        json_array_set_new(node, chosen, make_value(child, seed));
    else
        json_object_iter_set_new(node, at, make_value(child, seed));
}

size_t mutate_json(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    json_t *tree = next_random(&seed, 4) ? json_loadb((char *)data, size, 0, NULL) : NULL;
    size_t len = 0;

    for (unsigned n = 1 + (unsigned)next_random(&seed, 4); tree && n; n--)
        change_below(tree, &seed);
    if (tree)
        len = json_dumpb(tree, (char *)data, max_size, JSON_COMPACT);
    json_decref(tree);
    return len && len <= max_size ? len : LLVMFuzzerMutate(data, size, max_size);
}

size_t mutate_behind_byte(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if (size < 2 || next_random(&seed, 16) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    return 1 + mutate_json(data + 1, size - 1, max_size - 1, seed);
}
