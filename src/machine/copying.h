/* copying.h: files and trees into machines, out of them, and along.
 *
 * How it works
 *   One side makes a stream of a tree (files/pack.h), the other a tree of the
 *   stream (files/unpack.h). In a machine the agent does it, as a program of
 *   its own; on the host this thread does. What waits in between is what a
 *   program's windows hold, so the slower side sets the pace.
 *
 *   What a guest sends is taken for hostile: the host's side makes nothing but
 *   below the target, under the name that was asked for.
 */
#ifndef SM_MACHINE_COPYING_H
#define SM_MACHINE_COPYING_H

#include "machine/machine.h"
#include "proto/files.h"

/* Where a copy comes from or goes to: a machine's path, the host's, or a
 * stream on a descriptor. */
struct copy_end {
    struct machine *machine; /* NULL: the host            */
    const char *path;
    int fd; /* -1, or the stream; then the machine is NULL, and path what the
               stream is a tree of, or NULL for any tar */
};

struct copy_plan {
    struct copy_end from;
    struct copy_end to;
    bool follow;         /* a link that from's path ends with           */
    bool archive;        /* owners; on the host, everything (unpack.h)  */
    uint32_t timeout_ms; /* 0: none                                     */
    uint64_t bytes_max;  /* of content that reaches the host; 0: any    */
};

/* As sm_copy(). */
int copy_run(const struct copy_plan *plan, uint64_t *ret_bytes,
             struct sm_error *err);

/* (request) as a program of (machine); (fd) is its stdin or stdout. */
int copy_program(struct machine *machine, const struct files_request *request,
                 int fd, uint32_t timeout_ms, struct program **ret,
                 struct sm_error *err);

/* As sm_file_stat(). */
int copy_stat(struct machine *machine, const char *path, bool follow,
              struct sm_file_stat *ret, struct sm_error *err);

#endif
