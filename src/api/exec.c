/* exec.c: commands in machines, as the public header has them. */
#include "api/inside.h"

#include "base/bytes.h"

#include <assert.h>
#include <stdlib.h>

enum {
    LINUX_SIGNAL_MAX = 64,
    TERMINAL_ROWS = 24,
    TERMINAL_COLUMNS = 80,
    TERMINAL_SIZE_MAX = UINT16_MAX
};

static const char *const *list_of(const struct image_strings *strings)
{
    return (const char *const *)strings->items;
}

static int check_fds(const struct sm_exec_config *config, struct sm_error *err)
{
    const int fds[] = {config->stdin_fd, config->stdout_fd, config->stderr_fd};

    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] < SM_BYTES)
            return fail(err, SM_EINVAL,
                        "exec: descriptor %d: 0 or more, -1 or SM_BYTES",
                        fds[i]);
    return 0;
}

static int check_size(uint32_t rows, uint32_t columns, struct sm_error *err)
{
    if (rows > TERMINAL_SIZE_MAX || columns > TERMINAL_SIZE_MAX)
        return fail(err, SM_EINVAL,
                    "terminal of %u rows and %u columns: at most %d each", rows,
                    columns, TERMINAL_SIZE_MAX);
    return 0;
}

static struct program_config program_config(const struct sm_machine *machine,
                                            const struct sm_exec_config *from)
{
    return (struct program_config){
        .fds = {from->stdin_fd, from->stdout_fd, from->stderr_fd},
        .timeout_ms = from->timeout_ms,
        .limits = machine->limits,
        .limit_count = machine->limit_count,
        .tty = from->tty,
        .resume = from->resume != 0,
        .rows = (uint16_t)(from->rows ? from->rows : TERMINAL_ROWS),
        .columns = (uint16_t)(from->columns ? from->columns : TERMINAL_COLUMNS),
    };
}

struct sm_exec *exec_make(struct sm_machine *machine)
{
    struct sm_exec *exec = calloc(1, sizeof *exec);

    if (exec)
        *exec = (struct sm_exec){.magic = EXEC_MAGIC, .machine = machine};
    return exec;
}

/* The command goes on: nothing of it is to be said. */
static int check_resume(struct sm_machine *machine,
                        struct sm_exec_config *config, struct sm_error *err)
{
    const struct shelf_snapshot *snapshot = machine->snapshot;

    if (!snapshot || !snapshot->manifest.program.channel)
        return fail(err, SM_EINVAL, "exec: nothing goes on in this machine: %s",
                    snapshot ? "its snapshot was made without a command"
                             : "it is not of a snapshot");
    if ((config->argv && config->argv[0]) || config->entrypoint ||
        config->env || config->workdir || config->user || config->then ||
        config->file_count || config->timeout_ms || config->tty)
        return fail(err, SM_EINVAL,
                    "exec: a command that goes on is as it was: it takes "
                    "descriptors and a size");
    if (machine_state(machine->machine) != MACHINE_NEW || machine->resumed)
        return fail(err, SM_ESTATE, "exec: the command goes on %s",
                    machine->resumed ? "in another exec"
                                     : "since the machine was started");
    config->tty = snapshot->manifest.program.tty;
    return 0;
}

int sm_exec_new(struct sm_machine *machine, const struct sm_exec_config *given,
                struct sm_exec **ret, struct sm_error *err)
{
    const struct image_config *image = &machine->defaults;
    struct command_defaults defaults = {
        .entrypoint = list_of(&image->entrypoint),
        .arguments = list_of(&image->cmd),
        .env = list_of(&image->env),
        .workdir = image->workdir,
        .user = image->user,
    };
    struct sm_exec_config config;
    struct program_config program;
    struct command command = {0};
    struct sm_exec *exec;
    int rc = 0;

