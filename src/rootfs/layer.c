/* layer.c: reading a layer; see layer.h. */
#include "rootfs/layer.h"

#include "base/own.h"

#include <archive.h>
#include <errno.h>
#include <string.h>

struct layer {
    struct blob *blob;
    struct archive *unpacker; /* blob -> bytes of the tar            */
    struct archive *tar;      /* these -> entries                    */
    const uint8_t *first;     /* bytes of the blob that were read to
                                 tell the compression                */
    size_t first_count;
    struct hasher hasher;
    struct digest diff_id;
    uint64_t unpacked;
    uint64_t limit;
    bool empty;             /* nothing comes out of the blob       */
    struct sm_error broken; /* what stopped a callback; code 0: nothing */
};

OWN_DEFINE(struct blob, blob_close)
OWN_DEFINE(struct layer, layer_close)

/* ---- the two readers ---- */

/* libarchive asks for bytes of the blob. */
static la_ssize_t read_blob(struct archive *unpacker, void *context,
                            const void **bytes)
{
    struct layer *layer = context;
    const uint8_t *next;
    size_t count;

    (void)unpacker;
    if (layer->first_count) {
        *bytes = layer->first;
        count = layer->first_count;
        layer->first_count = 0;
        return (la_ssize_t)count;
    }
    if (blob_read(layer->blob, &next, &count, &layer->broken))
        return ARCHIVE_FATAL;
    *bytes = next;
    return (la_ssize_t)count;
}

/* The next unpacked bytes, hashed; *count is 0 at the end. */
static int unpack(struct layer *layer, const void **bytes, size_t *count)
{
    la_int64_t offset;
    int status;

    *count = 0;
    if (layer->empty)
        return 0;
    status = archive_read_data_block(layer->unpacker, bytes, count, &offset);
    if (status == ARCHIVE_EOF) {
        *count = 0;
        return 0;
    }
    if (status != ARCHIVE_OK)
        return layer->broken.code
                   ? layer->broken.code
                   : fail(&layer->broken, SM_EIMAGE, "unpack: %s",
                          archive_error_string(layer->unpacker));
    layer->unpacked += *count;
    if (layer->unpacked > layer->limit)
        return fail(&layer->broken, SM_ELIMIT,
                    "unpacks to more than %llu bytes",
                    (unsigned long long)layer->limit);
    hasher_add(&layer->hasher, *bytes, *count);
    return 0;
}

/* libarchive asks for bytes of the tar. */
static la_ssize_t read_unpacked(struct archive *tar, void *context,
                                const void **bytes)
{
    struct layer *layer = context;
    size_t count;

    if (unpack(layer, bytes, &count)) {
        archive_set_error(tar, EIO, "%s", layer->broken.message);
        return ARCHIVE_FATAL;
    }
    return (la_ssize_t)count;
}

/* ---- errors ---- */

/*
 * What to say when a reader failed: a blob that is not what its digest says
 * explains everything else.
 */
static int reader_failed(struct layer *layer, struct archive *reader,
                         struct sm_error *err)
{
    struct sm_error digest = {0};

    if (layer->broken.code != SM_EDIGEST && layer->broken.code != SM_ELIMIT &&
        blob_finish(layer->blob, &digest) == SM_EDIGEST)
        layer->broken = digest;
    if (layer->broken.code) {
        if (err)
            *err = layer->broken;
        return layer->broken.code;
    }
    if (archive_errno(reader) == ENOMEM)
        return fail(err, SM_ENOMEM, "out of memory");
    return fail(err, SM_EIMAGE, "%s",
                archive_error_string(reader) ? archive_error_string(reader)
                                             : "damaged archive");
}

/* ---- opening ---- */

/* What the first bytes of a compressed stream are (RFC 1952; RFC 8878). */
static int filter_of(const uint8_t *bytes, size_t count)
{
    static const uint8_t gzip[] = {0x1f, 0x8b};
    static const uint8_t zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    static const uint8_t skippable[] = {0x2a, 0x4d, 0x18}; /* after 0x5? */

    if (count >= sizeof gzip && memcmp(bytes, gzip, sizeof gzip) == 0)
        return ARCHIVE_FILTER_GZIP;
    if (count >= sizeof zstd && memcmp(bytes, zstd, sizeof zstd) == 0)
        return ARCHIVE_FILTER_ZSTD;
    if (count >= 4 && (bytes[0] & 0xf0) == 0x50 &&
        memcmp(bytes + 1, skippable, sizeof skippable) == 0)
        return ARCHIVE_FILTER_ZSTD;
    return ARCHIVE_FILTER_NONE;
}

