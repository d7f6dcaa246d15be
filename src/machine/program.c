/* program.c: programs in a machine; see machine.h. */
#include "machine/inside.h"

#include "base/bytes.h"
#include "base/own.h"
#include "proto/files.h"

static bool is_over(const struct program *program)
{
    return program->ended || program->machine->state == MACHINE_STOPPED;
}

void program_notify(struct program *program)
{
    const struct program_bytes *bytes = program->bytes;
    bool wanted =
        is_over(program) || (bytes[AGENT_IN].refused && bytes[AGENT_IN].ready);

    for (int i = AGENT_OUT; i <= AGENT_ERR; i++)
        wanted |= bytes[i].ready;
    if (wanted == program->notified || program->notifier.fd < 0)
        return;
    program->notified = wanted;
    if (wanted)
        notifier_signal(&program->notifier);
    else
        notifier_clear(&program->notifier);
}

static void set_ready(struct program *program, enum agent_stream stream)
{
    struct program_bytes *bytes = &program->bytes[stream];

    bytes->ready =
        queue_count(&bytes->wait) > 0 || (bytes->ended && !bytes->end_read);
    program_notify(program);
}

static void started(void *context, uint32_t pid)
{
    struct program *program = context;

    (void)pid;
    program->started = true;
    machine_saving_program(program->machine);
    machine_tell(program->machine);
}

static void ended(void *context, const struct exec_end *end)
{
    struct program *program = context;

    program->started = program->ended = true;
    program->end = *end;
    program->bytes[AGENT_OUT].ended = program->bytes[AGENT_ERR].ended = true;
    set_ready(program, AGENT_OUT);
    set_ready(program, AGENT_ERR);
    machine_saving_program(program->machine);
    machine_tell(program->machine);
}

static void output(void *context, enum agent_stream stream, const uint8_t *from,
                   size_t count)
{
    struct program *program = context;
    struct program_bytes *bytes = &program->bytes[stream];

    if (count == 0) {
        bytes->ended = true;
    } else if (!bytes->lost && !queue_put(&bytes->wait, from, count)) {
        bytes->lost = true;
        exec_close_stream(program->exec, stream);
    }
    set_ready(program, stream);
    machine_tell(program->machine);
}

static void writable(void *context)
{
    struct program *program = context;

    program->bytes[AGENT_IN].ready = true;
    program_notify(program);
    machine_tell(program->machine);
}

static const struct exec_events exec_events = {
    .started = started,
    .output = output,
    .writable = writable,
    .ended = ended,
};

static struct exec_port port_of(const struct program *program,
                                enum agent_stream stream)
{
    int fd = program->config.fds[stream];

    if (stream == AGENT_ERR && program->config.tty)
        return (struct exec_port){.kind = EXEC_NONE};
    if (fd == SM_BYTES)
        return (struct exec_port){.kind = EXEC_BYTES};
    if (fd < 0)
        return (struct exec_port){.kind = EXEC_NONE};
    return (struct exec_port){.kind = EXEC_FD, .fd = fd};
}

/* Size and streams; the size is told with this. */
static void fill_terminal(struct program *program, struct exec_options *options)
{
    struct machine *machine = program->machine;

    pthread_mutex_lock(&machine->lock);
    options->program.rows = program->rows;
    options->program.columns = program->columns;
    program->resized = false;
    pthread_mutex_unlock(&machine->lock);
    for (int i = 0; i < AGENT_STREAMS; i++)
        options->ports[i] = port_of(program, (enum agent_stream)i);
}

static int send_exec(struct program *program, struct sm_error *err)
{
    struct machine *machine = program->machine;
    struct exec_options options = {
        .program =
            {
                .argv = (const char *const *)program->command.argv,
                .env = (const char *const *)program->command.env,
                .cwd = program->command.workdir,
                .user = program->command.user,
                .flags = (program->config.tty ? AGENT_EXEC_TTY : 0u) |
                         (program->config.files ? AGENT_EXEC_FILES : 0u),
                .timeout_ms = program->config.timeout_ms,
                .umask = 022,
                .rlimits = program->config.limits,
                .rlimit_count = program->config.limit_count,
                .then = (const char *const *const *)program->command.then,
                .then_count = program->command.then_count,
                .files = program->command.files,
                .file_count = program->command.file_count,
            },
        .events = &exec_events,
        .context = program,
    };

    if (program->config.files && !(machine->features & AGENT_CAN_FILES))
        return fail(err, SM_ENOTSUP, "files: the guest's agent is too old");
    fill_terminal(program, &options);
    return exec_start(machine->session, &options, &program->exec, err);
}

