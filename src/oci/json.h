/* json.h: bounded JSON documents and their fields, over jansson.
 *
 * A document nested deeper than jansson allows (2048 levels), with a repeated
 * key, a NUL in a string or bytes that are no UTF-8 is refused. A field that is
 * null counts as missing.
 */
#ifndef SM_OCI_JSON_H
#define SM_OCI_JSON_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

enum { JSON_DOCUMENT_MAX = 4 << 20 };

static inline void json_unref(json_t **json)
{
    json_decref(*json);
}

/* An object; the caller calls json_decref(). SM_EIMAGE if it is none, or
 * longer than JSON_DOCUMENT_MAX. */
int json_parse(const void *bytes, size_t count, json_t **ret,
               struct sm_error *err);
/* The same for a document that is an array. */
int json_parse_array(const void *bytes, size_t count, json_t **ret,
                     struct sm_error *err);

/* Fields of (object). NULL and 0 if it is missing and not (required);
 * SM_EIMAGE if it is missing and required, or of another type. What is
 * returned belongs to (object). */
int json_string_of(const json_t *object, const char *key, bool required,
                   const char **ret, struct sm_error *err);
int json_object_of(const json_t *object, const char *key, bool required,
                   json_t **ret, struct sm_error *err);
int json_array_of(const json_t *object, const char *key, bool required,
                  json_t **ret, struct sm_error *err);
/* Required, and not negative. */
int json_size_of(const json_t *object, const char *key, uint64_t *ret,
                 struct sm_error *err);

#endif
