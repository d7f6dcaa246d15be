/* shelf.h: where snapshots are kept: one folder each.
 *
 * How it works
 *   HOME/snapshots/NAME/ holds manifest.json and the files that manifest.h
 *   names. They never change. Large ones are hard links wherever that is
 *   possible, so that a folder is whole by itself, and nobody counts
 *   references: to remove a snapshot is to unlink its files. Who has opened
 *   them goes on.
 *
 *       .new-XXXXXXXX    being made; its maker has it locked (flock)
 *       .old-XXXXXXXX    being removed
 *       .tmp-XXXXXXXX    a temporary snapshot: not listed, not synced
 *
 *   A folder is made under the first name, filled, synced, and renamed to its
 *   own: so it appears whole. It is renamed to the second before its first file
 *   goes: so it disappears whole. Killed makers and removers leave folders of
 *   these names without a lock; whoever makes the next snapshot removes them,
 *   and temporary ones that are older than an hour. Making, locking and
 *   sweeping happen under a lock of HOME/snapshots itself, so that nobody
 *   sweeps what was made and not locked yet.
 *
 *   Any number of processes may do all of this at once.
 */
#ifndef SM_SHELF_SHELF_H
#define SM_SHELF_SHELF_H

#include "shelf/manifest.h"

enum { SHELF_NAME_MAX = 64, SHELF_TEMPORARY_MAX_S = 3600 };

/* Is (name) one that a snapshot may have? SM_EINVAL: it says which do. */
int shelf_check_name(const char *name, struct sm_error *err);

/* A snapshot in hand: what a machine goes on from. (fds): of the files, -1
 * where there is none; those of the disk and the memory are only read. */
struct shelf_snapshot {
    struct snapshot_manifest manifest;
    int fds[SNAPSHOT_FILES];
};

/* Nothing in it; shelf_snapshot_done() is fine. */
void shelf_snapshot_init(struct shelf_snapshot *snapshot);
void shelf_snapshot_done(struct shelf_snapshot *snapshot);
/* With descriptors of its own. SM_ENOMEM, SM_ELIMIT. */
int shelf_snapshot_copy(struct shelf_snapshot *to,
                        const struct shelf_snapshot *from,
                        struct sm_error *err);

/* ---- making ---- */

struct shelf_folder;

/* Begin a folder. SM_EACCES, SM_ENOSPC, SM_ENOMEM, SM_EIO. */
int shelf_begin(const char *home, struct shelf_folder **ret,
                struct sm_error *err);
/*
 * Put (fd) into it as (file): a link of the open file, which may have no name
 * (platform/file.h, file_unnamed()) or have lost it; where there can be no
 * link, a copy with its holes. Its content must not change any more. SM_ENOSPC,
 * SM_EACCES, SM_EIO.
 */
int shelf_add(struct shelf_folder *folder, unsigned file, int fd,
              struct sm_error *err);
/* A new file of the folder, to be written to. The caller closes *ret. */
int shelf_add_new(struct shelf_folder *folder, unsigned file, int *ret,
                  struct sm_error *err);

/* A snapshot has the name, or something has that may not be replaced by one. */
bool shelf_has(const char *home, const char *name);

struct shelf_finish {
    const char *name; /* NULL: a temporary snapshot, nothing is synced */
    bool replace;     /* one that has the name goes                    */
};

/*
 * The folder has all files of (manifest), whose sizes are filled in here: let
 * it be seen. (ret_name): what it is called. Behind this, only shelf_free().
 * Returns 0, SM_EEXIST (and the way out), SM_EINVAL (name), SM_EIMAGE (a file
 * is missing), SM_ENOSPC, SM_ENOMEM, SM_EIO.
 */
int shelf_finish(struct shelf_folder *folder,
                 struct snapshot_manifest *manifest,
                 const struct shelf_finish *finish,
                 char ret_name[SHELF_NAME_MAX + 1], struct sm_error *err);
/* What was not finished is gone. NULL is fine. */
void shelf_free(struct shelf_folder *folder);

/* ---- using ---- */

/*
 * The snapshot (name), a temporary one too: its manifest is checked, its files
 * are open, regular, of the sizes that it says, and its root file system is
 * held (file_hold()). Returns 0, SM_ENOENT (none; with near names), SM_EINVAL
 * (name), SM_EIMAGE (damaged), SM_ENOTSUP (of another version), SM_EACCES,
 * SM_ENOMEM, SM_EIO.
 */
int shelf_open(const char *home, const char *name, struct shelf_snapshot *ret,
               struct sm_error *err);

/* Of an opened one, (origin.programs) was no longer true, its digests still
 * were, and it has been put right in (snapshot): let the next start find that
 * out faster. A failure means nothing. */
void shelf_note_programs(const char *home, const char *name,
                         const struct shelf_snapshot *snapshot);

/* One that is there. */
struct shelf_item {
    const char *name;
    const struct snapshot_manifest *manifest;
    uint64_t own_bytes;    /* that would become free without it */
    uint64_t shared_bytes; /* of files that have other names    */
};

/* A result other than 0 ends the walk. */
typedef int shelf_item_fn(void *context, const struct shelf_item *item,
                          struct sm_error *err);

/* Each snapshot, ordered by name, without temporary and damaged ones. */
int shelf_walk(const char *home, shelf_item_fn *fn, void *context,
               struct sm_error *err);
/* One alone. Errors as shelf_open(). */
int shelf_look(const char *home, const char *name, shelf_item_fn *fn,
               void *context, struct sm_error *err);

/* Remove it, also if it is damaged. *ret_bytes: that became free. SM_ENOENT,
 * SM_EINVAL, SM_EACCES, SM_ENOMEM, SM_EIO. */
int shelf_remove(const char *home, const char *name, uint64_t *ret_bytes,
                 struct sm_error *err);
/* What killed processes left, and temporary snapshots that nobody will use any
 * more; (fn), which may be NULL, is told the bytes of each. */
void shelf_sweep(const char *home,
                 void (*fn)(void *context, const char *name, uint64_t bytes),
                 void *context);

#endif
