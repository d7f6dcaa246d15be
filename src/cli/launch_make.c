/* launch_make.c: what a `run` makes before anything runs; see launch.h. */
#include "events.h"
#include "host.h"
#include "json.h"
#include "launch.h"
#include "text.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READY_TIMEOUT_MS = 60000 };

bool launch_is_kept(const struct run *run)
{
    return run->options->detach || run->owner >= 0;
}

/* -------------------------------------------------------------- source -- */

int launch_open_source(struct run *run, struct sm_error *err)
{
    const struct run_options *options = run->options;
    int rc;

    if (!options->snapshot)
        return cli_image_open(run->host, run->image, &options->image,
                              &run->source, err);
    rc = kept_look(run->host, options->snapshot, &run->kept, err);
    run->image = run->kept.image;
    return rc;
}

/* -------------------------------------------------------------- record -- */

/* A command that goes on has the terminal that it had, or none. */
static bool has_terminal(const struct run *run)
{
    const struct run_options *options = run->options;

    if (run->resumes)
        return run->kept.tty && (options->detach || terminal_is_here());
    return options->tty || run->owner >= 0 ||
           (!options->detach && terminal_is_here());
}

/* (words), NULL at the end or alone, with (between) between them. */
static char *join(char *const *words, const char *between)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    if (!to)
        return NULL;
    for (int i = 0; words && words[i]; i++)
        fprintf(to, "%s%s", i ? between : "", words[i]);
    fclose(to);
    return text;
}

/* As docker run has it: a file that is there belongs to another machine. */
static int write_id(const struct record *record, const char *path,
                    struct sm_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    bool fine =
        fd >= 0 && write(fd, record->id, RECORD_ID_DIGITS) == RECORD_ID_DIGITS;
    int rc = fine ? 0 : text_fail_os(err, "--cidfile %s", path);

    if (fd >= 0 && close(fd) != 0 && !rc)
        rc = text_fail_os(err, "--cidfile %s", path);
    return rc;
}

int launch_make_record(struct run *run, struct sm_error *err)
{
    const struct run_options *options = run->options;
    struct record *record = &run->record;
    char home[HOME_MAX];
    int rc = cli_home(home, err);

    if (!rc)
        rc = record_create(home, options->name, record, err);
    if (rc)
        return rc;
    record->created_ns = record_now_ns();
    record->memory_bytes =
        run->kept.command ? run->kept.memory_bytes : options->memory_bytes;
    record->cpus = run->kept.command ? run->kept.vcpus : options->cpus;
    record->pid = (uint32_t)getpid();
    record->stop_signal = options->stop_signal;
    record->detached = options->detach;
    record->logged = launch_is_kept(run);
    record->stop_timeout_ms = (uint32_t)options->stop_timeout_ms;
    record->tty = has_terminal(run);
    record->open_stdin = !options->detach || options->interactive;
    /* What nobody named and nobody detached leaves nothing behind. */
    record->remove = options->remove || (!options->detach && !options->name);
    record->command =
        run->resumes ? strdup(run->kept.command) : join(run->command, " ");
    record->labels = join((char *const *)(uintptr_t)options->labels.item, "\n");
    if (!record->command || !record->labels ||
        !record_set(&record->image, run->image))
        return text_fail(err, SM_ENOMEM, "out of memory");
    rc = record_save(record, err);
    if (!rc && options->cidfile)
        rc = write_id(record, options->cidfile, err);
    if (!rc)
        events_note(record, "create", NULL, NULL);
    return rc;
}

/* ------------------------------------------------------------- machine -- */

/* What a machine has for itself, whatever it is made of. */
static void put_own(const struct run *run, char hostname[RECORD_ID_SHOWN + 1],
                    struct sm_machine_config *config)
{
    const struct run_options *options = run->options;

    memcpy(hostname, run->record.id, RECORD_ID_SHOWN);
    hostname[RECORD_ID_SHOWN] = '\0';
    sm_machine_config_init(config);
    config->hostname = options->hostname ? options->hostname : hostname;
    config->name = run->record.name;
    config->labels = options->labels.item;
    if (options->lifetime_ms != UINT64_MAX)
        config->lifetime_ms = (uint32_t)options->lifetime_ms;
}

/* Of the image, or the snapshot of --snapshot. */
static int new_machine(struct run *run, struct sm_machine **ret,
                       struct sm_error *err)
{
    const struct run_options *options = run->options;
    struct sm_machine_config config;
    char hostname[RECORD_ID_SHOWN + 1];

    put_own(run, hostname, &config);
    config.memory_bytes = options->memory_bytes;
    config.vcpus = options->cpus;
    config.kernel = options->kernel;
    config.kernel_args = options->kernel_args;
    config.cold = options->cold || options->console;
    config.entrypoint = options->entrypoint;
    config.snapshot = options->snapshot;
    if (!options->snapshot)
        config.argv = (const char *const *)run->command;
    config.env = options->env.item;
    config.workdir = options->workdir;
    config.user = options->user;
    config.limits = options->limits.item;
    config.limit_count = options->limits.count;
    config.processes_max = options->processes_max;
    return sm_machine_new(run->host, run->source, &config, ret, err);
}

