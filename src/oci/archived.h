/* archived.h: images in one file, in a stream or in a folder, as sources. */
#ifndef SM_OCI_ARCHIVED_H
#define SM_OCI_ARCHIVED_H

#include "oci/source.h"

/*
 * The image that (reference), of any kind but REFERENCE_OCI, names. An
 * archive that is compressed, or comes through a pipe, is written to a
 * nameless file in place->home first; one that is not stays where it is.
 * Returns 0, SM_ENOENT (no such file, no such tag), SM_EINVAL (which image?),
 * SM_EIMAGE, SM_ELIMIT, SM_ENOSPC, SM_EBUSY, SM_ENOMEM, SM_EIO.
 */
int archived_open(const struct reference *reference,
                  const struct oci_place *place, struct oci_source **ret,
                  struct sm_error *err);

/* (fd), an archive, as a plain tar that can be read by ranges: itself, or a
 * nameless copy in the folder (home). *ret_fd is the caller's. */
int archived_make_plain(int fd, const char *home, int *ret_fd,
                        struct sm_error *err);

#endif
