/* file.h: whole reads and writes, folders, files without a name. */
#ifndef SM_PLATFORM_FILE_H
#define SM_PLATFORM_FILE_H

#include "base/error.h"

#include <stdint.h>

/* Read or write exactly (count) bytes at (offset), or fail: SM_EIO if the
 * file ends before. */
int file_read_at(int fd, void *to, size_t count, uint64_t offset,
                 struct sm_error *err);
int file_write_at(int fd, const void *from, size_t count, uint64_t offset,
                  struct sm_error *err);

/* Copy (bytes) between two places of files, within the host's kernel where it
 * can. The ranges must not overlap. SM_EIO if (from) ends before. */
int file_copy_range(int from, uint64_t from_at, int to, uint64_t to_at,
                    uint64_t bytes, struct sm_error *err);

/* Make the file (bytes) long: what is new is a hole. */
int file_set_size(int fd, uint64_t bytes, struct sm_error *err);
/* Return once all of it would survive a loss of power. */
int file_sync(int fd, struct sm_error *err);
int file_size(int fd, uint64_t *ret_bytes, struct sm_error *err);

/*
 * The first run of bytes in [from, end) that is not one hole: [*first,
 * *behind), or both (end) if all is holes. Where the file system knows of no
 * holes all is bytes. Moves the offset of (fd), which nobody else here uses.
 */
int file_find_data(int fd, uint64_t from, uint64_t end, uint64_t *first,
                   uint64_t *behind, struct sm_error *err);

/* Hold (fd), as long as it or a copy of it is open in any process, with a lock
 * that others may share. Waits for who has it to himself.
 * Returns 0, SM_ENOENT (its last name was removed) or what flock(2) says. */
int file_hold(int fd, struct sm_error *err);

/* Fill the empty file (to) with what (from) holds: holes stay holes, and where
 * the file system can, both share what is on the disk.
 * Returns 0, SM_ENOSPC, SM_EIO. */
int file_copy(int from, int to, struct sm_error *err);
/* From (*at) on, where do the next bytes of (fd) begin that are no hole, and
 * where do they end? *ret_end 0: there are none. */
int file_next_data(int fd, uint64_t *at, uint64_t *ret_end,
                   struct sm_error *err);

/* Make (path) and the folders above it, mode 0700 where they are missing. */
int folder_make(const char *path, struct sm_error *err);

/* A file in folder (path) that has no name and is gone once closed, also
 * after kill -9. Close-on-exec. */
int file_unnamed(const char *folder, int *ret_fd, struct sm_error *err);

/* A file that is to appear whole, or not at all. */
struct file_fresh {
    int fd;
    char *path; /* where the file system has no files without a name */
};

#define FILE_FRESH_NONE ((struct file_fresh){.fd = -1})

/* An empty one, to be kept in folder (path) later. */
int file_fresh_open(const char *folder, struct file_fresh *ret,
                    struct sm_error *err);
/* What was written gets the name (path), in the same folder, also if something
 * has it. Whether it survives a loss of power is up to file_sync(). */
int file_fresh_keep(struct file_fresh *fresh, const char *path,
                    struct sm_error *err);
/* Close it; one that was not kept is gone. */
void file_fresh_done(struct file_fresh *fresh);

/* A file in memory, named (label) in debuggers only. Close-on-exec. */
int file_in_memory(const char *label, int *ret_fd, struct sm_error *err);

#endif
