/* oci_json.c: fuzzes indexes, manifests and configs: the first byte says
 * which of them the rest is, and what is put around it. */
#include "base/buf.h"
#include "oci/config.h"
#include "oci/manifest.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

#define DIGEST                                                                 \
    "\"sha256:"                                                                \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""

/* Begin of a document that is right up to there. */
static const char *const heads[] = {
    "",
    "{\"schemaVersion\":2,\"manifests\":[{\"digest\":" DIGEST ",\"size\":1,",
    "{\"schemaVersion\":2,\"config\":{\"mediaType\":"
    "\"application/vnd.oci.image.config.v1+json\",\"digest\":" DIGEST
    ",\"size\":1},\"layers\":[{\"digest\":" DIGEST ",\"size\":",
    "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" DIGEST "]},\"config\":{",
};

static void parse(const void *bytes, size_t count)
{
    const struct oci_platform wish = {"linux", "amd64", ""};
    struct oci_manifest manifest;
    struct oci_config config;
    struct oci_index index;
    struct sm_error err;

    if (oci_index_parse(bytes, count, &index, &err) == 0) {
        (void)oci_index_choose(&index, &wish);
        oci_index_done(&index);
    }
    if (oci_manifest_parse(bytes, count, &manifest, &err) == 0)
        oci_manifest_done(&manifest);
    if (oci_config_parse(bytes, count, &config, &err) == 0)
        oci_config_done(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct buf text;
    const char *head;

    if (!count)
        return 0;
    head = heads[bytes[0] % (sizeof heads / sizeof heads[0])];
    buf_init(&text, count + 1024);
    buf_append(&text, head, strlen(head));
    buf_append(&text, bytes + 1, count - 1);
    parse(text.data, text.size);
    buf_done(&text);
    return 0;
}
