/* files.c: files of machines, as the public header has them. */
#include "api/inside.h"
#include "machine/copying.h"

#include <stdlib.h>

enum { MODE_MAX = 07777 };

void sm_file_config_init(struct sm_file_config *config)
{
    *config = (struct sm_file_config){.size = sizeof *config, .fd = SM_BYTES};
}

void sm_copy_config_init(struct sm_copy_config *config)
{
    *config = (struct sm_copy_config){
        .size = sizeof *config, .from_fd = -1, .to_fd = -1};
}

static int check_path(const char *path, struct sm_error *err)
{
    if (!path || !path[0])
        return fail(err, SM_EINVAL, "files: an empty path");
    return 0;
}

static int check_flags(uint32_t flags, uint32_t allowed, struct sm_error *err)
{
    if (flags & ~allowed)
        return fail(err, SM_EINVAL, "files: flags %#x: at most %#x here", flags,
                    allowed);
    return 0;
}

int sm_file_stat(struct sm_machine *machine, const char *path, uint32_t flags,
                 struct sm_file_stat *ret, struct sm_error *err)
{
    int rc = check_path(path, err);

    if (!rc)
        rc = check_flags(flags, SM_FILE_FOLLOW, err);
    if (!rc)
        rc = machine_enter(machine, err);
    if (rc)
        return rc;
    rc = copy_stat(machine->machine, path, flags & SM_FILE_FOLLOW, ret, err);
    machine_leave(machine);
    return rc;
}

static int make_request(const struct sm_file_config *config,
                        struct files_request *ret, struct sm_error *err)
{
    uint32_t allowed = 0;

    *ret = (struct files_request){.path = config->path, .mode = config->mode};
    switch (config->work) {
    case SM_FILE_READ:
        ret->work = FILES_READ;
        break;
    case SM_FILE_WRITE:
        ret->work = FILES_WRITE;
        break;
    case SM_FILE_PACK:
        ret->work = FILES_PACK;
        ret->flags = config->flags & SM_FILE_FOLLOW ? FILES_FOLLOW : 0;
        allowed = SM_FILE_FOLLOW;
        break;
    case SM_FILE_UNPACK:
        ret->work = FILES_UNPACK;
        ret->flags = (config->flags & SM_FILE_ARCHIVE ? FILES_OWNERS : 0u) |
                     (config->place ? FILES_PLACE : 0u);
        allowed = SM_FILE_ARCHIVE;
        break;
    default:
        return fail(err, SM_EINVAL, "files: work %d: not an SM_FILE_*",
                    (int)config->work);
    }
    if (config->mode > MODE_MAX)
        return fail(err, SM_EINVAL, "files: mode %o: at most %o", config->mode,
                    MODE_MAX);
    if (config->fd < 0 && config->fd != SM_BYTES)
        return fail(err, SM_EINVAL,
                    "files: descriptor %d: 0 or more, or "
                    "SM_BYTES",
                    config->fd);
    return check_flags(config->flags, allowed, err);
}

int sm_file_open(struct sm_machine *machine, const struct sm_file_config *given,
                 struct sm_exec **ret, struct sm_error *err)
{
    struct sm_file_config config;
    struct files_request request;
    struct sm_exec *exec;
    int rc;

    sm_file_config_init(&config);
    rc = config_copy(&config, sizeof config, given, "sm_file_config", err);
    if (!rc)
        rc = check_path(config.path, err);
    if (!rc)
        rc = make_request(&config, &request, err);
    if (rc)
        return rc;
    exec = exec_make(machine);
    if (!exec)
        return fail(err, SM_ENOMEM, "files: out of memory");
    rc = copy_program(machine_of(machine), &request, config.fd,
                      config.timeout_ms, &exec->program, err);
    if (rc) {
        free(exec);
        return rc;
    }
    *ret = exec;
    return 0;
}

/* Both machines of a copy, which may be one and the same. */
static int enter_both(const struct sm_copy_config *config, struct sm_error *err)
{
    struct sm_machine *from = config->from_machine;
    struct sm_machine *to = config->to_machine;
    int rc = from ? machine_enter(from, err) : 0;

    if (rc || !to || to == from)
        return rc;
    rc = machine_enter(to, err);
    if (rc && from)
        machine_leave(from);
    return rc;
}

static void leave_both(const struct sm_copy_config *config)
{
    if (config->from_machine)
        machine_leave(config->from_machine);
    if (config->to_machine && config->to_machine != config->from_machine)
        machine_leave(config->to_machine);
}

int sm_copy(const struct sm_copy_config *given, uint64_t *ret_bytes,
            struct sm_error *err)
{
    struct sm_copy_config config;
    struct copy_plan plan;
    int rc;

    sm_copy_config_init(&config);
    rc = config_copy(&config, sizeof config, given, "sm_copy_config", err);
    if (!rc)
        rc = check_flags(config.flags, SM_FILE_FOLLOW | SM_FILE_ARCHIVE, err);
    if (!rc && config.timeout_ms == SM_NOWAIT)
        rc = fail(err, SM_EINVAL, "copy: it waits: SM_NOWAIT is no time-out");
    if (!rc)
        rc = enter_both(&config, err);
    if (rc)
        return rc;
    plan = (struct copy_plan){
        .from = {.machine =
                     config.from_machine ? config.from_machine->machine : NULL,
                 .path = config.from,
                 .fd = config.from_fd},
        .to = {.machine = config.to_machine ? config.to_machine->machine : NULL,
               .path = config.to,
               .fd = config.to_fd},
        .follow = config.flags & SM_FILE_FOLLOW,
        .archive = config.flags & SM_FILE_ARCHIVE,
        .timeout_ms = config.timeout_ms,
        .bytes_max = config.bytes_max,
    };
    rc = copy_run(&plan, ret_bytes, err);
    leave_both(&config);
    return rc;
}
