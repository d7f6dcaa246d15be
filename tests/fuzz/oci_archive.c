/* oci_archive.c: fuzzes whole archives: the bytes as a tar, as a stream, and
 * as either kind of image archive. */
#include "oci/archived.h"

#include "base/own.h"
#include "oci/image.h"
#include "platform/file.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

static void read_layers(struct oci_source *source,
                        const struct oci_image *image)
{
    for (size_t i = 0; i < image->layer_count; i++) {
        struct blob *blob;

        if (source->ops->blob_open(source, &image->layers[i].blob, &blob, NULL))
            continue;
        (void)blob_finish(blob, NULL);
        blob_close(blob);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const struct reference reference = {.kind = REFERENCE_INPUT};
    struct oci_place place = {.home = "/tmp"};
    const struct oci_platform platform = {.os = "linux",
                                          .architecture = "amd64"};
    struct oci_source *source = NULL;
    struct oci_image image;
    struct sm_error err = {0};
    int rc;

    if (file_in_memory("archive", &place.input_fd, NULL) ||
        file_write_at(place.input_fd, bytes, count, 0, NULL))
        abort();
    rc = archived_open(&reference, &place, &source, &err);
    if (!rc) {
        rc = oci_image_load(source, NULL, &platform, &image, &err);
        if (!rc) {
            read_layers(source, &image);
            oci_image_done(&image);
        }
    }
    if (rc && !err.message[0])
        abort();
    oci_source_close(source);
    close(place.input_fd);
    return 0;
}
