/* files.c: work on files that is the agent's own; see files.h.
 *
 * All of it happens in a child, whose root is the image's: no path and no
 * symbolic link leads anywhere else.
 */
#include "files.h"

#include "base/own.h"
#include "files/pack.h"
#include "files/unpack.h"
#include "proto/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { CHUNK = 256 << 10, NEW_FILE = 0644 };

static int write_out(void *context, const void *bytes, size_t count,
                     struct sm_error *err)
{
    const uint8_t *from = bytes;

    (void)context;
    while (count > 0) {
        ssize_t done = write(STDOUT_FILENO, from, count);

        if (done < 0 && errno != EINTR)
            return fail_os(err, "stream to the host");
        if (done > 0) {
            from += done;
            count -= (size_t)done;
        }
    }
    return 0;
}

static int64_t read_in(void *context, void *to, size_t capacity,
                       struct sm_error *err)
{
    ssize_t count;

    (void)context;
    do {
        count = read(STDIN_FILENO, to, capacity);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? fail_os(err, "stream from the host") : (int64_t)count;
}

/* O_NONBLOCK: a FIFO must not wait for its other end. */
static int open_regular(const struct files_request *request, int flags,
                        struct sm_error *err)
{
    AUTO_CLOSE int fd =
        open(request->path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
             request->mode ? request->mode : NEW_FILE);
    struct stat st;

    if (fd < 0 || fstat(fd, &st))
        return fail_os(err, "%s", request->path);
    if (!S_ISREG(st.st_mode))
        return fail(err, SM_EINVAL, "%s: not a regular file", request->path);
    return own_take_fd(&fd);
}

static int read_file(const struct files_request *request, struct sm_error *err)
{
    AUTO_CLOSE int fd = open_regular(request, O_RDONLY, err);
    AUTO_FREE uint8_t *bytes = malloc(CHUNK);
    int rc = fd < 0 ? fd : 0;

    if (!rc && !bytes)
        rc = fail(err, SM_ENOMEM, "%s: out of memory", request->path);
    while (!rc) {
        ssize_t count = read(fd, bytes, CHUNK);

        if (count == 0)
            break;
        if (count > 0)
            rc = write_out(NULL, bytes, (size_t)count, err);
        else if (errno != EINTR)
            rc = fail_os(err, "%s", request->path);
    }
    return rc;
}

static int write_file(const struct files_request *request, struct sm_error *err)
{
    AUTO_CLOSE int fd =
        open_regular(request, O_WRONLY | O_CREAT | O_TRUNC, err);
    AUTO_FREE uint8_t *bytes = malloc(CHUNK);
    int64_t count = 1;

    if (fd < 0)
        return fd;
    if (!bytes)
        return fail(err, SM_ENOMEM, "%s: out of memory", request->path);
    if (request->mode && fchmod(fd, request->mode))
        return fail_os(err, "%s", request->path);
    while (count > 0) {
        count = read_in(NULL, bytes, CHUNK, err);
        for (int64_t at = 0; at < count;) {
            ssize_t done = write(fd, bytes + at, (size_t)(count - at));

            if (done < 0 && errno != EINTR)
                return fail_os(err, "%s", request->path);
            at += done > 0 ? done : 0;
        }
    }
    return (int)count;
}

static int pack_path(const struct files_request *request, struct sm_error *err)
{
    const struct pack_config config = {
        .path = request->path,
        .follow = request->flags & FILES_FOLLOW,
        .header_only = request->work == FILES_STAT,
        .whole_system = true,
    };
    const struct pax_output out = {.write = write_out};

    return pack(&config, &out, NULL, err);
}

static int unpack_path(const struct files_request *request,
                       struct sm_error *err)
{
    const struct unpack_config config = {
        .path = request->path,
        .place = request->flags & FILES_PLACE,
        .owners = request->flags & FILES_OWNERS,
        .privileged = true,
        .links = BENEATH_INSIDE,
    };
    const struct pax_input in = {.read = read_in};

    return unpack(&config, &in, NULL, err);
}

_Noreturn void files_run(const char *const *argv)
{
    struct files_request request;
    struct sm_error err = {0};
    int rc = files_get(&request, argv, &err);

    if (!rc && request.work == FILES_READ)
        rc = read_file(&request, &err);
    else if (!rc && request.work == FILES_WRITE)
        rc = write_file(&request, &err);
    else if (!rc && request.work == FILES_UNPACK)
        rc = unpack_path(&request, &err);
    else if (!rc)
        rc = pack_path(&request, &err);
    if (rc && write(STDERR_FILENO, err.message, strlen(err.message)) < 0)
        _exit(-SM_EIO);
    _exit(-rc);
}
