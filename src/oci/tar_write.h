/* tar_write.h: archives of images, written file by file.
 *
 * Nothing of this host or of now gets into one: the same files give the same
 * bytes.
 */
#ifndef SM_OCI_TAR_WRITE_H
#define SM_OCI_TAR_WRITE_H

#include "oci/json.h"

#include <stddef.h>
#include <stdint.h>

struct tar_writer;

/* To (fd), which may be a pipe and stays the caller's. */
int tar_writer_open(int fd, struct tar_writer **ret, struct sm_error *err);
/* The last file is there: behind this, only _free(). */
int tar_writer_end(struct tar_writer *writer, struct sm_error *err);
/* NULL is fine. */
void tar_writer_free(struct tar_writer *writer);

/* Begin a file, whose (bytes) follow in pieces. SM_ENOSPC, SM_ENOMEM, SM_EIO,
 * as for all of these. */
int tar_write_file(struct tar_writer *writer, const char *name, uint64_t bytes,
                   struct sm_error *err);
int tar_write_bytes(struct tar_writer *writer, const void *bytes, size_t count,
                    struct sm_error *err);
/* A file with that content. */
int tar_write_text(struct tar_writer *writer, const char *name,
                   const char *text, struct sm_error *err);
/* Takes (json) over, which may be NULL: no memory. */
int tar_write_json(struct tar_writer *writer, const char *name, json_t *json,
                   struct sm_error *err);

#endif