/* The one that the machine's snapshot was made with goes on. */
static int resume_exec(struct program *program, struct sm_error *err)
{
    const struct shelf_snapshot *snapshot = program->machine->config.snapshot;
    const struct snapshot_program *held;
    struct exec_options options = {.events = &exec_events, .context = program};

    if (!snapshot || !snapshot->manifest.program.channel)
        return fail(err, SM_ENOENT,
                    "exec: the snapshot has no command that goes on");
    held = &snapshot->manifest.program;
    program->config.tty = held->tty;
    options.program.flags = held->tty ? AGENT_EXEC_TTY : 0u;
    fill_terminal(program, &options);
    return exec_resume(program->machine->session, &options, held->channel,
                       &program->exec, err);
}

int program_words(const struct program *program, struct image_strings *to,
                  struct sm_error *err)
{
    const struct shelf_snapshot *snapshot = program->machine->config.snapshot;
    bool fine = true;

    for (char *const *at = program->command.argv; fine && at && *at; at++)
        fine = image_strings_add(to, *at);
    if (program->config.resume && snapshot)
        for (uint32_t i = 0; fine && i < snapshot->manifest.program.argv.count;
             i++)
            fine =
                image_strings_add(to, snapshot->manifest.program.argv.items[i]);
    return fine ? 0 : fail(err, SM_ENOMEM, "snapshot: out of memory");
}

static void send_with(struct program *program,
                      int (*send)(struct program *program,
                                  struct sm_error *err))
{
    struct exec_end end = {.outcome = EXEC_FAILED};

    if (program->exec || program->ended)
        return;
    if (send(program, &end.error) != 0)
        ended(program, &end);
    else
        program_send_requests(program);
    if (program->bytes[AGENT_IN].ended && program->exec)
        exec_write_end(program->exec);
    else if (program->config.fds[AGENT_IN] == SM_BYTES)
        writable(program);
}

void program_send(struct program *program)
{
    if (program->config.resume)
        send_with(program, resume_exec);
    else
        send_with(program, send_exec);
}

void program_send_requests(struct program *program)
{
    uint32_t signals[PROGRAM_SIGNALS_MAX];
    uint16_t rows, columns;
    unsigned count;
    bool resized;

    if (!program->exec || program->ended)
        return;
    pthread_mutex_lock(&program->machine->lock);
    count = program->signal_count;
    memcpy(signals, program->signals, count * sizeof signals[0]);
    program->signal_count = 0;
    rows = program->rows;
    columns = program->columns;
    resized = program->resized;
    program->resized = false;
    pthread_mutex_unlock(&program->machine->lock);
    if (resized)
        exec_resize(program->exec, rows, columns, NULL);
    for (unsigned i = 0; i < count; i++)
        exec_signal(program->exec, signals[i], AGENT_GROUP, NULL);
}

void program_signal(struct program *program, uint32_t signal)
{
    struct machine *machine = program->machine;

    pthread_mutex_lock(&machine->lock);
    /* So many that nobody took: one more would say nothing new. */
    if (program->signal_count < PROGRAM_SIGNALS_MAX)
        program->signals[program->signal_count++] = signal;
    pthread_mutex_unlock(&machine->lock);
    loop_wake(machine->loop);
}

void program_resize(struct program *program, uint16_t rows, uint16_t columns)
{
    struct machine *machine = program->machine;

    if (!program->config.tty)
        return;
    pthread_mutex_lock(&machine->lock);
    program->rows = rows;
    program->columns = columns;
    program->resized = true;
    pthread_mutex_unlock(&machine->lock);
    loop_wake(machine->loop);
}

