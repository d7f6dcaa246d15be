/* launch.c: image -> machine -> command -> its exit status; see run.h. */
#include "attached.h"
#include "events.h"
#include "front.h"
#include "host.h"
#include "keeper.h"
#include "kept.h"
#include "run.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* One run, from its options to its end. */
struct run {
    const struct run_options *options;
    char **command; /* what is behind the image     */
    const char *image;
    bool resumes; /* what the snapshot was made of goes on */
    struct kept kept;
    struct sm_host *host;
    struct sm_image *source; /* NULL: a snapshot */
    struct sm_machine *machine;
    struct sm_exec *exec;
    struct record record;
    struct terminal terminal;
    struct forward forward;
    bool has_terminal; /* and nobody else sees to it */
    int report;        /* -d: where the parent waits for news; -1 */
    int owner;         /* on a terminal: the parent's connection; -1 */
};

/* Its command's streams pass through here, because it may be left alone. */
static bool is_kept(const struct run *run)
{
    return run->options->detach || run->owner >= 0;
}

static void send_signal(void *context, int number)
{
    struct run *run = context;

    sm_exec_signal(run->exec, number, NULL);
}

static void send_size(void *context, uint32_t rows, uint32_t columns)
{
    struct run *run = context;

    sm_exec_resize(run->exec, rows, columns, NULL);
}

static void give_up(void *context)
{
    struct run *run = context;

    sm_machine_kill(run->machine);
}

static const struct forward_events forward_events = {
    .signal = send_signal,
    .resize = send_size,
    .give_up = give_up,
};

/* The extras on standard error that --cost and --console ask for. */
static void report(const struct run_options *options,
                   struct sm_machine *machine)
{
    char *text = NULL;

    if (options->cost && sm_machine_cost(machine, &text, NULL) == 0)
        fprintf(stderr, "%s\n", text);
    free(text);
    text = NULL;
    if (options->console && sm_machine_log(machine, &text, NULL) == 0)
        fputs(text, stderr);
    free(text);
}

/* -d: the machine is up. Let go of the terminal and tell the parent. */
static void let_go(struct run *run)
{
    front_let_go(false);
    /* One that does not listen any more has been killed: we stay. */
    if (write(run->report, run->record.id, RECORD_ID_DIGITS) < 0)
        errno = 0;
    close(run->report);
    run->report = -1;
}

/* The keys were typed: as if it had been started with -d. */
static void be_left(void *context)
{
    struct run *run = context;

    front_let_go(false);
    close(run->owner);
    run->owner = -1;
    run->record.detached = true;
    run->record.remove = run->options->remove;
    record_save(&run->record, NULL);
}

/*
 * The machine's worker gets this process's standard error for as long as it
 * lives. That of a machine which lives on must not be the caller's: in
 * `$(supermachine run -d ... 2>&1)` the shell waits for everybody who has it.
 */
static int start_machine(struct run *run, struct sm_error *err)
{
    int ours = -1;
    int null = -1;
    int rc;

    if (is_kept(run)) {
        ours = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    }
    if (ours >= 0 && null >= 0)
        dup2(null, STDERR_FILENO);
    rc = sm_machine_start(run->machine, 0, err);
    if (ours >= 0) {
        dup2(ours, STDERR_FILENO);
        close(ours);
    }
    if (null >= 0)
        close(null);
    return rc;
}

/* Keep the machine until its command has ended. */
static int keep(struct run *run, int listener, struct sm_exit_status *status,
                struct sm_error *err)
{
    struct keeper keeper = {
        .record = &run->record,
        .machine = run->machine,
        .exec = run->exec,
        .journal = {.fd = -1},
        .logged = run->record.logged,
        .owner = -1,
        .left = be_left,
        .context = run,
    };
    int rc = 0;

    if (run->owner >= 0 && !front_tell(run->owner, NULL))
        rc = text_fail(err, SM_ECANCELED, "nobody waits for it any more");
    if (!rc && keeper.logged)
        rc = journal_open(&keeper.journal, &run->record, err);
    if (!rc)
        rc = start_machine(run, err);
    /* Only one that really runs may be left alone. */
    if (!rc && run->options->detach)
        rc = sm_exec_wait_started(run->exec, 0, err);
    if (rc) {
        close(listener);
        journal_close(&keeper.journal);
        return rc;
    }
    run->record.started_ns = record_now_ns();
    run->record.state = RECORD_RUNNING;
    rc = record_save(&run->record, err);
    events_note(&run->record, "start", NULL, NULL);
    if (!rc && run->has_terminal)
        terminal_set(&run->terminal, TERMINAL_RAW);
    if (!rc && run->options->detach)
        let_go(run);
    if (!rc && run->owner >= 0) {
        front_let_go(true);
        keeper.owner = fcntl(run->owner, F_DUPFD_CLOEXEC, 3);
        /* One who is gone already is seen by the keeper. */
        if (keeper.owner < 0)
            rc = text_fail_os(err, "one more descriptor");
        else
            front_tell(run->owner, run->record.name);
    }
    if (!rc)
        rc = keeper_run(&keeper, listener, status, err);
    else
        close(listener);
    journal_close(&keeper.journal);
    return rc;
}

