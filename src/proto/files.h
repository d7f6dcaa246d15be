/* files.h: what the agent does with files for the host.
 *
 * How it works
 *   Work on files is a program like any other to the protocol, with streams,
 *   windows, a time-out, signals and an end; only that it is the agent's own
 *   (AGENT_EXEC_FILES). Its argv is what this header makes and reads:
 *
 *       READ    the content of a file                        on stdout
 *       WRITE   makes a file, or replaces its content by     stdin
 *       STAT    the header of an entry, as in PACK           on stdout
 *       PACK    a tree as a tar (files/pax.h)                on stdout
 *       UNPACK  a tar becomes a tree (files/unpack.h)        of stdin
 *
 *   Exit status 0: done; else what is left when the sign of an SM_E* code is
 *   taken away, with its message on stderr.
 */
#ifndef SM_PROTO_FILES_H
#define SM_PROTO_FILES_H

#include "base/error.h"

#include <stdbool.h>

enum files_work {
    FILES_READ,
    FILES_WRITE,
    FILES_STAT,
    FILES_PACK,
    FILES_UNPACK,
    FILES_WORKS
};

enum {
    FILES_FOLLOW = 1, /* STAT, PACK: a symbolic link that the path ends with */
    FILES_OWNERS = 2, /* UNPACK: as the tar has them; else the agent's       */
    FILES_PLACE = 4,  /* UNPACK: by the rules of cp; else path is a folder   */
    FILES_ALL = 7
};

/* In argv: the work's name, the path, flags and mode as numbers. */
enum { FILES_WORDS = 4, FILES_NUMBER_BYTES = 12 };

struct files_request {
    enum files_work work;
    const char *path; /* absolute */
    uint32_t flags;   /* FILES_*  */
    uint32_t mode;    /* WRITE: of a file that is made, 0 to 07777 */
};

/* (request) as argv, NULL at the end; (numbers) holds some of the words. */
void files_put(const struct files_request *request,
               const char *argv[FILES_WORDS + 1],
               char numbers[2][FILES_NUMBER_BYTES]);

/* SM_EINVAL: that is no such request. Its path stays argv's. */
int files_get(struct files_request *ret, const char *const *argv,
              struct sm_error *err);

/* What exit status (status) and (message), which need not end with a NUL, say:
 * 0, or an SM_E* code. */
int files_result(int status, const void *message, size_t count,
                 struct sm_error *err);

#endif
