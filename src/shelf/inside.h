/* inside.h: what the files of this room share. */
#ifndef SM_SHELF_INSIDE_H
#define SM_SHELF_INSIDE_H

#include "shelf/shelf.h"

#include <sys/stat.h>

/* What names of folders begin with that are not listed. */
#define SHELF_NEW       ".new-"
#define SHELF_OLD       ".old-"
#define SHELF_TEMPORARY ".tmp-"
#define SHELF_MANIFEST  "manifest.json"

/* Open HOME/snapshots; (make): it is made if it is missing. SM_ENOENT. */
int shelf_root_open(const char *home, bool make, int *ret,
                    struct sm_error *err);
/* Only one process at a time makes and sweeps. Until (root) is closed, or
 * shelf_root_unlock(). */
int shelf_root_lock(int root, struct sm_error *err);
void shelf_root_unlock(int root);

/* (prefix) and sixteen random digits. */
int shelf_make_name(const char *prefix, char to[SHELF_NAME_MAX + 1],
                    struct sm_error *err);
bool shelf_is_temporary(const char *name);

/* Remove what has a hidden name, unless its maker lives. Call with the lock. */
void shelf_sweep_root(int root,
                      void (*fn)(void *context, const char *name,
                                 uint64_t bytes),
                      void *context);
/* The folder (name), which has a hidden name, goes with its files. Returns the
 * bytes that became free. */
uint64_t shelf_clear(int root, const char *name);

/* Fails with SM_ENOENT, and names that are near to (name). (root) may be -1. */
int shelf_none(int root, const char *name, struct sm_error *err);

/* What a file adds to its snapshot's size: bytes on the disk, of which some are
 * nobody else's. */
void shelf_count(const struct stat *st, uint64_t *own, uint64_t *shared);

#endif
