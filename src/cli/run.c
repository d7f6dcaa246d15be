/* run.c: `supermachine run`: image -> machine -> command -> its exit status.
 */
#include "control.h"
#include "env.h"
#include "forward.h"
#include "host.h"
#include "image.h"
#include "keeper.h"
#include "text.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct run_options {
    uint64_t memory_bytes;
    uint32_t cpus;
    struct option_list env_given;
    struct option_list env_files;
    struct option_list env; /* both together, whole */
    struct option_list labels;
    const char *name;
    uint32_t stop_signal;
    bool detach;
    bool remove;
    uint32_t timeout_s;
    const char *workdir;
    const char *user;
    const char *entrypoint;
    const char *hostname;
    const char *kernel;
    const char *kernel_args;
    bool interactive; /* as Docker has it; here stdin is always handed on */
    bool tty;
    struct image_options image;
    const char *pull;
    bool cost;
    bool console;
    bool cold;
};

#define FIELD(name) offsetof(struct run_options, name)

static const struct option run_option_table[] = {
    {"memory", 'm', OPTION_BYTES, FIELD(memory_bytes), "SIZE",
     "the machine's memory, 32m to 1t (default 512m)"},
    {"cpus", 0, OPTION_COUNT, FIELD(cpus), "N",
     "the machine's processors, 1 to 64 (default 1)"},
    {"env", 'e', OPTION_LIST, FIELD(env_given), "NAME=VALUE",
     "set a variable; NAME alone takes the caller's"},
    {"env-file", 0, OPTION_LIST, FIELD(env_files), "FILE",
     "set the variables of a file, one per line"},
    {"workdir", 'w', OPTION_STRING, FIELD(workdir), "PATH",
     "working directory, made when missing"},
    {"user", 'u', OPTION_STRING, FIELD(user), "USER[:GROUP]",
     "name or number, looked up in the image"},
    {"entrypoint", 0, OPTION_STRING, FIELD(entrypoint), "PROGRAM",
     "run this instead of the image's entrypoint"},
    {"hostname", 'h', OPTION_STRING, FIELD(hostname), "NAME",
     "host name in the machine"},
    {"timeout", 0, OPTION_COUNT, FIELD(timeout_s), "SECONDS",
     "kill the command, with all that it started, after this time"},
    {"detach", 'd', OPTION_FLAG, FIELD(detach), NULL,
     "leave it running and print its ID"},
    {"rm", 0, OPTION_FLAG, FIELD(remove), NULL,
     "forget the machine when it ends (as happens to one without -d and "
     "--name)"},
    {"name", 0, OPTION_STRING, FIELD(name), "NAME",
     "the machine's name; one is made up otherwise"},
    {"label", 'l', OPTION_LIST, FIELD(labels), "KEY=VALUE",
     "a word of yours that ps and inspect show"},
    {"stop-signal", 0, OPTION_SIGNAL, FIELD(stop_signal), "SIGNAL",
     "what `supermachine stop` sends (default TERM)"},
    {"interactive", 'i', OPTION_FLAG, FIELD(interactive), NULL,
     "hand standard input on (done in any case)"},
    {"tty", 't', OPTION_FLAG, FIELD(tty), NULL,
     "give the command a terminal, also when this is none"},
    {"kernel", 0, OPTION_STRING, FIELD(kernel), "FILE",
     "another guest kernel: ELF vmlinux or bzImage"},
    {"kernel-args", 0, OPTION_STRING, FIELD(kernel_args), "WORDS",
     "words added to the kernel's command line"},
    IMAGE_OPTION_ROWS(run_options, image),
    {"pull", 0, OPTION_STRING, FIELD(pull), "missing|always",
     "when to ask the registry (default missing)"},
    {"cold", 0, OPTION_FLAG, FIELD(cold), NULL,
     "boot the machine, instead of going on from a template"},
    {"json", 0, OPTION_FLAG, FIELD(image.json), NULL,
     "what is done for the image, as lines of JSON on standard error"},
    {"cost", 0, OPTION_FLAG, FIELD(cost), NULL,
     "print what the start cost, as JSON, on standard error"},
    {"console", 0, OPTION_FLAG, FIELD(console), NULL,
     "print the guest kernel's log at the end, on standard error; implies "
     "--cold"},
};

/* One run, from its options to its end. */
struct run {
    const struct run_options *options;
    char **rest; /* image, command */
    struct sm_host *host;
    struct sm_image *image;
    struct sm_machine *machine;
    struct sm_exec *exec;
    struct record record;
    struct terminal terminal;
    struct forward forward;
    bool has_terminal;
    int report; /* -d: where the parent waits for news; -1 */
};

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
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    setsid();
    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    /* One that does not listen any more has been killed: we stay. */
    if (write(run->report, run->record.id, RECORD_ID_DIGITS) < 0)
        errno = 0;
    close(run->report);
    run->report = -1;
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

    if (run->options->detach) {
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
    };
    int rc = 0;

    if (keeper.logged)
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
    if (!rc && run->has_terminal)
        terminal_set(&run->terminal, TERMINAL_RAW);
    if (!rc && run->options->detach)
        let_go(run);
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

