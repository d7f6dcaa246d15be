/* artifact.c: a snapshot as an OCI artifact; see artifact.h. */
#include "image/artifact.h"

#include "base/bytes.h"
#include "base/own.h"
#include "image/holes.h"
#include "oci/json.h"
#include "platform/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

OWN_DEFINE(struct blob, blob_close)
OWN_DEFINE(struct shelf_folder, shelf_free)

#define TYPE_SNAPSHOT "application/vnd.supermachine.snapshot.v1"
#define TYPE_CONFIG   "application/vnd.supermachine.snapshot.config.v1+json"
#define TYPE_FILE     "application/vnd.supermachine.snapshot.file.v1+zstd"
#define TITLE         "org.opencontainers.image.title"

enum { CONFIG = 0 };

/* ---- packing ---- */

void artifact_done(struct artifact *artifact)
{
    for (unsigned i = 0; i < artifact->blob_count; i++)
        own_close(&artifact->blobs[i].fd);
    free(artifact->text);
    *artifact = (struct artifact){0};
}

static int hash(const void *bytes, size_t count, struct digest *ret,
                struct sm_error *err)
{
    AUTO(hasher_done) struct hasher hasher = {0};
    int rc = hasher_init(&hasher, DIGEST_SHA256, err);

    if (rc)
        return rc;
    hasher_add(&hasher, bytes, count);
    hasher_end(&hasher, ret);
    return 0;
}

/* The snapshot's own manifest, without what is of this installation. */
static int pack_config(struct snapshot_manifest *manifest, const char *home,
                       struct artifact_blob *ret, struct sm_error *err)
{
    AUTO(buf_done) struct buf text = {0};
    int rc;

    free(own_take(manifest->origin.programs));
    manifest->bytes[SNAPSHOT_MEMORY] = manifest->memory_bytes;
    buf_init(&text, SNAPSHOT_MANIFEST_MAX);
    snapshot_manifest_write(&text, manifest);
    if (text.failed)
        return buf_refuse(&text, err, "manifest");
    ret->bytes = text.size;
    rc = hash(text.data, text.size, &ret->digest, err);
    if (!rc)
        rc = file_unnamed(home, &ret->fd, err);
    return rc ? rc : file_write_at(ret->fd, text.data, text.size, 0, err);
}

static json_t *descriptor_json(const char *type,
                               const struct artifact_blob *blob,
                               const char *title)
{
    char digest[DIGEST_TEXT_MAX];
    json_t *json;

    digest_text(&blob->digest, digest);
    json = json_pack("{ss ss sI}", "mediaType", type, "digest", digest, "size",
                     (json_int_t)blob->bytes);
    if (json && title)
        json_object_set_new(json, "annotations",
                            json_pack("{ss}", TITLE, title));
    return json;
}

/* (layers) is taken over. */
static int make_text(struct artifact *artifact, const char *name,
                     json_t *layers, struct sm_error *err)
{
    AUTO(json_unref)
    json_t *json =
        json_pack("{si ss ss so so s{ss}}", "schemaVersion", 2, "mediaType",
                  ARTIFACT_MANIFEST, "artifactType", TYPE_SNAPSHOT, "config",
                  descriptor_json(TYPE_CONFIG, &artifact->blobs[CONFIG], NULL),
                  "layers", layers, "annotations", TITLE, name);

    artifact->text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
    if (!artifact->text)
        return fail(err, SM_ENOMEM, "out of memory");
    return hash(artifact->text, strlen(artifact->text), &artifact->digest, err);
}

static int pack_files(const struct shelf_snapshot *snapshot, const char *home,
                      struct artifact *ret, json_t *layers,
                      struct sm_error *err)
{
    int rc = 0;

    for (unsigned file = 0; file < SNAPSHOT_FILES && !rc; file++) {
        struct artifact_blob *blob = &ret->blobs[ret->blob_count];
        char name[SNAPSHOT_FILE_NAME_MAX];

        if (!snapshot_has_file(&snapshot->manifest, file))
            continue;
        snapshot_file_name(file, name);
        rc = holes_pack(snapshot->fds[file], snapshot->manifest.bytes[file],
                        home, &blob->fd, &blob->digest, &blob->bytes, err);
        if (rc)
            return wrap(err, rc, "%s", name);
        ret->blob_count++;
        if (json_array_append_new(layers,
                                  descriptor_json(TYPE_FILE, blob, name)) != 0)
            return fail(err, SM_ENOMEM, "out of memory");
    }
    return rc;
}

