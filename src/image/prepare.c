/* prepare.c: see prepare.h. */
#include "image/prepare.h"

#include "base/bytes.h"
#include "base/own.h"
#include "oci/catalog.h"
#include "oci/stored.h"
#include "platform/file.h"
#include "rootfs/store.h"

#include <stdio.h>
#include <string.h>

/* Whose root file system is being made. */
struct unpacking {
    struct reporter *reporter;
    const struct oci_image *image;
};

static char *literal(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* What it is told of is all layers together. */
static void on_progress(void *context, const struct rootfs_progress *progress)
{
    const struct unpacking *unpacking = context;
    const struct oci_image *image = unpacking->image;
    const struct oci_descriptor *layer = &image->layers[progress->layer].blob;
    uint64_t before = 0;
    char digest[DIGEST_TEXT_MAX];

    for (size_t i = 0; i < progress->layer; i++)
        before += image->layers[i].blob.bytes;
    digest_text(&layer->digest, digest);
    report_progress(
        unpacking->reporter,
        &(struct image_progress){
            .step = literal("unpack"),
            .done = min_u64(progress->done_bytes - before, layer->bytes),
            .total = layer->bytes,
            .layer = digest,
            .number = (uint32_t)progress->layer + 1,
            .count = (uint32_t)progress->layer_count});
}

void prepare_progress(void *context, const struct oci_progress *progress)
{
    char digest[DIGEST_TEXT_MAX];

    digest_text(&progress->layer->digest, digest);
    report_progress(context, &(struct image_progress){
                                 .step = literal("pull"),
                                 .done = min_u64(progress->done_bytes,
                                                 progress->layer->bytes),
                                 .total = progress->layer->bytes,
                                 .layer = digest,
                                 .number = (uint32_t)progress->number,
                                 .count = (uint32_t)progress->count});
}

/* The parts of the result that come from the image; its config moves. */
static int describe(struct oci_image *image, struct image_result *ret,
                    struct sm_error *err)
{
    char text[DIGEST_TEXT_MAX];
    char platform[PLATFORM_TEXT_MAX];

    ret->config = image->config;
    image->config = (struct image_config){0};
    digest_text(&image->digest, text);
    ret->digest = strdup(text);
    digest_text(&image->config_digest, text);
    ret->config_digest = strdup(text);
    platform_text(&image->platform, platform);
    ret->platform = strdup(platform);
    if (!ret->digest || !ret->config_digest || !ret->platform)
        return fail(err, SM_ENOMEM, "out of memory");
    return 0;
}

/*
 * The source of what (request) names, and the tag that it has there. What may
 * be the ID of an image is, if there is one of that ID and none of that name.
 */
static int open_source(const struct image_request *request,
                       const struct oci_place *place,
                       struct reference *reference, struct oci_source **ret,
                       struct sm_error *err)
{
    const char *text = request->reference;
    bool is_only_id = strncmp(text, "sha256:", strlen("sha256:")) == 0;
    int rc = SM_ENOENT;

    /* `pull deadbeef` asks for an image of that name. */
    if (catalog_is_id(text) && (is_only_id || !place->refresh))
        rc = stored_open(place->home, text, ret, err);
    if (rc != SM_ENOENT || (is_only_id && catalog_is_id(text)))
        return rc;
    rc = reference_parse(text, reference, err);
    return rc ? rc : oci_source_open(reference, place, ret, err);
}

static int load_image(const struct image_request *request,
                      const struct oci_place *place,
                      struct oci_source **ret_source,
                      struct oci_image *ret_image, struct sm_error *err)
{
    AUTO(reference_done) struct reference reference = {0};
    struct oci_platform platform;
    int rc = platform_parse(request->platform, &platform, err);

    if (!rc)
        rc = open_source(request, place, &reference, ret_source, err);
    if (!rc)
        rc = oci_image_load(*ret_source, reference.tag, &platform, ret_image,
                            err);
    if (!rc && (*ret_source)->ops->fetch)
        rc = (*ret_source)->ops->fetch(*ret_source, ret_image, err);
    return rc;
}

int prepare_image(const struct oci_place *place,
                  const struct image_request *request,
                  struct reporter *reporter, struct image_result *ret,
                  struct sm_error *err)
{
    AUTO(oci_source_closep) struct oci_source *source = NULL;
    AUTO(oci_image_done) struct oci_image image = {0};
    struct unpacking unpacking = {.reporter = reporter, .image = &image};
    struct rootfs_options options = {
        .home = place->home,
        .disk_bytes = request->disk_bytes,
        .progress = on_progress,
        .context = &unpacking,
    };
    int rc = folder_make(place->home, err);

    *ret = (struct image_result){.disk_bytes = request->disk_bytes};
    if (!rc)
        rc = load_image(request, place, &source, &image, err);
    if (!rc)
        rc = rootfs_prepare(source, &image, &options, &ret->rootfs,
                            &ret->reused, err);
    if (!rc)
        rc = describe(&image, ret, err);
    /* A record that cannot be kept only costs the next start time. */
    if (!rc && source->witnesses.count)
        (void)resolved_save(place->home, request, &source->witnesses, ret,
                            NULL);
    if (!rc)
        return 0;
    image_result_done(ret);
    return wrap(err, rc, "image %s", request->reference);
}