    sm_exec_config_init(&config);
    if (given)
        rc = config_copy(&config, sizeof config, given, "sm_exec_config", err);
    if (!rc)
        rc = check_fds(&config, err);
    if (!rc)
        rc = check_size(config.rows, config.columns, err);
    if (!rc)
        rc = config.resume ? check_resume(machine, &config, err)
                           : command_make(&command, &defaults, &config, err);
    if (rc)
        return rc;
    exec = exec_make(machine);
    if (!exec) {
        command_done(&command);
        return fail(err, SM_ENOMEM, "exec: out of memory");
    }
    program = program_config(machine, &config);
    rc = program_new(machine->machine, &command, &program, &exec->program, err);
    if (rc) {
        command_done(&command);
        free(exec);
        return rc;
    }
    machine->resumed |= config.resume != 0;
    *ret = exec;
    return 0;
}

void sm_exec_free(struct sm_exec *exec)
{
    if (!exec)
        return;
    assert(exec->magic == EXEC_MAGIC);
    exec->magic = 0;
    program_free(exec->program);
    free(exec);
}

struct program *program_of(const struct sm_exec *exec)
{
    assert(exec->magic == EXEC_MAGIC);
    return exec->program;
}

/* As machine_enter(). */
static int exec_enter(struct sm_exec *exec, struct sm_error *err)
{
    assert(exec->magic == EXEC_MAGIC);
    return machine_enter(exec->machine, err);
}

int sm_exec_wait(struct sm_exec *exec, uint32_t timeout_ms,
                 struct sm_exit_status *ret, struct sm_error *err)
{
    int rc;

    rc = exec_enter(exec, err);
    if (rc)
        return rc;
    rc = program_wait(exec->program, timeout_ms, ret, err);
    machine_leave(exec->machine);
    return rc;
}

int sm_exec_wait_started(struct sm_exec *exec, uint32_t timeout_ms,
                         struct sm_error *err)
{
    int rc;

    rc = exec_enter(exec, err);
    if (rc)
        return rc;
    rc = program_wait_started(exec->program, timeout_ms, err);
    machine_leave(exec->machine);
    return rc;
}

int sm_exec_fd(struct sm_exec *exec, struct sm_error *err)
{
    return program_fd(program_of(exec), err);
}

int64_t sm_exec_read(struct sm_exec *exec, int stream, void *to,
                     size_t capacity, uint32_t timeout_ms, struct sm_error *err)
{
    int64_t rc;

    if (stream != 1 && stream != 2)
        return fail(err, SM_EINVAL, "stream %d: must be 1 or 2", stream);
    if (capacity == 0)
        return fail(err, SM_EINVAL, "exec: room for no byte");
    rc = exec_enter(exec, err);
    if (rc)
        return rc;
    rc = program_read(exec->program, stream, to, capacity, timeout_ms, err);
    machine_leave(exec->machine);
    return rc;
}

int64_t sm_exec_write(struct sm_exec *exec, const void *bytes, size_t count,
                      uint32_t timeout_ms, struct sm_error *err)
{
    int64_t rc;

    if (count == 0)
        return 0;
    rc = exec_enter(exec, err);
    if (rc)
        return rc;
    rc = program_write(exec->program, bytes, count, timeout_ms, err);
    machine_leave(exec->machine);
    return rc;
}

void sm_exec_write_end(struct sm_exec *exec)
{
    program_write_end(program_of(exec));
}

int sm_exec_signal(struct sm_exec *exec, int signal, struct sm_error *err)
{
    if (signal < 1 || signal > LINUX_SIGNAL_MAX)
        return fail(err, SM_EINVAL, "signal %d: must be 1 to %d", signal,
                    LINUX_SIGNAL_MAX);
    program_signal(program_of(exec), (uint32_t)signal);
    return 0;
}

int sm_exec_resize(struct sm_exec *exec, uint32_t rows, uint32_t columns,
                   struct sm_error *err)
{
    int rc = check_size(rows, columns, err);

    if (rc)
        return rc;
    if (!rows || !columns)
        return fail(err, SM_EINVAL,
                    "terminal of %u rows and %u columns: at least 1 each", rows,
                    columns);
    program_resize(program_of(exec), (uint16_t)rows, (uint16_t)columns);
    return 0;
}

int sm_exit_code(const struct sm_exit_status *status)
{
    return status->exited ? status->code : 128 + status->signal;
}
