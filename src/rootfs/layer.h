/* layer.h: a layer's tar entries, out of a verified and unpacked blob.
 *
 * How it works
 *   blob -> unpacked bytes (unpacker.h) -> hash (diff_id) -> tar. libarchive
 *   does the tar format, in a reader of its own behind our hash, because it
 *   does not show what runs through it.
 *
 *   Only when layer_next() has said that the layer is over are its entries
 *   known to be the right ones. Memory does not grow with the layer.
 */
#ifndef SM_ROOTFS_LAYER_H
#define SM_ROOTFS_LAYER_H

#include "oci/blob.h"

#include <archive.h>
#include <archive_entry.h>

struct layer;

/*
 * Takes (blob) over, also on failure. At most (limit) bytes may come out.
 * Errors of this and of the following calls: SM_EIMAGE (damaged), SM_EDIGEST,
 * SM_ELIMIT, SM_ENOMEM, SM_EIO.
 */
int layer_open(struct blob *blob, const struct digest *diff_id, uint64_t limit,
               struct layer **ret, struct sm_error *err);
/* NULL is fine. */
void layer_close(struct layer *layer);

/* The next entry, valid until the next call, or NULL at the verified end. */
int layer_next(struct layer *layer, struct archive_entry **ret,
               struct sm_error *err);

/* The next piece of the entry's content, at (offset) of the file; *count is
 * 0 at its end. */
int layer_data(struct layer *layer, const void **bytes, size_t *count,
               uint64_t *offset, struct sm_error *err);

/* Of the blob, and of what came out of it. */
uint64_t layer_done_bytes(const struct layer *layer);
uint64_t layer_unpacked_bytes(const struct layer *layer);

#endif
