/* agent_request.c: SETUP, EXEC and CLONE, the long messages; see agent.h.
 *
 * How it works
 *   What is read goes into one block of memory per message. Its size follows
 *   from the bytes that came, not from any count in them: whatever a list of
 *   strings or structures says, each entry takes room on the wire too.
 */
#include "proto/agent.h"

#include "base/bytes.h"
#include "base/wire.h"

#include <stdlib.h>

/* The message being read: its bytes, and the block for what they mean. */
struct request {
    struct wire_reader from;
    uint8_t *block;
    size_t used;
    size_t size;
};

/* The densest thing on the wire is an empty string in a list: 4 bytes, which
 * become a pointer and a NUL. */
enum { ROOM_PER_BYTE = 4, ROOM_EXTRA = 1024 };

static int request_open(struct request *request, const struct frame *frame,
                        struct sm_error *err)
{
    wire_read(&request->from, frame->payload, frame->count);
    request->used = 0;
    request->size = (size_t)frame->count * ROOM_PER_BYTE + ROOM_EXTRA;
    request->block = malloc(request->size);
    if (!request->block)
        return fail(err, SM_ENOMEM, "%s: out of memory",
                    agent_type_name(frame->type));
    return 0;
}

/* Room for (count) items of (size) bytes, aligned for pointers. */
static void *take(struct request *request, size_t count, size_t size)
{
    size_t at = align_up(request->used, sizeof(uint64_t));
    uint64_t bytes;

    if (!mul_u64(count, size, &bytes) || at > request->size ||
        bytes > request->size - at) {
        request->from.failed = true;
        return NULL;
    }
    request->used = at + bytes;
    return request->block + at;
}

/* How many items follow, each of at least (wire_bytes) bytes on the wire. */
static uint32_t read_count(struct request *request, size_t wire_bytes)
{
    uint32_t count = wire_u32(&request->from);

    if (count > request->from.left / wire_bytes) {
        request->from.failed = true;
        return 0;
    }
    return count;
}

static const uint8_t *read_bytes(struct request *request, size_t *ret_count)
{
    const uint8_t *bytes = wire_blob(&request->from, ret_count);
    uint8_t *copy = bytes ? take(request, *ret_count, 1) : NULL;

    if (copy && *ret_count)
        memcpy(copy, bytes, *ret_count);
    return copy;
}

static const char *read_string(struct request *request)
{
    size_t count;
    const uint8_t *bytes = wire_blob(&request->from, &count);
    char *copy = bytes ? take(request, count + 1, 1) : NULL;

    if (!copy)
        return "";
    if (memchr(bytes, '\0', count))
        request->from.failed = true;
    memcpy(copy, bytes, count);
    copy[count] = '\0';
    return copy;
}

static const char *const *read_strings(struct request *request)
{
    uint32_t count = read_count(request, 4);
    const char **list = take(request, (size_t)count + 1, sizeof *list);

    if (!list)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        list[i] = read_string(request);
    list[count] = NULL;
    return list;
}

static void put_strings(struct buf *to, const char *const *list)
{
    uint32_t count = 0;

    while (list && list[count])
        count++;
    wire_put_u32(to, count);
    for (uint32_t i = 0; i < count; i++)
        wire_put_string(to, list[i]);
}

static void put_mount(struct buf *to, const struct agent_mount *mount)
{
    wire_put_string(to, mount->source);
    wire_put_string(to, mount->target);
    wire_put_string(to, mount->fstype);
    wire_put_string(to, mount->data);
    wire_put_u64(to, mount->flags);
}

static void read_mount(struct request *request, struct agent_mount *ret)
{
    ret->source = read_string(request);
    ret->target = read_string(request);
    ret->fstype = read_string(request);
    ret->data = read_string(request);
    ret->flags = wire_u64(&request->from);
}

static void put_file(struct buf *to, const struct agent_file *file)
{
    wire_put_string(to, file->path);
    wire_put_u32(to, file->mode);
    wire_put_u32(to, file->uid);
    wire_put_u32(to, file->gid);
    wire_put_u32(to, file->flags);
    wire_put_blob(to, file->bytes, file->count);
}

