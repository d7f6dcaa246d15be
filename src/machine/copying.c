/* copying.c: files and trees into machines and out of them; see copying.h. */
#include "machine/copying.h"

#include "base/bytes.h"
#include "base/own.h"
#include "files/pack.h"
#include "files/paths.h"
#include "files/unpack.h"
#include "platform/clock.h"
#include "platform/foreign.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* How long a copy between two machines is handed over at once. */
enum { CHUNK = 64 << 10, STAT_TIMEOUT_MS = 60000 };

int copy_program(struct machine *machine, const struct files_request *request,
                 int fd, uint32_t timeout_ms, struct program **ret,
                 struct sm_error *err)
{
    bool reads = request->work == FILES_WRITE || request->work == FILES_UNPACK;
    struct program_config config = {
        .fds = {reads ? fd : -1, reads ? -1 : fd, SM_BYTES},
        .timeout_ms = timeout_ms,
        .files = true,
    };
    const char *words[FILES_WORDS + 1];
    char numbers[2][FILES_NUMBER_BYTES];
    struct command command = {
        .argv = calloc(FILES_WORDS + 1, sizeof(char *)),
        .env = calloc(1, sizeof(char *)),
        .workdir = strdup(""),
        .user = strdup(""),
    };
    bool whole = command.argv && command.env && command.workdir && command.user;
    int rc;

    files_put(request, words, numbers);
    for (int i = 0; whole && i < FILES_WORDS; i++) {
        command.argv[i] = strdup(words[i]);
        whole = command.argv[i] != NULL;
    }
    rc = whole ? program_new(machine, &command, &config, ret, err)
               : fail(err, SM_ENOMEM, "files: out of memory");
    if (rc)
        command_done(&command);
    return rc;
}

/* ---- what carries the bytes ---- */

/* One end of the stream: a program, or a descriptor of the caller's. */
struct carrier {
    struct program *program;
    struct foreign foreign;
    uint64_t deadline_ns; /* on the monotonic clock; 0: none */
};

/* Milliseconds for one more wait; 0: without end. SM_ETIMEOUT: none is left. */
static int time_left(const struct carrier *carrier, uint32_t *ret,
                     struct sm_error *err)
{
    uint64_t now = clock_monotonic_ns();

    *ret = 0;
    if (!carrier->deadline_ns)
        return 0;
    if (now >= carrier->deadline_ns)
        return fail(err, SM_ETIMEOUT, "copy: the time is up");
    *ret = (uint32_t)((carrier->deadline_ns - now) / NS_PER_MS + 1);
    return 0;
}

static int64_t read_program(void *context, void *to, size_t capacity,
                            struct sm_error *err)
{
    const struct carrier *carrier = context;
    uint32_t left;
    int rc = time_left(carrier, &left, err);

    return rc ? rc : program_read(carrier->program, 1, to, capacity, left, err);
}

static int write_program(void *context, const void *bytes, size_t count,
                         struct sm_error *err)
{
    const struct carrier *carrier = context;
    const uint8_t *from = bytes;

    while (count > 0) {
        struct sm_exit_status status;
        uint32_t left;
        int64_t done;
        int rc = time_left(carrier, &left, err);

        if (rc)
            return rc;
        /* Bytes for one that reads no more are taken all the same. */
        if (program_wait(carrier->program, SM_NOWAIT, &status, NULL) !=
            SM_ETIMEOUT)
            return fail(err, SM_ECLOSED, "copy: the machine reads no more");
        done = program_write(carrier->program, from, count, left, err);
        if (done < 0)
            return (int)done;
        from += done;
        count -= (size_t)done;
    }
    return 0;
}

/* Until the descriptor is ready. */
static int await_fd(const struct carrier *carrier, short events,
                    struct sm_error *err)
{
    struct pollfd wait = {.fd = carrier->foreign.fd, .events = events};
    uint32_t left;
    int rc = time_left(carrier, &left, err);

    if (rc)
        return rc;
    poll(&wait, 1, left == 0 || left > INT32_MAX ? -1 : (int)left);
    return 0;
}

static int64_t read_fd(void *context, void *to, size_t capacity,
                       struct sm_error *err)
{
    const struct carrier *carrier = context;
    ssize_t count = 0;
    int rc = 0;

    while (!rc && count == 0) {
        rc = await_fd(carrier, POLLIN, err);
        if (!rc)
            count = foreign_read(&carrier->foreign, to, capacity);
        if (count == SM_ECLOSED)
            return 0;
    }
    if (rc)
        return rc;
    return count > 0 ? count : fail(err, SM_EIO, "copy: reading the stream");
}

static int write_fd(void *context, const void *bytes, size_t count,
                    struct sm_error *err)
{
    const struct carrier *carrier = context;
    const uint8_t *from = bytes;

