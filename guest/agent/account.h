/* account.h: who a program runs as, by the image's passwd and group files. */
#ifndef SM_GUEST_ACCOUNT_H
#define SM_GUEST_ACCOUNT_H

#include "base/error.h"

#include <sys/types.h>

enum { ACCOUNT_GROUPS_MAX = 256 };

struct account {
    uid_t uid;
    gid_t gid;
    gid_t groups[ACCOUNT_GROUPS_MAX]; /* supplementary */
    size_t group_count;
    char home[512]; /* "/" if nobody says */
};

/*
 * Find (spec), "", "name", "uid", each also with ":group" or ":gid", in the
 * files passwd and group of the folder (etc), by Docker's rules: "" is user 0;
 * digits are always numbers and need no entry; supplementary groups are those
 * that list the user's name, and none with an explicit group. A missing file
 * is an empty one.
 * Returns 0, SM_ENOENT (no such user or group), SM_EINVAL, SM_EIO.
 */
int account_find(const char *etc, const char *spec, struct account *ret,
                 struct sm_error *err);

#endif