static void read_file(struct request *request, struct agent_file *ret)
{
    ret->path = read_string(request);
    ret->mode = wire_u32(&request->from);
    ret->uid = wire_u32(&request->from);
    ret->gid = wire_u32(&request->from);
    ret->flags = wire_u32(&request->from);
    ret->bytes = read_bytes(request, &ret->count);
}

static void put_files(struct buf *to, const struct agent_file *files,
                      uint32_t count)
{
    wire_put_u32(to, count);
    for (uint32_t i = 0; i < count; i++)
        put_file(to, &files[i]);
}

/* 24 bytes is the shortest. */
static const struct agent_file *read_files(struct request *request,
                                           uint32_t *ret_count)
{
    uint32_t count = read_count(request, 24);
    struct agent_file *files = take(request, count, sizeof *files);

    for (uint32_t i = 0; files && i < count; i++)
        read_file(request, &files[i]);
    *ret_count = files ? count : 0;
    return files;
}

static bool is_absolute(const char *path)
{
    return path && path[0] == '/';
}

static bool is_entropy(const uint8_t *bytes, size_t count)
{
    return bytes && count >= AGENT_ENTROPY_MIN && count <= AGENT_ENTROPY_MAX;
}

static bool is_hostname(const char *name)
{
    return !name || strlen(name) <= AGENT_HOSTNAME_MAX;
}

static bool are_files(const struct agent_file *files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!is_absolute(files[i].path) || files[i].mode > 07777 ||
            files[i].flags & ~(uint32_t)AGENT_FILE_BIND)
            return false;
    return true;
}

bool agent_setup_is_valid(const struct agent_setup *setup)
{
    if (!is_entropy(setup->entropy, setup->entropy_count) ||
        !is_hostname(setup->hostname) ||
        setup->root.flags & ~(uint64_t)AGENT_MOUNT_ALL)
        return false;
    for (uint32_t i = 0; i < setup->mount_count; i++)
        if (!is_absolute(setup->mounts[i].target) ||
            setup->mounts[i].flags & ~(uint64_t)AGENT_MOUNT_ALL)
            return false;
    return are_files(setup->files, setup->file_count);
}

void agent_put_setup(struct buf *to, const struct agent_setup *setup)
{
    size_t begin = frame_begin(to, AGENT_SETUP, 0);

    wire_put_u64(to, setup->wall_clock_ns);
    wire_put_blob(to, setup->entropy, setup->entropy_count);
    wire_put_string(to, setup->hostname);
    buf_append(to, setup->machine_id, sizeof setup->machine_id);
    buf_append(to, setup->boot_id, sizeof setup->boot_id);
    put_mount(to, &setup->root);
    wire_put_u32(to, setup->mount_count);
    for (uint32_t i = 0; i < setup->mount_count; i++)
        put_mount(to, &setup->mounts[i]);
    put_files(to, setup->files, setup->file_count);
    wire_put_u32(to, setup->processes_max);
    wire_put_u64(to, setup->root_bytes);
    frame_end(to, begin);
}

/* Lists at the end of SETUP; 24 bytes is the shortest of either kind. */
static void read_setup_lists(struct request *request, struct agent_setup *ret)
{
    uint32_t count = read_count(request, 24);
    struct agent_mount *mounts = take(request, count, sizeof *mounts);

    for (uint32_t i = 0; mounts && i < count; i++)
        read_mount(request, &mounts[i]);
    ret->mounts = mounts;
    ret->mount_count = mounts ? count : 0;
    ret->files = read_files(request, &ret->file_count);
}

int agent_get_setup(struct agent_setup *ret, const struct frame *frame,
                    struct sm_error *err)
{
    struct request request;
    int rc;

    *ret = (struct agent_setup){0};
    rc = request_open(&request, frame, err);
    if (rc)
        return rc;
    ret->memory = request.block;
    ret->wall_clock_ns = wire_u64(&request.from);
    ret->entropy = read_bytes(&request, &ret->entropy_count);
    ret->hostname = read_string(&request);
    wire_bytes(&request.from, ret->machine_id, sizeof ret->machine_id);
    wire_bytes(&request.from, ret->boot_id, sizeof ret->boot_id);
    read_mount(&request, &ret->root);
    read_setup_lists(&request, ret);
    ret->processes_max = wire_u32(&request.from);
    ret->root_bytes = wire_u64(&request.from);
    if (!wire_ok(&request.from) || !agent_setup_is_valid(ret))
        return fail(err, SM_EPROTO, "malformed SETUP");
    return 0;
}