static void snapshot_close(struct shelf_snapshot *snapshot)
{
    shelf_snapshot_done(snapshot);
}

int artifact_pack(const char *home, const char *name, struct artifact *ret,
                  struct sm_error *err)
{
    AUTO(artifact_done) struct artifact artifact = {0};
    AUTO(snapshot_close) struct shelf_snapshot snapshot;
    json_t *layers = json_array();
    int rc;

    shelf_snapshot_init(&snapshot);
    rc = layers ? shelf_open(home, name, &snapshot, err)
                : fail(err, SM_ENOMEM, "out of memory");
    if (!rc) {
        artifact.blobs[CONFIG].fd = -1;
        artifact.blob_count = 1;
        rc =
            pack_config(&snapshot.manifest, home, &artifact.blobs[CONFIG], err);
    }
    if (!rc)
        rc = pack_files(&snapshot, home, &artifact, layers, err);
    if (rc) {
        json_decref(layers);
        return rc;
    }
    rc = make_text(&artifact, name, layers, err);
    if (!rc) {
        *ret = artifact;
        artifact = (struct artifact){0};
    }
    return rc;
}

/* ---- unpacking ---- */

/* What an OCI manifest says. */
struct parsed {
    struct oci_descriptor config;
    struct oci_descriptor files[SNAPSHOT_FILES];
    bool has[SNAPSHOT_FILES];
    char name[SHELF_NAME_MAX + 1]; /* "": none */
};

static int parse_descriptor(const json_t *json, const char *type,
                            struct oci_descriptor *ret, struct sm_error *err)
{
    const char *is;
    const char *digest;
    int rc = json_string_of(json, "mediaType", true, &is, err);

    if (!rc && strcmp(is, type) != 0)
        rc = fail(err, SM_EIMAGE, "is of type %.80s, not %s", is, type);
    if (!rc)
        rc = json_string_of(json, "digest", true, &digest, err);
    if (!rc)
        rc = json_size_of(json, "size", &ret->bytes, err);
    if (!rc)
        rc = digest_parse(digest, &ret->digest, err);
    return rc;
}

/* "": there is none. */
static int get_title(const json_t *json, const char **ret, struct sm_error *err)
{
    json_t *annotations;
    int rc = json_object_of(json, "annotations", false, &annotations, err);

    *ret = NULL;
    if (!rc && annotations)
        rc = json_string_of(annotations, TITLE, false, ret, err);
    if (!rc && !*ret)
        *ret = "";
    return rc;
}

static int parse_layer(const json_t *json, struct parsed *ret,
                       struct sm_error *err)
{
    const char *title;
    unsigned file = 0;
    int rc = get_title(json, &title, err);

    if (rc)
        return rc;
    for (; file < SNAPSHOT_FILES; file++) {
        char name[SNAPSHOT_FILE_NAME_MAX];

        snapshot_file_name(file, name);
        if (strcmp(name, title) == 0)
            break;
    }
    if (file == SNAPSHOT_FILES || ret->has[file])
        return fail(err, SM_EIMAGE, "\"%.40s\" is %s", title,
                    file == SNAPSHOT_FILES ? "no file of a snapshot"
                                           : "there twice");
    ret->has[file] = true;
    return parse_descriptor(json, TYPE_FILE, &ret->files[file], err);
}

static int parse_all(const json_t *json, struct parsed *ret,
                     struct sm_error *err)
{
    const char *type;
    const char *title;
    json_t *config;
    json_t *layers;
    int rc = json_string_of(json, "artifactType", false, &type, err);

    if (!rc && (!type || strcmp(type, TYPE_SNAPSHOT) != 0))
        return fail(err, SM_EIMAGE, "is no snapshot%s%.80s",
                    type ? ": it is of type " : ", but an image",
                    type ? type : "");
    if (!rc)
        rc = json_object_of(json, "config", true, &config, err);
    if (!rc)
        rc = parse_descriptor(config, TYPE_CONFIG, &ret->config, err);
    if (!rc)
        rc = json_array_of(json, "layers", true, &layers, err);
    if (!rc)
        rc = get_title(json, &title, err);
    if (rc)
        return rc;
    if (shelf_check_name(title, NULL) == 0)
        snprintf(ret->name, sizeof ret->name, "%s", title);
    for (size_t i = 0; i < json_array_size(layers) && !rc; i++)
        rc = parse_layer(json_array_get(layers, i), ret, err);
    return rc;
}