static int run_command(struct run *run, struct sm_exit_status *status,
                       struct sm_error *err)
{
    const struct run_options *options = run->options;
    struct sm_exec_config command;
    int listener;
    int rc;

    sm_exec_config_init(&command);
    command.argv = (const char *const *)run->rest + 1;
    command.entrypoint = options->entrypoint;
    command.env = options->env.item;
    command.workdir = options->workdir;
    command.user = options->user;
    command.timeout_ms = options->timeout_s * 1000;
    command.tty = options->tty || (!options->detach && terminal_is_here());
    terminal_size(&command.rows, &command.columns);
    if (!options->detach)
        command.stdin_fd = STDIN_FILENO;
    else
        command.stdout_fd = command.stderr_fd = SM_BYTES;
    run->has_terminal = command.tty && !options->detach;
    rc = sm_exec_new(run->machine, &command, &run->exec, err);
    if (rc)
        return rc;
    listener = control_listen(&run->record, err);
    if (listener < 0)
        return listener;
    rc = options->detach ? keep(run, listener, status, err)
                         : keep_in_foreground(run, listener, status, err);
    report(options, run->machine);
    return rc;
}

static int exit_status(int rc, const struct sm_error *err,
                       const struct sm_exit_status *status)
{
    if (!rc)
        return sm_exit_code(status);
    complain("run: %s", err->message);
    if (rc == SM_ENOCMD)
        return EXIT_NOT_FOUND;
    return rc == SM_ENOEXEC ? EXIT_NOT_EXECUTABLE : EXIT_OURS;
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
    record->memory_bytes = options->memory_bytes;
    record->cpus = options->cpus;
    record->pid = (uint32_t)getpid();
    record->stop_signal = options->stop_signal;
    record->detached = record->logged = options->detach;
    /* What nobody named and nobody detached leaves nothing behind. */
    record->remove = options->remove || (!options->detach && !options->name);
    record->command = join(run->rest + 1, " ");
    record->labels = join((char *const *)(uintptr_t)options->labels.item, "\n");
    if (!record->command || !record->labels ||
        !record_set(&record->image, run->rest[0]))
        return text_fail(err, SM_ENOMEM, "out of memory");
    return record_save(record, err);
}

static int make_machine(struct run *run, struct sm_error *err)
{
    const struct run_options *options = run->options;
    struct sm_machine_config config;
    char hostname[RECORD_ID_SHOWN + 1];

    memcpy(hostname, run->record.id, RECORD_ID_SHOWN);
    hostname[RECORD_ID_SHOWN] = '\0';
    sm_machine_config_init(&config);
    config.memory_bytes = options->memory_bytes;
    config.vcpus = options->cpus;
    config.kernel = options->kernel;
    config.hostname = options->hostname ? options->hostname : hostname;
    config.kernel_args = options->kernel_args;
    config.cold = options->cold || options->console;
    return sm_machine_new(run->host, run->image, &config, &run->machine, err);
}

/* Everything, in the process that keeps the machine. */
static int run_here(const struct run_options *options, char **rest, int report)
{
    struct run run = {.options = options,
                      .rest = rest,
                      .record = {.folder = -1, .lock = -1},
                      .report = report};
    struct sm_exit_status status = {0};
    struct sm_error err = {0};
    bool recorded;
    int rc = cli_host_open(&run.host, &err);

    if (!rc)
        rc = cli_image_open(run.host, rest[0], &options->image, &run.image,
                            &err);
    if (!rc)
        rc = make_record(&run, &err);
    recorded = run.record.folder >= 0;
    if (!rc)
        rc = make_machine(&run, &err);
    if (!rc)
        rc = run_command(&run, &status, &err);
    rc = exit_status(rc, &err, &status);
    /* Nobody waits for the worker to be gone: taking a machine apart may cost
     * its host more than all that came before. */
    if (run.machine)
        sm_machine_kill(run.machine);
    /* What never ran is not worth keeping. */
    if (recorded && (run.record.remove || !run.record.started_ns ||
                     run.record.state != RECORD_EXITED))
        record_remove(&run.record);
    record_done(&run.record);
    sm_image_free(run.image);
    return rc;
}

/* -d: until the child's machine is up, or the child has said why not. */
static int await_child(pid_t child, int news)
{
    char id[RECORD_ID_DIGITS + 1];
    ssize_t count;
    int status;

    do {
        count = read(news, id, RECORD_ID_DIGITS);
    } while (count < 0 && errno == EINTR);
    if (count == RECORD_ID_DIGITS) {
        id[count] = '\0';
        printf("%s\n", id);
        return fflush(stdout) == 0 ? 0 : EXIT_OURS;
    }
    if (waitpid(child, &status, 0) == child && WIFEXITED(status) &&
        WEXITSTATUS(status) != 0)
        return WEXITSTATUS(status);
    complain("run: the machine's keeper died");
    return EXIT_OURS;
}

