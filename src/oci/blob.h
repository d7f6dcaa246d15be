/* blob.h: the bytes of one blob, verified while they are read.
 *
 * How it works
 *   A blob lies in a range of an open file: a whole file of a layout or a
 *   store, a piece of an archive. Every byte that is handed out has gone into
 *   the hash, and the end is only reported once size and digest are what the
 *   descriptor says; so whoever reads to the end has used verified bytes, and
 *   nobody may keep what he made of them before that.
 */
#ifndef SM_OCI_BLOB_H
#define SM_OCI_BLOB_H

#include "base/buf.h"
#include "oci/digest.h"

struct blob;

/*
 * Read [offset, offset + bytes) of (fd), which must hash to (digest). (fd) is
 * taken over, also on failure. A file that is no regular one is refused.
 * Returns 0, SM_EIMAGE (the file is shorter), SM_ENOMEM or what stat() says.
 */
int blob_open(int fd, uint64_t offset, uint64_t bytes,
              const struct digest *digest, struct blob **ret,
              struct sm_error *err);
/* NULL is fine. */
void blob_close(struct blob *blob);

/*
 * The next bytes, valid until the next call; *count is 0 at the end, and then
 * the blob is verified. Returns 0, SM_EDIGEST, SM_EIMAGE (cut short since it
 * was opened), SM_EIO.
 */
int blob_read(struct blob *blob, const uint8_t **bytes, size_t *count,
              struct sm_error *err);
/* Read what is left, so that the blob is verified. */
int blob_finish(struct blob *blob, struct sm_error *err);
/* Bytes handed out so far, and in all. */
uint64_t blob_done_bytes(const struct blob *blob);
uint64_t blob_bytes(const struct blob *blob);

/* The whole blob appended to (to), verified; SM_ELIMIT if (to) may not hold
 * that much. */
int blob_read_all(struct blob *blob, struct buf *to, struct sm_error *err);

#endif
