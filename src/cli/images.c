/* images.c: `supermachine images`: a table of what is kept. */
#include "host.h"
#include "measure.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct images_options {
    bool json;
    bool quiet;
    bool no_trunc;
};

#define FIELD(name) offsetof(struct images_options, name)

static const struct option images_option_table[] = {
    {"json", 0, OPTION_FLAG, FIELD(json), NULL,
     "one line of JSON for each image"},
    {"quiet", 'q', OPTION_FLAG, FIELD(quiet), NULL, "only IDs"},
    {"no-trunc", 0, OPTION_FLAG, FIELD(no_trunc), NULL, "whole IDs"},
};

enum { ID_SHORT = 12, COLUMNS = 6 };

/* The cells of a table, row by row; widths are known once all are there. */
struct table {
    const struct images_options *options;
    char *(*rows)[COLUMNS];
    size_t count;
    size_t room;
    bool failed;
};

static void table_done(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        for (int k = 0; k < COLUMNS; k++)
            free(table->rows[i][k]);
    free(table->rows);
}

static void add_row(struct table *table, const char *const cells[COLUMNS])
{
    if (table->count == table->room) {
        size_t room = table->room ? 2 * table->room : 16;
        void *rows = reallocarray(table->rows, room, sizeof *table->rows);

        if (!rows) {
            table->failed = true;
            return;
        }
        table->rows = rows;
        table->room = room;
    }
    for (int k = 0; k < COLUMNS; k++) {
        table->rows[table->count][k] = strdup(cells[k]);
        table->failed |= !table->rows[table->count][k];
    }
    table->count++;
}

static void print_table(const struct table *table)
{
    size_t widths[COLUMNS] = {0};

    for (size_t i = 0; i < table->count; i++)
        for (int k = 0; k < COLUMNS; k++)
            if (strlen(table->rows[i][k]) > widths[k])
                widths[k] = strlen(table->rows[i][k]);
    for (size_t i = 0; i < table->count; i++) {
        for (int k = 0; k < COLUMNS - 1; k++)
            printf("%-*s   ", (int)widths[k], table->rows[i][k]);
        printf("%s\n", table->rows[i][COLUMNS - 1]);
    }
}

/* "4bc4...", short unless all of it is wanted. */
static void print_id(char *to, size_t size, const char *id, bool whole)
{
    const char *hex = strchr(id, ':');

    if (whole)
        snprintf(to, size, "%s", id);
    else
        snprintf(to, size, "%.*s", ID_SHORT, hex ? hex + 1 : id);
}

static void on_image(void *context, const struct sm_stored_image *image)
{
    struct table *table = context;
    char id[160];
    char created[MEASURE_MAX];
    char blobs[MEASURE_MAX];
    char rootfs[MEASURE_MAX];

    if (table->options->json) {
        printf("%s\n", image->json);
        return;
    }
    print_id(id, sizeof id, image->id, table->options->no_trunc);
    if (table->options->quiet) {
        printf("%s\n", id);
        return;
    }
    measure_age(created, image->created_s, (uint64_t)time(NULL));
    measure_bytes(blobs, image->blob_bytes);
    measure_bytes(rootfs, image->rootfs_bytes);
    add_row(table, (const char *const[COLUMNS]){
                       image->repository, image->tag[0] ? image->tag : "<none>",
                       id, created, blobs, image->rootfs_bytes ? rootfs : "-"});
}

static int list_images(const struct images_options *options)
{
    static const char *const head[COLUMNS] = {"REPOSITORY", "TAG",  "IMAGE ID",
                                              "CREATED",    "SIZE", "ROOTFS"};
    struct table table = {.options = options};
    struct sm_host *host = NULL;
    struct sm_error err = {0};
    int rc = cli_host_open(&host, &err);

    add_row(&table, head);
    if (!rc)
        rc = sm_store_list(host, on_image, &table, &err);
    if (!rc && table.failed) {
        rc = SM_ENOMEM;
        snprintf(err.message, sizeof err.message, "out of memory");
    }
    if (rc)
        complain("images: %s", err.message);
    else if (!options->json && !options->quiet)
        print_table(&table);
    table_done(&table);
    sm_host_free(host);
    return rc ? EXIT_OURS : 0;
}

static int run_images(int count, char **arguments)
{
    struct images_options options = {0};
    char **rest;

    (void)count;
    switch (options_parse(&verb_images, arguments, &options, &rest)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_WRONG:
        return EXIT_OURS;
    case OPTIONS_OK:
        break;
    }
    if (rest[0]) {
        complain("images: %s: takes no arguments", rest[0]);
        return EXIT_OURS;
    }
    return list_images(&options);
}

const struct verb verb_images = {
    .name = "images",
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
    .run = run_images,
};