static int run_detached(const struct run_options *options, char **rest)
{
    int ends[2];
    pid_t child;
    int status;

    if (pipe(ends) != 0) {
        complain("run: pipe: %s", strerror(errno));
        return EXIT_OURS;
    }
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    child = fork();
    if (child == 0) {
        close(ends[0]);
        exit(run_here(options, rest, ends[1]));
    }
    close(ends[1]);
    if (child < 0) {
        complain("run: new process: %s", strerror(errno));
        status = EXIT_OURS;
    } else {
        status = await_child(child, ends[0]);
    }
    close(ends[0]);
    return status;
}

static int run_image(const struct run_options *options, char **rest)
{
    return options->detach ? run_detached(options, rest)
                           : run_here(options, rest, -1);
}

enum { TIMEOUT_MAX_S = 2000000 };

/* False: a word that is none. */
static bool choose_pull(struct run_options *options)
{
    options->image.refresh =
        options->pull && strcmp(options->pull, "always") == 0;
    return !options->pull || options->image.refresh ||
           strcmp(options->pull, "missing") == 0;
}

static bool has_bad_label(const struct option_list *labels)
{
    for (size_t i = 0; i < labels->count; i++)
        if (strchr(labels->item[i], '\n'))
            return true;
    return false;
}

/* Options and arguments that were understood. */
static int run_with(struct run_options *options, char **rest)
{
    int status = EXIT_OURS;

    if (!rest[0])
        complain("run: which image? see supermachine run --help");
    else if (options->memory_bytes == 0)
        complain("run: --memory 0: at least 32m");
    else if (options->cpus == 0)
        complain("run: --cpus 0: at least 1");
    else if (options->timeout_s > TIMEOUT_MAX_S)
        complain("run: --timeout %u: at most %d seconds", options->timeout_s,
                 TIMEOUT_MAX_S);
    else if (!choose_pull(options))
        complain("run: --pull %s: must be missing or always", options->pull);
    else if (options->detach && (options->cost || options->console))
        complain("run: --cost and --console speak at the end: not with -d");
    else if (has_bad_label(&options->labels))
        complain("run: --label: a line feed is not possible");
    else if (env_gather(&options->env, &options->env_files,
                        &options->env_given))
        status = run_image(options, rest);
    env_done(&options->env);
    return status;
}

static int run_run(int count, char **arguments)
{
    struct run_options options = {
        .memory_bytes = SM_MEMORY_DEFAULT,
        .cpus = 1,
        .stop_signal = 15,
        .image = {.json_to = stderr},
    };
    int status = EXIT_OURS;
    char **rest;

    (void)count;
    switch (options_parse(&verb_run, arguments, &options, &rest)) {
    case OPTIONS_HELP:
        status = 0;
        break;
    case OPTIONS_WRONG:
        break;
    case OPTIONS_OK:
        status = run_with(&options, rest);
        break;
    }
    option_list_done(&options.env_given);
    option_list_done(&options.env_files);
    option_list_done(&options.labels);
    image_options_done(&options.image);
    return status;
}

static const struct verb_example examples[] = {
    {"Run a command and take its exit status",
     "supermachine run alpine:3 uname -a"},
    {"Work in a shell", "supermachine run -m 2g --cpus 2 debian:12"},
    {"Filter a stream", "sort big | supermachine run alpine:3 uniq -c"},
    {"Leave a server running",
     "supermachine run -d --name cache redis:7 && supermachine logs -f cache"},
};

const struct verb verb_run = {
    .name = "run",
    .usage = "[OPTIONS] IMAGE [COMMAND [ARG...]]",
    .summary = "Run a command of an image in a machine of its own",
    .details =
        "IMAGE is one of\n"
        "  NAME[:TAG][@DIGEST]        an image of a registry, as Docker names\n"
        "                             it; pulled unless it was before\n"
        "  oci:DIR[:TAG]              an OCI image layout\n"
        "  oci-archive:FILE[:TAG]     the same in a tar\n"
        "  docker-archive:FILE[:TAG]  what docker save writes\n"
        "  dir:DIR                    a root file system in a folder\n"
        "  -                          a tar on standard input: one of these\n"
        "                             archives, or a root file system\n\n"
        "If standard input and output are a terminal, the command gets one "
        "too.",
    .exit_status =
        "The exit status is the command's; 125 when supermachine itself "
        "failed,\n126 when the command cannot be executed, 127 when it is "
        "not found,\n128 + N when it was ended by signal N.",
    .examples = examples,
    .example_count = sizeof examples / sizeof examples[0],
    .group = VERB_MACHINES,
    .options = run_option_table,
    .option_count = sizeof run_option_table / sizeof run_option_table[0],
    .run = run_run,
};
