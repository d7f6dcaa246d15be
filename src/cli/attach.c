/* attach.c: `supermachine attach`: the streams of a machine's command, as if it
 * had been started here. */
#include "attached.h"
#include "host.h"
#include "text.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct attach_options {
    const char *detach_keys;
    const char *sig_proxy;
    bool no_stdin;
};

#define FIELD(name) offsetof(struct attach_options, name)

static const struct option attach_option_table[] = {
    {"detach-keys", 0, OPTION_STRING, FIELD(detach_keys), "KEYS",
     "what is typed to leave, as ctrl-p,ctrl-q (the default)"},
    {"no-stdin", 0, OPTION_FLAG, FIELD(no_stdin), NULL,
     "only look: hand nothing on"},
    {"sig-proxy", 0, OPTION_STRING, FIELD(sig_proxy), "true|false",
     "hand signals on to the command (default true)"},
};

/* The keeper's answer to CONTROL_ATTACH. */
static int ask(struct attached *attached, struct sm_error *err)
{
    struct control_message nothing = {0};
    int rc = control_send(attached->keeper, CONTROL_ATTACH, &nothing, NULL);

    if (!rc)
        rc = control_read(&attached->reader, attached->keeper, true);
    if (rc == 1)
        rc = control_answer(&attached->reader, NULL, err);
    else
        rc = text_fail(err, SM_ECLOSED, "the machine %s ended meanwhile",
                       attached->name);
    control_reader_done(&attached->reader);
    return rc;
}

/* Returns the exit status. */
static int attach(struct attached *attached)
{
    struct sm_exit_status status = {0};
    struct sm_error err;
    int rc = ask(attached, &err);

    if (!rc)
        rc = attached_begin(attached, &err);
    if (!rc) {
        rc = attached_carry(attached);
        if (rc == 1)
            rc = control_answer(&attached->reader, &status, &err);
        else if (rc == SM_ECANCELED)
            rc = 0;
        else
            text_fail(&err, rc, "the machine %s: its keeper is gone",
                      attached->name);
    }
    attached_done(attached);
    if (rc) {
        complain("attach: %s", err.message);
        return EXIT_OURS;
    }
    if (attached->left)
        fprintf(stderr, "detached from %s\n", attached->name);
    if (status.out_of_memory)
        complain("attach: killed: out of memory in the machine");
    return attached->left ? 0 : sm_exit_code(&status);
}

static int attach_to(const struct attach_options *options, const char *name)
{
    struct attached attached;
    struct record record = {.folder = -1, .lock = -1};
    struct sm_error err;
    char home[HOME_MAX];
    int status = EXIT_OURS;
    int rc;

    attached_init(&attached);
    if (!attached_parse_keys("attach", options->detach_keys, &attached.keys))
        return EXIT_OURS;
    rc = cli_home(home, &err);
    if (!rc)
        rc = record_find(home, name, &record, &err);
    if (!rc)
        rc = attached.keeper = control_connect(&record, &err);
    if (rc < 0) {
        complain("attach: %s", err.message);
    } else {
        memcpy(attached.name, record.name, sizeof attached.name);
        attached.is_up = true;
        attached.reads_input = record.open_stdin && !options->no_stdin;
        attached.has_terminal = record.tty && terminal_is_here();
        attached.takes_signals =
            !options->sig_proxy || strcmp(options->sig_proxy, "true") == 0;
        status = attach(&attached);
        close(attached.keeper);
    }
    record_done(&record);
    return status;
}

static int run_attach(void *values, char **words)
{
    const struct attach_options *options = values;

    if (!options->sig_proxy || strcmp(options->sig_proxy, "true") == 0 ||
        strcmp(options->sig_proxy, "false") == 0)
        return attach_to(options, words[0]);
    complain("attach: --sig-proxy %s: must be true or false",
             options->sig_proxy);
    return EXIT_OURS;
}

const struct verb verb_attach = {
    .name = "attach",
    .usage = "[OPTIONS] MACHINE",
    .summary = "Look at a machine's command, and talk to it",
    .details =
        "Shows what the command writes from now on (logs shows what it wrote\n"
        "before) and, if it was started with run -i, hands on what comes here."
        "\nThe machine is one of run -d, or one that a terminal runs: then "
        "both see\nthe same. If it has a terminal (run -t) and this is one, "
        "Ctrl-P Ctrl-Q\nleaves; the machine goes on. The end of standard "
        "input does not end the\ncommand's.",
    .exit_status = "The command's, as for run; 0 when it was left.",
    .options = attach_option_table,
    .option_count = sizeof attach_option_table / sizeof attach_option_table[0],
    .group = VERB_MACHINES,
    .options_anywhere = true,
    .values_bytes = sizeof(struct attach_options),
    .least = 1,
    .most = 1,
    .ask = "one machine, no more and no less",
    .run = run_attach,
};
