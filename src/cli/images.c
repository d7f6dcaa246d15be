/* images.c: `supermachine images`: a table of what is kept. */
#include "created.h"
#include "host.h"
#include "human.h"
#include "listing.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>

struct images_options {
    struct listing_options listing;
};

static const struct option images_option_table[] = {
    LISTING_OPTION_ROWS(images_options, listing),
};

enum { REPOSITORY, TAG, ID, CREATED, SIZE, ROOTFS, CREATED_AT, DETAILS };

static const struct listing_column columns[] = {
    [REPOSITORY] = {"Repository", "REPOSITORY", 0, 0},
    [TAG] = {"Tag", "TAG", 0, 0},
    [ID] = {"ID", "IMAGE ID", LISTING_KEY | LISTING_ID, 12},
    [CREATED] = {"CreatedSince", "CREATED", 0, 0},
    [SIZE] = {"Size", "SIZE", LISTING_RIGHT, 0},
    [ROOTFS] = {"RootfsSize", "ROOTFS", LISTING_RIGHT, 0},
    [CREATED_AT] = {"CreatedAt", NULL, 0, 0},
    [DETAILS] = {"Details", NULL, 0, 0},
};

static void on_image(void *context, const struct sm_stored_image *image)
{
    struct listing *listing = context;
    char bytes[HUMAN_MAX];

    listing_row(listing);
    listing_text(listing, REPOSITORY, image->repository);
    listing_text(listing, TAG, image->tag[0] ? image->tag : "<none>");
    listing_text(listing, ID, image->id);
    created_put(listing, CREATED, CREATED_AT, image->created_s);
    listing_number(listing, SIZE, image->blob_bytes,
                   human_bytes(bytes, image->blob_bytes));
    listing_number(listing, ROOTFS, image->rootfs_bytes,
                   image->rootfs_bytes ? human_bytes(bytes, image->rootfs_bytes)
                                       : "-");
    listing_json(listing, DETAILS, image->json, NULL);
}

static int list_images(struct listing *listing)
{
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    int rc = cli_host_open(&host, &err);

    if (!rc)
        rc = sm_store_list(host, on_image, listing, &err);
    sm_host_free(host);
    if (!rc)
        return listing_print(listing, stdout);
    complain("images: %s", err.message);
    return EXIT_OURS;
}

static int run_images(void *values, char **words)
{
    const struct images_options *options = values;
    struct listing listing;
    int status;

    (void)words;
    if (!listing_init(&listing, "images", columns,
                      sizeof columns / sizeof columns[0], &options->listing))
        return EXIT_OURS;
    status = list_images(&listing);
    listing_done(&listing);
    return status;
}

const struct verb verb_images = {
    .name = "images",
    .options_anywhere = true,
    .group = VERB_IMAGES,
    .usage = "[OPTIONS]",
    .summary = "List the images that are kept",
    .details =
        "SIZE is what the image's blobs take up as they came, compressed; what "
        "images\nshare is counted for each. ROOTFS is what its root file "
        "system "
        "takes up on the\ndisk; - where none was made yet. An image for "
        "several "
        "platforms has a line for\neach that is there.",
    .options = images_option_table,
    .option_count = sizeof images_option_table / sizeof images_option_table[0],
    .values_bytes = sizeof(struct images_options),
    .ask = "takes no arguments",
    .run = run_images,
};