/* With the caller's signals and terminal in the command's hands. */
static int keep_in_foreground(struct run *run, int listener,
                              struct sm_exit_status *status,
                              struct sm_error *err)
{
    int rc;

    run->forward = (struct forward){
        .events = &forward_events,
        .context = run,
        .terminal = run->has_terminal ? &run->terminal : NULL,
    };
    if (run->has_terminal)
        terminal_init(&run->terminal);
    if (!forward_start(&run->forward)) {
        close(listener);
        return text_fail(err, SM_ENOMEM, "no thread for signals");
    }
    if (run->has_terminal)
        terminal_set(&run->terminal, TERMINAL_WAITING);
    rc = keep(run, listener, status, err);
    if (run->has_terminal)
        terminal_set(&run->terminal, TERMINAL_BEFORE);
    forward_stop(&run->forward);
    return rc;
}

/* A command that goes on has the terminal that it had, or none. */
static bool has_terminal(const struct run *run)
{
    const struct run_options *options = run->options;

    if (run->resumes)
        return run->kept.tty && (options->detach || terminal_is_here());
    return options->tty || run->owner >= 0 ||
           (!options->detach && terminal_is_here());
}

static int run_command(struct run *run, struct sm_exit_status *status,
                       struct sm_error *err)
{
    const struct run_options *options = run->options;
    struct sm_exec_config command;
    int listener;
    int rc;

    sm_exec_config_init(&command);
    command.resume = run->resumes;
    if (run->options->snapshot && !run->resumes)
        command.argv = (const char *const *)run->command;
    if (options->timeout_ms != UINT64_MAX)
        command.timeout_ms = (uint32_t)options->timeout_ms;
    command.tty = run->record.tty && !run->resumes;
    terminal_size(&command.rows, &command.columns);
    if (is_kept(run))
        command.stdout_fd = command.stderr_fd = SM_BYTES;
    if (run->record.open_stdin)
        command.stdin_fd = is_kept(run) ? SM_BYTES : STDIN_FILENO;
    run->has_terminal = run->record.tty && !is_kept(run);
    rc = sm_exec_new(run->machine, &command, &run->exec, err);
    if (rc)
        return rc;
    listener = control_listen(&run->record, err);
    if (listener < 0)
        return listener;
    rc = is_kept(run) ? keep(run, listener, status, err)
                      : keep_in_foreground(run, listener, status, err);
    if (run->owner >= 0)
        front_await(run->owner);
    run->owner = -1;
    report(options, run->machine);
    return rc;
}

/* Nobody says so; but what else kills it then? The time counts from its start,
 * which is later than that of the record. */
static bool was_timed_out(const struct run *run,
                          const struct sm_exit_status *status)
{
    uint64_t timeout_ms = run->options->timeout_ms;

    return timeout_ms != UINT64_MAX && !status->exited &&
           status->signal == SIGKILL && !status->out_of_memory &&
           record_now_ns() - run->record.created_ns >=
               (int64_t)timeout_ms * 1000000;
}