/* From here on (machine) is the run's. */
static int take_machine(struct run *run, struct sm_machine *machine,
                        struct sm_error *err)
{
    char *text = NULL;
    int rc;

    run->machine = machine;
    rc = sm_machine_inspect(machine, SM_INSPECT_MACHINE, &text, err);
    if (rc)
        return rc;
    free(run->record.config);
    run->record.config = text;
    return record_save(&run->record, err);
}

static int make_command(struct run *run, struct sm_error *err)
{
    const struct run_options *options = run->options;
    bool keeps = launch_is_kept(run);
    struct sm_exec_config command;
    struct sm_exec *exec;
    int rc;

    sm_exec_config_init(&command);
    command.resume = run->resumes;
    if (options->snapshot && !run->resumes)
        command.argv = (const char *const *)run->command;
    if (options->timeout_ms != UINT64_MAX && !run->resumes)
        command.timeout_ms = (uint32_t)options->timeout_ms;
    command.tty = run->record.tty && !run->resumes;
    terminal_size(&command.rows, &command.columns);
    if (keeps)
        command.stdout_fd = command.stderr_fd = SM_BYTES;
    /* One that is to be kept gets its input later. */
    if (run->record.open_stdin)
        command.stdin_fd =
            keeps || (options->warm && !run->is_warm) ? SM_BYTES : STDIN_FILENO;
    rc = sm_exec_new(run->machine, &command, &exec, err);
    if (!rc)
        run->exec = exec;
    return rc;
}

/* ---------------------------------------------------------------- warm -- */

/* How to call what is kept, and when it is to be kept. */
static int plan_warming(struct run *run, struct sm_error *err)
{
    const struct run_options *options = run->options;
    struct warming *warming = &run->warming;
    struct warm_kind kind = {
        .machine = run->record.config,
        .hostname = options->hostname,
        .kernel = options->kernel,
        .ready = options->ready,
        .tty = run->record.tty,
        .open_stdin = run->record.open_stdin,
        .timeout_ms = options->timeout_ms,
    };
    bool image_program = !options->entrypoint && !run->command[0];

    warming->timeout_ms = options->ready_timeout_ms == UINT64_MAX
                              ? READY_TIMEOUT_MS
                              : options->ready_timeout_ms;
    if (!ready_plan_make(&warming->plan, run->record.config, options->ready,
                         image_program))
        return text_fail(err, SM_ENOMEM, "out of memory");
    kind.way = warming->plan.way;
    return warm_name(&kind, warming->name, err);
}

/* Anybody may give a snapshot any name. */
static bool is_of_image(const struct run *run, struct sm_machine *machine)
{
    static const char path[] = "config.image";
    char *text = NULL;
    struct json_value found, wanted;
    bool same;

    if (sm_machine_inspect(machine, SM_INSPECT_MACHINE, &text, NULL) != 0)
        return false;
    found = json_at(json_read(text), path, strlen(path));
    wanted = json_at(json_read(run->record.config), path, strlen(path));
    same = found.length && found.length == wanted.length &&
           memcmp(found.start, wanted.start, found.length) == 0;
    free(text);
    return same;
}

/* The machine of the image gives way to one of the snapshot, if there is one
 * that is of use. */
static int look_for_warm(struct run *run, struct sm_error *err)
{
    struct sm_machine *cold = run->machine;
    struct sm_machine *machine = NULL;
    struct sm_machine_config config;
    char hostname[RECORD_ID_SHOWN + 1];
    int rc;

    put_own(run, hostname, &config);
    config.snapshot = run->warming.name;
    rc = sm_machine_new(run->host, NULL, &config, &machine, err);
    if (!rc && !is_of_image(run, machine))
        rc = SM_EIMAGE;
    if (rc) {
        sm_machine_free(machine);
        if (rc != SM_ENOENT && warm_is_refusal(rc))
            warm_remove(run->host, config.snapshot);
        return warm_is_refusal(rc) ? 0 : rc;
    }
    run->is_warm = run->resumes = true;
    rc = take_machine(run, machine, err);
    sm_machine_free(cold);
    return rc;
}

int launch_without_warm(struct run *run, struct sm_error *err)
{
    struct sm_machine *machine;
    int rc;

    /* Machine and command stay until the end, stopped: a signal may just be on
     * its way to them. */
    warm_remove(run->host, run->warming.name);
    run->is_warm = run->resumes = false;
    rc = new_machine(run, &machine, err);
    if (!rc)
        rc = take_machine(run, machine, err);
    return rc ? rc : make_command(run, err);
}

/* ----------------------------------------------------------------- all -- */

int launch_make_machine(struct run *run, struct sm_error *err)
{
    struct sm_machine *machine;
    int rc = new_machine(run, &machine, err);

    if (!rc)
        rc = take_machine(run, machine, err);
    if (!rc && run->options->warm)
        rc = plan_warming(run, err);
    if (!rc && run->options->warm)
        rc = look_for_warm(run, err);
    if (rc)
        return rc;
    rc = make_command(run, err);
    return run->is_warm && warm_is_refusal(rc) ? launch_without_warm(run, err)
                                               : rc;
}