static int read_config(const struct artifact_unpack *unpack,
                       const struct oci_descriptor *descriptor,
                       struct snapshot_manifest *ret, struct sm_error *err)
{
    AUTO(blob_closep) struct blob *blob = NULL;
    AUTO(buf_done) struct buf text = {0};
    int rc;

    if (descriptor->bytes > SNAPSHOT_MANIFEST_MAX)
        return fail(err, SM_ELIMIT, "manifest of %llu bytes: at most %d",
                    (unsigned long long)descriptor->bytes,
                    SNAPSHOT_MANIFEST_MAX);
    buf_init(&text, SNAPSHOT_MANIFEST_MAX);
    rc = unpack->open(unpack->context, descriptor, &blob, err);
    if (!rc)
        rc = blob_read_all(blob, &text, err);
    if (!rc)
        rc = snapshot_manifest_read(text.data, text.size, ret, err);
    return rc ? wrap(err, rc, "manifest") : 0;
}

static int unpack_file(const struct artifact_unpack *unpack,
                       const struct oci_descriptor *descriptor,
                       struct shelf_folder *folder, unsigned file,
                       uint64_t bytes, struct sm_error *err)
{
    AUTO(blob_closep) struct blob *blob = NULL;
    AUTO_CLOSE int fd = -1;
    int rc = unpack->open(unpack->context, descriptor, &blob, err);

    if (!rc)
        rc = shelf_add_new(folder, file, &fd, err);
    return rc ? rc : holes_unpack(blob, fd, bytes, err);
}

static int unpack_files(const struct artifact_unpack *unpack,
                        const struct parsed *parsed,
                        const struct snapshot_manifest *manifest,
                        struct shelf_folder *folder, struct sm_error *err)
{
    int rc = 0;

    for (unsigned file = 0; file < SNAPSHOT_FILES && !rc; file++) {
        char name[SNAPSHOT_FILE_NAME_MAX];

        snapshot_file_name(file, name);
        if (parsed->has[file] != snapshot_has_file(manifest, file))
            rc = fail(err, SM_EIMAGE, "%s",
                      parsed->has[file] ? "its manifest has none"
                                        : "is missing");
        else if (parsed->has[file])
            rc = unpack_file(unpack, &parsed->files[file], folder, file,
                             manifest->bytes[file], err);
        if (rc)
            rc = wrap(err, rc, "%s", name);
    }
    return rc;
}

static int unpack_parsed(const struct artifact_unpack *unpack,
                         const struct parsed *parsed,
                         char ret_name[SHELF_NAME_MAX + 1],
                         struct sm_error *err)
{
    AUTO(snapshot_manifest_done) struct snapshot_manifest manifest = {0};
    AUTO(shelf_freep) struct shelf_folder *folder = NULL;
    const char *name = unpack->name[0] ? unpack->name : parsed->name;
    int rc = shelf_check_name(name, err);

    if (!rc && shelf_has(unpack->home, name))
        rc = fail(err, SM_EEXIST,
                  "there is a snapshot %s: give this one "
                  "another name, or remove that",
                  name);
    if (!rc)
        rc = read_config(unpack, &parsed->config, &manifest, err);
    if (rc)
        return rc;
    /* Of an installation elsewhere, whatever it says. */
    manifest.origin.programs[0] = '\0';
    rc = shelf_begin(unpack->home, &folder, err);
    if (!rc)
        rc = unpack_files(unpack, parsed, &manifest, folder, err);
    return rc ? rc
              : shelf_finish(folder, &manifest,
                             &(struct shelf_finish){.name = name}, ret_name,
                             err);
}

int artifact_unpack(const struct artifact_unpack *unpack,
                    char ret_name[SHELF_NAME_MAX + 1], struct sm_error *err)
{
    AUTO(json_unref) json_t *json = NULL;
    struct parsed parsed = {0};
    int rc = json_parse(unpack->text, unpack->count, &json, err);

    if (!rc)
        rc = parse_all(json, &parsed, err);
    return rc ? rc : unpack_parsed(unpack, &parsed, ret_name, err);
}
