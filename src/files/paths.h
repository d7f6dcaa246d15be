/* paths.h: paths as cp reads them, and names of streams as safe paths. */
#ifndef SM_FILES_PATHS_H
#define SM_FILES_PATHS_H

#include "base/error.h"

#include <stdbool.h>

/* A path, taken apart. */
struct path_parts {
    char *folder;   /* of the entry; the path itself where name is "."        */
    char *name;     /* last component; ".": what is inside of a folder, for
                       "x/.", "x/..", "." and "/"                             */
    bool is_folder; /* it ends with a slash: nothing else than a folder      */
};

/* SM_EINVAL (empty), SM_ENOMEM. (ret) is empty after a failure. */
int path_split(const char *path, struct path_parts *ret, struct sm_error *err);
void path_parts_done(struct path_parts *parts);

/*
 * The name of an entry as a path that goes downwards only, into (to), of
 * PAX_NAME_MAX + 1 bytes: without "/" in front and behind, "//", ".", and with
 * "a/.." left out. "" is the root of the stream.
 * Returns 0, SM_EACCES (it leads out), SM_ELIMIT (too long).
 */
int path_clean(const char *name, char *to, struct sm_error *err);

/* Where (path) leads once symbolic links at its end have been followed, also
 * where nothing is there. The caller frees *ret. SM_ELIMIT: they never end. */
int path_target(const char *path, char **ret, struct sm_error *err);

#endif
