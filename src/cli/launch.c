/* launch.c: image -> machine -> command -> its exit status; see run.h. */
#include "launch.h"
#include "attached.h"
#include "events.h"
#include "front.h"
#include "host.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A guest that is up and does not come to start a command hangs. */
enum { STARTED_MS = 300000 };

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

/* (text) is an object of JSON. */
static void print_cost(const struct run *run, const char *text)
{
    const char *end = strrchr(text, '}');

    if (run->options->warm && end)
        fprintf(stderr, "%.*s,\"warm\":%s}\n", (int)(end - text), text,
                run->is_warm ? "true" : "false");
    else
        fprintf(stderr, "%s\n", text);
}

/* The extras on standard error that --cost and --console ask for. */
static void report(const struct run *run)
{
    const struct run_options *options = run->options;
    char *text = NULL;

    if (options->cost && sm_machine_cost(run->machine, &text, NULL) == 0)
        print_cost(run, text);
    free(text);
    text = NULL;
    if (options->console && sm_machine_log(run->machine, &text, NULL) == 0)
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

    if (launch_is_kept(run)) {
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

static void tell_not_kept(const struct run *run, const char *why)
{
    if (!run->options->image.quiet)
        complain("run: --warm: it is not kept: %s", why);
}

/* The command of --warm is kept, or why not. */
static void settled(void *context, const char *why_not)
{
    struct run *run = context;

    /* On a terminal that is the command's now, nobody would read it. */
    if (why_not && run->record.tty && !run->options->detach)
        run->not_kept = strdup(why_not);
    else if (why_not)
        tell_not_kept(run, why_not);
    if (run->report >= 0)
        let_go(run);
}

/* Start what was made. What --warm found, and is of no use, is removed; then it
 * is as if it had not been there. */
static int start(struct run *run, struct sm_error *err)
{
    int rc = start_machine(run, err);

    if (run->is_warm && warm_is_refusal(rc)) {
        rc = launch_without_warm(run, err);
        if (!rc)
            rc = start_machine(run, err);
    }
    /* Only one that really runs may be left alone. */
    if (!rc && run->options->detach)
        rc = sm_exec_wait_started(run->exec, STARTED_MS, err);
    if (rc == SM_ETIMEOUT && run->options->detach)
        text_fail(err, rc,
                  "its command was not started within %d s: the guest "
                  "hangs",
                  STARTED_MS / 1000);
    /* What it had shown before is shown to nobody else: let it draw again. */
    if (!rc && run->is_warm && run->record.tty)
        sm_exec_signal(run->exec, SIGWINCH, NULL);
    return rc;
}

/* The machine runs: say so to whoever waits for that. */
static int tell_it_runs(struct run *run, struct keeper *keeper,
                        struct sm_error *err)
{
    int rc;

    run->record.started_ns = record_now_ns();
    run->record.state = RECORD_RUNNING;
    rc = record_save(&run->record, err);
    events_note(&run->record, "start", NULL, NULL);
    if (rc)
        return rc;
    if (run->has_terminal)
        terminal_set(&run->terminal, TERMINAL_RAW);
    /* One that is to be kept first: settled(). */
    if (run->options->detach && !keeper->warming)
        let_go(run);
    if (run->owner < 0)
        return 0;
    front_let_go(true);
    keeper->owner = fcntl(run->owner, F_DUPFD_CLOEXEC, 3);
    /* One who is gone already is seen by the keeper. */
    if (keeper->owner < 0)
        return text_fail_os(err, "one more descriptor");
    front_tell(run->owner, run->record.name);
    return 0;
}

/* Keep the machine until its command has ended. */
static int keep(struct run *run, int listener, struct sm_exit_status *status,
                struct sm_error *err)
{
    struct keeper keeper = {
        .record = &run->record,
        .journal = {.fd = -1},
        .logged = run->record.logged,
        .owner = -1,
        .left = be_left,
        .input = -1,
        .context = run,
    };
    int rc = 0;

    if (run->owner >= 0 && !front_tell(run->owner, NULL))
        rc = text_fail(err, SM_ECANCELED, "nobody waits for it any more");
    if (!rc && keeper.logged)
        rc = journal_open(&keeper.journal, &run->record, err);
    if (!rc)
        rc = start(run, err);
    keeper.machine = run->machine;
    keeper.exec = run->exec;
    if (run->options->warm && !run->is_warm) {
        keeper.warming = &run->warming;
        if (!launch_is_kept(run) && run->record.open_stdin)
            keeper.input = STDIN_FILENO;
    }
    if (!rc)
        rc = tell_it_runs(run, &keeper, err);
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
    int listener;
    int rc;

    run->has_terminal = run->record.tty && !launch_is_kept(run);
    listener = control_listen(&run->record, err);
    if (listener < 0)
        return listener;
    rc = launch_is_kept(run) ? keep(run, listener, status, err)
                             : keep_in_foreground(run, listener, status, err);
    if (run->owner >= 0)
        front_await(run->owner);
    run->owner = -1;
    report(run);
    return rc;
}

static int exit_status(const struct run *run, int rc,
                       const struct sm_error *err,
                       const struct sm_exit_status *status)
{
    bool silent = (rc == SM_EGUEST || rc == SM_ETIMEOUT) &&
                  !run->record.started_ns && !run->options->console;

    if (run->not_kept)
        tell_not_kept(run, run->not_kept);
    if (!rc && status->out_of_memory)
        complain("run: killed: out of memory: the machine has %llu MiB: see "
                 "--memory",
                 (unsigned long long)run->record.memory_bytes >> 20);
    if (!rc && status->timed_out && !status->exited)
        complain("run: killed: its time was over: see --timeout");
    if (!rc)
        return sm_exit_code(status);
    complain("run: %s%s", err->message,
             silent ? " (what its kernel printed, --console shows)" : "");
    return text_exit_code(rc);
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
                      .warming = {.settled = settled},
                      .report = report,
                      .owner = owner};
    struct sm_exit_status status = {0};
    struct sm_error err = {0};
    bool recorded;
    int rc = cli_host_open(&run.host, &err);

    if (!rc)
        rc = launch_open_source(&run, &err);
    if (!rc)
        rc = launch_make_record(&run, &err);
    recorded = run.record.folder >= 0;
    if (!rc)
        rc = launch_make_machine(&run, &err);
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
    ready_plan_done(&run.warming.plan);
    free(run.not_kept);
    return rc;
}

bool run_begin(const struct run_options *options, char **words,
               const struct run_begun *before, struct run_begun *ret)
{
    int ends[2];

    /* Nobody else's child may keep one open: its end tells of the keeper's. */
    if (pipe2(ends, O_CLOEXEC) != 0) {
        complain("run: pipe: %s", strerror(errno));
        return false;
    }
    *ret = (struct run_begun){.news = ends[0], .before = before};
    ret->keeper = fork();
    if (ret->keeper == 0) {
        for (const struct run_begun *at = ret; at; at = at->before)
            close(at->news);
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
        return run_begin(options, words, NULL, &begun) ? run_await(&begun)
                                                       : EXIT_OURS;
    /* The command of a snapshot may have no terminal: that is known later. */
    if (terminal_is_here() && !options->snapshot)
        status = front_open(&options->detach_keys, &owner);
    return status >= 0 ? status : run_here(options, words, -1, owner);
}