void agent_setup_done(struct agent_setup *setup)
{
    free(setup->memory);
    *setup = (struct agent_setup){0};
}

void agent_put_exec(struct buf *to, uint32_t channel,
                    const struct agent_exec *exec)
{
    size_t begin = frame_begin(to, AGENT_EXEC, channel);

    wire_put_u32(to, exec->flags);
    wire_put_u16(to, exec->rows);
    wire_put_u16(to, exec->columns);
    wire_put_u32(to, exec->timeout_ms);
    wire_put_u32(to, exec->umask);
    wire_put_u32(to, exec->out_window);
    wire_put_u32(to, exec->err_window);
    put_strings(to, exec->argv);
    put_strings(to, exec->env);
    wire_put_string(to, exec->cwd);
    wire_put_string(to, exec->user);
    wire_put_u32(to, exec->rlimit_count);
    for (uint32_t i = 0; i < exec->rlimit_count; i++) {
        wire_put_u32(to, exec->rlimits[i].resource);
        wire_put_u64(to, exec->rlimits[i].soft);
        wire_put_u64(to, exec->rlimits[i].hard);
    }
    wire_put_u32(to, exec->then_count);
    for (uint32_t i = 0; i < exec->then_count; i++)
        put_strings(to, exec->then[i]);
    put_files(to, exec->files, exec->file_count);
    frame_end(to, begin);
}

static void read_rlimits(struct request *request, struct agent_exec *ret)
{
    uint32_t count = read_count(request, 20);
    struct agent_rlimit *limits = take(request, count, sizeof *limits);

    for (uint32_t i = 0; limits && i < count; i++) {
        limits[i].resource = wire_u32(&request->from);
        limits[i].soft = wire_u64(&request->from);
        limits[i].hard = wire_u64(&request->from);
    }
    ret->rlimits = limits;
    ret->rlimit_count = limits ? count : 0;
}

static void read_then(struct request *request, struct agent_exec *ret)
{
    uint32_t count = read_count(request, 4);
    const char *const **then = take(request, count, sizeof *then);

    for (uint32_t i = 0; then && i < count; i++)
        then[i] = read_strings(request);
    ret->then = then;
    ret->then_count = then ? count : 0;
}

static bool are_commands(const struct agent_exec *exec)
{
    for (uint32_t i = 0; i < exec->then_count; i++)
        if (!exec->then[i] || !exec->then[i][0] || !exec->then[i][0][0])
            return false;
    return true;
}

bool agent_exec_is_valid(const struct agent_exec *exec)
{
    return exec->argv && exec->argv[0] && exec->argv[0][0] &&
           !(exec->flags & ~(uint32_t)AGENT_EXEC_ALL) &&
           !(exec->flags & AGENT_EXEC_TTY && exec->flags & AGENT_EXEC_STDERR) &&
           exec->timeout_ms <= AGENT_TIMEOUT_MAX_MS && exec->umask <= 0777 &&
           exec->out_window <= AGENT_WINDOW_MAX &&
           exec->err_window <= AGENT_WINDOW_MAX && are_commands(exec);
}

int agent_get_exec(struct agent_exec *ret, const struct frame *frame,
                   struct sm_error *err)
{
    struct request request;
    int rc;

    *ret = (struct agent_exec){0};
    rc = request_open(&request, frame, err);
    if (rc)
        return rc;
    ret->memory = request.block;
    ret->flags = wire_u32(&request.from);
    ret->rows = wire_u16(&request.from);
    ret->columns = wire_u16(&request.from);
    ret->timeout_ms = wire_u32(&request.from);
    ret->umask = wire_u32(&request.from);
    ret->out_window = wire_u32(&request.from);
    ret->err_window = wire_u32(&request.from);
    ret->argv = read_strings(&request);
    ret->env = read_strings(&request);
    ret->cwd = read_string(&request);
    ret->user = read_string(&request);
    read_rlimits(&request, ret);
    read_then(&request, ret);
    ret->files = read_files(&request, &ret->file_count);
    if (!wire_ok(&request.from) || !agent_exec_is_valid(ret))
        return fail(err, SM_EPROTO, "malformed EXEC");
    return 0;
}

