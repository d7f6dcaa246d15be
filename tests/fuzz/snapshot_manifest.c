/* snapshot_manifest.c: fuzzes the reader of snapshots' manifests, and the JSON
 * under it: what it takes, it must write and take again. */
#include "base/bytes.h"
#include "shelf/manifest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* The bytes of a manifest, which the fuzzer's are put over: {u16 where, u8
 * what} each. With none of them it is read. */
static const char model[] =
    "{\"version\": 1,"
    "\"snapshot\": {\"created_s\": 1, \"writer\": \"w\", \"parent\": \"\"},"
    "\"image\": {\"name\": \"i\", \"digest\": \"\"},"
    "\"machine\": {\"memory_bytes\": 33554432, \"vcpus\": 1, \"disk_bytes\": "
    "1048576, \"hostname\": \"\", \"labels\": [\"a=b\"], \"processes_max\": 0},"
    "\"defaults\": {\"entrypoint\": [], \"cmd\": [\"x\\n\"], \"env\": [], "
    "\"volumes\": [], \"ports\": [], \"labels\": [], \"workdir\": \"/\", "
    "\"user\": \"\", \"stop_signal\": \"\", \"healthcheck\": \"\"},"
    "\"program\": {\"channel\": 1, \"tty\": false, \"stdin\": true, \"argv\": "
    "[\"\\u00e9\"]},"
    "\"origin\": {\"architecture\": \"x86_64\", \"hypervisor\": \"kvm\", "
    "\"label\": \"\", \"programs\": \"\", \"kernel\": \"\", \"agent\": \"\", "
    "\"own_kernel\": false},"
    "\"limits\": [[7, 1, -1]],"
    "\"files\": {\"state\": 1, \"memory\": 33554432, \"rootfs\": 1048576, "
    "\"disk.0\": 4096}}";

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void try_text(const void *text, size_t count)
{
    struct snapshot_manifest manifest;
    struct snapshot_manifest again;
    struct buf copy;

    if (snapshot_manifest_read(text, count, &manifest, NULL) != 0)
        return;
    buf_init(&copy, 2 * SNAPSHOT_MANIFEST_MAX);
    snapshot_manifest_write(&copy, &manifest);
    must(!copy.failed);
    must(snapshot_manifest_read(copy.data, copy.size, &again, NULL) == 0);
    must(again.memory_bytes == manifest.memory_bytes &&
         again.layer_count == manifest.layer_count &&
         again.defaults.cmd.count == manifest.defaults.cmd.count &&
         strcmp(again.image, manifest.image) == 0);
    snapshot_manifest_done(&again);
    snapshot_manifest_done(&manifest);
    buf_done(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char patched[sizeof model];

    try_text(bytes, count);
    try_text(model, sizeof model - 1);
    memcpy(patched, model, sizeof model);
    for (; count >= 3; bytes += 3, count -= 3)
        patched[load_le16(bytes) % (sizeof model - 1)] = (char)bytes[2];
    try_text(patched, sizeof model - 1);
    return 0;
}
