/* spool.h: images that are no files yet, as nameless files of plain tar.
 *
 * What comes through a pipe or is compressed cannot be read by ranges, and a
 * folder is no stream: each becomes a file first, which is gone once it is
 * closed, whatever happens to the process.
 */
#ifndef SM_OCI_SPOOL_H
#define SM_OCI_SPOOL_H

#include "base/error.h"

#include <stdbool.h>

enum { SPOOL_GIB_MAX = 256 /* that may come out of one stream */ };

/* (fd) is a regular file that begins like none of the compressions that
 * spool_stream() undoes. */
bool spool_is_plain(int fd);

/*
 * Read (fd) to its end, unpacked if it is gzip, zstd, xz or bzip2, into a
 * nameless file in (folder), which must exist.
 * Returns 0, SM_EIMAGE (damaged), SM_ELIMIT, SM_ENOSPC, SM_ENOMEM, SM_EIO.
 */
int spool_stream(int fd, const char *folder, int *ret_fd, struct sm_error *err);

/*
 * What is below (path) as a tar, in the order of the names, so that the same
 * folder gives the same bytes. Owners are what they are on this host; sockets,
 * and what is mounted on folders below, are left out.
 * Returns 0, SM_ENOENT, SM_EACCES (something cannot be read), SM_EBUSY (a file
 * changed while it was read), and as above.
 */
int spool_folder(const char *path, const char *folder, int *ret_fd,
                 struct sm_error *err);

#endif
