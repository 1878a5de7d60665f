/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For targets that read JSON: libFuzzer's own mutations hardly ever leave a text that can be parsed. Here a value somewhere in the tree is replaced by
 * another, removed, renamed, or put somewhere else; and now and then the text is left to libFuzzer. Linked with libFuzzer alone. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static uint32_t next_random(unsigned *seed) {
        *seed = *seed * 1664525U + 1013904223U;
        return *seed >> 8;
}

static size_t count_children(const json_t *node) {
        return json_is_object(node) ? json_object_size(node) : json_is_array(node) ? json_array_size(node) : 0;
}

/* Some container of the tree that isn't empty: the deeper it goes, the likelier it stays. */
static json_t *choose_container(json_t *node, unsigned *seed) {
        for (unsigned depth = 0; depth < 6 && next_random(seed) % 3 != 0; depth++) {
                size_t n = count_children(node), i = n > 0 ? next_random(seed) % n : 0;
                json_t *child = NULL, *value;
                const char *key;
                size_t index;

                if (json_is_object(node))
                        json_object_foreach(node, key, value) {
                                if (count_children(value) > 0 && (i == 0 || !child))
                                        child = value;
                                i -= i > 0;
                        }
                else
                        json_array_foreach(node, index, value) if (count_children(value) > 0 && (index == i || !child)) child = value;
                if (!child)
                        break;
                node = child;
        }
        return node;
}

static json_t *mutate_string(const char *text, unsigned *seed) {
        uint8_t bytes[512] = {};
        size_t size = strnlen(text, sizeof(bytes) / 2);
        json_t *string;

        memcpy(bytes, text, size);
        size = LLVMFuzzerMutate(bytes, size, sizeof(bytes) - 1);
        bytes[size] = '\0';
        string = json_string((const char *) bytes);
        return string ? string : json_string("x");
}

static json_t *new_value(const json_t *old, unsigned *seed) {
        static const json_int_t numbers[] = {0,         1,          -1,        2,         63, 64, 255, 256, INT32_MAX, (json_int_t) INT32_MAX + 1,
                                             INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN, -2};

        switch (next_random(seed) % 10) {
        case 0:
                return json_null();
        case 1:
                return json_boolean(next_random(seed) % 2);
        case 2:
                return json_real(0.5);
        case 3:
                return json_array();
        case 4:
                return json_object();
        case 5:
                return json_string("");
        case 6:
        case 7:
                if (json_is_string(old))
                        return mutate_string(json_string_value(old), seed);
                if (json_is_integer(old))
                        return json_integer((json_int_t) ((uint64_t) json_integer_value(old) + next_random(seed) % 7 - 3));
                return json_copy((json_t *) old);
        default:
                return json_integer(numbers[next_random(seed) % (sizeof(numbers) / sizeof(numbers[0]))]);
        }
}

static void mutate_object(json_t *object, json_t *root, unsigned *seed) {
        size_t i = next_random(seed) % json_object_size(object);
        const char *key = NULL;
        json_t *value = NULL;

        json_object_foreach(object, key, value) if (i-- == 0) break;
        switch (next_random(seed) % 8) {
        case 0:
                (void) json_object_del(object, key);
                break;
        case 1:
                (void) json_object_set_new(object, "more", new_value(value, seed));
                break;
        case 2:
                (void) json_object_set_new(object, key, json_deep_copy(choose_container(root, seed)));
                break;
        default:
                (void) json_object_set_new(object, key, new_value(value, seed));
                break;
        }
}

static void mutate_array(json_t *array, json_t *root, unsigned *seed) {
        size_t i = next_random(seed) % json_array_size(array);

        switch (next_random(seed) % 6) {
        case 0:
                (void) json_array_remove(array, i);
                break;
        case 1:
                (void) json_array_append_new(array, json_deep_copy(json_array_get(array, i)));
                break;
        case 2:
                (void) json_array_set_new(array, i, json_deep_copy(choose_container(root, seed)));
                break;
        default:
                (void) json_array_set_new(array, i, new_value(json_array_get(array, i), seed));
                break;
        }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
        json_t *root = json_loadb((const char *) data, size, 0, NULL), *container;
        size_t dumped;

        if (!root || count_children(root) == 0 || next_random(&seed) % 32 == 0) {
                json_decref(root);
                return LLVMFuzzerMutate(data, size, max_size);
        }
        do {
                container = choose_container(root, &seed);
                if (json_is_object(container))
                        mutate_object(container, root, &seed);
                else
                        mutate_array(container, root, &seed);
        } while (count_children(root) > 0 && next_random(&seed) % 3 == 0);

        dumped = json_dumpb(root, (char *) data, max_size, JSON_COMPACT);
        json_decref(root);
        return dumped > 0 && dumped <= max_size ? dumped : LLVMFuzzerMutate(data, size, max_size);
}