int program_new(struct machine *machine, struct command *command,
                const struct program_config *config, struct program **ret,
                struct sm_error *err)
{
    struct program *program;

    if (machine->state == MACHINE_STOPPED)
        return fail(err, SM_ESTATE, "the machine is stopped");
    program = calloc(1, sizeof *program);
    if (!program)
        return fail(err, SM_ENOMEM, "exec: out of memory");
    program->machine = machine;
    program->command = *command;
    *command = (struct command){0};
    program->config = *config;
    program->of_start = machine->state == MACHINE_NEW;
    program->rows = config->rows;
    program->columns = config->columns;
    program->notifier = NOTIFIER_NONE;
    for (int i = 0; i < AGENT_STREAMS; i++)
        queue_init(&program->bytes[i].wait, EXEC_WINDOW);
    program->next = machine->programs;
    machine->programs = program;
    if (machine->session && machine->state >= MACHINE_RUNNING)
        program_send(program);
    machine_nudge(machine);
    *ret = program;
    return 0;
}

void program_free(struct program *program)
{
    struct program **at;

    if (!program)
        return;
    exec_free(program->exec);
    at = &program->machine->programs;
    while (*at != program)
        at = &(*at)->next;
    *at = program->next;
    if (program->machine->saving.wanted.program == program)
        program->machine->saving.wanted.program = NULL;
    machine_saving_program(program->machine);
    machine_nudge(program->machine);
    for (int i = 0; i < AGENT_STREAMS; i++)
        queue_done(&program->bytes[i].wait);
    notifier_done(&program->notifier);
    command_done(&program->command);
    free(program);
}

/* The agent's account of an end as the public one. */
static void fill_status(const struct exec_end *end, struct sm_exit_status *ret)
{
    *ret = (struct sm_exit_status){
        .exited = end->outcome == EXEC_EXITED,
        .user_us = end->exit.user_ns / 1000,
        .system_us = end->exit.system_ns / 1000,
        .peak_rss_bytes = end->exit.max_rss_bytes,
        .out_of_memory = (end->exit.flags & AGENT_EXIT_OOM) != 0,
        .timed_out = (end->exit.flags & AGENT_EXIT_TIMEOUT) != 0,
    };
    if (ret->exited)
        ret->code = (int)end->exit.value;
    else
        ret->signal = (int)end->exit.value;
}

/* Why a program was lost is why its machine ended. */
static int explain_loss(struct program *program, struct sm_error *err)
{
    static const bool never = false;
    struct machine *machine = program->machine;

    machine_turn(machine, &never, 0);
    if (err)
        *err = machine->end.why;
    return machine->end.why.code;
}

/* It never ran, or was lost, or its output was: why. 0: nothing of these. */
static int explain_end(struct program *program, struct sm_error *err)
{
    if ((!program->ended && program->machine->state == MACHINE_STOPPED) ||
        (program->ended && program->end.outcome == EXEC_LOST))
        return explain_loss(program, err);
    if (!program->ended || (program->end.outcome != EXEC_FAILED &&
                            program->end.outcome != EXEC_UNWRITTEN))
        return 0;
    if (err)
        *err = program->end.error;
    return program->end.error.code;
}

/* How work of the agent's own ended: its status is an error, too. */
static int explain_files(const struct program *program, struct sm_error *err)
{
    const struct queue *message = &program->bytes[AGENT_ERR].wait;
    const struct agent_exit *exit = &program->end.exit;

    if (exit->flags & AGENT_EXIT_TIMEOUT)
        return fail(err, SM_ETIMEOUT, "files: not done within %u ms",
                    program->config.timeout_ms);
    if (exit->signaled)
        return fail(err, SM_EGUEST, "files: the guest ended it by signal %u",
                    exit->value);
    return files_result((int)exit->value, queue_front(message),
                        queue_count(message), err);
}

int program_wait_started(struct program *program, uint32_t timeout_ms,
                         struct sm_error *err)
{
    struct machine *machine = program->machine;

    if (machine->state == MACHINE_NEW)
        return fail(err, SM_ESTATE, "exec: the machine was not started");
    if (!machine_turn(machine, &program->started, timeout_ms))
        return fail(err, SM_ETIMEOUT, "exec: the command has not started");
    return explain_end(program, err);
}

