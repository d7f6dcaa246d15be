/* json_view.h: look into a JSON text (RFC 8259) of anybody.
 *
 * How it works
 *   Nothing is built: a value is the piece of the text that it takes up.
 *   json_check() walks the whole text once and refuses what is no JSON, nests
 *   deeper than JSON_DEPTH_MAX, has a key twice in one object, a NUL in a
 * string or bytes that are no UTF-8. The other calls are for values of a text
 * that passed; they look from the beginning each time, which suits texts of
 * some kilobytes.
 */
#ifndef SM_BASE_JSON_VIEW_H
#define SM_BASE_JSON_VIEW_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_DEPTH_MAX = 8, JSON_KEYS_MAX = 64 };

/* A value; `at` NULL: there is none. */
struct json_view {
    const char *at;
    size_t count;
};

/* 0 and *ret, the value that (text) consists of; SM_EIMAGE and at which byte it
 * is wrong. */
int json_check(const void *text, size_t count, struct json_view *ret,
               struct sm_error *err);

enum json_kind {
    JSON_IS_NONE,
    JSON_IS_OBJECT,
    JSON_IS_ARRAY,
    JSON_IS_STRING,
    JSON_IS_NUMBER,
    JSON_IS_TRUE,
    JSON_IS_FALSE,
    JSON_IS_NULL
};

enum json_kind json_kind_of(struct json_view value);

/* The value of (key) in an object. */
struct json_view json_field(struct json_view object, const char *key);
/* How many fields an object or items an array has. */
size_t json_count(struct json_view value);
/* The items of an array: begin with a zeroed one; NULL behind the last. */
struct json_view json_item_after(struct json_view array,
                                 struct json_view before);

/* A string, unescaped, which the caller frees; NULL: no memory. */
char *json_copy_string(struct json_view string);
/* A whole number without fraction and exponent; false: something else, or it
 * does not fit. */
bool json_get_whole(struct json_view number, int64_t *ret);

#endif
