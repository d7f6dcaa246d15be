/* json.c: JSON documents of images; see json.h. */
#include "oci/json.h"

static int parse_type(const void *bytes, size_t count, json_type type,
                      json_t **ret, struct sm_error *err)
{
    json_error_t why;
    json_t *json;

    if (count > JSON_DOCUMENT_MAX)
        return fail(err, SM_ELIMIT, "JSON of %zu bytes: at most %d", count,
                    JSON_DOCUMENT_MAX);
    json = json_loadb(bytes, count, JSON_REJECT_DUPLICATES, &why);
    if (!json)
        return fail(err,
                    json_error_code(&why) == json_error_out_of_memory
                        ? SM_ENOMEM
                        : SM_EIMAGE,
                    "invalid JSON at byte %d: %s", why.position, why.text);
    if (json_typeof(json) != type) {
        json_decref(json);
        return fail(err, SM_EIMAGE, "JSON is no %s",
                    type == JSON_OBJECT ? "object" : "array");
    }
    *ret = json;
    return 0;
}

int json_parse(const void *bytes, size_t count, json_t **ret,
               struct sm_error *err)
{
    return parse_type(bytes, count, JSON_OBJECT, ret, err);
}

int json_parse_array(const void *bytes, size_t count, json_t **ret,
                     struct sm_error *err)
{
    return parse_type(bytes, count, JSON_ARRAY, ret, err);
}

/* The field if it is there and not null. */
static int field_of(const json_t *object, const char *key, bool required,
                    json_t **ret, struct sm_error *err)
{
    json_t *field = json_object_get(object, key);

    *ret = json_is_null(field) ? NULL : field;
    if (!*ret && required)
        return fail(err, SM_EIMAGE, "field \"%s\" is missing", key);
    return 0;
}

static int wrong_type(const char *key, const char *wanted, struct sm_error *err)
{
    return fail(err, SM_EIMAGE, "field \"%s\" is not %s", key, wanted);
}

int json_string_of(const json_t *object, const char *key, bool required,
                   const char **ret, struct sm_error *err)
{
    json_t *field;
    int rc = field_of(object, key, required, &field, err);

    *ret = NULL;
    if (rc || !field)
        return rc;
    if (!json_is_string(field))
        return wrong_type(key, "a string", err);
    *ret = json_string_value(field);
    return 0;
}

int json_object_of(const json_t *object, const char *key, bool required,
                   json_t **ret, struct sm_error *err)
{
    int rc = field_of(object, key, required, ret, err);

    if (!rc && *ret && !json_is_object(*ret))
        rc = wrong_type(key, "an object", err);
    return rc;
}

int json_array_of(const json_t *object, const char *key, bool required,
                  json_t **ret, struct sm_error *err)
{
    int rc = field_of(object, key, required, ret, err);

    if (!rc && *ret && !json_is_array(*ret))
        rc = wrong_type(key, "an array", err);
    return rc;
}

int json_size_of(const json_t *object, const char *key, uint64_t *ret,
                 struct sm_error *err)
{
    json_t *field;
    int rc = field_of(object, key, true, &field, err);

    if (rc)
        return rc;
    if (!json_is_integer(field) || json_integer_value(field) < 0)
        return wrong_type(key, "a size", err);
    *ret = (uint64_t)json_integer_value(field);
    return 0;
}
