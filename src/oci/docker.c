/* docker.c: archives of `docker save`; see docker.h. */
#include "oci/docker.h"

#include "base/own.h"
#include "oci/bundle.h"
#include "oci/json.h"
#include "platform/file.h"

#include <string.h>

/* A file of the archive that is a JSON array. */
static int read_list(int fd, const struct tar_member *member, json_t **ret,
                     struct sm_error *err)
{
    AUTO_FREE char *text = NULL;
    int rc;

    if (member->bytes > JSON_DOCUMENT_MAX)
        return fail(err, SM_ELIMIT, "%s of %llu bytes: at most %d",
                    member->name, (unsigned long long)member->bytes,
                    JSON_DOCUMENT_MAX);
    text = malloc((size_t)member->bytes + 1);
    if (!text)
        return fail(err, SM_ENOMEM, "out of memory");
    rc = file_read_at(fd, text, (size_t)member->bytes, member->offset, err);
    if (!rc)
        rc = json_parse_array(text, (size_t)member->bytes, ret, err);
    return rc ? wrap(err, rc, "%s", member->name) : 0;
}

bool docker_is_archive(int fd, const struct tar *tar)
{
    const struct tar_member *member = tar_find(tar, "manifest.json");
    AUTO(json_unref) json_t *list = NULL;
    const json_t *first;

    if (!member || read_list(fd, member, &list, NULL))
        return false;
    first = json_array_get(list, 0);
    return json_object_get(first, "Config") && json_object_get(first, "Layers");
}

/* (image) is tagged (tag); a missing ":TAG" means ":latest", as for Docker. */
static bool has_tag(const json_t *image, const char *tag)
{
    const json_t *tags = json_object_get(image, "RepoTags");
    size_t length = strlen(tag);

    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *have = json_string_value(json_array_get(tags, i));

        if (have && strncmp(have, tag, length) == 0 &&
            (!have[length] || strcmp(have + length, ":latest") == 0))
            return true;
    }
    return false;
}

/* "a, b", as far as there is room. */
static void list_tags(const json_t *images, struct buf *to)
{
    for (size_t i = 0; i < json_array_size(images); i++) {
        const json_t *tags =
            json_object_get(json_array_get(images, i), "RepoTags");

        for (size_t k = 0; k < json_array_size(tags); k++) {
            const char *tag = json_string_value(json_array_get(tags, k));

            if (tag)
                buf_print(to, "%s%.128s", to->size ? ", " : "", tag);
        }
    }
}

static int choose(const json_t *images, const char *tag, const json_t **ret,
                  struct sm_error *err)
{
    AUTO(buf_done) struct buf tags = {0};
    size_t count = json_array_size(images);

    for (size_t i = 0; i < count; i++) {
        *ret = json_array_get(images, i);
        if (tag ? has_tag(*ret, tag) : count == 1)
            return 0;
    }
    if (!count)
        return fail(err, SM_ENOENT, "has no image");
    buf_init(&tags, 512);
    list_tags(images, &tags);
    if (tag)
        return fail(err, SM_ENOENT, "no image \"%s\": there is %.*s", tag,
                    (int)tags.size, tags.size ? (char *)tags.data : "");
    return fail(err, SM_EINVAL, "which image is meant? There is %.*s",
                (int)tags.size, tags.size ? (char *)tags.data : "");
}

static int find_file(const struct tar *tar, const char *path,
                     const struct tar_member **ret, struct sm_error *err)
{
    *ret = tar_find(tar, path);
    return *ret ? 0 : fail(err, SM_EIMAGE, "file %.256s is missing", path);
}

static int add_layers(struct bundle *bundle, const struct tar *tar,
                      const json_t *layers, struct sm_error *err)
{
    for (size_t i = 0; i < json_array_size(layers); i++) {
        const char *path = json_string_value(json_array_get(layers, i));
        const struct tar_member *member;
        int rc;

        if (!path)
            return fail(err, SM_EIMAGE, "a layer is not a string");
        rc = find_file(tar, path, &member, err);
        if (!rc)
            rc = bundle_add_layer(bundle, member->offset, member->bytes, err);
        if (rc)
            return wrap(err, rc, "layer %zu of %zu", i + 1,
                        json_array_size(layers));
    }
    return 0;
}

static int gather(struct bundle *bundle, const struct tar *tar,
                  const json_t *image, struct sm_error *err)
{
    const struct tar_member *config;
    const char *path;
    json_t *layers;
    int rc;

    if (!json_is_object(image))
        return fail(err, SM_EIMAGE, "manifest.json: an image is no object");
    rc = json_string_of(image, "Config", true, &path, err);
    if (!rc)
        rc = json_array_of(image, "Layers", true, &layers, err);
    if (!rc)
        rc = find_file(tar, path, &config, err);
    if (!rc)
        rc = bundle_set_config(bundle, config->offset, config->bytes, err);
    return rc ? rc : add_layers(bundle, tar, layers, err);
}

int docker_open(int fd, const char *name, const struct tar *tar,
                const char *tag, struct oci_source **ret, struct sm_error *err)
{
    const struct tar_member *member = tar_find(tar, "manifest.json");
    AUTO(bundle_freep) struct bundle *bundle = NULL;
    AUTO(json_unref) json_t *images = NULL;
    const json_t *image = NULL;
    int rc;

    if (!member)
        return fail(err, SM_EIMAGE,
                    "%s: is no docker archive: it has no manifest.json", name);
    rc = read_list(fd, member, &images, err);
    if (!rc)
        rc = choose(images, tag, &image, err);
    if (!rc)
        rc = bundle_new(fd, &bundle, err);
    if (!rc)
        rc = gather(bundle, tar, image, err);
    if (rc)
        return wrap(err, rc, "%s", name);
    return bundle_finish(own_take(bundle), ret, err);
}

static int read_names(const json_t *image, struct image_strings *ret,
                      struct sm_error *err)
{
    const json_t *tags = json_object_get(image, "RepoTags");

    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));

        if (tag && !image_strings_add(ret, tag))
            return fail(err, SM_ENOMEM, "out of memory");
    }
    return 0;
}

static int visit(int fd, const struct tar *tar, const json_t *image,
                 docker_fn *fn, void *context, struct sm_error *err)
{
    AUTO(image_strings_done) struct image_strings names = {0};
    AUTO(oci_source_closep) struct oci_source *source = NULL;
    AUTO(bundle_freep) struct bundle *bundle = NULL;
    int rc = read_names(image, &names, err);

    if (!rc)
        rc = bundle_new(fd, &bundle, err);
    if (!rc)
        rc = gather(bundle, tar, image, err);
    if (!rc)
        rc = bundle_finish(own_take(bundle), &source, err);
    return rc ? rc : fn(context, source, &names, err);
}

int docker_walk(int fd, const char *name, const struct tar *tar, docker_fn *fn,
                void *context, struct sm_error *err)
{
    const struct tar_member *member = tar_find(tar, "manifest.json");
    AUTO(json_unref) json_t *images = NULL;
    int rc = 0;

    if (!member)
        return fail(err, SM_EIMAGE,
                    "%s: is no docker archive: it has no manifest.json", name);
    rc = read_list(fd, member, &images, err);
    for (size_t i = 0; !rc && i < json_array_size(images); i++)
        rc = visit(fd, tar, json_array_get(images, i), fn, context, err);
    return rc ? wrap(err, rc, "%s", name) : 0;
}