    while (count > 0) {
        int rc = await_fd(carrier, POLLOUT, err);
        ssize_t done = rc ? rc : foreign_write(&carrier->foreign, from, count);

        if (rc)
            return rc;
        if (done < 0)
            return fail(err, (int)done, "copy: writing the stream: %s",
                        done == SM_ECLOSED ? "nobody reads it"
                                           : "it takes no more");
        from += done;
        count -= (size_t)done;
    }
    return 0;
}

static void carrier_done(struct carrier *carrier)
{
    program_free(carrier->program);
    foreign_close(&carrier->foreign);
}

/* ---- the two ends ---- */

static bool is_stream(const struct copy_end *end)
{
    return !end->machine && end->fd >= 0;
}

static bool is_host(const struct copy_end *end)
{
    return !end->machine && end->fd < 0;
}

/* The tree of a machine or of a descriptor, as a stream to be read. (fd): where
 * a machine is to write it by itself, or SM_BYTES. */
static int open_from(const struct copy_plan *plan, int fd,
                     struct carrier *carrier, struct sm_error *err)
{
    const struct files_request request = {
        .work = FILES_PACK,
        .path = plan->from.path,
        .flags = plan->follow ? FILES_FOLLOW : 0,
    };

    if (is_stream(&plan->from))
        return foreign_open(plan->from.fd, FOREIGN_READ, &carrier->foreign,
                            err);
    return copy_program(plan->from.machine, &request, fd, 0, &carrier->program,
                        err);
}

/* The same the other way round. */
static int open_to(const struct copy_plan *plan, int fd,
                   struct carrier *carrier, struct sm_error *err)
{
    const struct files_request request = {
        .work = FILES_UNPACK,
        .path = plan->to.path,
        .flags = (plan->archive ? FILES_OWNERS : 0u) |
                 (plan->from.path ? FILES_PLACE : 0u),
    };

    if (is_stream(&plan->to))
        return foreign_open(plan->to.fd, FOREIGN_WRITE, &carrier->foreign, err);
    return copy_program(plan->to.machine, &request, fd, 0, &carrier->program,
                        err);
}

/*
 * How the machine's side ended, which this side's failure (rc) may be just an
 * echo of: a stream that broke off tells nothing, whoever broke it off does.
 */
static int join_program(const struct carrier *carrier, int rc,
                        struct sm_error *err)
{
    struct sm_exit_status status;
    struct sm_error theirs;
    uint32_t left;
    int their_rc;

    if (!carrier->program || (rc && rc != SM_ECLOSED))
        return rc;
    their_rc = time_left(carrier, &left, &theirs);
    if (!their_rc)
        their_rc = program_wait(carrier->program, left, &status, &theirs);
    if (their_rc && err)
        *err = theirs;
    return their_rc ? their_rc : rc;
}

static int pack_host(const struct copy_plan *plan, struct carrier *to,
                     uint64_t *bytes, struct sm_error *err)
{
    const struct pack_config config = {.path = plan->from.path,
                                       .follow = plan->follow};
    const struct pax_output out = {
        .write = to->program ? write_program : write_fd, .context = to};
    int rc = pack(&config, &out, bytes, err);

    if (!rc && to->program)
        program_write_end(to->program);
    return join_program(to, rc, err);
}

static int unpack_host(const struct copy_plan *plan, struct carrier *from,
                       uint64_t *bytes, struct sm_error *err)
{
    struct path_parts parts = {0};
    struct unpack_config config = {
        .path = plan->to.path,
        .place = plan->from.path != NULL,
        .owners = plan->archive,
        .privileged = plan->archive,
        .links = BENEATH_NO_LINKS,
        .bytes_max = plan->bytes_max,
    };
    const struct pax_input in = {.read = from->program ? read_program : read_fd,
                                 .context = from};
    int rc = plan->from.path ? path_split(plan->from.path, &parts, err) : 0;

    config.root = parts.name;
    if (!rc)
        rc = unpack(&config, &in, bytes, err);
    path_parts_done(&parts);
    return join_program(from, rc, err);
}

/* From one machine into another. */
static int pass_on(struct carrier *from, struct carrier *to,
                   struct sm_error *err)
{
    AUTO_FREE uint8_t *bytes = malloc(CHUNK);
    int64_t count = 1;
    int rc = bytes ? 0 : fail(err, SM_ENOMEM, "copy: out of memory");

    while (!rc && count > 0) {
        count = read_program(from, bytes, CHUNK, err);
        rc = count > 0 ? write_program(to, bytes, (size_t)count, err)
                       : (int)count;
    }
    if (rc)
        return join_program(to, rc, err);
    rc = join_program(from, 0, err);
    if (rc)
        return rc;
    program_write_end(to->program);
    return join_program(to, 0, err);
}

