/* raw.h: a disk that is a plain file, byte for byte. */
#ifndef SM_BLOCK_RAW_H
#define SM_BLOCK_RAW_H

#include "block/block.h"

/*
 * A block over (fd), a regular file or block device open for reading, and for
 * writing unless (read_only). Its size is the file's size now.
 *
 * id          what the content is called, NULL: nothing
 * Ownership   the block owns (fd) once this returned 0
 * Errors      SM_EIO, SM_ENOMEM, SM_EINVAL (neither file nor device)
 *
 * A flush is fdatasync(2). Discard and zeroes punch holes where the file
 * system can, and write zeroes where it cannot.
 */
int raw_open(int fd, bool read_only, const struct block_id *id,
             struct block **ret, struct sm_error *err);

#endif
