/* disk_file.h: what block/ wants from the host's files.
 *
 * One implementation per operating system (linux/disk_file.c). Whole
 * transfers, or an error; (count) is 1 .. BLOCK_SPANS_MAX.
 */
#ifndef SM_BLOCK_DISK_FILE_H
#define SM_BLOCK_DISK_FILE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* SM_EIO also if the file ends within the range. */
int disk_file_read(int fd, uint64_t at, const struct iovec *to, unsigned count,
                   struct sm_error *err);
int disk_file_write(int fd, uint64_t at, const struct iovec *from,
                    unsigned count, struct sm_error *err);
/* All that was written is on stable storage when this returns 0: asks the
 * device itself, not only the host's cache. */
int disk_file_sync(int fd, struct sm_error *err);
/* The range reads as zero; its room is given back if (punch), kept otherwise.
 * SM_ENOTSUP: the file system cannot, nothing was done. */
int disk_file_zero(int fd, uint64_t at, uint64_t bytes, bool punch,
                   struct sm_error *err);
/* disk_file_zero() by writing zeroes, where nothing better is to be had. */
int disk_file_write_zeroes(int fd, uint64_t at, uint64_t bytes,
                           struct sm_error *err);
/* Bytes of a regular file or a block device; SM_EINVAL for others. */
int disk_file_size(int fd, uint64_t *bytes, struct sm_error *err);
/* Make an empty file (bytes) long, all of it a hole. */
int disk_file_stretch(int fd, uint64_t bytes, struct sm_error *err);

#endif
