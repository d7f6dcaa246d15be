/* config.c: the config of an image; see config.h. */
#include "oci/config.h"

#include "base/own.h"
#include "oci/json.h"
#include "oci/manifest.h"

#include <stdio.h>
#include <string.h>

static int no_memory(struct sm_error *err)
{
    return fail(err, SM_ENOMEM, "out of memory");
}

static int copy_string(const json_t *json, const char *key, char **ret,
                       struct sm_error *err)
{
    const char *text;
    int rc = json_string_of(json, key, false, &text, err);

    if (rc)
        return rc;
    *ret = strdup(text ? text : "");
    return *ret ? 0 : no_memory(err);
}

static int copy_strings(const json_t *json, const char *key,
                        struct image_strings *ret, struct sm_error *err)
{
    json_t *array;
    int rc = json_array_of(json, key, false, &array, err);

    for (size_t i = 0; !rc && i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);

        if (!json_is_string(item))
            rc = fail(err, SM_EIMAGE, "entry %zu of \"%s\" is no string", i,
                      key);
        else if (!image_strings_add(ret, json_string_value(item)))
            rc = no_memory(err);
    }
    return rc;
}

/* The keys of an object that serves as a set: {"/data": {}}. */
static int copy_keys(json_t *json, const char *key, struct image_strings *ret,
                     struct sm_error *err)
{
    json_t *object;
    json_t *value;
    const char *name;
    int rc = json_object_of(json, key, false, &object, err);

    if (rc)
        return rc;
    json_object_foreach(object, name, value)
    {
        if (!image_strings_add(ret, name))
            return no_memory(err);
    }
    return 0;
}

static int add_label(struct image_strings *ret, const char *name,
                     const json_t *value, struct sm_error *err)
{
    AUTO_FREE char *label = NULL;

    if (!json_is_string(value) || strchr(name, '='))
        return fail(err, SM_EIMAGE,
                    "label \"%.64s\": a text, without '=' in "
                    "its name, is wanted",
                    name);
    if (asprintf(&label, "%s=%s", name, json_string_value(value)) < 0) {
        label = NULL;
        return no_memory(err);
    }
    return image_strings_add(ret, label) ? 0 : no_memory(err);
}

static int copy_labels(json_t *json, struct image_strings *ret,
                       struct sm_error *err)
{
    json_t *object;
    json_t *value;
    const char *name;
    int rc = json_object_of(json, "Labels", false, &object, err);

    if (rc)
        return rc;
    json_object_foreach(object, name, value)
    {
        rc = add_label(ret, name, value, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int copy_healthcheck(const json_t *json, char **ret,
                            struct sm_error *err)
{
    json_t *object;
    int rc = json_object_of(json, "Healthcheck", false, &object, err);

    if (rc)
        return rc;
    *ret = object ? json_dumps(object, JSON_COMPACT) : strdup("");
    return *ret ? 0 : no_memory(err);
}

static int check_env(const struct image_strings *env, struct sm_error *err)
{
    for (uint32_t i = 0; i < env->count; i++)
        if (!strchr(env->items[i], '=') || env->items[i][0] == '=')
            return fail(err, SM_EIMAGE,
                        "\"Env\" entry \"%.64s\": must be "
                        "NAME=VALUE",
                        env->items[i]);
    return 0;
}

/* (json) is the inner "config" object, or NULL if there is none. */
static int parse_image(json_t *json, struct image_config *ret,
                       struct sm_error *err)
{
    int rc = copy_strings(json, "Entrypoint", &ret->entrypoint, err);

    if (!rc)
        rc = copy_strings(json, "Cmd", &ret->cmd, err);
    if (!rc)
        rc = copy_strings(json, "Env", &ret->env, err);
    if (!rc)
        rc = check_env(&ret->env, err);
    if (!rc)
        rc = copy_keys(json, "Volumes", &ret->volumes, err);
    if (!rc)
        rc = copy_keys(json, "ExposedPorts", &ret->ports, err);
    if (!rc)
        rc = copy_labels(json, &ret->labels, err);
    if (!rc)
        rc = copy_string(json, "WorkingDir", &ret->workdir, err);
    if (!rc)
        rc = copy_string(json, "User", &ret->user, err);
    if (!rc)
        rc = copy_string(json, "StopSignal", &ret->stop_signal, err);
    return rc ? rc : copy_healthcheck(json, &ret->healthcheck, err);
}

static int parse_platform(const json_t *json, struct oci_platform *ret,
                          struct sm_error *err)
{
    const char *os;
    const char *architecture;
    const char *variant;
    int rc = json_string_of(json, "os", false, &os, err);

    if (!rc)
        rc = json_string_of(json, "architecture", false, &architecture, err);
    if (!rc)
        rc = json_string_of(json, "variant", false, &variant, err);
    if (rc)
        return rc;
    snprintf(ret->os, sizeof ret->os, "%s", os ? os : "");
    snprintf(ret->architecture, sizeof ret->architecture, "%s",
             architecture ? architecture : "");
    snprintf(ret->variant, sizeof ret->variant, "%s", variant ? variant : "");
    return 0;
}

static int parse_diff_ids(const json_t *array, struct oci_config *ret,
                          struct sm_error *err)
{
    size_t count = json_array_size(array);

    if (count > OCI_LAYERS_MAX)
        return fail(err, SM_ELIMIT, "%zu layers: at most %d", count,
                    OCI_LAYERS_MAX);
    ret->diff_ids = calloc(count + 1, sizeof *ret->diff_ids);
    if (!ret->diff_ids)
        return no_memory(err);
    while (ret->diff_id_count < count) {
        const json_t *item = json_array_get(array, ret->diff_id_count);
        int rc;

        if (!json_is_string(item))
            return fail(err, SM_EIMAGE,
                        "entry %zu of \"diff_ids\" is no "
                        "string",
                        ret->diff_id_count);
        rc = digest_parse(json_string_value(item),
                          &ret->diff_ids[ret->diff_id_count], err);
        if (rc)
            return rc;
        ret->diff_id_count++;
    }
    return 0;
}

static int parse_rootfs(const json_t *json, struct oci_config *ret,
                        struct sm_error *err)
{
    json_t *rootfs;
    json_t *diff_ids;
    const char *type;
    int rc = json_object_of(json, "rootfs", true, &rootfs, err);

    if (!rc)
        rc = json_string_of(rootfs, "type", true, &type, err);
    if (!rc)
        rc = json_array_of(rootfs, "diff_ids", true, &diff_ids, err);
    if (rc)
        return rc;
    if (strcmp(type, "layers") != 0)
        return fail(err, SM_ENOTSUP,
                    "root file system of type \"%.64s\": only \"layers\" is "
                    "known",
                    type);
    return parse_diff_ids(diff_ids, ret, err);
}

int oci_config_parse(const void *bytes, size_t count, struct oci_config *ret,
                     struct sm_error *err)
{
    AUTO(json_unref) json_t *json = NULL;
    json_t *inner;
    int rc = json_parse(bytes, count, &json, err);

    *ret = (struct oci_config){0};
    if (!rc)
        rc = parse_platform(json, &ret->platform, err);
    if (!rc)
        rc = parse_rootfs(json, ret, err);
    if (!rc)
        rc = json_object_of(json, "config", false, &inner, err);
    if (!rc)
        rc = parse_image(inner, &ret->image, err);
    if (rc)
        oci_config_done(ret);
    return rc;
}

void oci_config_done(struct oci_config *config)
{
    image_config_done(&config->image);
    free(config->diff_ids);
    *config = (struct oci_config){0};
}
