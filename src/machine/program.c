/* program.c: programs in a machine; see machine.h. */
#include "machine/inside.h"

#include "base/bytes.h"
#include "base/own.h"

static void ended(void *context, const struct exec_end *end)
{
    struct program *program = context;

    program->ended = true;
    program->end = *end;
}

static const struct exec_events exec_events = {.ended = ended};

static int send_exec(struct program *program, struct sm_error *err)
{
    struct exec_options options = {
        .program =
            {
                .argv = (const char *const *)program->command.argv,
                .env = (const char *const *)program->command.env,
                .cwd = program->command.workdir,
                .user = program->command.user,
                .flags = program->config.tty ? AGENT_EXEC_TTY : 0,
                .timeout_ms = program->config.timeout_ms,
                .umask = 022,
            },
        .events = &exec_events,
        .context = program,
    };

    pthread_mutex_lock(&program->machine->lock);
    options.program.rows = program->rows;
    options.program.columns = program->columns;
    program->resized = false;
    pthread_mutex_unlock(&program->machine->lock);
    for (int i = 0; i < AGENT_STREAMS; i++)
        if (program->config.fds[i] >= 0)
            options.ports[i] = (struct exec_port){.kind = EXEC_FD,
                                                  .fd = program->config.fds[i]};
    if (program->config.tty)
        options.ports[AGENT_ERR].kind = EXEC_NONE;
    return exec_start(program->machine->session, &options, &program->exec, err);
}

void program_send(struct program *program)
{
    struct exec_end end = {.outcome = EXEC_FAILED};

    if (program->exec || program->ended)
        return;
    if (send_exec(program, &end.error) != 0)
        ended(program, &end);
    else
        program_send_requests(program);
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
    program->rows = config->rows;
    program->columns = config->columns;
    program->next = machine->programs;
    machine->programs = program;
    if (machine->state == MACHINE_RUNNING)
        program_send(program);
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
        *err = machine->why;
    return machine->why.code;
}

int program_wait(struct program *program, uint32_t timeout_ms,
                 struct sm_exit_status *ret, struct sm_error *err)
{
    struct machine *machine = program->machine;

    if (machine->state == MACHINE_NEW)
        return fail(err, SM_ESTATE, "exec: the machine was not started");
    if (!machine_turn(machine, &program->ended, timeout_ms))
        return fail(err, SM_ETIMEOUT, "exec: still running after %u ms",
                    timeout_ms);
    if (!program->ended || program->end.outcome == EXEC_LOST)
        return explain_loss(program, err);
    if (program->end.outcome == EXEC_FAILED) {
        if (err)
            *err = program->end.error;
        return program->end.error.code;
    }
    fill_status(&program->end, ret);
    return 0;
}
