/* overlay_impl.h: what the files that make overlays share with each other. */
#ifndef SM_BLOCK_OVERLAY_IMPL_H
#define SM_BLOCK_OVERLAY_IMPL_H

#include "block/bitmap.h"
#include "block/overlay.h"

struct overlay {
    struct block block;
    struct block *base;
    int fd;
    bool frozen;
    bool unsynced; /* frozen, and perhaps not durable: for flushes above */
    bool lost;     /* a sync failed, see raw.c */
    uint64_t data_at;
    struct bitmap bitmap; /* a set bit: the cluster is in this file */
};

/* NULL: (block) is of another kind. */
struct overlay *overlay_cast(struct block *block);

/* ---- overlay_header.c: the file ---- */

enum { OVERLAY_HEADER_BYTES = 4096 };

/* The fields of a header page that cannot be worked out. */
struct overlay_header {
    uint64_t bytes;
    uint64_t base_bytes;
    struct block_id base;
    struct block_id own;
    bool frozen;
};

/* SM_EIMAGE, SM_ENOTSUP, SM_EINVAL (no file), SM_EIO. Of the sizes it says
 * only that they are whole clusters and fit each other. */
int overlay_header_read(int fd, struct overlay_header *header,
                        struct sm_error *err);
int overlay_header_write(int fd, const struct overlay_header *header,
                         struct sm_error *err);

/* Where the data of a disk of (bytes) begins: behind header and bitmap. */
uint64_t overlay_data_at(uint64_t bytes);
/* Make the empty file (fd) as long as an overlay of (bytes) is, all of it a
 * hole. SM_EEXIST: it is not empty. */
int overlay_file_stretch(int fd, uint64_t bytes, struct sm_error *err);

#endif
