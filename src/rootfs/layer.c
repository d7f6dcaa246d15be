/* layer.c: reading a layer; see layer.h. */
#include "rootfs/layer.h"

#include "base/own.h"
#include "rootfs/unpacker.h"

#include <archive.h>
#include <errno.h>
#include <string.h>

struct layer {
    struct unpacker *unpacker; /* blob -> bytes of the tar                 */
    struct archive *tar;       /* these -> entries                         */
    struct hasher hasher;
    struct digest diff_id;
    uint64_t unpacked;
    uint64_t limit;
    struct sm_error broken; /* what stopped a callback; code 0: nothing */
};

OWN_DEFINE(struct layer, layer_close)

/* ---- the two readers ---- */

/* The next unpacked bytes, hashed; *count is 0 at the end. */
static int unpack(struct layer *layer, const void **bytes, size_t *count)
{
    int rc = unpacker_read(layer->unpacker, bytes, count, &layer->broken);

    if (rc)
        return rc;
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
 * What to say when the tar made no sense: a blob that is not what its digest
 * says explains everything else.
 */
static int tar_failed(struct layer *layer, struct sm_error *err)
{
    const char *why = archive_error_string(layer->tar);

    if (!layer->broken.code)
        (void)unpacker_blame(layer->unpacker, &layer->broken);
    if (layer->broken.code) {
        if (err)
            *err = layer->broken;
        return layer->broken.code;
    }
    if (archive_errno(layer->tar) == ENOMEM)
        return fail(err, SM_ENOMEM, "out of memory");
    return fail(err, SM_EIMAGE, "%s", why ? why : "damaged archive");
}

/* ---- opening ---- */

static int open_tar(struct layer *layer, struct sm_error *err)
{
    layer->tar = archive_read_new();
    if (!layer->tar)
        return fail(err, SM_ENOMEM, "out of memory");
    if (archive_read_support_format_tar(layer->tar) != ARCHIVE_OK ||
        archive_read_support_format_empty(layer->tar) != ARCHIVE_OK ||
        archive_read_open(layer->tar, layer, NULL, read_unpacked, NULL) !=
            ARCHIVE_OK)
        return tar_failed(layer, err);
    return 0;
}

int layer_open(struct blob *blob, const struct digest *diff_id, uint64_t limit,
               struct layer **ret, struct sm_error *err)
{
    AUTO(unpacker_closep) struct unpacker *unpacker = NULL;
    AUTO(layer_closep) struct layer *layer = NULL;
    int rc = unpacker_open(blob, &unpacker, err);

    if (rc)
        return rc;
    layer = calloc(1, sizeof *layer);
    if (!layer)
        return fail(err, SM_ENOMEM, "out of memory");
    layer->unpacker = own_take(unpacker);
    layer->diff_id = *diff_id;
    layer->limit = limit;
    rc = hasher_init(&layer->hasher, diff_id->kind, err);
    if (!rc)
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
    unpacker_close(layer->unpacker);
    hasher_done(&layer->hasher);
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

    do {
        if (unpack(layer, &bytes, &count))
            return tar_failed(layer, err);
    } while (count);
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
    int status = archive_read_next_header(layer->tar, ret);

    if (status == ARCHIVE_EOF) {
        *ret = NULL;
        return finish(layer, err);
    }
    if (status == ARCHIVE_OK ||
        (status == ARCHIVE_WARN && is_harmless(layer->tar)))
        return 0;
    return tar_failed(layer, err);
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
        return tar_failed(layer, err);
    return at < 0 ? fail(err, SM_EIMAGE, "negative offset") : 0;
}

uint64_t layer_done_bytes(const struct layer *layer)
{
    return unpacker_done_bytes(layer->unpacker);
}

uint64_t layer_unpacked_bytes(const struct layer *layer)
{
    return layer->unpacked;
}