static int check_plan(const struct copy_plan *plan, struct sm_error *err)
{
    if ((!plan->from.path && plan->from.fd < 0) ||
        (!plan->to.path && plan->to.fd < 0))
        return fail(err, SM_EINVAL,
                    "copy: from where, and where to? a path or a descriptor");
    if ((plan->from.machine && plan->from.fd >= 0) ||
        (plan->to.machine && plan->to.fd >= 0))
        return fail(err, SM_EINVAL,
                    "copy: a machine has paths: give the descriptor as the "
                    "other end");
    if ((is_host(&plan->from) && is_host(&plan->to)) ||
        (is_stream(&plan->from) && is_stream(&plan->to)))
        return fail(err, SM_EINVAL, "copy: no machine has a part in it");
    return 0;
}

static int run_ends(const struct copy_plan *plan, struct carrier *from,
                    struct carrier *to, uint64_t *bytes, struct sm_error *err)
{
    int rc;

    if (is_host(&plan->from)) {
        rc = open_to(plan, SM_BYTES, to, err);
        return rc ? rc : pack_host(plan, to, bytes, err);
    }
    if (is_host(&plan->to)) {
        rc = open_from(plan, SM_BYTES, from, err);
        return rc ? rc : unpack_host(plan, from, bytes, err);
    }
    /* A descriptor is the program's own: nothing passes through here. */
    if (is_stream(&plan->from)) {
        rc = open_to(plan, plan->from.fd, to, err);
        return rc ? rc : join_program(to, 0, err);
    }
    if (is_stream(&plan->to)) {
        rc = open_from(plan, plan->to.fd, from, err);
        return rc ? rc : join_program(from, 0, err);
    }
    rc = open_from(plan, SM_BYTES, from, err);
    if (!rc)
        rc = open_to(plan, SM_BYTES, to, err);
    return rc ? rc : pass_on(from, to, err);
}

int copy_run(const struct copy_plan *plan, uint64_t *ret_bytes,
             struct sm_error *err)
{
    uint64_t deadline =
        plan->timeout_ms
            ? clock_monotonic_ns() + (uint64_t)plan->timeout_ms * NS_PER_MS
            : 0;
    struct carrier from = {.foreign = FOREIGN_NONE, .deadline_ns = deadline};
    struct carrier to = {.foreign = FOREIGN_NONE, .deadline_ns = deadline};
    uint64_t bytes = 0;
    int rc = check_plan(plan, err);

    if (!rc)
        rc = run_ends(plan, &from, &to, &bytes, err);
    carrier_done(&from);
    carrier_done(&to);
    if (!rc && ret_bytes)
        *ret_bytes = bytes;
    return rc;
}

/* ---- what a file is ---- */

static void fill_stat(const struct pax_entry *entry, struct sm_file_stat *ret)
{
    static const mode_t kinds[] = {
        [PAX_FILE - '0'] = S_IFREG,    [PAX_LINK - '0'] = S_IFREG,
        [PAX_SYMLINK - '0'] = S_IFLNK, [PAX_CHAR - '0'] = S_IFCHR,
        [PAX_BLOCK - '0'] = S_IFBLK,   [PAX_FOLDER - '0'] = S_IFDIR,
        [PAX_FIFO - '0'] = S_IFIFO,
    };

    *ret = (struct sm_file_stat){
        .mode = (uint32_t)kinds[entry->type - '0'] | entry->mode,
        .uid = entry->uid,
        .gid = entry->gid,
        .major = entry->major,
        .minor = entry->minor,
        .mtime_ns = entry->mtime_ns,
        .mtime_s = entry->mtime_s,
        .bytes = entry->size,
    };
    snprintf(ret->target, sizeof ret->target, "%s", entry->link);
}

int copy_stat(struct machine *machine, const char *path, bool follow,
              struct sm_file_stat *ret, struct sm_error *err)
{
    const struct files_request request = {
        .work = FILES_STAT, .path = path, .flags = follow ? FILES_FOLLOW : 0};
    struct carrier carrier = {.foreign = FOREIGN_NONE,
                              .deadline_ns =
                                  clock_monotonic_ns() +
                                  STAT_TIMEOUT_MS * (uint64_t)NS_PER_MS};
    const struct pax_input in = {.read = read_program, .context = &carrier};
    struct pax_reader reader = {0};
    struct pax_entry entry = {0};
    int rc =
        copy_program(machine, &request, SM_BYTES, 0, &carrier.program, err);

    if (!rc)
        rc = pax_reader_init(&reader, &in, err);
    if (!rc)
        rc = pax_next(&reader, &entry, err);
    if (rc == 0)
        rc = fail(err, SM_EPROTO, "%s: the guest's agent said nothing", path);
    if (rc > 0)
        rc = 0;
    rc = join_program(&carrier, rc, err);
    if (!rc)
        fill_stat(&entry, ret);
    pax_reader_done(&reader);
    carrier_done(&carrier);
    return rc;
}