void agent_exec_done(struct agent_exec *exec)
{
    free(exec->memory);
    *exec = (struct agent_exec){0};
}

static bool are_resumes(const struct agent_resume *programs, uint32_t count)
{
    uint32_t last = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct agent_resume *program = &programs[i];

        if (program->channel <= last || program->old_channel == 0 ||
            program->flags & ~(uint32_t)AGENT_EXEC_STDIN ||
            program->out_window > AGENT_WINDOW_MAX ||
            program->err_window > AGENT_WINDOW_MAX)
            return false;
        last = program->channel;
    }
    return count <= AGENT_CHANNELS_MAX;
}

bool agent_clone_is_valid(const struct agent_clone *clone)
{
    static const uint8_t none[sizeof clone->generation];

    return is_entropy(clone->entropy, clone->entropy_count) &&
           is_hostname(clone->hostname) &&
           memcmp(clone->generation, none, sizeof none) != 0 &&
           are_files(clone->files, clone->file_count) &&
           are_resumes(clone->programs, clone->program_count);
}

void agent_put_clone(struct buf *to, const struct agent_clone *clone)
{
    size_t begin = frame_begin(to, AGENT_CLONE, 0);

    wire_put_u64(to, clone->wall_clock_ns);
    wire_put_blob(to, clone->entropy, clone->entropy_count);
    wire_put_string(to, clone->hostname);
    buf_append(to, clone->machine_id, sizeof clone->machine_id);
    buf_append(to, clone->boot_id, sizeof clone->boot_id);
    buf_append(to, clone->generation, sizeof clone->generation);
    put_files(to, clone->files, clone->file_count);
    wire_put_u32(to, clone->program_count);
    for (uint32_t i = 0; i < clone->program_count; i++) {
        const struct agent_resume *program = &clone->programs[i];

        wire_put_u32(to, program->old_channel);
        wire_put_u32(to, program->channel);
        wire_put_u32(to, program->flags);
        wire_put_u32(to, program->out_window);
        wire_put_u32(to, program->err_window);
    }
    frame_end(to, begin);
}

static void read_resumes(struct request *request, struct agent_clone *ret)
{
    uint32_t count = read_count(request, 20);
    struct agent_resume *programs = take(request, count, sizeof *programs);

    for (uint32_t i = 0; programs && i < count; i++) {
        programs[i].old_channel = wire_u32(&request->from);
        programs[i].channel = wire_u32(&request->from);
        programs[i].flags = wire_u32(&request->from);
        programs[i].out_window = wire_u32(&request->from);
        programs[i].err_window = wire_u32(&request->from);
    }
    ret->programs = programs;
    ret->program_count = programs ? count : 0;
}

int agent_get_clone(struct agent_clone *ret, const struct frame *frame,
                    struct sm_error *err)
{
    struct request request;
    int rc;

    *ret = (struct agent_clone){0};
    rc = request_open(&request, frame, err);
    if (rc)
        return rc;
    ret->memory = request.block;
    ret->wall_clock_ns = wire_u64(&request.from);
    ret->entropy = read_bytes(&request, &ret->entropy_count);
    ret->hostname = read_string(&request);
    wire_bytes(&request.from, ret->machine_id, sizeof ret->machine_id);
    wire_bytes(&request.from, ret->boot_id, sizeof ret->boot_id);
    wire_bytes(&request.from, ret->generation, sizeof ret->generation);
    ret->files = read_files(&request, &ret->file_count);
    read_resumes(&request, ret);
    if (!wire_ok(&request.from) || !agent_clone_is_valid(ret))
        return fail(err, SM_EPROTO, "malformed CLONE");
    return 0;
}

void agent_clone_done(struct agent_clone *clone)
{
    free(clone->memory);
    *clone = (struct agent_clone){0};
}