int program_wait(struct program *program, uint32_t timeout_ms,
                 struct sm_exit_status *ret, struct sm_error *err)
{
    struct machine *machine = program->machine;
    int rc;

    if (machine->state == MACHINE_NEW)
        return fail(err, SM_ESTATE, "exec: the machine was not started");
    if (!machine_turn(machine, &program->ended, timeout_ms))
        return fail(err, SM_ETIMEOUT, "exec: the command has not ended");
    rc = explain_end(program, err);
    if (!rc && program->config.files)
        rc = explain_files(program, err);
    if (!rc)
        fill_status(&program->end, ret);
    return rc;
}

/* Bytes ------------------------------------------------------------------- */

int program_fd(struct program *program, struct sm_error *err)
{
    int rc = 0;

    if (program->notifier.fd < 0)
        rc = notifier_init(&program->notifier, err);
    if (rc)
        return rc;
    program_notify(program);
    return program->notifier.fd;
}

/* Wait for (stream) to be ready, or the end of it all. */
static int await(struct program *program, enum agent_stream stream,
                 uint32_t timeout_ms, struct sm_error *err)
{
    struct machine *machine = program->machine;

    if (program->config.fds[stream] != SM_BYTES)
        return fail(err, SM_EINVAL,
                    "exec: stream %d is not carried as bytes: give SM_BYTES "
                    "for its descriptor",
                    (int)stream);
    if (machine->state == MACHINE_NEW)
        return fail(err, SM_ESTATE, "exec: the machine was not started");
    if (!machine_turn(machine, &program->bytes[stream].ready, timeout_ms))
        return fail(err, SM_ETIMEOUT, "exec: stream %d is not ready",
                    (int)stream);
    return 0;
}

int64_t program_read(struct program *program, int number, void *to,
                     size_t capacity, uint32_t timeout_ms, struct sm_error *err)
{
    enum agent_stream stream = number == 1 ? AGENT_OUT : AGENT_ERR;
    struct program_bytes *bytes = &program->bytes[stream];
    int rc = 0;

    if (queue_count(&bytes->wait) == 0 && !bytes->ended)
        rc = await(program, stream, timeout_ms, err);
    if (rc)
        return rc;
    if (queue_count(&bytes->wait) == 0) {
        bytes->end_read = true;
        set_ready(program, stream);
        return bytes->lost ? fail(err, SM_ENOMEM, "exec: output was lost") : 0;
    }
    capacity = min_u64(capacity, queue_count(&bytes->wait));
    memcpy(to, queue_front(&bytes->wait), capacity);
    queue_drop(&bytes->wait, capacity);
    if (program->exec && !bytes->lost)
        exec_consumed(program->exec, stream, capacity);
    set_ready(program, stream);
    machine_nudge(program->machine);
    return (int64_t)capacity;
}

int64_t program_write(struct program *program, const void *from, size_t count,
                      uint32_t timeout_ms, struct sm_error *err)
{
    struct program_bytes *bytes = &program->bytes[AGENT_IN];
    size_t taken = 0;

    while (taken == 0) {
        int rc = bytes->ended ? 0 : await(program, AGENT_IN, timeout_ms, err);

        bytes->refused = rc == SM_ETIMEOUT;
        program_notify(program);
        if (rc)
            return rc;
        if (is_over(program) || bytes->ended)
            return fail(err, SM_ECLOSED, "exec: nobody reads its stdin");
        taken = exec_write(program->exec, from, count);
        bytes->ready = taken == count;
    }
    bytes->refused = !bytes->ready;
    program_notify(program);
    machine_nudge(program->machine);
    return (int64_t)taken;
}

void program_write_end(struct program *program)
{
    struct program_bytes *bytes = &program->bytes[AGENT_IN];

    if (program->config.fds[AGENT_IN] != SM_BYTES || bytes->ended)
        return;
    bytes->ended = true;
    bytes->ready = false;
    if (program->exec)
        exec_write_end(program->exec);
    program_notify(program);
    machine_nudge(program->machine);
}
