/* resolved.h: what an image reference led to the last time.
 *
 * How it works
 *   When supermachine-image has prepared an image, it leaves a record at
 *   HOME/resolved/<16 hex digits>, named after a hash of the request. The
 *   record repeats the request (a hash may collide), the result, and the
 *   identity of each file that decided it: for an OCI layout, its `oci-layout`
 *   and its `index.json`; everything behind them is named by digest and does
 *   not change. Whoever wants the same image again reads that one file, looks
 *   at its witnesses with one stat each, and need not start a program.
 *
 *   Records are replaced by rename; a checksum at the end shows what a crash
 *   of the host has torn. Whatever is wrong with a record, it is just not
 *   there: the caller runs supermachine-image, which writes a new one.
 */
#ifndef SM_PROTO_RESOLVED_H
#define SM_PROTO_RESOLVED_H

#include "base/error.h"
#include "proto/image.h"

enum {
    RESOLVED_WITNESS_MAX = 8,
    RESOLVED_FILE_MAX = IMAGE_FRAME_MAX + (1 << 20)
};

/* What was asked for. Strings stay the caller's. */
struct image_request {
    const char *reference; /* as reference_absolute() makes it       */
    const char *platform;  /* "os/arch[/variant]", "": the host's    */
    uint64_t disk_bytes;   /* size of the root disk                  */
};

/* One file as it was when it was read. */
struct image_witness {
    char *path; /* absolute */
    uint64_t dev;
    uint64_t ino;
    uint64_t bytes;
    int64_t mtime_ns; /* since 1970 */
    int64_t ctime_ns;
};

struct image_witnesses {
    struct image_witness items[RESOLVED_WITNESS_MAX];
    unsigned count;
};

/* Note the identity of the open file (fd), whose name is (path). Take it
 * before the file is read. */
int image_witness_add(struct image_witnesses *list, int fd, const char *path,
                      struct sm_error *err);
void image_witnesses_done(struct image_witnesses *list);

/*
 * A copy of (reference) that does not depend on the working directory: a
 * relative path behind "oci:", "oci-archive:", "docker-archive:" or "dir:"
 * gets (cwd) in front. Other references are copied as they are.
 * Returns 0, SM_EINVAL (a relative path but no cwd), SM_ENOMEM.
 */
int reference_absolute(const char *reference, const char *cwd, char **ret,
                       struct sm_error *err);

/*
 * The result of the same (request) if nothing changed since: the witnesses
 * are what they were and the root file system is there.
 * Returns 0, SM_ENOMEM, or SM_ENOENT whatever else is the case, with (err)
 * saying why.
 * On success ret->reused is true and the caller calls image_result_done().
 */
int resolved_load(const char *home, const struct image_request *request,
                  struct image_result *ret, struct sm_error *err);

/*
 * Keep (result) for the next resolved_load(). A witness that was changed
 * within the last moments could change again without showing it (file times
 * are coarse): then nothing is kept, which is no error.
 */
int resolved_save(const char *home, const struct image_request *request,
                  const struct image_witnesses *witnesses,
                  const struct image_result *result, struct sm_error *err);

/* (rootfs) is the path that a record leads to, or NULL if the record is of no
 * use any more, which is then removed. A result other than 0 ends the walk. */
typedef int resolved_fn(void *context, const char *rootfs,
                        struct sm_error *err);

/* Call (fn) for each record of (home). A folder that is not there has none.
 * Returns 0, SM_ENOMEM, or what (fn) did. */
int resolved_walk(const char *home, resolved_fn *fn, void *context,
                  struct sm_error *err);

#endif