static int open_unpacker(struct layer *layer, struct sm_error *err)
{
    struct archive *unpacker = archive_read_new();
    struct archive_entry *entry;
    int filter = filter_of(layer->first, layer->first_count);

    layer->unpacker = unpacker;
    if (!unpacker)
        return fail(err, SM_ENOMEM, "out of memory");
    if (filter != ARCHIVE_FILTER_NONE &&
        archive_read_append_filter(unpacker, filter) != ARCHIVE_OK)
        return reader_failed(layer, unpacker, err);
    if (archive_read_support_format_raw(unpacker) != ARCHIVE_OK)
        return reader_failed(layer, unpacker, err);
    if (archive_read_open(unpacker, layer, NULL, read_blob, NULL) ==
            ARCHIVE_OK &&
        archive_read_next_header(unpacker, &entry) == ARCHIVE_OK)
        return 0;
    if (archive_errno(unpacker) != EILSEQ) /* "not my format" */
        return reader_failed(layer, unpacker, err);
    /* "raw" takes anything but nothing: no byte came out. Whether that is
     * right, the diff_id says. */
    layer->empty = true;
    return layer->broken.code ? reader_failed(layer, unpacker, err) : 0;
}

static int open_tar(struct layer *layer, struct sm_error *err)
{
    layer->tar = archive_read_new();
    if (!layer->tar)
        return fail(err, SM_ENOMEM, "out of memory");
    if (archive_read_support_format_tar(layer->tar) != ARCHIVE_OK ||
        archive_read_support_format_empty(layer->tar) != ARCHIVE_OK ||
        archive_read_open(layer->tar, layer, NULL, read_unpacked, NULL) !=
            ARCHIVE_OK)
        return reader_failed(layer, layer->tar, err);
    return 0;
}

int layer_open(struct blob *blob, const struct digest *diff_id, uint64_t limit,
               struct layer **ret, struct sm_error *err)
{
    AUTO(blob_closep) struct blob *owned = blob;
    AUTO(layer_closep) struct layer *layer = calloc(1, sizeof *layer);
    int rc;

    if (!layer)
        return fail(err, SM_ENOMEM, "out of memory");
    layer->blob = own_take(owned);
    layer->diff_id = *diff_id;
    layer->limit = limit;
    rc = hasher_init(&layer->hasher, diff_id->kind, err);
    if (!rc)
        rc = blob_read(blob, &layer->first, &layer->first_count, err);
    if (!rc && !layer->first_count)
        layer->empty = true;
    else if (!rc)
        rc = open_unpacker(layer, err);
    if (!rc && !layer->empty)
        rc = open_tar(layer, err);
    if (!rc)
        *ret = own_take(layer);
    return rc;
}

void layer_close(struct layer *layer)
{
    if (!layer)
        return;
    archive_read_free(layer->tar);
    archive_read_free(layer->unpacker);
    hasher_done(&layer->hasher);
    blob_close(layer->blob);
    free(layer);
}

/* ---- reading ---- */

/* The tar is over: what follows it belongs to the digests all the same. */
static int finish(struct layer *layer, struct sm_error *err)
{
    char wanted[DIGEST_TEXT_MAX];
    char got[DIGEST_TEXT_MAX];
    struct digest digest;
    const void *bytes;
    size_t count;
    int rc;

    do {
        if (unpack(layer, &bytes, &count))
            return reader_failed(layer, layer->unpacker, err);
    } while (count);
    rc = blob_finish(layer->blob, err);
    if (rc)
        return rc;
    hasher_end(&layer->hasher, &digest);
    if (digest_equal(&digest, &layer->diff_id))
        return 0;
    if (layer->unpacked == 0)
        return fail(err, SM_EIMAGE, "is damaged: nothing comes out of it");
    digest_text(&layer->diff_id, wanted);
    digest_text(&digest, got);
    return fail(err, SM_EDIGEST,
                "digest mismatch once unpacked: expected %s, got %s", wanted,
                got);
}

/*
 * Warnings mean that a part of an entry was not understood, and such an entry
 * is refused. But for names that are not in the character set of this
 * program's locale: libarchive keeps them as they are, which is what we want.
 */
static bool is_harmless(struct archive *tar)
{
    const char *why = archive_error_string(tar);

    return why && strstr(why, "can't be converted");
}

int layer_next(struct layer *layer, struct archive_entry **ret,
               struct sm_error *err)
{
    int status = ARCHIVE_EOF;

    *ret = NULL;
    if (layer->tar)
        status = archive_read_next_header(layer->tar, ret);
    if (status == ARCHIVE_EOF) {
        *ret = NULL;
        return finish(layer, err);
    }
    if (status == ARCHIVE_OK ||
        (status == ARCHIVE_WARN && is_harmless(layer->tar)))
        return 0;
    return reader_failed(layer, layer->tar, err);
}

int layer_data(struct layer *layer, const void **bytes, size_t *count,
               uint64_t *offset, struct sm_error *err)
{
    la_int64_t at = 0;
    int status;

    *count = 0;
    do {
        status = archive_read_data_block(layer->tar, bytes, count, &at);
    } while (status == ARCHIVE_OK && *count == 0);
    *offset = (uint64_t)at;
    if (status == ARCHIVE_EOF)
        *count = 0;
    else if (status != ARCHIVE_OK)
        return reader_failed(layer, layer->tar, err);
    return at < 0 ? fail(err, SM_EIMAGE, "negative offset") : 0;
}

uint64_t layer_done_bytes(const struct layer *layer)
{
    return blob_done_bytes(layer->blob);
}

uint64_t layer_unpacked_bytes(const struct layer *layer)
{
    return layer->unpacked;
}