static int exit_status(const struct run *run, int rc,
                       const struct sm_error *err,
                       const struct sm_exit_status *status)
{
    bool silent = (rc == SM_EGUEST || rc == SM_ETIMEOUT) &&
                  !run->record.started_ns && !run->options->console;

    if (!rc && status->out_of_memory)
        complain("run: killed: out of memory: the machine has %llu MiB: see "
                 "--memory",
                 (unsigned long long)run->record.memory_bytes >> 20);
    if (!rc && was_timed_out(run, status))
        complain("run: killed: its time was over: see --timeout");
    if (!rc)
        return sm_exit_code(status);
    complain("run: %s%s", err->message,
             silent ? " (what its kernel printed, --console shows)" : "");
    return text_exit_code(rc);
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

static int make_record(struct run *run, struct sm_error *err)
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
    record->logged = is_kept(run);
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

static int make_machine(struct run *run, struct sm_error *err)
{
    const struct run_options *options = run->options;
    struct sm_machine_config config;
    char hostname[RECORD_ID_SHOWN + 1];
    int rc;

    memcpy(hostname, run->record.id, RECORD_ID_SHOWN);
    hostname[RECORD_ID_SHOWN] = '\0';
    sm_machine_config_init(&config);
    config.memory_bytes = options->memory_bytes;
    config.vcpus = options->cpus;
    config.kernel = options->kernel;
    config.hostname = options->hostname ? options->hostname : hostname;
    config.kernel_args = options->kernel_args;
    config.cold = options->cold || options->console;
    config.name = run->record.name;
    config.labels = options->labels.item;
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
    if (options->lifetime_ms != UINT64_MAX)
        config.lifetime_ms = (uint32_t)options->lifetime_ms;
    rc = sm_machine_new(run->host, run->source, &config, &run->machine, err);
    if (!rc)
        rc = sm_machine_inspect(run->machine, SM_INSPECT_MACHINE,
                                &run->record.config, err);
    return rc ? rc : record_save(&run->record, err);
}

/* What the machine is made of. */
static int open_source(struct run *run, struct sm_error *err)
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

/* Everything, in the process that keeps the machine. */
static int run_here(const struct run_options *options, char **rest, int report,
                    int owner)
{
    struct run run = {.options = options,
                      .command = rest + !options->snapshot,
                      .image = options->snapshot ? NULL : rest[0],
                      .resumes = options->snapshot && !rest[0],
                      .record = {.folder = -1, .lock = -1},
                      .report = report,
                      .owner = owner};
    struct sm_exit_status status = {0};
    struct sm_error err = {0};
    bool recorded;
    int rc = cli_host_open(&run.host, &err);

    if (!rc)
        rc = open_source(&run, &err);
    if (!rc)
        rc = make_record(&run, &err);
    recorded = run.record.folder >= 0;
    if (!rc)
        rc = make_machine(&run, &err);
    if (!rc)
        rc = run_command(&run, &status, &err);
    rc = exit_status(&run, rc, &err, &status);
    /* Nobody waits for the worker to be gone: taking a machine apart may cost
     * its host more than all that came before. */
    if (run.machine)
        sm_machine_kill(run.machine);
    /* What never ran is not worth keeping. */
    if (recorded && (run.record.remove || !run.record.started_ns ||
                     run.record.state != RECORD_EXITED)) {
        record_remove(&run.record);
        events_note(&run.record, "destroy", NULL, NULL);
    }
    record_done(&run.record);
    sm_image_free(run.source);
    kept_done(&run.kept);
    return rc;
}

bool run_begin(const struct run_options *options, char **words,
               struct run_begun *ret)
{
    int ends[2];

    /* Nobody else's child may keep one open: its end tells of the keeper's. */
    if (pipe2(ends, O_CLOEXEC) != 0) {
        complain("run: pipe: %s", strerror(errno));
        return false;
    }
    ret->news = ends[0];
    ret->keeper = fork();
    if (ret->keeper == 0) {
        close(ends[0]);
        exit(run_here(options, words, ends[1], -1));
    }
    close(ends[1]);
    if (ret->keeper > 0)
        return true;
    complain("run: new process: %s", strerror(errno));
    close(ends[0]);
    return false;
}

int run_await(const struct run_begun *begun)
{
    char id[RECORD_ID_DIGITS + 1];
    ssize_t count;
    int status;

    do {
        count = read(begun->news, id, RECORD_ID_DIGITS);
    } while (count < 0 && errno == EINTR);
    close(begun->news);
    if (count == RECORD_ID_DIGITS) {
        id[count] = '\0';
        printf("%s\n", id);
        return fflush(stdout) == 0 ? 0 : EXIT_OURS;
    }
    if (waitpid(begun->keeper, &status, 0) == begun->keeper &&
        WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return WEXITSTATUS(status);
    complain("run: the machine's keeper died");
    return EXIT_OURS;
}

int run_image(const struct run_options *options, char **words)
{
    struct run_begun begun;
    int owner = -1;
    int status = -1;

    if (options->detach)
        return run_begin(options, words, &begun) ? run_await(&begun)
                                                 : EXIT_OURS;
    /* The command of a snapshot may have no terminal: that is known later. */
    if (terminal_is_here() && !options->snapshot)
        status = front_open(&options->detach_keys, &owner);
    return status >= 0 ? status : run_here(options, words, -1, owner);
}
