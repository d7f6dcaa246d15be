/* run.c: `supermachine run`: image -> machine -> command -> its exit status.
 */
#include "env.h"
#include "host.h"
#include "image.h"
#include "terminal.h"
#include "text.h"
#include "verbs.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run_options {
    uint64_t memory_bytes;
    uint32_t cpus;
    struct option_list env_given;
    struct option_list env_files;
    struct option_list env; /* both together, whole */
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
    {"interactive", 'i', OPTION_FLAG, FIELD(interactive), NULL,
     "hand standard input on (done in any case)"},
    {"tty", 't', OPTION_FLAG, FIELD(tty), NULL,
     "give the command a terminal, also when this is none"},
    {"kernel", 0, OPTION_STRING, FIELD(kernel), "FILE",
     "another guest kernel: ELF vmlinux or bzImage"},
    {"kernel-args", 0, OPTION_STRING, FIELD(kernel_args), "WORDS",
     "words added to the kernel's command line"},
    IMAGE_OPTION_ROWS(run_options, image),
    {"pull", 0, OPTION_STRING, FIELD(pull), "WHEN",
     "ask the registry: missing (the default) or always"},
    {"cost", 0, OPTION_FLAG, FIELD(cost), NULL,
     "print what the start cost, as JSON, on standard error"},
    {"console", 0, OPTION_FLAG, FIELD(console), NULL,
     "print the guest kernel's log at the end, on standard error"},
};

/* What the thread that waits for signals works on. */
struct signals {
    sigset_t set;
    struct sm_machine *machine;
    struct sm_exec *exec;
    struct terminal *terminal; /* NULL: the command has none */
};

enum { PATIENCE = 3 }; /* as many SIGINT or SIGTERM end the machine */

/* Tells the thread that it is no longer needed. */
#define SIGNAL_LEAVE SIGRTMIN

static void tell_size(const struct signals *signals)
{
    uint32_t rows, columns;

    if (terminal_size(&rows, &columns))
        sm_exec_resize(signals->exec, rows, columns, NULL);
}

/* Signals that are about the terminal. False: it is another one. */
static bool serve_terminal(const struct signals *signals, int number)
{
    switch (number) {
    case SIGTSTP:
        terminal_suspend(signals->terminal);
        break;
    case SIGCONT:
        terminal_resume(signals->terminal);
        break;
    case SIGWINCH:
        break;
    default:
        return false;
    }
    /* It may have changed while we were stopped. */
    tell_size(signals);
    return true;
}

/* Hand the caller's signals to the command, until SIGNAL_LEAVE. */
static void *forward_signals(void *argument)
{
    struct signals *signals = argument;
    int asked_to_end = 0;
    int number;

    while (sigwait(&signals->set, &number) == 0 && number != SIGNAL_LEAVE) {
        if (signals->terminal && serve_terminal(signals, number))
            continue;
        if (number == SIGINT || number == SIGTERM)
            asked_to_end++;
        if (asked_to_end >= PATIENCE)
            sm_machine_kill(signals->machine);
        else
            sm_exec_signal(signals->exec, number, NULL);
    }
    return NULL;
}

static void block_signals(struct signals *signals)
{
    sigemptyset(&signals->set);
    sigaddset(&signals->set, SIGINT);
    sigaddset(&signals->set, SIGTERM);
    sigaddset(&signals->set, SIGHUP);
    sigaddset(&signals->set, SIGQUIT);
    sigaddset(&signals->set, SIGUSR1);
    sigaddset(&signals->set, SIGUSR2);
    sigaddset(&signals->set, SIGNAL_LEAVE);
    if (signals->terminal) {
        sigaddset(&signals->set, SIGWINCH);
        sigaddset(&signals->set, SIGTSTP);
        sigaddset(&signals->set, SIGCONT);
    }
    pthread_sigmask(SIG_BLOCK, &signals->set, NULL);
}

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

/* With the signals served by their thread. */
static int carry_command(const struct signals *signals,
                         struct sm_exit_status *status, struct sm_error *err)
{
    int rc;

    if (signals->terminal)
        terminal_set(signals->terminal, TERMINAL_WAITING);
    rc = sm_machine_start(signals->machine, 0, err);
    if (!rc && signals->terminal)
        terminal_set(signals->terminal, TERMINAL_RAW);
    if (!rc)
        rc = sm_exec_wait(signals->exec, 0, status, err);
    if (signals->terminal)
        terminal_set(signals->terminal, TERMINAL_BEFORE);
    return rc;
}

static int run_command(const struct run_options *options,
                       struct sm_machine *machine,
                       const struct sm_exec_config *command,
                       struct sm_exit_status *status, struct sm_error *err)
{
    struct terminal terminal;
    struct signals signals = {.machine = machine,
                              .terminal = command->tty ? &terminal : NULL};
    pthread_t thread;
    int rc = sm_exec_new(machine, command, &signals.exec, err);

    if (rc)
        return rc;
    if (signals.terminal)
        terminal_init(signals.terminal);
    block_signals(&signals);
    if (pthread_create(&thread, NULL, forward_signals, &signals) != 0) {
        sm_exec_free(signals.exec);
        snprintf(err->message, sizeof err->message, "no thread for signals");
        return SM_ENOMEM;
    }
    rc = carry_command(&signals, status, err);
    pthread_kill(thread, SIGNAL_LEAVE);
    pthread_join(thread, NULL);
    report(options, machine);
    sm_exec_free(signals.exec);
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

static int run_image(struct run_options *options, char **rest)
{
    struct sm_host *host = NULL;
    struct sm_image *image = NULL;
    struct sm_machine *machine = NULL;
    struct sm_machine_config config;
    struct sm_exec_config command;
    struct sm_exit_status status = {0};
    struct sm_error err = {0};
    int rc = cli_host_open(&host, &err);

    sm_machine_config_init(&config);
    config.memory_bytes = options->memory_bytes;
    config.vcpus = options->cpus;
    config.kernel = options->kernel;
    config.hostname = options->hostname;
    config.kernel_args = options->kernel_args;
    sm_exec_config_init(&command);
    command.argv = (const char *const *)rest + 1;
    command.entrypoint = options->entrypoint;
    command.env = options->env.item;
    command.workdir = options->workdir;
    command.user = options->user;
    command.timeout_ms = options->timeout_s * 1000;
    command.stdin_fd = STDIN_FILENO;
    command.tty = options->tty || terminal_is_here();
    terminal_size(&command.rows, &command.columns);
    if (!rc)
        rc = cli_image_open(host, rest[0], &options->image, &image, &err);
    if (!rc)
        rc = sm_machine_new(host, image, &config, &machine, &err);
    if (!rc)
        rc = run_command(options, machine, &command, &status, &err);
    rc = exit_status(rc, &err, &status);
    sm_machine_free(machine);
    sm_image_free(image);
    sm_host_free(host);
    return rc;
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
    else if (env_gather(&options->env, &options->env_files,
                        &options->env_given))
        status = run_image(options, rest);
    env_done(&options->env);
    return status;
}

static int run_run(int count, char **arguments)
{
    struct run_options options = {.memory_bytes = SM_MEMORY_DEFAULT, .cpus = 1};
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
    image_options_done(&options.image);
    return status;
}

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
    .group = VERB_MACHINES,
    .options = run_option_table,
    .option_count = sizeof run_option_table / sizeof run_option_table[0],
    .run = run_run,
};
