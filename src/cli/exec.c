/* exec.c: `supermachine exec`: another command in a machine that runs. */
#include "control.h"
#include "env.h"
#include "forward.h"
#include "host.h"
#include "text.h"
#include "verbs.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct exec_options {
    struct option_list env_given;
    struct option_list env_files;
    struct option_list env;
    const char *workdir;
    const char *user;
    bool interactive; /* as Docker has it; here stdin is always handed on */
    bool tty;
    bool detach;
};

#define FIELD(name) offsetof(struct exec_options, name)

static const struct option exec_option_table[] = {
    {"detach", 'd', OPTION_FLAG, FIELD(detach), NULL,
     "let it run by itself, without streams, once it has started"},
    {"env", 'e', OPTION_LIST, FIELD(env_given), "NAME=VALUE",
     "set a variable; NAME alone takes the caller's"},
    {"env-file", 0, OPTION_LIST, FIELD(env_files), "FILE",
     "set the variables of a file, one per line"},
    {"interactive", 'i', OPTION_FLAG, FIELD(interactive), NULL,
     "hand standard input on (done in any case)"},
    {"tty", 't', OPTION_FLAG, FIELD(tty), NULL,
     "give the command a terminal, also when this is none"},
    {"user", 'u', OPTION_STRING, FIELD(user), "USER[:GROUP]",
     "run as this user of the image"},
    {"workdir", 'w', OPTION_STRING, FIELD(workdir), "PATH",
     "working directory, made when missing"},
};

/* One command, on its way to the keeper and back. */
struct call {
    int fd;
    int null; /* --detach: its streams; -1 */
    struct terminal terminal;
    struct forward forward;
};

static void send_signal(void *context, int number)
{
    struct call *call = context;
    struct control_message message = {0};

    control_put(&message, "%d", number);
    control_send(call->fd, CONTROL_SIGNAL, &message, NULL);
}

static void send_size(void *context, uint32_t rows, uint32_t columns)
{
    struct call *call = context;
    struct control_message message = {0};

    control_put(&message, "%u", rows);
    control_put(&message, "%u", columns);
    control_send(call->fd, CONTROL_RESIZE, &message, NULL);
}

/* Whoever waits for the answer sees the end of the connection. */
static void give_up(void *context)
{
    struct call *call = context;

    shutdown(call->fd, SHUT_RDWR);
}

static const struct forward_events forward_events = {
    .signal = send_signal,
    .resize = send_size,
    .give_up = give_up,
};

static int send_command(struct call *call, const struct exec_options *options,
                        char *const *words, bool tty, struct sm_error *err)
{
    const int fds[CONTROL_FDS] = {
        call->null >= 0 ? call->null : STDIN_FILENO,
        call->null >= 0 ? call->null : STDOUT_FILENO,
        call->null >= 0 ? call->null : STDERR_FILENO,
    };
    struct control_message message = {0};
    uint32_t rows;
    uint32_t columns;
    int rc;

    for (int i = 0; words[i]; i++)
        control_put(&message, "arg=%s", words[i]);
    for (size_t i = 0; i < options->env.count; i++)
        control_put(&message, "env=%s", options->env.item[i]);
    if (options->workdir)
        control_put(&message, "workdir=%s", options->workdir);
    if (options->user)
        control_put(&message, "user=%s", options->user);
    control_put(&message, "tty=%d", tty);
    control_put(&message, "detach=%d", options->detach);
    if (tty && terminal_size(&rows, &columns)) {
        control_put(&message, "rows=%u", rows);
        control_put(&message, "columns=%u", columns);
    }
    rc = control_send(call->fd, CONTROL_EXEC, &message, fds);
    return rc ? text_fail(err, rc, "the command could not be sent: %s",
                          sm_strerror(rc))
              : 0;
}

static int await_answer(struct call *call, struct sm_exit_status *status,
                        struct sm_error *err)
{
    struct control_reader reader;
    int rc;

    control_reader_init(&reader);
    rc = control_read(&reader, call->fd, true);
    if (rc == 1)
        rc = control_answer(&reader, status, err);
    else
        rc = text_fail(err, SM_EGUEST, "the machine ended meanwhile");
    control_reader_done(&reader);
    return rc;
}

static int call_keeper(struct call *call, const struct exec_options *options,
                       char *const *words, struct sm_exit_status *status,
                       struct sm_error *err)
{
    bool tty = options->tty || (!options->detach && terminal_is_here());
    int rc;

    if (options->detach) {
        rc = send_command(call, options, words, tty, err);
        return rc ? rc : await_answer(call, status, err);
    }
    call->forward = (struct forward){
        .events = &forward_events,
        .context = call,
        .terminal = tty ? &call->terminal : NULL,
    };
    if (tty)
        terminal_init(&call->terminal);
    rc = send_command(call, options, words, tty, err);
    if (rc)
        return rc;
    if (!forward_start(&call->forward))
        return text_fail(err, SM_ENOMEM, "no thread for signals");
    if (tty)
        terminal_set(&call->terminal, TERMINAL_RAW);
    rc = await_answer(call, status, err);
    if (tty)
        terminal_set(&call->terminal, TERMINAL_BEFORE);
    forward_stop(&call->forward);
    return rc;
}

static int exec_in(const struct exec_options *options, char **rest)
{
    struct sm_exit_status status = {0};
    struct record record = {.folder = -1, .lock = -1};
    struct call call = {.fd = -1, .null = -1};
    struct sm_error err = {0};
    char home[HOME_MAX];
    int rc = cli_home(home, &err);

    if (!rc)
        rc = record_find(home, rest[0], &record, &err);
    if (!rc && options->detach) {
        call.null = open("/dev/null", O_RDWR | O_CLOEXEC);
        rc = call.null < 0 ? text_fail_os(&err, "/dev/null") : 0;
    }
    if (!rc)
        rc = call.fd = control_connect(&record, &err);
    if (rc >= 0)
        rc = call_keeper(&call, options, rest + 1, &status, &err);
    if (call.fd >= 0)
        close(call.fd);
    if (call.null >= 0)
        close(call.null);
    record_done(&record);
    if (!rc && options->detach)
        return 0;
    if (!rc && status.out_of_memory)
        complain("exec: killed: out of memory in the machine");
    if (!rc)
        return sm_exit_code(&status);
    complain("exec: %s", err.message);
    return text_exit_code(rc);
}

static int exec_run(void *values, char **words)
{
    struct exec_options *options = values;
    int status = EXIT_OURS;

    if (!words[0] || !words[1])
        complain("exec: which %s? see supermachine exec --help",
                 words[0] ? "command" : "machine");
    else if (env_gather(&options->env, &options->env_files,
                        &options->env_given))
        status = exec_in(options, words);
    env_done(&options->env);
    return status;
}

const struct verb verb_exec = {
    .name = "exec",
    .usage = "[OPTIONS] MACHINE COMMAND [ARG...]",
    .summary = "Run another command in a machine that runs",
    .details =
        "The command's environment, user and working directory are "
        "those that run gave the\nmachine, or the image's, unless options "
        "say otherwise.",
    .exit_status = "As for run.",
    .options = exec_option_table,
    .option_count = sizeof exec_option_table / sizeof exec_option_table[0],
    .group = VERB_MACHINES,
    .values_bytes = sizeof(struct exec_options),
    .run = exec_run,
};
