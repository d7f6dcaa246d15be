/* unpacking.h: what the parts of unpack() share; nobody else includes it. */
#ifndef SM_FILES_UNPACKING_H
#define SM_FILES_UNPACKING_H

#include "files/unpack.h"

struct unpacking {
    const struct unpack_config *config;
    struct pax_reader reader;
    int target; /* the folder that nothing leaves */
    enum beneath_links links;
    bool placed;                 /* the root is known, and where it goes     */
    char *root;                  /* its name in the stream; "": its contents */
    char *rename;                /* what it is called here; NULL: the same   */
    char name[PAX_NAME_MAX + 1]; /* of the entry, below target */
    char link[PAX_NAME_MAX + 1]; /* of the file that a hard link names */
    /* The folder that the last entry was in, still open. */
    int folder;
    char folder_name[PAX_NAME_MAX + 1];
    struct buf later; /* folders that were made; see unpack_folders.c */
    uint64_t bytes;
};

/* unpack_place.c: where the tree goes, which with `place` (first) decides. */
int unpack_place(struct unpacking *unpack, const struct pax_entry *first,
                 struct sm_error *err);
/* (name) of the stream as a path below the target, into (to). */
int unpack_rename(const struct unpacking *unpack, const char *name, char *to,
                  struct sm_error *err);

/* unpack_folders.c */
/* The folder that the entry (name) belongs in, made if missing, and *base, its
 * last component. The descriptor stays the unpacking's. -1 and (err), or it. */
int unpack_folder_of(struct unpacking *unpack, const char *name,
                     const char **base, struct sm_error *err);
/* Give folder (name) what (entry) says when all is done. */
int unpack_later(struct unpacking *unpack, const struct pax_entry *entry,
                 struct sm_error *err);
int unpack_finish_folders(struct unpacking *unpack, struct sm_error *err);

/* unpack_entry.c */
int unpack_entry(struct unpacking *unpack, const struct pax_entry *entry,
                 struct sm_error *err);
/* Owner, attributes, mode and times of what is at (place). */
int unpack_dress(const struct unpacking *unpack,
                 const struct xattr_place *place, const struct pax_entry *entry,
                 struct sm_error *err);

#endif
