/* foreign.h: reading and writing descriptors that belong to somebody else.
 *
 * How it works
 *   Standard streams are shared with other processes: a shell and all that it
 *   started hold the same open terminal. Making such a descriptor non-blocking
 *   would do so for all of them, and would outlive a killed process. So this
 *   opens the pipe or terminal once more for itself where the system allows
 *   it, and otherwise moves only as much as readiness promises.
 *
 *   Each call must follow readiness as loop.h reports it; it does not block
 *   then, raises no signal, and leaves the flags of the original alone.
 */
#ifndef SM_PLATFORM_FOREIGN_H
#define SM_PLATFORM_FOREIGN_H

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

enum foreign_use { FOREIGN_READ, FOREIGN_WRITE };

enum foreign_kind {
    FOREIGN_PLAIN, /* a file or device: never waits                 */
    FOREIGN_OWN,   /* a pipe or terminal, opened again: non-blocking */
    FOREIGN_PIPE,  /* a pipe that could not be opened again          */
    FOREIGN_TTY,   /* a terminal that could not be opened again      */
    FOREIGN_SOCKET
};

struct foreign {
    int fd; /* for loop_watch(); -1: none */
    enum foreign_kind kind;
};

#define FOREIGN_NONE ((struct foreign){.fd = -1})

/* The caller may close (fd) afterwards. */
int foreign_open(int fd, enum foreign_use use, struct foreign *ret,
                 struct sm_error *err);
void foreign_close(struct foreign *foreign);

/*
 * Up to (count) bytes. Returns how many, more than 0; 0: nothing is there yet,
 * wait for readiness; SM_ECLOSED: the end; SM_EIO: it cannot be read.
 */
ssize_t foreign_read(const struct foreign *foreign, void *to, size_t count);

/* Returns how many bytes were taken; 0: wait; SM_ECLOSED: nobody reads them;
 * SM_EIO, SM_ENOSPC: it cannot be written. */
ssize_t foreign_write(const struct foreign *foreign, const void *from,
                      size_t count);

#endif
